// Package simd computes primitives on vectors and rows of weights with the instructions of one CPU.
//
//	kernel ──► Variant ─┬─ Rows[Int8] … RowKernel: Prepare, Dot, Add, Widen, … of one dtype
//	                    ├─ Tile, TilePairs, AMX: products of many tokens
//	                    └─ Mul, Activate, Norm, …: vectors
//
//	amx      AVX-512 and AMX      kernels_avx512_amd64.s
//	avx512   AVX-512 with VNNI    kernels_avx512_amd64.s
//	avx2     AVX2, FMA, F16C      kernels_avx2_amd64.s
//	generic  plain Go             generic.go, generic_rows.go: the reference
//
// # A dtype is a row
//
// A dtype has one RowKernel in the literal of each variant. It holds the kernels and all facts that
// callers need, so that no caller asks for the dtype. To add one, write its plain Go, a file in
// _gen and a literal for each variant. There are two kinds of rows: numbers without groups
// (ungrouped.go) and groups that share a scale (grouped.go).
//
// # Promises
//
// Vectors are slices, which may have any alignment; rows of weights are addresses. Sums depend on
// lengths and the variant alone. Nothing is read or written beyond a slice or a row, except that
// Add uses whole blocks of sums. The race detector sees what assembly reads and writes
// (assembly_amd64.go).
//
// # Assembly
//
// The command _gen writes the assembly and its declarations, whose comments are the loops that it
// computes:
//
//	go generate ./ops/simd            write the files
//	go -C ops/simd/_gen run . -check  compare them
//
// The build tag noasm leaves the assembly out.
package simd
