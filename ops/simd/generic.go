package simd

import (
	"math"
	"unsafe"

	"github.com/sparsegonia/sparsegonia/ops/activation"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// generic is written in plain Go. It defines the primitives, runs where there is no assembly, and
// takes the columns that assembly leaves.
var generic = Variant{
	Name: "generic",
	Rows: [weights.Dtypes]RowKernel{
		weights.F32:  plain.floats(plainF32.ungrouped(), attention{plainF32.rowDots, plainF32.rowSum}, inTurn, Tiles{Direct: true}),
		weights.F16:  plain.floats(plainF16.ungrouped(), attention{plainF16.rowDots, plainF16.rowSum}, inTurn, Tiles{}),
		weights.BF16: plain.floats(plainBF16.ungrouped(), attention{}, inTurn, Tiles{}),
		weights.Int8: plain.int8s(plainInt8.ungrouped(), nil, inTurn),
		weights.Int8G: plain.groups(grouped{
			dtype: weights.Int8G, dot: dotGroups(weights.Int8G, dotInt8G), add4: addGroups(weights.Int8G, 4), add1: addGroups(weights.Int8G, 1),
			widen: widenGroups(weights.Int8G), widen16: widen16Bytes,
		}, nil, inTurn),
		weights.Int4: plain.groups(grouped{
			dtype: weights.Int4, dot: dotGroups(weights.Int4, dotInt4), add8: addNibbles(weights.Int4), add8Least: 1, add8Step: 1,
			widen: widenGroups(weights.Int4), widen16: widen16Nibbles(8),
		}, nil, inTurn),
		weights.Int4M: plain.groups(grouped{
			dtype: weights.Int4M, dot: dotGroups(weights.Int4M, dotInt4M), add8: addNibbles(weights.Int4M), add8Least: 1, add8Step: 1,
			widen: widenGroups(weights.Int4M), widen16: widen16Nibbles(0),
		}, nil, inTurn),
	},
	Tile: tilePlain, TileRows: plainTile, TileCols: plainTile,
	TilePairs: tilePairsPlain, PackPairs: packPairsPlain, Quantize16: quantize16,
	transpose: transposePlain, square: plainTile,
	Activate: [...]func(y, x []float32){
		activation.SiLU: activatePlain(activation.SiLU), activation.GELU: activatePlain(activation.GELU),
		activation.GELUTanh: activatePlain(activation.GELUTanh), activation.ReLU: activatePlain(activation.ReLU),
	},
	Mul: mulPlain, Add: addPlain, Scale: scalePlain, Norm: normPlain,
	SumSquares: sumSquaresPlain, expSum: expSumPlain, MaxColumns: maxColumnsPlain, ExpColumns: expColumnsPlain,
	Read: [5]func(data []byte) float32{1: readPlain, 2: readPlain, 4: readPlain},
}

// plain are the primitives that rows of generic share.
var plain = &shared{
	prefetch: func(uintptr, int) {}, quantize16: quantize16, quantizeGroups: quantizeGroups,
	widen16: widen16Bytes, widenPairs: widenPairs,
}

// inTurn reads rows in the order in which they are stored: plain Go cannot prefetch.
var inTurn = Reading{DotStreams: 4, Streams: 1, Run: 8}

const plainTile = 4 // rows and columns of its tiles

func tilePlain(c []float32, w unsafe.Pointer, rowStep, colStep int, x []float32) {
	for i := range plainTile {
		c := c[i*plainTile:][:plainTile]
		c0, c1, c2, c3 := c[0], c[1], c[2], c[3]
		row := unsafe.Add(w, i*rowStep)
		for k := 0; k < len(x); k += plainTile {
			w, x := *(*float32)(unsafe.Add(row, k/plainTile*colStep)), x[k:][:plainTile]
			c0 += w * x[0]
			c1 += w * x[1]
			c2 += w * x[2]
			c3 += w * x[3]
		}
		c[0], c[1], c[2], c[3] = c0, c1, c2, c3
	}
}

func tilePairsPlain(c []float32, w unsafe.Pointer, rowStep, colStep int, x []int16, factors []float32, factorStep, groups int) {
	pairs := len(x) / (2 * plainTile * groups)
	for g := range groups {
		for i := range plainTile {
			var sums [plainTile]int32
			for k := g * pairs; k < (g+1)*pairs; k++ {
				w, in := (*[2]int16)(unsafe.Add(w, i*rowStep+k*colStep)), x[2*plainTile*k:][:2*plainTile]
				for j := range sums {
					sums[j] += int32(in[2*j])*int32(w[0]) + int32(in[2*j+1])*int32(w[1])
				}
			}
			for j, s := range sums {
				c[i*plainTile+j] += factors[i*factorStep+g] * float32(s)
			}
		}
	}
}

func packPairsPlain(dst []int16, src, scales, factors []float32, factorStep int) {
	var most [plainTile]uint32
	for i, v := range src {
		k, j := i/plainTile, i%plainTile
		most[j] = max(most[j], math.Float32bits(v*factors[k*factorStep])&0x7fffffff)
	}
	for j, m := range most {
		scales[j] = weights.Finite(m) / Int16Limit
	}
	for i, v := range src {
		k, j := i/plainTile, i%plainTile
		dst[(k/2*plainTile+j)*2+k%2] = int16(weights.Quantum(v*factors[k*factorStep], scales[j], Int16Limit))
	}
}

func transposePlain(dst, src []float32, dstStep, srcStep int) {
	for i := range plainTile {
		for j := range plainTile {
			dst[j*dstStep+i] = src[i*srcStep+j]
		}
	}
}

func activatePlain(a activation.Func) func(y, x []float32) {
	return func(y, x []float32) {
		for k := range y {
			y[k] = a.Apply32(x[k])
		}
	}
}

func mulPlain(y, a, b []float32) {
	for k := range y {
		y[k] = a[k] * b[k]
	}
}

func addPlain(y, a, b []float32) {
	for k := range y {
		y[k] = a[k] + b[k]
	}
}

func scalePlain(y []float32, factor float32) {
	for k := range y {
		y[k] *= factor
	}
}

func normPlain(y, x, w []float32, scale float32) {
	for k := range y {
		y[k] = x[k] * scale * w[k]
	}
}

func sumSquaresPlain(x []float32) float64 {
	var s0, s1 float64
	for k := 0; k+1 < len(x); k += 2 {
		s0 += float64(x[k]) * float64(x[k])
		s1 += float64(x[k+1]) * float64(x[k+1])
	}
	if n := len(x); n&1 != 0 {
		s0 += float64(x[n-1]) * float64(x[n-1])
	}
	return s0 + s1
}

func expSumPlain(y, x []float32, shift float32) float32 {
	var sum float64
	for k := range y {
		e := math.Exp(float64(x[k]) - float64(shift))
		y[k] = float32(e)
		sum += e
	}
	return float32(sum)
}

func maxColumnsPlain(largest, x []float32) {
	for i, v := range x {
		if j := i % plainTile; !(v <= largest[j]) {
			largest[j] = v
		}
	}
}

func expColumnsPlain(x, shifts, sums []float32) {
	for i := range x {
		x[i] = float32(math.Exp(float64(x[i]) - float64(shifts[i%plainTile])))
		sums[i%plainTile] += x[i]
	}
}

func readPlain(data []byte) float32 {
	var sum uint64
	for _, w := range weights.SliceAt[uint64](Address(data), len(data)/8) {
		sum += w
	}
	return float32(sum)
}
