// Package ops holds Gorgonia ops for contextual activation sparsity, and those that a fast Llama
// graph needs.
//
// A sparse MLP takes the place of the dense down(act(gate(x)) ⊙ up(x)). What is scored, and when,
// is the selector's choice; the rest is the same for all of them (T tokens, H hidden size, I
// intermediate size):
//
//	x: T×H ─┬─ LowRankScores ─┐
//	        └─ Gate ──────────┴─► scores: T×I ─ Mask ─► bool T×I ─ Union ─► bool I ─ Refresh ─► slots: int32 I
//	                                                                                               │
//	x: T×H, gate values: T×I or none ───────────────────────────────────────────────► SparseMLP ◄──┘
//	                                                                                      │
//	                                                                                      ▼ y: T×H
//
// DenseMLP is the MLP over all neurons in one node, whether they lie in memory or in a file.
// Prefetch tells a cache ahead of its Refresh what to read. Linear, Activate, GLU, RMSNorm, RoPE,
// Attention, Embedding and TakeRows make the rest of a Llama. Every op is made by the function of
// its name, which applies it to nodes of a graph and returns the node of the result.
//
// # Promises
//
// Every op runs on any Gorgonia machine: the tape machine, the lisp machine without gradients, or
// graph.NewMachine. What an op computes and captures belongs to the op; where it runs belongs to
// the machine. Every op is a Runner, whose Run is given a CPU and memory for the output;
// UsePreallocDo and Do are Run on kernel.DefaultCPU. Into memory that it is given, an op on float32
// values allocates nothing; the kernels of the other dtypes, made for checking, may. Inputs are
// neither changed nor kept. Inputs that do not lie in row-major order (transposes, slices of
// columns) are copied first.
//
// An op is built for the exact shapes and dtypes of its inputs, since graphs are static. Its hash
// covers them, every option, and the identity of the weights and caches that it captures, so that
// Gorgonia, which merges nodes of equal hash, never merges two layers.
//
// Refresh, Prefetch and Attention change the cache that they capture. The edges of the graph give
// the order: SparseMLP reads its cache after Refresh because the slots come from there. Use a cache
// in one Refresh, or one Attention, of a graph. All other ops have no state: one op may run on
// several machines at once.
//
// # Errors
//
// A builder returns an error for a wrong rank, shape, dtype or option. Run returns an error for
// values that do not fit, and for ids, positions and slots out of range; errors of a cache or a
// source are wrapped. Nothing panics: a panic inside a machine ends the process. SymDiff of an op
// without a gradient returns ErrNoGradient.
//
// # Lifetime
//
// Captured weights must not be freed or unmapped while a graph that uses them can run; they are not
// copied. Any number of graphs may share weights.
package ops
