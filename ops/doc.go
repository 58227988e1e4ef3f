// Package ops holds Gorgonia ops for contextual activation sparsity, and those that a fast Llama graph needs.
//
// A sparse MLP takes the place of the dense down(act(gate(x)) ⊙ up(x)). What is scored, and when, is the selector's
// choice; the rest is the same for all of them (T tokens, H hidden size, I intermediate size):
//
//	x: T×H ─┬─ LowRankScores ─┐
//	        └─ Gate ──────────┴─► scores: T×I ─ Mask ─► bool T×I ─ Union ─► bool I ─ Refresh ─► slots: int32 I
//	                                                                                               │
//	x: T×H, gate values: T×I or none ───────────────────────────────────────────────► SparseMLP ◄──┘
//	                                                                                      │
//	                                                                                      ▼ y: T×H
//
// DenseMLP is the MLP over all neurons in one node, StreamMLP the one whose weights lie in a neuron file, and Prefetch
// tells a cache ahead of its Refresh what to read. Linear, Activate, GLU, RMSNorm, RoPE, Attention, Embedding and
// TakeRows make the rest of a Llama. Every op is made by the function of its name, which applies it to nodes of a graph
// and gives the node of the result.
//
// # Promises
//
// Every op runs on any Gorgonia machine: the tape machine, the lisp machine without gradients, or graph.NewMachine,
// which calls UsePreallocDo with values that it reuses. Then an op on float32 values allocates nothing; the kernels of
// the other dtypes, made for checking, may. Do and UsePreallocDo share one implementation. Inputs are neither changed
// nor kept. Inputs that do not lie in row-major order (transposes, slices of columns) are copied first.
//
// An op is built for the exact shapes and dtypes of its inputs, since graphs are static. Its hash covers them, every
// option, and the identity of the weights, caches and cpu that it captures, so that Gorgonia, which merges nodes of
// equal hash, never merges two layers.
//
// Refresh and Attention change the cache that they capture. The edges of the graph give the order: SparseMLP reads its
// cache after Refresh because the slots come from there. Use a cache in one Refresh, or one Attention, of a graph.
//
// # CUDA
//
// With the build tag cuda, a Mask by thresholds of float32 scores runs on Gorgonia's first CUDA device in the tape
// machine; everything else runs on the CPU as it does without the tag. The tag needs cgo and NVIDIA's headers:
// cuda/hostsim/README.md names them and what Gorgonia asks of the caller there.
//
// # Errors
//
// A builder gives an error for a wrong rank, shape, dtype or option. Do and UsePreallocDo give an error for values that
// do not fit, for ids, positions and slots out of range. Nothing panics: a panic inside a machine ends the process.
// SymDiff of an op without a gradient is an error.
//
// # Lifetime
//
// Captured weights must not be freed or unmapped while a graph that uses them can run; they are not copied. An op, and
// so a graph, runs on one machine at a time; any number of graphs may share weights.
package ops
