// Package llama runs Llama models as Gorgonia graphs, dense or with contextually sparse MLPs.
//
// A Model is the weights of a checkpoint: a Hugging Face directory or a GGUF file. BuildGraph writes the forward pass of
// some tokens as an ordinary Gorgonia graph, which anyone can inspect, rewrite and run on any machine:
//
//	tokens ─► embedding ─► x
//	                       │   for each layer
//	                       ├─► RMSNorm ─► q, k, v ─► RoPE ─► attention ─► o ──┐
//	                       + ◄────────────────────────────────────────────────┘
//	                       ├─► RMSNorm ─► gate, up ─► act(gate) ⊙ up ─► down ─┐
//	                       + ◄────────────────────────────────────────────────┘
//	                       └─► rows ─► RMSNorm ─► head ─► logits
//
// A Session builds the graphs that prompts and new tokens need, once each, and keeps the keys and values of past tokens.
// Given a calibrate.Plan, it replaces the MLPs of the graphs that decode with graph.Swap. Prompts stay dense. A dense MLP
// of few tokens becomes one node by graph.All.
//
// # Numbers
//
// Weights keep the width that they are stored in, or one that is asked for; everything else is float32. Logits agree
// with those of transformers in float32 up to the order of sums.
//
// # Memory and lifetime
//
// Matrices whose width does not change are read where they lie in the mapped file, so the file must stay as it is until
// Close. The MLPs are copied into stores of their own, in which the rows of a neuron are adjacent, and the pages that
// they came from are given back. Sessions share all of it and add their keys, values and intermediate results; they
// must not be used after the model's Close.
//
// With Options.Neurons the MLPs go to a neuron file instead, and memory holds no more of them than the blocks of a dense
// pass, the windows of each session's sparse ones and, for plans that score neurons by their gates, a copy of the gates of
// a byte a weight: half of their bytes for SmolLM2 in f32 at a density of 0.2 (go test ./llama -run SmolLM2Memory -v).
//
// # Errors
//
// Bad files, configurations, options and tokens give errors that name the file and the field; nothing panics. An
// operation that fails leaves the past of a session as it was.
package llama
