//go:build !noasm

package kernel

import (
	"unsafe"

	"golang.org/x/sys/cpu"
)

//go:generate go -C _gen run .

// archVariants asks for every feature that the assembly uses: switching one off
// with GODEBUG=cpu.avx2=off leaves those that depend on it on.
func archVariants() []*variant {
	x := &cpu.X86
	var list []*variant
	hasAVX2 := x.HasAVX2 && x.HasFMA && x.HasAVX && x.HasF16C
	hasAVX512 := hasAVX2 && x.HasAVX512F && x.HasAVX512BW && x.HasAVX512VL && x.HasAVX512DQ && x.HasAVX512VNNI
	if hasAVX512 && x.HasAVX512BF16 && x.HasAMXTile && x.HasAMXBF16 && x.HasAMXInt8 && allowAMX() {
		list = append(list, &amx)
	}
	if hasAVX512 {
		list = append(list, &avx512)
	}
	if hasAVX2 {
		list = append(list, &avx2)
	}
	return list
}

var avx2 = variant{
	name:    "avx2",
	rowDots: [dtypes]func(y, x, rows unsafe.Pointer, stride, n, count int){F32: rowDotsF32AVX2, F16: rowDotsF16AVX2},
	rowSum:  [dtypes]func(y, coef, rows unsafe.Pointer, stride, n, count int){F32: rowSumF32AVX2, F16: rowSumF16AVX2},
	dot2: [dtypes]func(x, a, b unsafe.Pointer, n int, nextA, nextB uintptr) (xa, xb float32){
		Int8G: dot2Int8GAVX2, Int4: dot2Int4AVX2, Int4M: dot2Int4MAVX2,
	},
	dot4: [dtypes]func(x unsafe.Pointer, r *dotRows, n int){
		F32: dot4F32AVX2, F16: dot4F16AVX2, BF16: dot4BF16AVX2, Int8: dot4Int8AVX2,
	},
	streaming: streaming{streams: 4, dot: 512, axpy: 512, axpyInt8: 3072}, // measured on Zen 3
	axpy4: [dtypes]func(y unsafe.Pointer, r *axpyRows, n int){
		F32: axpy4F32AVX2, F16: axpy4F16AVX2, BF16: axpy4BF16AVX2, Int8: axpy4Int8AVX2,
		Int8G: axpy4Int8GAVX2, Int4: axpy4Int4AVX2, Int4M: axpy4Int4MAVX2,
	},
	axpy1: [dtypes]func(y unsafe.Pointer, r *axpyRows, n int){
		F32: axpy1F32AVX2, F16: axpy1F16AVX2, BF16: axpy1BF16AVX2, Int8: axpy1Int8AVX2,
		Int8G: axpy1Int8GAVX2, Int4: axpy1Int4AVX2, Int4M: axpy1Int4MAVX2,
	},
	axpy8: [dtypes]func(y unsafe.Pointer, r *axpyRows, n int){
		Int4: axpy8Int4AVX2, Int4M: axpy8Int4MAVX2,
	},
	axpy8Least: 8, axpy8Step: 2,
	widen: [dtypes]func(dst, src unsafe.Pointer, n int){
		F32: widenF32, F16: widenF16AVX2, BF16: widenBF16AVX2, Int8: widenInt8AVX2,
	},
	widenGroups: [dtypes]func(dst unsafe.Pointer, row groupRow, n int){
		Int8G: widenInt8GAVX2, Int4: widenInt4AVX2, Int4M: widenInt4MAVX2,
	},
	tile: tileAVX2, tileRows: 6, tileCols: 16,
	turn: turnAVX2, turnSize: 8,
	tilePairs: tilePairsAVX2, packPairs: packPairsAVX2, widenPairs: widenPairsAVX2, prefetch: prefetchAVX2,
	widen16: [dtypes]func(dst, src unsafe.Pointer, n int){
		Int8: widen16Int8GAVX2, Int8G: widen16Int8GAVX2, Int4: widen16Int4AVX2, Int4M: widen16Int4MAVX2,
	},
	activate: [ReLU + 1]func(y, x unsafe.Pointer, n int){
		SiLU: siluAVX2, GELU: activateGeneric(GELU), GELUTanh: geluTanhAVX2, ReLU: reluAVX2,
	},
	mul: mulAVX2, add: addAVX2, scale: scaleAVX2,
	expSum: expSumAVX2, maxColumns: maxColumnsAVX2, expColumns: expColumnsAVX2,
	norm: normAVX2, sumSquares: sumSquaresAVX2,
	read:       [5]func(p unsafe.Pointer, step, n int) float32{1: read1AVX2, 2: read2AVX2, 4: read4AVX2},
	quantize16: quantize16Vector, quantizeGroups: quantizeGroupsVector,
}

var avx512 = variant{
	name:    "avx512",
	rowDots: [dtypes]func(y, x, rows unsafe.Pointer, stride, n, count int){F32: rowDotsF32AVX512, F16: rowDotsF16AVX512},
	rowSum:  [dtypes]func(y, coef, rows unsafe.Pointer, stride, n, count int){F32: rowSumF32AVX512, F16: rowSumF16AVX512},
	dot4: [dtypes]func(x unsafe.Pointer, r *dotRows, n int){
		F32: dot4F32AVX512, F16: dot4F16AVX512, BF16: dot4BF16AVX512, Int8: dot4Int8AVX512,
		Int8G: dot4Int8GAVX512, Int4: dot4Int4AVX512, Int4M: dot4Int4MAVX512,
	},
	streaming: streaming{streams: 8, dot: 2048, axpy: 2048, axpyInt8: 2048, byRow: true}, // on Emerald Rapids
	axpy4: [dtypes]func(y unsafe.Pointer, r *axpyRows, n int){
		F32: axpy4F32AVX512, F16: axpy4F16AVX512, BF16: axpy4BF16AVX512, Int8: axpy4Int8AVX512,
		Int8G: axpy4Int8GAVX512,
	},
	axpy1: [dtypes]func(y unsafe.Pointer, r *axpyRows, n int){
		F32: axpy1F32AVX512, F16: axpy1F16AVX512, BF16: axpy1BF16AVX512,
	},
	axpy8: [dtypes]func(y unsafe.Pointer, r *axpyRows, n int){
		Int4: axpy8Int4AVX512, Int4M: axpy8Int4MAVX512,
	},
	sumOrder: [dtypes]int{Int8: 16, Int8G: 16, Int4: 32, Int4M: 32}, straighten: straightenAVX512,
	widen: [dtypes]func(dst, src unsafe.Pointer, n int){
		F32: widenF32, F16: widenF16AVX512, BF16: widenBF16AVX512, Int8: widenInt8AVX512,
	},
	widenGroups: [dtypes]func(dst unsafe.Pointer, row groupRow, n int){
		Int8G: widenInt8GAVX512, Int4: widenInt4AVX512, Int4M: widenInt4MAVX512,
	},
	tile: tileAVX512, tileRows: 12, tileCols: 32,
	turn: turnAVX512, turnSize: 16,
	tilePairs: tilePairsAVX512, packPairs: packPairsAVX512, widenPairs: widenPairsAVX2, prefetch: prefetchAVX2,
	widen16: [dtypes]func(dst, src unsafe.Pointer, n int){
		Int8: widen16Int8GAVX2, Int8G: widen16Int8GAVX2, Int4: widen16Int4AVX2, Int4M: widen16Int4MAVX2,
	},
	activate: [ReLU + 1]func(y, x unsafe.Pointer, n int){
		SiLU: siluAVX512, GELU: activateGeneric(GELU), GELUTanh: geluTanhAVX512, ReLU: reluAVX512,
	},
	mul: mulAVX512, add: addAVX512, scale: scaleAVX512,
	expSum: expSumAVX512, maxColumns: maxColumnsAVX512, expColumns: expColumnsAVX512,
	norm: normAVX512, sumSquares: sumSquaresAVX512,
	read:       [5]func(p unsafe.Pointer, step, n int) float32{1: read1AVX512, 2: read2AVX512, 4: read4AVX512},
	quantize16: quantize16Vector, quantizeGroups: quantizeGroupsVector,
}

// amx is avx512 with a matrix unit.
var amx = func() variant {
	v := avx512
	v.name = "amx"
	v.unit = &matrixUnit{
		tileSplit: tileSplitAMX, splitRow: splitRowAMX, splitPairs: splitPairsAMX, splitColumns: splitColumnsAMX,
		tileBytes: tileBytesAMX, bytesOfRow: bytesOfRowAMX, bytesOfPairs: bytesOfPairsAMX, bytesOfColumns: bytesOfColumnsAMX,
		quads: quadsAMX, joinBytes: joinBytesAMX,
	}
	return v
}()

func quantize16Vector(o *operand, x []float32) {
	o.scale = finite(absMaxAVX2(address(x), len(x))) / int16Limit
	whole := len(x) &^ 15
	if whole > 0 {
		quantize16AVX2(o.q, address(x), o.scale, whole)
	}
	q := values[int16](o.q, len(x))
	for k := whole; k < len(x); k++ {
		q[k] = int16(quantum(x[k], o.scale, int16Limit))
	}
}

func quantizeGroupsVector(o *operand, x []float32) {
	whole := len(x) / group
	if whole > 0 {
		quantizeGroupsAVX2(o.q, o.d, o.s, address(x), whole)
	}
	if rest := x[whole*group:]; len(rest) > 0 {
		last := operand{q: unsafe.Add(o.q, whole*group), d: unsafe.Add(o.d, 4*whole), s: unsafe.Add(o.s, 4*whole)}
		quantizeGroupsGeneric(&last, rest)
	}
}
