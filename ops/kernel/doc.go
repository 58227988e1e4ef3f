// Package kernel computes the layers of a transformer on slices: products with weights, sparse and
// dense MLPs, attention, norms and masks.
//
//	x ──► Linear ──► RoPE ──► Attention ──► Linear ──► Add ──► RMSNorm
//	                                                              │
//	          slots (active neurons) ──► SparseMLP ◄──────────────┤
//	                     ▲                                        │
//	                     └── Union ◄── MaskThreshold ◄── Linear ◄─┘
//
// A CPU is what kernels run on: a pool of threads (package parallel) and a variant of primitives
// (package simd). An MLP is stored neuron-major, so that an active neuron is three rows, wherever
// they lie: sparse decode, dense decode and prefill read the same bytes.
//
// # Results
//
// The result of a call does not depend on the number of threads, bit for bit. It depends on the
// variant, and it may depend on the number of tokens that are computed together. Sums are float32;
// those of F64 are float64 and those of integers are modulo 2ⁿ. Inputs (and weights, where it says
// both) are rounded as follows. Products of quantised weights with rounded inputs are exact.
//
// Linear, and the gate and up rows of an MLP:
//
//	weights            T < 16 tokens             T ≥ 16                           T ≥ 16, variant amx
//	F32                exact                     exact                            exact
//	F16                exact                     exact                            both as two bfloat16, 16 bits
//	BF16               exact                     exact                            inputs as two bfloat16
//	Int8               int16 by token            int16 by token                   int16 by token
//	Int8G Int4 Int4M   int8 by 32 columns        int16 by token                   both one bfloat16
//
// LinearT, and the down rows of an MLP; here p is an input times the scale of its row (or group of
// columns):
//
//	weights            T < 16 tokens             T ≥ 16                           T ≥ 16, variant amx
//	F32 F16 BF16       exact                     exact                            as above
//	Int8               p to 15 bits by 4 rows    p to int16 by token              p to int16 by token
//	Int8G              p exact, or to 15 bits    exact                            both one bfloat16
//	                   by 4 rows × 32 columns
//	Int4 Int4M         p to int8                 exact                            both one bfloat16
//	                   by 8 rows × 32 columns
//
// Where fewer rows or columns are left, p may be exact.
//
// # Numbers that are not finite
//
//   - NaN propagates. In attention of many rows of a sequence a NaN in v may also reach earlier
//     rows, which multiply it by zero.
//   - An infinity behaves as in IEEE 754. An input that is rounded or split may give NaN instead,
//     for all that shares its scale.
//   - Denormal numbers count. Results of exponentials (SiLU, GELUTanh, softmax) below 1e-35 may be 0.
//   - With bfloat16, inputs beyond 3.39e38 are infinite, and denormal inputs, weights and sums are 0.
//
// # Errors
//
// Lengths that do not fit, rows out of range and element types that are not the compute type of a
// matrix panic. What can come from a file or a user is checked by the functions that return an
// error.
//
// # Threads
//
// All functions may be called from any goroutine. Calls on one CPU run one after the other. They
// allocate nothing in steady state for float32 inputs.
package kernel
