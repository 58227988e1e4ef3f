// Package kernel holds the CPU kernels of Sparsegonia on plain slices: matrix
// products with weights of any Dtype, sparse and dense MLPs, attention, norms,
// masks, and the Pool of threads that runs them. It knows nothing of Gorgonia.
//
//	x ──► Linear ──► RoPE ──► Attention ──► Linear ──► Add ──► RMSNorm
//	                                                              │
//	          slots (active neurons) ──► SparseMLP ◄──────────────┤
//	                     ▲                                        │
//	                     └── Union ◄── MaskThreshold ◄── Linear ◄─┘
//
// # Weights
//
// A Matrix is rows of one Dtype over memory of its own or of others. An MLP is
// stored neuron-major, so that an active neuron is three rows, wherever they lie:
// sparse decode, dense decode and prefill read the same bytes.
//
// # Results
//
// Sums are taken in float32 for float and quantised weights, in float64 for F64
// and modulo 2^n for integers. The result of a call does not depend on the
// number of threads, bit for bit; it does depend on the variant (Variants) and
// may depend on how many tokens are computed together.
//
// Quantised weights meet rounded inputs, and their products are exact: Int8
// rounds the inputs of a token to int16, the grouped dtypes to int8 by groups of
// 32, or from 16 tokens on to int16 by token. Sums over rows (LinearT and the down
// rows of SparseMLP) take the inputs as they are, except that those of Int8 round
// them, times the scales of the rows, to int16 from 16 tokens on. With fewer
// tokens, those of Int8 and Int8G may round them, times the scales, to 15 bits, by
// 4 rows or by 4 rows × 32 columns, and those of 4 bits do so to int8, by 8 rows ×
// 32 columns.
//
// The variant amx multiplies bfloat16 from 16 tokens on, where weights are not F32
// or Int8: inputs of F16 and BF16 weights keep 16 bits, as two bfloat16; those of
// grouped weights are rounded to one, and so are these weights times their scales.
//
// NaN propagates, in attention of many rows of a sequence from a value perhaps to
// rows before it too. An infinity behaves as in IEEE 754 arithmetic, except that
// where inputs are rounded or split one that is infinite may give NaN, for all that
// shares its scale. Denormal numbers count; only results of exponentials (SiLU,
// GELUTanh, softmax) below 1e-35 may be 0. With bfloat16, inputs beyond 3.39e38
// count as infinite, and denormal inputs, weights and sums as 0.
//
// # Errors
//
// Lengths that do not fit, rows out of range and element types that are not
// the compute type of a matrix are mistakes of the programmer and panic.
// Everything that can come from a file or a user is checked by the functions
// that return an error.
//
// # Threads
//
// All functions may be called from any goroutine. Calls on one Pool run one
// after the other; they allocate nothing in steady state for float32 inputs.
package kernel
