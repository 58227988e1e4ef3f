// Package graph makes Gorgonia graphs sparse: it finds the dense MLPs of a graph that it has never seen, and builds a new
// graph with sparse ones in their place.
//
//	      old graph                                         new graph
//
//	x ──┬──────────────┐                      x ──┬─────────────────────────────────┐
//	 gate·x          up·x                      selector: scores ► mask              │
//	    │              │        Swap                    │                           │
//	   act             │      ────────►         Union ► Refresh ► slots ──► SparseMLP(x)
//	    └─────► ⊙ ◄────┘                                                            │
//	            │                                                                   ▼
//	         down·h ──► y                                                           y
//
// FindMLPs recognises gated MLPs, down(act(gate·x) ⊙ up·x), and plain ones, down(act(up·x)), by what they compute and not
// by how they are written: with weights in either order and transposed or not, with Mul, BatchedMatMul, Tensordot or
// ops.Linear, over vectors, matrices or tensors with reshapes between, with fused weights and slices, with biases, with
// activation functions as ops or spelled out. A function between the linear maps is an activation function if it has its
// values. What looks like an MLP and is none that can be swapped is reported with the first reason. The MLPs of
// ops.DenseMLP are found too. Those whose neurons lie in a file become sparse over a cache.Window.
//
// The selectors are Gate, which scores neurons by their exact gates, LowRank, which predicts them, and All, which keeps an
// MLP dense and makes it one node.
//
// # Promises
//
// Swap leaves the old graph as it was and able to run. The new graph has the nodes that the outputs depend on, and the
// Read and Set statements on them, with the names, shapes, types, ops and bound values of the old ones; values are
// shared, not copied. The weights and biases of a swapped MLP are captured with the values that they are bound to, and are
// not nodes of the new graph. Everything else can be given values with Let as before. With every neuron active the new
// graph computes what the old one does, within the rounding of sums in another order.
//
// The old and the new graph may share state, such as that of attention caches and of dropout, and bound tensors, which
// machines transpose in place: they must not run at the same time.
//
// # Errors
//
// A weight of an MLP without a value is an error that names the node, and so are gradients through an MLP that is to be
// swapped: build the graph for inference without Grad. Nothing panics on a graph that Gorgonia can build.
//
// # Lifetime
//
// A new graph reads the memory of the bound weights of neuron-major MLPs (see ops.NeuronsOf) and copies others. What it
// reads must stay as it is while the graph can run.
package graph
