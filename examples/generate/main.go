// Generate continues a text with a Llama model.
//
// The model is one of the two that are embedded, tinysilu and tinyrelu, which write Go source text,
// or a Hugging Face directory or a GGUF file:
//
//	go run ./examples/generate -prompt 'func main() {'
//	go run ./examples/generate -model "$SPARSEGONIA_SMOLLM2" -prompt 'The capital of France is' -n 16 -dtype int8
//
// The new text, without the prompt, goes to stdout as it is chosen, whole characters at a time, and
// a line feed ends it. Statistics go to stderr. Without -temperature the text is greedy; with it,
// equal seeds give equal texts.
//
// # Sparsity
//
// With -sparsity the MLPs of the graph that chooses new tokens read only the neurons whose gate
// values are largest: a threshold for every layer leaves out the share that is asked for on
// held-out Go source, which takes a moment to find out. The prompt is computed with all neurons.
// -plan takes a file of package graph/calibrate instead.
//
//	go run ./examples/generate -model tinyrelu -prompt 'func (b *Buffer) WriteString(' -sparsity 0.6
//
// # Several prompts
//
// With -prompts a file has the prompts: a JSON array of strings if it begins with a bracket, else
// one a line. All of them decode together, greedily, and a step reads the neurons that are active
// for any of them. A text that ends early leaves the rest to go on. Texts go to stdout when the
// last one ends, each after a line with the number of its prompt.
//
//	echo '["func main() {", "// Copy copies"]' | go run ./examples/generate -prompts - -sparsity 0.6
//
// # To compare engines
//
// With -ids the prompt is token ids, taken as they are, and with -n 0 nothing is chosen. With
// -logits a file gets the logits that follow every token of the prompt, as little-endian float32,
// positions × vocabulary, without a header; it appears when it is whole. With -tokenize a JSON
// array of strings becomes a JSON array of their ids, without special tokens; only the tokenizer of
// the model need be there.
//
//	go run ./examples/generate -ids 0,1030,2192 -n 0 -logits "$(mktemp)"
//	echo '["func main() {", ""]' | go run ./examples/generate -tokenize -
//
// With -json stdout gets one JSON object in place of the text. Type report documents its keys, and
// type batchReport those for several prompts.
//
// # How it ends
//
// Exit codes are 0, 1 if something failed, 2 if the command line makes no sense or this machine
// lacks the device, and 130 after Ctrl-C, which ends the text where it is; a second Ctrl-C kills. A
// program that fails before the first token puts nothing on stdout.
package main

import (
	"context"

	"github.com/sparsegonia/sparsegonia/examples/internal/program"
	"github.com/sparsegonia/sparsegonia/testdata/tinyrelu"
	"github.com/sparsegonia/sparsegonia/testdata/tinysilu"
)

var models = program.Embedded{"tinysilu": tinysilu.FS, "tinyrelu": tinyrelu.FS}

func main() { program.Main("generate", run) }

func run(ctx context.Context, env *program.Env) error {
	s, err := parseSettings(env)
	if err != nil {
		return err
	}
	switch {
	case s.tokenize != "":
		return tokenize(ctx, env, s)
	case s.prompts != "":
		return generateBatch(ctx, env, s)
	default:
		return generate(ctx, env, s)
	}
}
