package program_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/sparsegonia/sparsegonia/examples/internal/program"
)

// child makes the test binary the program that a test starts.
const child = "PROGRAM_TEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(child) != "" {
		program.Main("probe", probe)
	}
	os.Exit(m.Run())
}

var errProbe = errors.New("first line\nsecond line")

// probe is a program that ends in every way there is.
func probe(ctx context.Context, env *program.Env) error {
	flags := env.Flags("Probe ends.", "probe -end ok")
	end := flags.Choice("end", "ok", "how", "ok", "failure", "polite", "stubborn", "pipe")
	device := flags.Device()
	if err := env.Parse(flags); err != nil {
		return err
	}
	if err := device(); err != nil {
		return err
	}
	switch *end {
	case "failure":
		return fmt.Errorf("probe: %w", errProbe)
	case "polite":
		fmt.Fprintln(env.Stdout, "ready")
		<-ctx.Done()
		fmt.Fprintln(env.Stdout, "so far")
		return fmt.Errorf("half way: %w", ctx.Err())
	case "stubborn":
		fmt.Fprintln(env.Stdout, "ready")
		<-ctx.Done()
		fmt.Fprintln(env.Stdout, "again")
		time.Sleep(time.Minute)
	case "pipe":
		for {
			if _, err := fmt.Fprintln(env.Stdout, "more"); err != nil {
				return err
			}
		}
	}
	return nil
}

// run is probe in this process.
func run(ctx context.Context, args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	env := &program.Env{Name: "probe", Args: args, Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs}
	code = env.Run(ctx, probe)
	return code, out.String(), errs.String()
}

func TestExitCodes(t *testing.T) {
	for _, test := range []struct {
		args   []string
		code   int
		stderr string
	}{
		{[]string{"-end", "ok"}, program.ExitOK, ""},
		{[]string{"-end", "failure"}, program.ExitFailure, "probe: probe: first line; second line\n"},
		{[]string{"-end", "never"}, program.ExitUsage, "want one of"},
		{[]string{"-bogus"}, program.ExitUsage, "-bogus (probe -h shows the flags)\n"},
		{[]string{"stray"}, program.ExitUsage, `unexpected argument "stray"`},
		{[]string{"-device", "tpu"}, program.ExitUsage, "cpu, cuda"},
		{[]string{"-device", "cuda"}, program.ExitUsage, "probe: -device cuda: cuda: CUDA is not available: "},
	} {
		code, stdout, stderr := run(context.Background(), test.args...)
		if code != test.code || stdout != "" || !strings.Contains(stderr, test.stderr) || (stderr == "") != (test.stderr == "") {
			t.Errorf("%v: exit code %d, stdout %q, stderr %q", test.args, code, stdout, stderr)
		}
		if strings.Count(stderr, "\n") > 1 {
			t.Errorf("%v: more than a line: %q", test.args, stderr)
		}
	}
}

func TestHelp(t *testing.T) {
	for _, flag := range []string{"-h", "--help"} {
		code, stdout, stderr := run(context.Background(), flag)
		if code != program.ExitOK || stderr != "" {
			t.Errorf("%s: exit code %d, stderr %q", flag, code, stderr)
		}
		for _, want := range []string{"Probe ends.", "Usage: probe [flags]", "-end", "(default ok)", "Examples:\n  probe -end ok"} {
			if !strings.Contains(stdout, want) {
				t.Errorf("%s: no %q in\n%s", flag, want, stdout)
			}
		}
	}
}

func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	code, stdout, stderr := run(ctx, "-end", "polite")
	if code != program.ExitInterrupted || stdout != "ready\nso far\n" || stderr != "probe: interrupted\n" {
		t.Errorf("exit code %d, stdout %q, stderr %q", code, stdout, stderr)
	}
}

// start runs probe in a process of its own.
func start(t *testing.T, args ...string) (cmd *exec.Cmd, stdout *bufio.Reader, stderr *bytes.Buffer) {
	t.Helper()
	cmd = exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), child+"=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr = new(bytes.Buffer)
	cmd.Stderr = stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() })
	return cmd, bufio.NewReader(out), stderr
}

func wantLine(t *testing.T, r *bufio.Reader, want string) {
	t.Helper()
	if line, err := r.ReadString('\n'); err != nil || line != want+"\n" {
		t.Fatalf("line %q (%v), want %q", line, err, want)
	}
}

func interrupt(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
}

func TestSignals(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("processes cannot be interrupted from outside")
	}
	t.Run("first", func(t *testing.T) {
		cmd, stdout, stderr := start(t, "-end", "polite")
		wantLine(t, stdout, "ready")
		interrupt(t, cmd)
		wantLine(t, stdout, "so far")
		cmd.Wait()
		if code := cmd.ProcessState.ExitCode(); code != program.ExitInterrupted || stderr.String() != "probe: interrupted\n" {
			t.Errorf("exit code %d, stderr %q", code, stderr)
		}
	})
	t.Run("second", func(t *testing.T) {
		cmd, stdout, stderr := start(t, "-end", "stubborn")
		wantLine(t, stdout, "ready")
		interrupt(t, cmd)
		wantLine(t, stdout, "again")
		// The handler goes away a moment after the context is cancelled.
		ended := make(chan struct{})
		go func() { cmd.Wait(); close(ended) }()
		for {
			interruptIfRunning(cmd)
			select {
			case <-ended:
				if cmd.ProcessState.ExitCode() != -1 || stderr.String() != "" {
					t.Errorf("state %v, stderr %q; want death by a signal", cmd.ProcessState, stderr)
				}
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	})
	t.Run("pipe", func(t *testing.T) {
		cmd := exec.Command(os.Args[0], "-end", "pipe")
		cmd.Env = append(os.Environ(), child+"=1")
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		cmd.Stdout = w
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		w.Close()
		wantLine(t, bufio.NewReader(r), "more")
		r.Close()
		if err := cmd.Wait(); err == nil || stderr.String() != "" {
			t.Errorf("%v, stderr %q; want a silent end", err, &stderr)
		}
	})
}

// interruptIfRunning may come too late.
func interruptIfRunning(cmd *exec.Cmd) { _ = cmd.Process.Signal(os.Interrupt) }
