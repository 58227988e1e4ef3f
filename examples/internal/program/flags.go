package program

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/sparsegonia/sparsegonia/ops/kernel"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// Flags are the flags of a program with the text that -h prints around them.
type Flags struct {
	flag.FlagSet

	summary  string
	examples []string
}

// Flags starts a set of flags. The summary says in a sentence or two what the program does; the
// examples are command lines.
func (e *Env) Flags(summary string, examples ...string) *Flags {
	f := &Flags{summary: summary, examples: examples}
	f.Init(e.Name, flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.Usage = func() {}
	return f
}

// Parse reads the command line. -h prints the usage on stdout and gives flag.ErrHelp, which Run
// takes for success. Arguments that belong to no flag are errors. A boolean flag may be followed by
// true or false as a word of its own, in any case: -verbose True.
func (e *Env) Parse(f *Flags) error {
	err := f.FlagSet.Parse(joinBooleans(f, e.Args))
	switch {
	case errors.Is(err, flag.ErrHelp):
		f.printUsage(e.Stdout)
		return err
	case err != nil:
		return &usageError{err}
	case f.NArg() > 0:
		return Usagef("unexpected argument %q", f.Arg(0))
	}
	return nil
}

func (f *Flags) printUsage(w io.Writer) {
	fmt.Fprintf(w, "%s\n\nUsage: %s [flags]\n\n", f.summary, f.Name())
	f.SetOutput(w)
	f.PrintDefaults()
	f.SetOutput(io.Discard)
	for i, line := range f.examples {
		if i == 0 {
			fmt.Fprint(w, "\nExamples:\n")
		}
		fmt.Fprintf(w, "  %s\n", line)
	}
}

// Given reports whether the command line sets a flag.
func (f *Flags) Given(name string) bool {
	given := false
	f.Visit(func(set *flag.Flag) { given = given || set.Name == name })
	return given
}

// joinBooleans turns "-verbose True" into "-verbose=true". Package flag would stop at True and
// ignore all that follows.
func joinBooleans(f *Flags, args []string) []string {
	var joined []string
	for len(args) > 0 {
		arg := args[0]
		name, isFlag := flagName(arg)
		known := f.Lookup(name)
		if !isFlag || known == nil {
			break // for flag to complain about
		}
		args = args[1:]
		switch {
		case strings.Contains(arg, "="):
		case isBoolean(known):
			if len(args) > 0 && (strings.EqualFold(args[0], "true") || strings.EqualFold(args[0], "false")) {
				arg += "=" + strings.ToLower(args[0])
				args = args[1:]
			}
		case len(args) > 0: // its value
			joined = append(joined, arg)
			arg, args = args[0], args[1:]
		}
		joined = append(joined, arg)
	}
	return append(joined, args...)
}

// flagName is the name in -name, --name and -name=value.
func flagName(arg string) (name string, ok bool) {
	name, ok = strings.CutPrefix(arg, "-")
	name = strings.TrimPrefix(name, "-")
	name, _, _ = strings.Cut(name, "=")
	return name, ok
}

func isBoolean(f *flag.Flag) bool {
	b, ok := f.Value.(interface{ IsBoolFlag() bool })
	return ok && b.IsBoolFlag()
}

// Choice adds a flag whose value is one of a few words.
func (f *Flags) Choice(name, value, usage string, choices ...string) *string {
	c := &choice{value: value, choices: choices}
	f.Var(c, name, usage+": "+strings.Join(choices, ", "))
	return &c.value
}

type choice struct {
	value   string
	choices []string
}

func (c *choice) String() string { return c.value }

func (c *choice) Set(s string) error {
	if !slices.Contains(c.choices, s) {
		return fmt.Errorf("want one of %s", strings.Join(c.choices, ", "))
	}
	c.value = s
	return nil
}

// stored is the value of a dtype flag that keeps weights as they are stored.
const stored = "stored"

// Dtype adds the flag -dtype, the width of the weights. The result is nil, once flags are parsed,
// if they stay as stored.
func (f *Flags) Dtype() func() *weights.Dtype {
	names := []string{stored}
	var widths []weights.Dtype
	for d := range weights.Dtype(weights.Dtypes) {
		if d.Compute() == weights.F32 {
			widths, names = append(widths, d), append(names, d.String())
		}
	}
	value := f.Choice("dtype", stored, "`width` of the weights", names...)
	return func() *weights.Dtype {
		if i := slices.Index(names, *value); i > 0 {
			return &widths[i-1]
		}
		return nil
	}
}

// Threads adds the flag -threads. The result makes the cpu, once flags are parsed, and makes it the
// default, which is what the tape machine runs on. It must be closed.
func (f *Flags) Threads() func() (*kernel.CPU, error) {
	const most = 1024 // far more CPUs than a cpu makes use of
	n := f.Int("threads", 0, "`number` of threads; 0: one for each CPU that is available")
	return func() (*kernel.CPU, error) {
		if *n < 0 || *n > most {
			return nil, Usagef("-threads %d is not between 0 and %d", *n, most)
		}
		cpu := kernel.NewCPU(*n)
		kernel.SetDefaultCPU(cpu)
		return cpu, nil
	}
}
