package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/sparsegonia/sparsegonia/examples/internal/program"
	"github.com/sparsegonia/sparsegonia/graph/calibrate"
)

// progress is what is on stderr, too, where the work takes over a second.
var progress = regexp.MustCompile(`(?m)^generate: [a-z ]+( …| took [0-9.]+ s)\n`)

// isComplaint reports whether stderr is one line, beside progress.
func isComplaint(stderr string) bool {
	stderr = progress.ReplaceAllString(stderr, "")
	return strings.HasPrefix(stderr, "generate: ") && strings.Count(stderr, "\n") == 1 && strings.HasSuffix(stderr, "\n")
}

// wantFailure wants one line on stderr and nothing on stdout.
func wantFailure(t *testing.T, r result, code int, message string) {
	t.Helper()
	if r.code != code || r.stdout != "" || !isComplaint(r.stderr) || !strings.Contains(r.stderr, message) {
		t.Errorf("%+v, want exit code %d and a line with %q", r, code, message)
	}
}

func TestFailures(t *testing.T) {
	dir := t.TempDir()
	broken := filepath.Join(dir, "broken.gguf")
	if err := os.WriteFile(broken, []byte("GGUF\x03"), 0o666); err != nil {
		t.Fatal(err)
	}
	short := filepath.Join(dir, "short.json")
	plan := calibrate.Plan{Layers: []calibrate.Layer{{Kind: calibrate.DenseKind{}}}}
	if err := plan.Write(short); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		args    string
		message string
	}{
		{"-prompt ", "the prompt is empty"},
		{"-prompt -", "the prompt is empty"}, // stdin is empty
		{"-prompt x -n 512", "leaves room for 510 in the context of 512"},
		{"-prompt x -n 9 -context 10", "leaves room for 8 in the context of 10"},
		{"-ids 1,2,3,4 -context 3", "a prompt of 4 tokens is more than the context of 3"},
		{"-ids 1,2,3 -context 3", "leaves no room in the context of 3"},
		{"-ids 1,4096", "token 1 of the prompt is 4096, not in the vocabulary of 4096"},
		{"-ids 1 -context 2000000000", "a context of 2000000000 tokens"},
		{"-ids 1 -model no/such/model", "tinyrelu or tinysilu"},
		{"-ids 1 -model " + dir, dir},
		{"-ids 1 -model " + broken, broken},
		{"-ids 1 -plan " + broken, broken},
		{"-ids 1 -plan " + dir + "/none", "none"},
		{"-ids 1 -plan " + short, "1 layers"},
		{"-ids 1 -sparsity 0.5 -json -model " + references + "variants/minimal", "tokenizer.json"},
		{"-prompt x -model " + references + "variants/minimal", "tokenizer.json"},
		{"-ids 1 -model " + references + "variants/minimal", "tokenizer.json"},
		{"-ids 1 -logits " + dir, dir + " is a directory"},
		{"-ids 1 -logits " + dir + "/no/file", "-logits: "},
		{"-ids 1 -logits " + broken + "/file", "-logits: "},
	} {
		wantFailure(t, call("", strings.Split(test.args, " ")...), program.ExitFailure, test.message)
	}
}

func TestUsageErrors(t *testing.T) {
	for _, test := range []struct{ args, message string }{
		{"", "give one of -prompt, -prompts, -ids and -tokenize"},
		{"-prompts - -prompt x", "give one of"},
		{"-prompts - -prompt x -ids 1", "give one of"},
		{"-prompts - -ids 1", "give one of"},
		{"-prompts - -tokenize -", "-tokenize and -prompts exclude each other"},
		{"-prompts - -logits file", "-prompts and -logits exclude each other"},
		{"-prompts - -temperature 0.5", "-temperature 0.5 must be 0"},
		{"-prompts ", "-prompts needs a file"},
		{"-prompt x -ids 1", "give one of"},
		{"func main", `unexpected argument "func"`},
		{"-prompt func main", `unexpected argument "main"`},
		{"-prompt x -json maybe", `unexpected argument "maybe"`},
		{"-prompt x -n -1", "-n -1 is negative"},
		{"-prompt x -n 1e3", "-n"},
		{"-prompt x -n 99999999999999999999", "-n"},
		{"-prompt x -temperature NaN", "-temperature NaN"},
		{"-prompt x -temperature Inf", "-temperature +Inf"},
		{"-prompt x -temperature -0.5", "-temperature -0.5"},
		{"-prompt x -top-p 0", "-top-p 0"},
		{"-prompt x -top-p 1.5", "-top-p 1.5"},
		{"-prompt x -top-p NaN", "-top-p NaN"},
		{"-prompt x -seed -1", "-seed"},
		{"-prompt x -sparsity 1", "-sparsity 1"},
		{"-prompt x -sparsity -0.1", "-sparsity -0.1"},
		{"-prompt x -sparsity NaN", "-sparsity NaN"},
		{"-prompt x -sparsity 0.5 -plan plan.json", "exclude each other"},
		{"-prompt x -plan ", "-plan needs a file"},
		{"-prompt x -context -1", "-context -1 is negative"},
		{"-prompt x -threads -1", "-threads -1"},
		{"-prompt x -threads 1000000", "-threads 1000000"},
		{"-prompt x -dtype f8", "bf16"},
		{"-prompt x -dtype int32", "bf16"},
		{"-prompt x -kv int8", "f32, f16"},
		{"-prompt x -machine fast", "lean, tape"},
		{"-prompt x -device cuda", "CUDA is not available: "},
		{"-prompt x -device gpu", "cpu, cuda"},
		{"-prompt x -stop ", `-stop: "" is not a token id`},
		{"-prompt x -stop end", `"end" is not a token id`},
		{"-ids ", `-ids: "" is not a token id`},
		{"-ids 1,,2", `"" is not a token id`},
		{"-ids 1,-2", `"-2" is not a token id`},
		{"-ids 1.5", `"1.5" is not a token id`},
		{"-ids 2147483648", `"2147483648" is not a token id`},
		{"-ids 1 -logits ", "-logits needs a file"},
		{"-tokenize ", "-tokenize needs a file"},
		{"-tokenize - -prompt x", "-tokenize and -prompt exclude each other"},
		{"-verbose", "-verbose"},
		{"-prompt", "-prompt"},
	} {
		var args []string
		if test.args != "" {
			args = strings.Split(test.args, " ")
		}
		wantFailure(t, call("", args...), program.ExitUsage, test.message)
	}
}

func TestHelp(t *testing.T) {
	r := call("", "-n", "3", "-h")
	if r.code != program.ExitOK || r.stderr != "" {
		t.Errorf("exit code %d, stderr %q", r.code, r.stderr)
	}
	for _, want := range []string{"Usage: generate", "-temperature", "-logits file", "\nExamples:\n  go run ./examples/generate -prompt "} {
		if !strings.Contains(r.stdout, want) {
			t.Errorf("no %q in\n%s", want, r.stdout)
		}
	}
}

// The prompt on stdin is taken to the last byte.
func TestPromptFromStdin(t *testing.T) {
	p := readGolden(t, "tiny-silu").Prompts[0]
	if !strings.HasSuffix(p.Text, "\n") {
		t.Fatalf("the prompt %q shows nothing", p.Text)
	}
	if r := call(p.Text, "-prompt", "-", "-n", "32"); r.stdout != p.Result+"\n" {
		t.Errorf("%+v, want %q", r, p.Result)
	}
}

// By default a text ends where the context does.
func TestDefaultLength(t *testing.T) {
	for context, want := range map[string]int{"10": 7, "512": defaultTokens} {
		if r := reported(t, "-ids", "1,2,3", "-context", context, "-stop", "none"); r.NewTokens != want || r.Finish != "length" {
			t.Errorf("context %s: %+v, want %d new tokens", context, r, want)
		}
	}
}

// failingWriter fails after some bytes.
type failingWriter struct{ room int }

var errFull = errors.New("no space left")

func (w *failingWriter) Write(p []byte) (int, error) {
	if len(p) > w.room {
		return 0, errFull
	}
	w.room -= len(p)
	return len(p), nil
}

func TestStdoutFails(t *testing.T) {
	for _, args := range [][]string{{"-prompt", "func "}, {"-prompt", "func ", "-json"}, {"-prompts", "-"}, {"-prompts", "-", "-json"}, {"-tokenize", "-"}} {
		var stderr bytes.Buffer
		code := callWith(context.Background(), strings.NewReader(`["a", "b"]`), &failingWriter{8}, &stderr, args...)
		if code != program.ExitFailure || !isComplaint(stderr.String()) || !strings.Contains(stderr.String(), "generate: no space left\n") {
			t.Errorf("%v: exit code %d, stderr %q", args, code, &stderr)
		}
	}
}

// cancelWriter interrupts the program when something is written.
type cancelWriter struct {
	text   bytes.Buffer
	cancel context.CancelFunc
}

func (w *cancelWriter) Write(p []byte) (int, error) {
	w.cancel()
	return w.text.Write(p)
}

// An interrupted text is a beginning of the whole one.
func TestInterrupted(t *testing.T) {
	whole := succeed(t, "-prompt", "func ", "-stop", "none")
	ctx, cancel := context.WithCancel(context.Background())
	stdout := cancelWriter{cancel: cancel}
	var stderr bytes.Buffer
	code := callWith(ctx, nil, &stdout, &stderr, "-prompt", "func ", "-stop", "none")
	text := stdout.text.String()
	if code != program.ExitInterrupted || len(text) < 2 || !strings.HasSuffix(text, "\n") ||
		!strings.HasPrefix(whole, text[:len(text)-1]) || len(text) >= len(whole) {
		t.Errorf("exit code %d, stdout %q of %q", code, text, whole)
	}
	if !strings.HasSuffix(stderr.String(), "\ngenerate: interrupted\n") || !strings.Contains(stderr.String(), "new tokens") {
		t.Errorf("stderr %q", &stderr)
	}

	// Before the first token there is nothing to print, but -json says so.
	var out bytes.Buffer
	if code := callWith(ctx, nil, &out, io.Discard, "-prompt", "func "); code != program.ExitInterrupted || out.Len() > 0 {
		t.Errorf("exit code %d, stdout %q", code, &out)
	}
	code = callWith(ctx, nil, &out, io.Discard, "-prompt", "func ", "-json")
	if r := decodeReport(t, out.String()); code != program.ExitInterrupted || r.Finish != "interrupted" || r.NewTokens != 0 {
		t.Errorf("exit code %d, %+v", code, r)
	}
}

// Ctrl-C ends a program that waits for its prompt.
func TestInterruptedWhileReading(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	r, w := io.Pipe()
	defer w.Close()
	go func() {
		w.Write([]byte("func"))
		cancel()
	}()
	if code := callWith(ctx, r, io.Discard, io.Discard, "-prompt", "-"); code != program.ExitInterrupted {
		t.Errorf("exit code %d", code)
	}
}

// long makes a text that takes minutes.
var long = []string{"-prompt", "func ", "-context", "100000", "-n", "90000", "-stop", "none", "-temperature", "1"}

func TestSignal(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("processes cannot be interrupted from outside")
	}
	cmd := exec.Command(os.Args[0], long...)
	cmd.Env = append(os.Environ(), child+"=1")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	r := bufio.NewReader(stdout)
	first, err := r.ReadByte()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	rest, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	text := append([]byte{first}, rest...)
	if code := cmd.ProcessState.ExitCode(); code != program.ExitInterrupted || !strings.HasSuffix(stderr.String(), "\ngenerate: interrupted\n") {
		t.Errorf("exit code %d, stderr %q", code, &stderr)
	}
	if !utf8.Valid(text) || text[len(text)-1] != '\n' {
		t.Errorf("stdout %q", text)
	}
}

// A reader that has enough, such as head, ends the program without a word.
func TestClosedPipe(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("has no SIGPIPE")
	}
	cmd := exec.Command(os.Args[0], long...)
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
	defer cmd.Process.Kill()
	w.Close()
	if _, err := r.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	r.Close()
	if err := cmd.Wait(); err == nil || progress.ReplaceAllString(stderr.String(), "") != "" {
		t.Errorf("%v, stderr %q", err, &stderr)
	}
}

// Any command line ends with a known exit code, and says why unless all is well.
func TestAnyCommandLine(t *testing.T) {
	words := []string{
		"-prompt x", "-prompt é\xff", "-prompt -", "-prompt ", "-prompt=x", "-ids 1,2", "-ids 3", "-ids 4096", "-ids=",
		"-n 0", "-n 2", "-n=1", "-n 600", "-temperature 0.5", "-temperature NaN", "-top-p 0.5", "-top-p 2", "-seed 1",
		"-stop none", "-stop 5", "-context 20", "-context 1", "-kv f16", "-kv f64", "-dtype int4", "-dtype bf16", "-dtype x",
		"-machine tape", "-stock", "-stock True", "-threads 2", "-threads 0", "-model tinyrelu", "-model none", "-json",
		"-sparsity 0", "-sparsity 1", "-tokenize -", "-prompts -", "-plan none", "-logits /", "-device cuda", "x", "--", "-",
	}
	// Most command lines have a prompt and not much else, so that some get through.
	lines := rapid.Custom(func(t *rapid.T) []string {
		args := []string{"-prompt", "x", "-n", "3"}[:2*rapid.IntRange(0, 2).Draw(t, "prompt")]
		for _, word := range rapid.SliceOfN(rapid.SampledFrom(words), 0, 4).Draw(t, "words") {
			args = append(args, strings.Split(word, " ")...)
		}
		return args
	})
	rapid.Check(t, func(t *rapid.T) {
		args := lines.Draw(t, "args")
		var stderr bytes.Buffer
		env := &program.Env{Name: "generate", Args: args, Stderr: &stderr}
		code := env.Run(context.Background(), func(context.Context, *program.Env) error {
			_, err := parseSettings(env)
			return err
		})
		if code == program.ExitOK && stderr.Len() == 0 || code == program.ExitUsage && isComplaint(stderr.String()) {
			return
		}
		t.Fatalf("%q: exit code %d, stderr %q", args, code, &stderr)
	})

	succeeded := 0
	for seed := range 30 {
		args := lines.Example(seed)
		r := call(`["x"]`, args...)
		switch r.code {
		case program.ExitOK:
			succeeded++
		case program.ExitFailure, program.ExitUsage:
			if r.stdout != "" || !isComplaint(r.stderr) {
				t.Errorf("%q: %+v", args, r)
			}
		default:
			t.Errorf("%q: %+v", args, r)
		}
		if !utf8.ValidString(r.stdout) {
			t.Errorf("%q: stdout %q", args, r.stdout)
		}
	}
	if succeeded < 5 {
		t.Errorf("only %d command lines get through", succeeded)
	}
}
