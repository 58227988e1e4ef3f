// Package activation names the elementwise functions of MLPs, and recognises them by their values.
//
//	name of a configuration ──► Parse ──► Func ──► Apply32, Apply64
//
// Apply64 is exact to a few units in the last place of a float64, also in the tails; Apply32 rounds
// it once. NaN gives NaN. Kernels of instruction sets approximate these functions; see package
// simd.
package activation
