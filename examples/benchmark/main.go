// Command benchmark measures what contextual sparsity is worth on this machine.
//
//	go run ./examples/benchmark                       # an embedded model and one cold MLP of the 3B shape
//	go run ./examples/benchmark -suite kernels        # every kernel beside the roof of the machine
//	go run ./examples/benchmark -suite cache          # every policy of the weight cache
//	go run ./examples/benchmark --device cpu --config configs/llama_skip_causal_3b.json --num_runs 50 --verbose True
//
// What is compared runs in turns in one process, round by round, so that a busy machine slows down
// all of it; results are medians with their spread. README.md explains the figures and the keys of
// -json.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/sparsegonia/sparsegonia/ops/weights/wholefile"

	"github.com/sparsegonia/sparsegonia/examples/internal/program"
	"github.com/sparsegonia/sparsegonia/ops/kernel"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

func main() { program.Main("benchmark", full.run) }

// scale is how large the measurements are that no flag changes.
type scale struct {
	shape     shape // of the MLPs
	roofBytes int   // read to find the read roof: several times an L3 cache
	coldBytes int   // of weights to cycle through, several times an L3 cache
	positions int   // of the attention
	evaluated int   // tokens that perplexity is measured on

	command func(ctx context.Context, args []string) (*exec.Cmd, error) // runs this program in another process
}

var full = scale{
	shape: shape3B, roofBytes: 256 << 20, coldBytes: 256 << 20, positions: 2048, evaluated: 1024,
	command: func(ctx context.Context, args []string) (*exec.Cmd, error) {
		self, err := os.Executable()
		return exec.CommandContext(ctx, self, args...), err
	},
}

// suites are what can be measured. One that was interrupted gives an error and what it has
// measured, nil if that is nothing.
var suites = []struct {
	name    string
	summary string
	run     func(context.Context, *bench) (report, error)
}{
	{"model", "a model in several arms, and one cold MLP", runModel},
	{"kernels", "every kernel beside the roof of the machine", runKernels},
	{"cache", "every policy of the weight cache", runCaches},
}

// report is the result of a suite. As JSON it has the keys that README.md documents.
type report interface {
	print(w io.Writer)
}

// bench is what suites measure with.
type bench struct {
	scale
	*options
	env *program.Env
	cpu *kernel.CPU
}

func (s scale) run(ctx context.Context, env *program.Env) error {
	o, err := parseOptions(env)
	if err != nil {
		return err
	}
	limitMemory()
	b := &bench{scale: s, options: o, env: env}
	if b.cpu, err = o.newCPU(); err != nil {
		return err
	}
	defer b.cpu.Close()
	var file *wholefile.File
	if o.json != "" { // before the work: a place that cannot be written to shows at once
		if file, err = wholefile.Create(o.json); err != nil {
			return fmt.Errorf("-json: %w", err)
		}
		defer file.Discard()
	}
	r, err := o.suite(ctx, b)
	if r != nil {
		r.print(env.Stdout)
	}
	if err != nil || file == nil {
		return err
	}
	if err := writeJSON(file, r); err != nil {
		return fmt.Errorf("-json: %w", err)
	}
	return nil
}

// writeJSON writes r to file, which appears only if that succeeds.
func writeJSON(file *wholefile.File, r report) error {
	e := json.NewEncoder(file)
	e.SetIndent("", "  ")
	if err := e.Encode(r); err != nil {
		return err
	}
	return file.Commit()
}

// suiteTime is what a suite may take for its measurements on a machine that is busy with other
// work.
const suiteTime = 90 * time.Second

// newMeter is for a suite that measures that many times. -num_runs lifts the limit on its time.
func (b *bench) newMeter(measurements int) *meter {
	m := newMeter(b.cpu, b.roofBytes)
	if b.runs == 0 {
		m.budget = suiteTime / time.Duration(measurements)
	}
	return m
}

// options are the command line.
type options struct {
	suite  func(context.Context, *bench) (report, error)
	newCPU func() (*kernel.CPU, error)

	config, model string
	dtype         *weights.Dtype // nil: not given
	arms          []string       // nil: not given
	plan          string
	sparsity      float64 // −1: not given
	neurons       string
	budget        float64

	runs                    int // 0: not given
	promptTokens, newTokens int
	perplexityTokens        int // −1: not given
	temperature             float64
	seed                    uint64

	verbose bool
	json    string
}

func parseOptions(env *program.Env) (*options, error) {
	f := env.Flags("Benchmark measures what contextual sparsity is worth on this machine.",
		"go run ./examples/benchmark",
		"go run ./examples/benchmark --device cpu --config configs/llama_skip_causal_3b.json --num_runs 50 --verbose True",
		"go run ./examples/benchmark -model SmolLM2-135M-Instruct.Q4_1.gguf -dtype int8g",
		"go run ./examples/benchmark -suite kernels -json kernels.json",
	)
	var o options
	var names []string
	for _, s := range suites {
		names = append(names, s.name)
	}
	device := f.Device()
	suite := f.Choice("suite", "model", "what to measure", names...)
	f.StringVar(&o.model, "model", "", "`model` to run: "+strings.Join(embedded.Names(), ", ")+", a Hugging Face directory or a GGUF file")
	f.StringVar(&o.config, "config", "", "`file` like config.json whose shape to run with random weights (speed only); "+
		"without such a file, one of "+strings.Join(configNames(), ", "))
	dtype := f.Choice("dtype", "", "`width` of the weights of the dense and sparse arms (default f32, or the torch_dtype of -config)", dtypeNames()...)
	arms := f.String("arms", "", "comma-separated `arms` of the model: stock (or tape), dense, sparse, window (default the first three, if they fit into memory)")
	f.StringVar(&o.plan, "plan", "", "`file` with the plan of the sparse arm (default: calibrated)")
	f.Float64Var(&o.sparsity, "sparsity", -1, "`fraction` of the neurons that the sparse arm leaves out (default 0.5, or the sparsities of -config)")
	f.StringVar(&o.neurons, "neurons", "", "neuron `file` of the window arm, written if there is none (default: a temporary one)")
	f.Float64Var(&o.budget, "budget", 0, "`fraction` of the MLP weights that the windows of the window arm may take; 0: what the last 5 tokens used")
	f.IntVar(&o.runs, "num_runs", 0, "`rounds` in which every arm runs once (default 10)")
	f.IntVar(&o.promptTokens, "prompt_tokens", 32, "`tokens` of a prompt")
	f.IntVar(&o.newTokens, "new_tokens", 0, "`tokens` to generate after it, 2 or more (default 32, with -config 8)")
	f.IntVar(&o.perplexityTokens, "ppl_tokens", -1, "`tokens` to measure perplexity on; 0: do not (default 1024)")
	f.Float64Var(&o.temperature, "temperature", 0.7, "of the sampling; 0: greedy")
	f.Uint64Var(&o.seed, "seed", 1, "of prompts, random weights and sampling")
	o.newCPU = f.Threads()
	f.BoolVar(&o.verbose, "verbose", false, "print every run of every arm")
	f.StringVar(&o.json, "json", "", "`file` to write the results to as JSON")
	for _, name := range []string{"sparsity", "ppl_tokens"} {
		f.Lookup(name).DefValue = "0" // -h shows no −1: the usage says what the default is
	}
	if err := env.Parse(f); err != nil {
		return nil, err
	}
	for _, s := range suites {
		if s.name == *suite {
			o.suite = s.run
		}
	}
	if *dtype != "" {
		d, err := weights.ParseDtype(*dtype)
		if err != nil {
			return nil, err
		}
		o.dtype = &d
	}
	if !f.Given("new_tokens") {
		o.newTokens = 32
		if o.config != "" {
			o.newTokens = 8 // a large model takes seconds for each
		}
	}
	var err error
	if o.arms, err = parseArms(*arms); err != nil {
		return nil, err
	}
	switch {
	case o.model != "" && o.config != "":
		return nil, program.Usagef("-model and -config exclude each other")
	case o.config != "" && slices.Contains(o.arms, windowArm):
		return nil, program.Usagef("-arms window needs a -model: random weights have no file")
	case !(o.budget >= 0 && o.budget <= 1):
		return nil, program.Usagef("-budget %v is not between 0 and 1", o.budget)
	case f.Given("num_runs") && o.runs < 1:
		return nil, program.Usagef("-num_runs %d is not positive", o.runs)
	case o.promptTokens < 1:
		return nil, program.Usagef("-prompt_tokens %d is not positive", o.promptTokens)
	case o.newTokens < 2:
		return nil, program.Usagef("-new_tokens %d is less than 2", o.newTokens)
	case f.Given("ppl_tokens") && (o.perplexityTokens < 0 || o.perplexityTokens == 1):
		return nil, program.Usagef("-ppl_tokens %d is neither 0 nor 2 or more", o.perplexityTokens)
	case !(o.temperature >= 0):
		return nil, program.Usagef("-temperature %v is not 0 or more", o.temperature)
	case f.Given("sparsity") && !(o.sparsity >= 0 && o.sparsity <= 1):
		return nil, program.Usagef("-sparsity %v is not between 0 and 1", o.sparsity)
	}
	return &o, device()
}

func parseArms(list string) ([]string, error) {
	if list == "" {
		return nil, nil
	}
	var arms []string
	for _, name := range strings.Split(list, ",") {
		if name == "tape" {
			name = stockArm
		}
		if _, ok := armKinds[name]; !ok {
			return nil, program.Usagef("-arms: %q is not stock, dense, sparse or window", name)
		}
		if slices.Contains(arms, name) {
			return nil, program.Usagef("-arms: %s is there twice", name)
		}
		arms = append(arms, name)
	}
	return arms, nil
}

func dtypeNames() []string {
	var names []string
	for _, d := range weightDtypes {
		names = append(names, d.String())
	}
	return names
}

// rounds is -num_runs.
func (o *options) rounds(otherwise int) int {
	if o.runs > 0 {
		return o.runs
	}
	return otherwise
}
