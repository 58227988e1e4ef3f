package program_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/sparsegonia/sparsegonia/examples/internal/program"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// A boolean flag takes a word that follows it; no other flag loses its value to that.
func TestParse(t *testing.T) {
	for _, test := range []struct {
		line    string
		verbose bool
		runs    int
		config  string
		err     string // part of it
	}{
		{line: "--device cpu --config configs/llama_skip_causal_3b.json --num_runs 50 --verbose True", verbose: true, runs: 50, config: "configs/llama_skip_causal_3b.json"},
		{line: "-verbose True -num_runs 3", verbose: true, runs: 3},
		{line: "-verbose FALSE -num_runs 3", runs: 3},
		{line: "-verbose -num_runs 3", verbose: true, runs: 3},
		{line: "-verbose=True", verbose: true},
		{line: "-verbose=false"},
		{line: "-config -verbose -verbose true", verbose: true, config: "-verbose"},
		{line: "-config True", config: "True"},
		{line: "-config=True -verbose", verbose: true, config: "True"},
		{line: "-verbose yes", err: `unexpected argument "yes"`},
		{line: "-verbose True False", err: `unexpected argument "False"`},
		{line: "-num_runs 1 True", err: `unexpected argument "True"`},
		{line: "-num_runs", err: "needs an argument"},
		{line: "-num_runs many", err: `"many"`},
		{line: "-what True", err: "not defined: -what"},
		{line: "- x", err: `unexpected argument "-"`},
		{line: "-- x", err: `unexpected argument "x"`},
		{line: "--- x", err: "bad flag"},
		{line: "-=3", err: "bad flag"},
		{line: "-verbose=maybe", err: "invalid boolean"},
		{line: "-threads -1"},
	} {
		env := &program.Env{Name: "probe", Args: strings.Fields(test.line)}
		f := env.Flags("")
		verbose := f.Bool("verbose", false, "")
		runs := f.Int("num_runs", 0, "")
		config := f.String("config", "", "")
		f.Device()
		f.Threads()
		err := env.Parse(f)
		if test.err != "" {
			if err == nil || !strings.Contains(err.Error(), test.err) {
				t.Errorf("%s: error %v, want %q", test.line, err, test.err)
			}
			continue
		}
		if err != nil || *verbose != test.verbose || *runs != test.runs || *config != test.config {
			t.Errorf("%s: verbose %v, runs %d, config %q, %v", test.line, *verbose, *runs, *config, err)
		}
		if f.Given("num_runs") != strings.Contains(test.line, "num_runs") {
			t.Errorf("%s: num_runs given: %v", test.line, f.Given("num_runs"))
		}
	}
}

// Without a word for a boolean flag, the command line means what it means to package flag.
func TestParseAsFlagDoes(t *testing.T) {
	type values struct {
		A, B bool
		N    int
		S    string
		Err  string
	}
	define := func(f *flag.FlagSet, v *values) {
		f.BoolVar(&v.A, "a", false, "")
		f.BoolVar(&v.B, "b", true, "")
		f.IntVar(&v.N, "n", 0, "")
		f.StringVar(&v.S, "s", "", "")
	}
	words := []string{"-a", "--a", "-b", "-n", "-s", "-a=false", "-b=True", "-s=x", "-n=3", "7", "x", "-", "--", "", "-z", "-s=", "=", "-="}
	rapid.Check(t, func(t *rapid.T) {
		args := rapid.SliceOfN(rapid.SampledFrom(words), 0, 6).Draw(t, "args")

		var want values
		std := flag.NewFlagSet("probe", flag.ContinueOnError)
		std.SetOutput(io.Discard)
		define(std, &want)
		if err := std.Parse(args); err != nil {
			want.Err = err.Error()
		} else if std.NArg() > 0 {
			want.Err = fmt.Sprintf("unexpected argument %q", std.Arg(0))
		}

		var got values
		env := &program.Env{Name: "probe", Args: args}
		f := env.Flags("")
		define(&f.FlagSet, &got)
		if err := env.Parse(f); err != nil {
			got.Err = err.Error()
		}
		if got != want {
			t.Fatalf("%q: %+v, want %+v", args, got, want)
		}
	})
}

func TestHelpGoesToStdout(t *testing.T) {
	var stdout bytes.Buffer
	env := &program.Env{Name: "probe", Args: []string{"-threads", "2", "-h"}, Stdout: &stdout}
	f := env.Flags("Summary.")
	f.Threads()
	f.Dtype()
	if err := env.Parse(f); !errors.Is(err, flag.ErrHelp) {
		t.Fatal(err)
	}
	for _, want := range []string{"-threads number", "-dtype width", "stored, f32, f16", "(default stored)"} {
		if !strings.Contains(stdout.String(), want) {
			t.Errorf("no %q in\n%s", want, &stdout)
		}
	}
}

func TestThreads(t *testing.T) {
	for value, ok := range map[string]bool{"0": true, "1": true, "3": true, "-1": false, "1000000000": false} {
		env := &program.Env{Name: "probe", Args: []string{"-threads", value}}
		f := env.Flags("")
		threads := f.Threads()
		if err := env.Parse(f); err != nil {
			t.Fatal(err)
		}
		p, err := threads()
		if (err == nil) != ok {
			t.Errorf("%s: %v", value, err)
		}
		if err == nil {
			if n := p.Threads(); value != "0" && value != string(rune('0'+n)) || n < 1 {
				t.Errorf("%s: %d threads", value, n)
			}
			p.Close()
		}
	}
}

// Every width that a model can be loaded in is a value of -dtype, and nothing else is.
func TestDtype(t *testing.T) {
	parse := func(value string) (*weights.Dtype, error) {
		env := &program.Env{Name: "probe", Args: []string{"-dtype", value}}
		f := env.Flags("")
		dtype := f.Dtype()
		err := env.Parse(f)
		return dtype(), err
	}
	var want, got []string
	for d := weights.F32; !strings.HasPrefix(d.String(), "dtype("); d++ {
		if d.Compute() == weights.F32 {
			want = append(want, d.String())
		}
		if parsed, err := parse(d.String()); err == nil {
			if *parsed != d {
				t.Errorf("%v gives %v", d, *parsed)
			}
			got = append(got, d.String())
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("-dtype takes %v, models can have %v", got, want)
	}
	if d, err := parse("stored"); d != nil || err != nil {
		t.Errorf("stored gives %v, %v", d, err)
	}
	if _, err := parse("fp4"); err == nil {
		t.Error("fp4 is taken")
	}
}

func TestUsageErrorsWrap(t *testing.T) {
	var stderr bytes.Buffer
	env := &program.Env{Name: "probe", Stderr: &stderr}
	code := env.Run(context.Background(), func(context.Context, *program.Env) error {
		return program.Usagef("-n: %w", errProbe)
	})
	if code != program.ExitUsage || stderr.String() != "probe: -n: first line; second line (probe -h shows the flags)\n" {
		t.Errorf("exit code %d, stderr %q", code, &stderr)
	}
}
