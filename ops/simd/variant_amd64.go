//go:build !noasm

package simd

import (
	"golang.org/x/sys/cpu"

	"github.com/sparsegonia/sparsegonia/ops/activation"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

//go:generate go -C _gen run .

// archVariants returns the variants of assembly that this CPU can run. It asks for every feature
// that they use: switching one off with GODEBUG=cpu.avx2=off leaves those that depend on it on.
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

// How rows are read, tuned on Zen 3 (AVX2) and Emerald Rapids (AVX-512).
var (
	streamsAVX2   = Reading{DotStreams: 4, Streams: 4, Run: 1, DotAhead: 512, AddAhead: 512}
	int8sAVX2     = Reading{DotStreams: 4, Streams: 4, Run: 1, DotAhead: 512, AddAhead: 3072}
	groupsAVX2    = Reading{DotStreams: 2, Streams: 1, Run: 8, DotAhead: 4096, ByRow: true}
	streamsAVX512 = Reading{DotStreams: 4, Streams: 8, Run: 1, DotAhead: 2048, AddAhead: 2048, ByRow: true}
)

var avx2 = Variant{
	Name: "avx2",
	Rows: [weights.Dtypes]RowKernel{
		weights.F32: vectors.floats(ungrouped[float32]{
			dot: dots4[float32](4, dot4F32AVX2), add4: adds(4, 4, axpy4F32AVX2), add1: adds(1, 4, axpy1F32AVX2),
			widen: widenF32, plain: &plainF32,
		}, attentionRows(4, rowDotsF32AVX2, rowSumF32AVX2), streamsAVX2, Tiles{Direct: true}),
		weights.F16: vectors.floats(ungrouped[float32]{
			dot: dots4[float32](2, dot4F16AVX2), add4: adds(4, 2, axpy4F16AVX2), add1: adds(1, 2, axpy1F16AVX2),
			widen: widens(2, widenF16AVX2), plain: &plainF16,
		}, attentionRows(2, rowDotsF16AVX2, rowSumF16AVX2), streamsAVX2, Tiles{}),
		weights.BF16: vectors.floats(ungrouped[float32]{
			dot: dots4[float32](2, dot4BF16AVX2), add4: adds(4, 2, axpy4BF16AVX2), add1: adds(1, 2, axpy1BF16AVX2),
			widen: widens(2, widenBF16AVX2), plain: &plainBF16,
		}, attention{}, streamsAVX2, Tiles{}),
		weights.Int8: vectors.int8s(ungrouped[int16]{
			dot: dots4[int16](1, dot4Int8AVX2), add4: adds(4, 1, axpy4Int8AVX2), add1: adds(1, 1, axpy1Int8AVX2),
			widen: widens(1, widenInt8AVX2), plain: &plainInt8,
		}, nil, int8sAVX2),
		weights.Int8G: vectors.groups(grouped{
			dtype: weights.Int8G, dot: groupDots2(34, dot2Int8GAVX2),
			add4: groupAdds(4, 32, 1, axpy4Int8GAVX2), add1: groupAdds(1, 32, 1, axpy1Int8GAVX2),
			widen: groupWidens(32, widenInt8GAVX2), widen16: widens16(32, widen16Int8GAVX2),
		}, nil, groupsAVX2),
		weights.Int4: vectors.groups(grouped{
			dtype: weights.Int4, dot: groupDots2(18, dot2Int4AVX2),
			add4: groupAdds(4, 16, 1, axpy4Int4AVX2), add1: groupAdds(1, 16, 1, axpy1Int4AVX2),
			add8: groupAdds(8, 16, weights.Group, axpy8Int4AVX2), add8Least: 8, add8Step: 2,
			widen: groupWidens(16, widenInt4AVX2), widen16: widens16(16, widen16Int4AVX2),
		}, nil, groupsAVX2),
		weights.Int4M: vectors.groups(grouped{
			dtype: weights.Int4M, dot: groupDots2(20, dot2Int4MAVX2),
			add4: groupAdds(4, 16, 1, axpy4Int4MAVX2), add1: groupAdds(1, 16, 1, axpy1Int4MAVX2),
			add8: groupAdds(8, 16, weights.Group, axpy8Int4MAVX2), add8Least: 8, add8Step: 2,
			widen: groupWidens(16, widenInt4MAVX2), widen16: widens16(16, widen16Int4MAVX2),
		}, nil, groupsAVX2),
	},
	Tile: tiles(6, 16, tileAVX2), TileRows: 6, TileCols: 16,
	TilePairs: pairTiles(6, 16, tilePairsAVX2), PackPairs: packed(16, packPairsAVX2), Quantize16: quantize16Vectors,
	transpose: transposed(8, transposeAVX2), square: 8,
	Activate: [...]func(y, x []float32){
		activation.SiLU: unary(siluAVX2), activation.GELU: geluPlain, activation.GELUTanh: unary(geluTanhAVX2),
		activation.ReLU: unary(reluAVX2),
	},
	Mul: binary(mulAVX2), Add: binary(addAVX2), Scale: scaled(scaleAVX2), Norm: normed(normAVX2),
	SumSquares: summed(sumSquaresAVX2), expSum: expSummed(expSumAVX2),
	MaxColumns: maxColumnsOf(16, maxColumnsAVX2), ExpColumns: expColumnsOf(16, expColumnsAVX2),
	Read: [5]func(data []byte) float32{1: streams(1, read1AVX2), 2: streams(2, read2AVX2), 4: streams(4, read4AVX2)},
}

// The kernels of bytes and nibbles of AVX-512 leave their sums in an order of lanes.
var (
	bytesInOrder   = inOrder(16, reordered(inOrderAVX512))
	nibblesInOrder = inOrder(32, reordered(inOrderAVX512))
)

var avx512 = Variant{
	Name: "avx512",
	Rows: [weights.Dtypes]RowKernel{
		weights.F32: vectors.floats(ungrouped[float32]{
			dot: dots4[float32](4, dot4F32AVX512), add4: adds(4, 4, axpy4F32AVX512), add1: adds(1, 4, axpy1F32AVX512),
			widen: widenF32, plain: &plainF32,
		}, attentionRows(4, rowDotsF32AVX512, rowSumF32AVX512), streamsAVX512, Tiles{Direct: true}),
		weights.F16: vectors.floats(ungrouped[float32]{
			dot: dots4[float32](2, dot4F16AVX512), add4: adds(4, 2, axpy4F16AVX512), add1: adds(1, 2, axpy1F16AVX512),
			widen: widens(2, widenF16AVX512), plain: &plainF16,
		}, attentionRows(2, rowDotsF16AVX512, rowSumF16AVX512), streamsAVX512, Tiles{}),
		weights.BF16: vectors.floats(ungrouped[float32]{
			dot: dots4[float32](2, dot4BF16AVX512), add4: adds(4, 2, axpy4BF16AVX512), add1: adds(1, 2, axpy1BF16AVX512),
			widen: widens(2, widenBF16AVX512), plain: &plainBF16,
		}, attention{}, streamsAVX512, Tiles{}),
		weights.Int8: vectors.int8s(ungrouped[int16]{
			dot: dots4[int16](1, dot4Int8AVX512), add4: adds(4, 1, axpy4Int8AVX512),
			widen: widens(1, widenInt8AVX512), plain: &plainInt8,
		}, bytesInOrder, streamsAVX512),
		weights.Int8G: vectors.groups(grouped{
			dtype: weights.Int8G, dot: groupDots(34, dot4Int8GAVX512), add4: groupAdds(4, 32, 1, axpy4Int8GAVX512),
			widen: groupWidens(32, widenInt8GAVX512), widen16: widens16(32, widen16Int8GAVX2),
		}, bytesInOrder, streamsAVX512),
		weights.Int4: vectors.groups(grouped{
			dtype: weights.Int4, dot: groupDots(18, dot4Int4AVX512), add8: groupAdds(8, 16, weights.Group, axpy8Int4AVX512),
			widen: groupWidens(16, widenInt4AVX512), widen16: widens16(16, widen16Int4AVX2),
		}, nibblesInOrder, streamsAVX512),
		weights.Int4M: vectors.groups(grouped{
			dtype: weights.Int4M, dot: groupDots(20, dot4Int4MAVX512), add8: groupAdds(8, 16, weights.Group, axpy8Int4MAVX512),
			widen: groupWidens(16, widenInt4MAVX512), widen16: widens16(16, widen16Int4MAVX2),
		}, nibblesInOrder, streamsAVX512),
	},
	Tile: tiles(12, 32, tileAVX512), TileRows: 12, TileCols: 32,
	TilePairs: pairTiles(12, 32, tilePairsAVX512), PackPairs: packed(32, packPairsAVX512), Quantize16: quantize16Vectors,
	transpose: transposed(16, transposeAVX512), square: 16,
	Activate: [...]func(y, x []float32){
		activation.SiLU: unary(siluAVX512), activation.GELU: geluPlain, activation.GELUTanh: unary(geluTanhAVX512),
		activation.ReLU: unary(reluAVX512),
	},
	Mul: binary(mulAVX512), Add: binary(addAVX512), Scale: scaled(scaleAVX512), Norm: normed(normAVX512),
	SumSquares: summed(sumSquaresAVX512), expSum: expSummed(expSumAVX512),
	MaxColumns: maxColumnsOf(32, maxColumnsAVX512), ExpColumns: expColumnsOf(32, expColumnsAVX512),
	Read: [5]func(data []byte) float32{1: streams(1, read1AVX512), 2: streams(2, read2AVX512), 4: streams(4, read4AVX512)},
}

// amx is avx512 with products of many tokens on AMX.
var amx = func() Variant {
	v := avx512
	v.Name = "amx"
	v.AMX = &AMX{
		TileSplit: splitTiles(tileSplitAMX), TileBytes: splitTiles(tileBytesAMX),
		SplitRow: splitRows[float32](splitRowAMX), BytesOfRow: splitRows[int16](bytesOfRowAMX),
		SplitPairs: splitPairs[float32](1, splitPairsAMX), BytesOfPairs: splitPairs[int16](2, bytesOfPairsAMX),
		SplitColumns: splitColumns[float32](splitColumnsAMX), BytesOfColumns: splitColumns[int16](bytesOfColumnsAMX),
		Quads: func(dst []byte, a, b, c, d []int8) {
			n := len(a)
			quadsAMX(write(dst[:4*n]), read(a), read(b[:n]), read(c[:n]), read(d[:n]), n)
		},
		JoinBytes: func(dst, high, low []float32, factor float32) {
			joinBytesAMX(write(dst), read(high[:len(dst)]), read(low[:len(dst)]), factor, len(dst))
		},
	}
	split, bytes := [2]Product{OnSplit, OnSplit}, [2]Product{OnBytes, OnBytes}
	v.Rows[weights.F16].Tiles = Tiles{products: split, SplitInputs: true, SplitWeights: true}
	v.Rows[weights.BF16].Tiles = Tiles{products: split, SplitInputs: true}
	v.Rows[weights.Int8].Tiles = Tiles{products: bytes}
	for _, d := range []weights.Dtype{weights.Int8G, weights.Int4, weights.Int4M} {
		v.Rows[d].Tiles = Tiles{products: split}
	}
	return v
}()

var geluPlain = activatePlain(activation.GELU)
