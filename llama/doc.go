// Package llama runs Llama and its relatives as Gorgonia graphs, dense or with contextually sparse
// MLPs.
//
// A Model is the weights of a checkpoint: a Hugging Face directory or a GGUF file. BuildGraph
// writes the forward pass of some tokens as an ordinary Gorgonia graph, which anyone can inspect,
// rewrite and run on any machine:
//
//	tokens ─► embedding ─► x
//	                       │   for each layer
//	                       ├─► RMSNorm ─► q, k, v ─► RoPE ─► attention ─► o ──┐
//	                       + ◄────────────────────────────────────────────────┘
//	                       ├─► RMSNorm ─► gate, up ─► act(gate) ⊙ up ─► down ─┐
//	                       + ◄────────────────────────────────────────────────┘
//	                       └─► rows ─► RMSNorm ─► head ─► logits
//
// A Session builds the graphs that prompts and new tokens need, once each, and keeps the keys and
// values of past tokens. Given a calibrate.Plan, it replaces the MLPs of the graphs that decode
// with graph.Swap, with one cache a layer. Prompts stay dense.
//
// An architecture is a table in a file of its own: its names, its configuration, its tensors and
// its forward pass. llama.go is the one that there is; a model of another is refused by name.
//
// # Numbers
//
// Weights keep the width that they are stored in, or one that is asked for; everything else is
// float32. Logits agree with those of transformers in float32 up to the order of sums.
//
// # Memory and lifetime
//
// Matrices whose width does not change are read where they lie in the mapped file, so the file must
// stay as it is until Close. The MLPs are copied into stores, in which the rows of a neuron are
// adjacent, and the pages that they came from are given back. Sessions share all of it and add
// their keys, values and intermediate results. No session may run when its model is closed.
//
// With Options.NeuronFile the MLPs go to a file instead. Memory then holds
//
//   - the blocks of a dense pass,
//   - the windows of each session's sparse MLPs, within SessionOptions.Window's budget, and
//   - for plans that score neurons by their gates, a copy of the gates of a byte a weight.
//
// # Errors
//
// Bad files, configurations, options and tokens give errors that name the file and the field;
// nothing panics. An operation that fails leaves the past of a session as it was. Callers may test
// with errors.Is for
//
//	ErrContextFull              a prompt or a token does not fit in the session's context
//	ErrClosed                   the session or its model is closed
//	ErrUnsupported              an architecture, activation, rotary embedding or type of tensor
//	checkpoint.ErrCorrupt       a file breaks its format
//	checkpoint.ErrNotFound      a tensor is missing
//	cache.ErrCorrupt            a neuron file does not have what was written to it
//	fs.ErrNotExist              a file is missing
//	context.Canceled            and other errors of the context that was given
package llama
