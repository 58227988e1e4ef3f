//go:build !noasm

package simd

import (
	"unsafe"

	"github.com/sparsegonia/sparsegonia/ops/activation"
	"github.com/sparsegonia/sparsegonia/ops/weights"
	"golang.org/x/sys/cpu"
)

//go:generate go -C _gen run .

// archVariants asks for every feature that the assembly uses: switching one off
// with GODEBUG=cpu.avx2=off leaves those that depend on it on.
func archVariants() []*Variant {
	x := &cpu.X86
	var list []*Variant
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

var avx2 = Variant{
	Name:    "avx2",
	rowDots: [weights.Dtypes]func(y, x, rows unsafe.Pointer, stride, n, count int){weights.F32: rowDotsF32AVX2, weights.F16: rowDotsF16AVX2},
	rowSum:  [weights.Dtypes]func(y, coef, rows unsafe.Pointer, stride, n, count int){weights.F32: rowSumF32AVX2, weights.F16: rowSumF16AVX2},
	dot2: [weights.Dtypes]func(x, a, b unsafe.Pointer, n int, nextA, nextB uintptr) (xa, xb float32){
		weights.Int8G: dot2Int8GAVX2, weights.Int4: dot2Int4AVX2, weights.Int4M: dot2Int4MAVX2,
	},
	dot4: [weights.Dtypes]func(x unsafe.Pointer, r *DotRows, n int){
		weights.F32: dot4F32AVX2, weights.F16: dot4F16AVX2, weights.BF16: dot4BF16AVX2, weights.Int8: dot4Int8AVX2,
	},
	Streaming: streaming{Streams: 4, Dot: 512, axpy: 512, axpyInt8: 3072}, // measured on Zen 3
	axpy4: [weights.Dtypes]func(y unsafe.Pointer, r *AxpyRows, n int){
		weights.F32: axpy4F32AVX2, weights.F16: axpy4F16AVX2, weights.BF16: axpy4BF16AVX2, weights.Int8: axpy4Int8AVX2,
		weights.Int8G: axpy4Int8GAVX2, weights.Int4: axpy4Int4AVX2, weights.Int4M: axpy4Int4MAVX2,
	},
	axpy1: [weights.Dtypes]func(y unsafe.Pointer, r *AxpyRows, n int){
		weights.F32: axpy1F32AVX2, weights.F16: axpy1F16AVX2, weights.BF16: axpy1BF16AVX2, weights.Int8: axpy1Int8AVX2,
		weights.Int8G: axpy1Int8GAVX2, weights.Int4: axpy1Int4AVX2, weights.Int4M: axpy1Int4MAVX2,
	},
	axpy8: [weights.Dtypes]func(y unsafe.Pointer, r *AxpyRows, n int){
		weights.Int4: axpy8Int4AVX2, weights.Int4M: axpy8Int4MAVX2,
	},
	axpy8Least: 8, axpy8Step: 2,
	widen: [weights.Dtypes]func(dst, src unsafe.Pointer, n int){
		weights.F32: widenF32, weights.F16: widenF16AVX2, weights.BF16: widenBF16AVX2, weights.Int8: widenInt8AVX2,
	},
	widenGroups: [weights.Dtypes]func(dst unsafe.Pointer, row weights.GroupRow, n int){
		weights.Int8G: widenInt8GAVX2, weights.Int4: widenInt4AVX2, weights.Int4M: widenInt4MAVX2,
	},
	Tile: tileAVX2, TileRows: 6, TileCols: 16,
	turn: turnAVX2, turnSize: 8,
	TilePairs: tilePairsAVX2, PackPairs: packPairsAVX2, widenPairs: widenPairsAVX2, prefetch: prefetchAVX2,
	widen16: [weights.Dtypes]func(dst, src unsafe.Pointer, n int){
		weights.Int8: widen16Int8GAVX2, weights.Int8G: widen16Int8GAVX2, weights.Int4: widen16Int4AVX2, weights.Int4M: widen16Int4MAVX2,
	},
	Activate: [activation.ReLU + 1]func(y, x unsafe.Pointer, n int){
		activation.SiLU: siluAVX2, activation.GELU: activateGeneric(activation.GELU), activation.GELUTanh: geluTanhAVX2, activation.ReLU: reluAVX2,
	},
	Mul: mulAVX2, Add: addAVX2, Scale: scaleAVX2,
	expSum: expSumAVX2, MaxColumns: maxColumnsAVX2, ExpColumns: expColumnsAVX2,
	Norm: normAVX2, SumSquares: sumSquaresAVX2,
	Read:       [5]func(p unsafe.Pointer, step, n int) float32{1: read1AVX2, 2: read2AVX2, 4: read4AVX2},
	Quantize16: quantize16Vector, quantizeGroups: quantizeGroupsVector,
}

var avx512 = Variant{
	Name:    "avx512",
	rowDots: [weights.Dtypes]func(y, x, rows unsafe.Pointer, stride, n, count int){weights.F32: rowDotsF32AVX512, weights.F16: rowDotsF16AVX512},
	rowSum:  [weights.Dtypes]func(y, coef, rows unsafe.Pointer, stride, n, count int){weights.F32: rowSumF32AVX512, weights.F16: rowSumF16AVX512},
	dot4: [weights.Dtypes]func(x unsafe.Pointer, r *DotRows, n int){
		weights.F32: dot4F32AVX512, weights.F16: dot4F16AVX512, weights.BF16: dot4BF16AVX512, weights.Int8: dot4Int8AVX512,
		weights.Int8G: dot4Int8GAVX512, weights.Int4: dot4Int4AVX512, weights.Int4M: dot4Int4MAVX512,
	},
	Streaming: streaming{Streams: 8, Dot: 2048, axpy: 2048, axpyInt8: 2048, ByRow: true}, // on Emerald Rapids
	axpy4: [weights.Dtypes]func(y unsafe.Pointer, r *AxpyRows, n int){
		weights.F32: axpy4F32AVX512, weights.F16: axpy4F16AVX512, weights.BF16: axpy4BF16AVX512, weights.Int8: axpy4Int8AVX512,
		weights.Int8G: axpy4Int8GAVX512,
	},
	axpy1: [weights.Dtypes]func(y unsafe.Pointer, r *AxpyRows, n int){
		weights.F32: axpy1F32AVX512, weights.F16: axpy1F16AVX512, weights.BF16: axpy1BF16AVX512,
	},
	axpy8: [weights.Dtypes]func(y unsafe.Pointer, r *AxpyRows, n int){
		weights.Int4: axpy8Int4AVX512, weights.Int4M: axpy8Int4MAVX512,
	},
	SumOrder: [weights.Dtypes]int{weights.Int8: 16, weights.Int8G: 16, weights.Int4: 32, weights.Int4M: 32}, straighten: straightenAVX512,
	widen: [weights.Dtypes]func(dst, src unsafe.Pointer, n int){
		weights.F32: widenF32, weights.F16: widenF16AVX512, weights.BF16: widenBF16AVX512, weights.Int8: widenInt8AVX512,
	},
	widenGroups: [weights.Dtypes]func(dst unsafe.Pointer, row weights.GroupRow, n int){
		weights.Int8G: widenInt8GAVX512, weights.Int4: widenInt4AVX512, weights.Int4M: widenInt4MAVX512,
	},
	Tile: tileAVX512, TileRows: 12, TileCols: 32,
	turn: turnAVX512, turnSize: 16,
	TilePairs: tilePairsAVX512, PackPairs: packPairsAVX512, widenPairs: widenPairsAVX2, prefetch: prefetchAVX2,
	widen16: [weights.Dtypes]func(dst, src unsafe.Pointer, n int){
		weights.Int8: widen16Int8GAVX2, weights.Int8G: widen16Int8GAVX2, weights.Int4: widen16Int4AVX2, weights.Int4M: widen16Int4MAVX2,
	},
	Activate: [activation.ReLU + 1]func(y, x unsafe.Pointer, n int){
		activation.SiLU: siluAVX512, activation.GELU: activateGeneric(activation.GELU), activation.GELUTanh: geluTanhAVX512, activation.ReLU: reluAVX512,
	},
	Mul: mulAVX512, Add: addAVX512, Scale: scaleAVX512,
	expSum: expSumAVX512, MaxColumns: maxColumnsAVX512, ExpColumns: expColumnsAVX512,
	Norm: normAVX512, SumSquares: sumSquaresAVX512,
	Read:       [5]func(p unsafe.Pointer, step, n int) float32{1: read1AVX512, 2: read2AVX512, 4: read4AVX512},
	Quantize16: quantize16Vector, quantizeGroups: quantizeGroupsVector,
}

// amx is avx512 with a matrix unit.
var amx = func() Variant {
	v := avx512
	v.Name = "amx"
	v.Unit = &matrixUnit{
		TileSplit: tileSplitAMX, SplitRow: splitRowAMX, SplitPairs: splitPairsAMX, SplitColumns: splitColumnsAMX,
		TileBytes: tileBytesAMX, BytesOfRow: bytesOfRowAMX, BytesOfPairs: bytesOfPairsAMX, BytesOfColumns: bytesOfColumnsAMX,
		Quads: quadsAMX, JoinBytes: joinBytesAMX,
	}
	return v
}()

func quantize16Vector(o *Operand, x []float32) {
	o.Scale = weights.Finite(absMaxAVX2(Address(x), len(x))) / Int16Limit
	whole := len(x) &^ 15
	if whole > 0 {
		quantize16AVX2(o.Q, Address(x), o.Scale, whole)
	}
	q := weights.SliceAt[int16](o.Q, len(x))
	for k := whole; k < len(x); k++ {
		q[k] = int16(weights.Quantum(x[k], o.Scale, Int16Limit))
	}
}

func quantizeGroupsVector(o *Operand, x []float32) {
	whole := len(x) / weights.Group
	if whole > 0 {
		quantizeGroupsAVX2(o.Q, o.d, o.s, Address(x), whole)
	}
	if rest := x[whole*weights.Group:]; len(rest) > 0 {
		last := Operand{Q: unsafe.Add(o.Q, whole*weights.Group), d: unsafe.Add(o.d, 4*whole), s: unsafe.Add(o.s, 4*whole)}
		quantizeGroupsGeneric(&last, rest)
	}
}
