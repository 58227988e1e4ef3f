package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/sparsegonia/sparsegonia/examples/internal/program"
	"github.com/sparsegonia/sparsegonia/llama"
	"github.com/sparsegonia/sparsegonia/ops/kernel"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// settings are what the command line says.
type settings struct {
	model string
	dtype *weights.Dtype // nil: as stored

	prompt    *string // nil: ids; - is stdin
	ids       []int32 // of the prompt
	prompts   string  // file with several prompts in place of prompt and ids, or empty
	newTokens *int    // nil: defaultTokens, or as many as the context has room for
	generate  llama.GenerateOptions

	machine  string // "lean" or "tape"
	session  llama.SessionOptions
	sparsity float64 // share of the neurons to leave out; 0: none, or what plan says
	plan     string  // file, or empty
	threads  func() (*kernel.CPU, error)

	logits   string // file, or empty
	tokenize string // file, or empty
	json     bool
}

// defaultTokens are how many new tokens there are unless -n says.
const defaultTokens = 64

// parseSettings reads the command line and checks all that can be checked without a model.
func parseSettings(env *program.Env) (*settings, error) {
	f := env.Flags("Generate continues a text with a Llama model and streams the new text to stdout.",
		`go run ./examples/generate -prompt 'func main() {'`,
		`go run ./examples/generate -model tinyrelu -prompt '// Copy copies' -n 100 -temperature 0.7 -top-p 0.9 -seed 1`,
		`go run ./examples/generate -model tinyrelu -prompt 'func (b *Buffer) WriteString(' -sparsity 0.6`,
		`echo 'package main' | go run ./examples/generate -prompt - -dtype int8 -kv f16 -json`,
		`go run ./examples/generate -ids 0,1030,2192 -n 0 -logits "$(mktemp)"`,
		`echo '["func main() {", "// Copy copies", "package"]' | go run ./examples/generate -model tinyrelu -prompts - -sparsity 0.6`,
		`echo '["func main() {", ""]' | go run ./examples/generate -tokenize -`,
	)
	var (
		model   = f.String("model", "tinysilu", "`name` of an embedded model ("+strings.Join(models.Names(), ", ")+"), a Hugging Face directory or a GGUF file")
		dtype   = f.Dtype()
		prompt  = f.String("prompt", "", "`text` to continue; - reads it from stdin")
		prompts = f.String("prompts", "", "`file` with prompts to continue together, a JSON array of strings or one a line; - reads stdin")
		ids     = f.String("ids", "", "token `ids` to continue instead, such as 1,2,3; none are added")

		n           = f.Int("n", defaultTokens, "new tokens at most; fewer by default if the context ends before")
		temperature = f.Float64("temperature", 0, "0: greedy; 1: as the model says; more: bolder")
		topP        = f.Float64("top-p", 1, "sample from the most likely tokens that have this `probability` together")
		seed        = f.Uint64("seed", 0, "of the sampling")
		stop        = f.String("stop", "", "`ids` of the tokens that end the text, or none (default those that the model names)")

		sparsity = f.Float64("sparsity", 0, "`share` of the neurons to leave out of every MLP that decodes, by thresholds that are found on embedded Go source")
		plan     = f.String("plan", "", "`file` with a plan of which neurons to leave out, in place of -sparsity")

		context = f.Int("context", 0, "most `tokens` of prompt and text together; 0: what the model was trained for")
		kv      = f.Choice("kv", "f32", "`width` of keys and values", "f32", "f16")
		machine = f.Choice("machine", "lean", "`machine` that runs the graphs, ours or Gorgonia's", "lean", "tape")
		stock   = f.Bool("stock", false, "write linears and activations as Gorgonia's own nodes, in f32")
		threads = f.Threads()
		device  = f.Device()

		logits   = f.String("logits", "", "`file` for the logits of every prompt position")
		tokenize = f.String("tokenize", "", "`file` with a JSON array of strings to print the ids of; - reads stdin")
		asJSON   = f.Bool("json", false, "print a JSON object instead of the text")
	)
	if err := env.Parse(f); err != nil {
		return nil, err
	}
	if err := device(); err != nil {
		return nil, err
	}
	if f.Given("tokenize") {
		for _, other := range []string{"prompt", "prompts", "ids", "logits", "json", "n"} {
			if f.Given(other) {
				return nil, program.Usagef("-tokenize and -%s exclude each other", other)
			}
		}
		if *tokenize == "" {
			return nil, program.Usagef("-tokenize needs a file")
		}
		return &settings{model: *model, tokenize: *tokenize}, nil
	}

	s := &settings{
		model: *model, dtype: dtype(), threads: threads, sparsity: *sparsity, plan: *plan, prompts: *prompts, logits: *logits,
		json: *asJSON,
	}
	switch {
	case !exactlyOne(f.Given("prompt"), f.Given("prompts"), f.Given("ids")):
		return nil, program.Usagef("give one of -prompt, -prompts, -ids and -tokenize")
	case f.Given("prompts") && *prompts == "":
		return nil, program.Usagef("-prompts needs a file")
	case f.Given("prompts") && f.Given("logits"):
		return nil, program.Usagef("-prompts and -logits exclude each other")
	case f.Given("prompts") && *temperature > 0:
		return nil, program.Usagef("-prompts chooses the likeliest tokens: -temperature %v must be 0", *temperature)
	case f.Given("plan") && *plan == "":
		return nil, program.Usagef("-plan needs a file")
	case f.Given("logits") && *logits == "":
		return nil, program.Usagef("-logits needs a file")
	case *n < 0:
		return nil, program.Usagef("-n %d is negative", *n)
	case !(*temperature >= 0) || math.IsInf(*temperature, 0):
		return nil, program.Usagef("-temperature %v is not a finite number from 0 up", *temperature)
	case !(*topP > 0 && *topP <= 1):
		return nil, program.Usagef("-top-p %v is not above 0 and at most 1", *topP)
	case *context < 0:
		return nil, program.Usagef("-context %d is negative", *context)
	case !(*sparsity >= 0 && *sparsity < 1):
		return nil, program.Usagef("-sparsity %v is not between 0 and below 1", *sparsity)
	case f.Given("sparsity") && f.Given("plan"):
		return nil, program.Usagef("-sparsity and -plan exclude each other")
	}
	if f.Given("prompt") {
		s.prompt = prompt
	}
	if f.Given("n") {
		s.newTokens = n
	}
	var err error
	if f.Given("ids") {
		if s.ids, err = parseIDs(*ids); err != nil {
			return nil, program.Usagef("-ids: %w", err)
		}
	}
	s.generate = llama.GenerateOptions{Temperature: *temperature, TopP: *topP, Seed: *seed}
	switch {
	case *stop == "none":
		s.generate.Stop = []int32{}
	case f.Given("stop"):
		if s.generate.Stop, err = parseIDs(*stop); err != nil {
			return nil, program.Usagef("-stop: %w", err)
		}
	}
	s.session = llama.SessionOptions{Context: *context, Stock: *stock}
	if *kv == "f16" {
		s.session.KV = weights.F16
	}
	if s.machine = *machine; s.machine == "tape" {
		s.session.Machine = llama.Tape
	}
	return s, nil
}

// exactlyOne reports whether one of the conditions holds and the others do not.
func exactlyOne(conditions ...bool) bool {
	n := 0
	for _, c := range conditions {
		if c {
			n++
		}
	}
	return n == 1
}

// parseIDs reads ids as in "1,2,3".
func parseIDs(list string) ([]int32, error) {
	var ids []int32
	for field := range strings.SplitSeq(list, ",") {
		id, err := strconv.ParseInt(strings.TrimSpace(field), 10, 32)
		if err != nil || id < 0 {
			return nil, fmt.Errorf("%q is not a token id", field)
		}
		ids = append(ids, int32(id))
	}
	return ids, nil
}
