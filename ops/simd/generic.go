package simd

import (
	"math"
	"unsafe"

	"github.com/sparsegonia/sparsegonia/ops/activation"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// generic is written in plain Go. It defines the primitives, runs where there
// is no assembly, and takes the odd ends that assembly leaves.
var generic = Variant{
	Name: "generic",
	dot2: [weights.Dtypes]func(x, a, b unsafe.Pointer, n int, nextA, nextB uintptr) (xa, xb float32){
		weights.F32: dot2F32, weights.F16: dot2F16, weights.BF16: dot2BF16, weights.Int8: dot2Int8,
		weights.Int8G: dot2Groups(weights.Int8G), weights.Int4: dot2Groups(weights.Int4), weights.Int4M: dot2Groups(weights.Int4M),
	},
	axpy4: [weights.Dtypes]func(y unsafe.Pointer, r *AxpyRows, n int){
		weights.F32: axpyGeneric(weights.F32, 4), weights.F16: axpyGeneric(weights.F16, 4), weights.BF16: axpyGeneric(weights.BF16, 4), weights.Int8: axpyGeneric(weights.Int8, 4),
		weights.Int8G: axpyGeneric(weights.Int8G, 4), weights.Int4: axpyGeneric(weights.Int4, 4), weights.Int4M: axpyGeneric(weights.Int4M, 4),
	},
	axpy1: [weights.Dtypes]func(y unsafe.Pointer, r *AxpyRows, n int){
		weights.F32: axpyGeneric(weights.F32, 1), weights.F16: axpyGeneric(weights.F16, 1), weights.BF16: axpyGeneric(weights.BF16, 1), weights.Int8: axpyGeneric(weights.Int8, 1),
		weights.Int8G: axpyGeneric(weights.Int8G, 1), weights.Int4: axpyGeneric(weights.Int4, 1), weights.Int4M: axpyGeneric(weights.Int4M, 1),
	},
	axpy8: [weights.Dtypes]func(y unsafe.Pointer, r *AxpyRows, n int){
		weights.Int4: axpy8Generic(weights.Int4), weights.Int4M: axpy8Generic(weights.Int4M),
	},
	axpy8Least: 1, axpy8Step: 1,
	rowDots: [weights.Dtypes]func(y, x, rows unsafe.Pointer, stride, n, count int){
		weights.F32: rowDotsGeneric(weights.F32), weights.F16: rowDotsGeneric(weights.F16),
	},
	rowSum: [weights.Dtypes]func(y, coef, rows unsafe.Pointer, stride, n, count int){
		weights.F32: rowSumGeneric(weights.F32), weights.F16: rowSumGeneric(weights.F16),
	},
	widen: widenGeneric,
	widenGroups: [weights.Dtypes]func(dst unsafe.Pointer, row weights.GroupRow, n int){
		weights.Int8G: widenGroupsGeneric(weights.Int8G), weights.Int4: widenGroupsGeneric(weights.Int4), weights.Int4M: widenGroupsGeneric(weights.Int4M),
	},
	Tile: tileGeneric, TileRows: 4, TileCols: genericCols,
	turn: turnGeneric, turnSize: 4,
	TilePairs: tilePairsGeneric, PackPairs: packPairsGeneric, widenPairs: widenPairsGeneric, prefetch: func(uintptr, int) {},
	widen16: [weights.Dtypes]func(dst, src unsafe.Pointer, n int){
		weights.Int8: widen16Bytes, weights.Int8G: widen16Bytes, weights.Int4: widen16Nibbles(8), weights.Int4M: widen16Nibbles(0),
	},
	Activate: [activation.ReLU + 1]func(y, x unsafe.Pointer, n int){
		activation.SiLU: activateGeneric(activation.SiLU), activation.GELU: activateGeneric(activation.GELU), activation.GELUTanh: activateGeneric(activation.GELUTanh), activation.ReLU: activateGeneric(activation.ReLU),
	},
	Mul: mulGeneric, Add: addGeneric, Scale: scaleGeneric,
	expSum: expSumGeneric, MaxColumns: maxColumnsGeneric, ExpColumns: expColumnsGeneric,
	Norm: normGeneric, SumSquares: sumSquaresGeneric,
	Read:       [5]func(p unsafe.Pointer, step, n int) float32{1: readGeneric(1), 2: readGeneric(2), 4: readGeneric(4)},
	Quantize16: quantize16Generic, quantizeGroups: quantizeGroupsGeneric,
}

var widenGeneric = [weights.Dtypes]func(dst, src unsafe.Pointer, n int){
	weights.F32: widenF32, weights.F16: widenF16, weights.BF16: widenBF16, weights.Int8: widenInt8,
}

func dot2F32(xp, ap, bp unsafe.Pointer, n int, _, _ uintptr) (float32, float32) {
	x, a, b := weights.SliceAt[float32](xp, n), weights.SliceAt[float32](ap, n), weights.SliceAt[float32](bp, n)
	var a0, a1, a2, a3, b0, b1, b2, b3 float32
	k := 0
	for ; k+4 <= n; k += 4 {
		xs, as, bs := x[k:k+4:k+4], a[k:k+4:k+4], b[k:k+4:k+4]
		a0 += xs[0] * as[0]
		a1 += xs[1] * as[1]
		a2 += xs[2] * as[2]
		a3 += xs[3] * as[3]
		b0 += xs[0] * bs[0]
		b1 += xs[1] * bs[1]
		b2 += xs[2] * bs[2]
		b3 += xs[3] * bs[3]
	}
	for ; k < n; k++ {
		a0 += x[k] * a[k]
		b0 += x[k] * b[k]
	}
	return a0 + a1 + (a2 + a3), b0 + b1 + (b2 + b3)
}

func dot2F16(xp, ap, bp unsafe.Pointer, n int, _, _ uintptr) (float32, float32) {
	x, a, b := weights.SliceAt[float32](xp, n), weights.SliceAt[uint16](ap, n), weights.SliceAt[uint16](bp, n)
	var a0, a1, b0, b1 float32
	for k := 0; k+1 < n; k += 2 {
		a0 += x[k] * weights.FromF16(a[k])
		b0 += x[k] * weights.FromF16(b[k])
		a1 += x[k+1] * weights.FromF16(a[k+1])
		b1 += x[k+1] * weights.FromF16(b[k+1])
	}
	if n&1 != 0 {
		a0 += x[n-1] * weights.FromF16(a[n-1])
		b0 += x[n-1] * weights.FromF16(b[n-1])
	}
	return a0 + a1, b0 + b1
}

func dot2BF16(xp, ap, bp unsafe.Pointer, n int, _, _ uintptr) (float32, float32) {
	x, a, b := weights.SliceAt[float32](xp, n), weights.SliceAt[uint16](ap, n), weights.SliceAt[uint16](bp, n)
	var a0, a1, b0, b1 float32
	for k := 0; k+1 < n; k += 2 {
		a0 += x[k] * weights.FromBF16(a[k])
		b0 += x[k] * weights.FromBF16(b[k])
		a1 += x[k+1] * weights.FromBF16(a[k+1])
		b1 += x[k+1] * weights.FromBF16(b[k+1])
	}
	if n&1 != 0 {
		a0 += x[n-1] * weights.FromBF16(a[n-1])
		b0 += x[n-1] * weights.FromBF16(b[n-1])
	}
	return a0 + a1, b0 + b1
}

func rowDotsGeneric(d weights.Dtype) func(y, x, rows unsafe.Pointer, stride, n, count int) {
	dot2 := dot2F32
	if d == weights.F16 {
		dot2 = dot2F16
	}
	return func(y, x, rows unsafe.Pointer, stride, n, count int) {
		out := weights.SliceAt[float32](y, count)
		for i := 0; i < count; i += 2 {
			last := min(i+1, count-1)
			a, b := dot2(x, unsafe.Add(rows, i*stride), unsafe.Add(rows, last*stride), n, 0, 0)
			out[i] += a
			if last > i {
				out[last] += b
			}
		}
	}
}

func rowSumGeneric(d weights.Dtype) func(y, coef, rows unsafe.Pointer, stride, n, count int) {
	return func(y, coef, rows unsafe.Pointer, stride, n, count int) {
		out := weights.SliceAt[float32](y, n)
		for i, c := range weights.SliceAt[float32](coef, count) {
			row := unsafe.Add(rows, i*stride)
			if d == weights.F16 {
				for k, v := range weights.SliceAt[uint16](row, n) {
					out[k] += c * weights.FromF16(v)
				}
				continue
			}
			for k, v := range weights.SliceAt[float32](row, n) {
				out[k] += c * v
			}
		}
	}
}

func dot2Int8(xp, ap, bp unsafe.Pointer, n int, _, _ uintptr) (float32, float32) {
	x, a, b := weights.SliceAt[int16](xp, n), weights.SliceAt[int8](ap, n), weights.SliceAt[int8](bp, n)
	var sa, sb int64
	for k, v := range x {
		sa += int64(v) * int64(a[k])
		sb += int64(v) * int64(b[k])
	}
	return float32(sa), float32(sb)
}

func dot2Groups(d weights.Dtype) func(x, a, b unsafe.Pointer, n int, nextA, nextB uintptr) (xa, xb float32) {
	dot := map[weights.Dtype]func(x *Operand, row weights.GroupRow, n int) float32{weights.Int8G: dotInt8G, weights.Int4: dotInt4, weights.Int4M: dotInt4M}[d]
	return func(xp, ap, bp unsafe.Pointer, n int, _, _ uintptr) (float32, float32) {
		x := (*Operand)(xp)
		return dot(x, weights.GroupedRow(d, ap, n*weights.Group), n), dot(x, weights.GroupedRow(d, bp, n*weights.Group), n)
	}
}

func dotInt8G(x *Operand, row weights.GroupRow, n int) float32 {
	xq, d := weights.SliceAt[int8](x.Q, n*weights.Group), weights.SliceAt[float32](x.d, n)
	w, scales := weights.SliceAt[int8](row.Quants, n*weights.Group), weights.SliceAt[uint16](row.Scales, n)
	var sum float32
	for g := range n {
		xs, ws := xq[g*weights.Group:][:weights.Group], w[g*weights.Group:][:weights.Group]
		var s int32
		for k, v := range xs {
			s += int32(v) * int32(ws[k])
		}
		sum += weights.FromF16(scales[g]) * d[g] * float32(s)
	}
	return sum
}

// quants4 is Σ x·q, q the unsigned nibbles of a group.
func quants4(xs []int8, w []byte) (s int32) {
	xs, w = xs[:weights.Group], w[:weights.Group/2]
	for k, b := range w {
		s += int32(xs[k])*int32(b&15) + int32(xs[k+16])*int32(b>>4)
	}
	return s
}

func dotInt4(x *Operand, row weights.GroupRow, n int) float32 {
	xq, d, sums := weights.SliceAt[int8](x.Q, n*weights.Group), weights.SliceAt[float32](x.d, n), weights.SliceAt[float32](x.s, n)
	w, scales := weights.SliceAt[byte](row.Quants, n*16), weights.SliceAt[uint16](row.Scales, n)
	var sum float32
	for g := range n {
		sum += weights.FromF16(scales[g]) * (d[g]*float32(quants4(xq[g*weights.Group:], w[g*16:])) - 8*sums[g])
	}
	return sum
}

func dotInt4M(x *Operand, row weights.GroupRow, n int) float32 {
	xq, d, sums := weights.SliceAt[int8](x.Q, n*weights.Group), weights.SliceAt[float32](x.d, n), weights.SliceAt[float32](x.s, n)
	w, scales, mins := weights.SliceAt[byte](row.Quants, n*16), weights.SliceAt[uint16](row.Scales, n), weights.SliceAt[uint16](row.Mins, n)
	var sum float32
	for g := range n {
		sum += weights.FromF16(scales[g])*d[g]*float32(quants4(xq[g*weights.Group:], w[g*16:])) + weights.FromF16(mins[g])*sums[g]
	}
	return sum
}

func axpyGeneric(d weights.Dtype, rows int) func(y unsafe.Pointer, r *AxpyRows, n int) {
	return func(yp unsafe.Pointer, r *AxpyRows, n int) {
		y := weights.SliceAt[float32](yp, n)
		var w [weights.Group]float32
		for i := range rows {
			c := r.Coef[i]
			for k := 0; k < n; k += weights.Group {
				out := y[k:min(k+weights.Group, n)]
				if d.Grouped() {
					weights.DecodeGroups(d, w[:], weights.GroupRow{Quants: r.Row[i], Scales: r.scales[i], Mins: r.mins[i]}, k, len(out))
				} else {
					widenAny(d, unsafe.Pointer(&w[0]), unsafe.Add(r.Row[i], k*d.Size()), len(out))
				}
				for j := range out {
					out[j] += c * w[j]
				}
			}
		}
	}
}

func axpy8Generic(d weights.Dtype) func(y unsafe.Pointer, r *AxpyRows, n int) {
	return func(yp unsafe.Pointer, r *AxpyRows, n int) {
		y := weights.SliceAt[[weights.Group]float32](yp, n)
		for g := range y {
			var products [8]float32
			var most uint32
			for i, c := range r.Coef {
				products[i] = c * weights.FromF16(*(*uint16)(unsafe.Add(r.scales[i], 2*g)))
				most = max(most, math.Float32bits(products[i])&0x7fffffff)
			}
			factor := weights.Finite(most) * (1.0 / 127)
			var sums [weights.Group]int
			var rounded, exact, mins float32
			for i, p := range products {
				q := weights.Quantum(p*(1/factor), 1, 127)
				if factor == 0 {
					q = 0
				}
				rounded += float32(q)
				if d == weights.Int4M {
					exact += p
					mins += r.Coef[i] * weights.FromF16(*(*uint16)(unsafe.Add(r.mins[i], 2*g)))
				}
				w := weights.SliceAt[byte](unsafe.Add(r.Row[i], 16*g), 16)
				for j := range sums {
					sums[j] += q * int(weights.Nibble(w, j))
				}
			}
			offset := mins - 8*(rounded*factor-exact)
			for j, s := range sums {
				y[g][j] += offset + factor*float32(s)
			}
		}
	}
}

// widenAny calls what widenGeneric holds: through a table, what dst points to would move to the heap.
func widenAny(d weights.Dtype, dst, src unsafe.Pointer, n int) {
	switch d {
	case weights.F32:
		widenF32(dst, src, n)
	case weights.F16:
		widenF16(dst, src, n)
	case weights.BF16:
		widenBF16(dst, src, n)
	case weights.Int8:
		widenInt8(dst, src, n)
	}
}

func widenF32(dst, src unsafe.Pointer, n int) {
	copy(weights.SliceAt[float32](dst, n), weights.SliceAt[float32](src, n))
}

func widenF16(dst, src unsafe.Pointer, n int) {
	out := weights.SliceAt[float32](dst, n)
	for k, h := range weights.SliceAt[uint16](src, n) {
		out[k] = weights.FromF16(h)
	}
}

func widenBF16(dst, src unsafe.Pointer, n int) {
	out := weights.SliceAt[float32](dst, n)
	for k, h := range weights.SliceAt[uint16](src, n) {
		out[k] = weights.FromBF16(h)
	}
}

func widenInt8(dst, src unsafe.Pointer, n int) {
	out := weights.SliceAt[float32](dst, n)
	for k, q := range weights.SliceAt[int8](src, n) {
		out[k] = float32(q)
	}
}

func widenGroupsGeneric(d weights.Dtype) func(dst unsafe.Pointer, row weights.GroupRow, n int) {
	return func(dst unsafe.Pointer, row weights.GroupRow, n int) {
		weights.DecodeGroups(d, weights.SliceAt[float32](dst, n*weights.Group), row, 0, n*weights.Group)
	}
}

func turnGeneric(dst, src unsafe.Pointer, dstStep, srcStep int) {
	const n = 4
	for i := range n {
		for j := range n {
			*(*float32)(unsafe.Add(dst, j*dstStep+4*i)) = *(*float32)(unsafe.Add(src, i*srcStep+4*j))
		}
	}
}

func tileGeneric(cp, wp unsafe.Pointer, rowStep, colStep int, xp unsafe.Pointer, k int) {
	c := (*[4][4]float32)(cp)
	x := weights.SliceAt[[4]float32](xp, k)
	for i := range c {
		c0, c1, c2, c3 := c[i][0], c[i][1], c[i][2], c[i][3]
		p := unsafe.Add(wp, i*rowStep)
		for j := range x {
			w := *(*float32)(unsafe.Add(p, j*colStep))
			c0 += w * x[j][0]
			c1 += w * x[j][1]
			c2 += w * x[j][2]
			c3 += w * x[j][3]
		}
		c[i] = [4]float32{c0, c1, c2, c3}
	}
}

func tilePairsGeneric(cp, wp unsafe.Pointer, rowStep, colStep int, xp, factors unsafe.Pointer, factorStep, pairs, groups int) {
	c := (*[4][4]float32)(cp)
	x := weights.SliceAt[[4][2]int16](xp, groups*pairs)
	for g := range groups {
		for i := range c {
			var sums [4]int32
			for k, in := range x[g*pairs:][:pairs] {
				w := (*[2]int16)(unsafe.Add(wp, i*rowStep+(g*pairs+k)*colStep))
				for j, v := range in {
					sums[j] += int32(v[0])*int32(w[0]) + int32(v[1])*int32(w[1])
				}
			}
			f := *(*float32)(unsafe.Add(factors, i*factorStep+4*g))
			for j, s := range sums {
				c[i][j] += f * float32(s)
			}
		}
	}
}

func packPairsGeneric(dst, src, scales, factors unsafe.Pointer, factorStep, n int) {
	in, out, s := weights.SliceAt[[4]float32](src, n), weights.SliceAt[[4][2]int16](dst, n/2), (*[4]float32)(scales)
	var most [4]uint32
	factor := func(k int) float32 { return *(*float32)(unsafe.Add(factors, k*factorStep)) }
	for k, row := range in {
		for j, v := range row {
			most[j] = max(most[j], math.Float32bits(v*factor(k))&0x7fffffff)
		}
	}
	for j, m := range most {
		s[j] = weights.Finite(m) / Int16Limit
	}
	for k, row := range in {
		for j, v := range row {
			out[k/2][j][k%2] = int16(weights.Quantum(v*factor(k), s[j], Int16Limit))
		}
	}
}

func widen16Bytes(dst, src unsafe.Pointer, n int) {
	out := weights.SliceAt[int16](dst, n*weights.Group)
	for k, q := range weights.SliceAt[int8](src, n*weights.Group) {
		out[k] = int16(q)
	}
}

func widen16Nibbles(offset int16) func(dst, src unsafe.Pointer, n int) {
	return func(dst, src unsafe.Pointer, n int) {
		out, in := weights.SliceAt[int16](dst, n*weights.Group), weights.SliceAt[byte](src, n*weights.Group/2)
		for k := range out {
			out[k] = int16(weights.Nibble(in[k/weights.Group*16:], k%weights.Group)) - offset
		}
	}
}

func widenPairsGeneric(dst, a, b unsafe.Pointer, n int) {
	out, second := weights.SliceAt[[2]int16](dst, n), weights.SliceAt[int8](b, n)
	for k, q := range weights.SliceAt[int8](a, n) {
		out[k] = [2]int16{int16(q), int16(second[k])}
	}
}

func activateGeneric(a activation.Func) func(y, x unsafe.Pointer, n int) {
	return func(yp, xp unsafe.Pointer, n int) {
		y := weights.SliceAt[float32](yp, n)
		for k, v := range weights.SliceAt[float32](xp, n) {
			y[k] = a.Apply32(v)
		}
	}
}

func mulGeneric(yp, ap, bp unsafe.Pointer, n int) {
	y, a, b := weights.SliceAt[float32](yp, n), weights.SliceAt[float32](ap, n), weights.SliceAt[float32](bp, n)
	for k := range y {
		y[k] = a[k] * b[k]
	}
}

func addGeneric(yp, ap, bp unsafe.Pointer, n int) {
	y, a, b := weights.SliceAt[float32](yp, n), weights.SliceAt[float32](ap, n), weights.SliceAt[float32](bp, n)
	for k := range y {
		y[k] = a[k] + b[k]
	}
}

func expSumGeneric(yp, xp unsafe.Pointer, shift float32, n int) float32 {
	y := weights.SliceAt[float32](yp, n)
	var sum float64
	for k, v := range weights.SliceAt[float32](xp, n) {
		e := math.Exp(float64(v) - float64(shift))
		y[k] = float32(e)
		sum += e
	}
	return float32(sum)
}

const genericCols = 4 // of its tiles

func maxColumnsGeneric(largest, xp unsafe.Pointer, rows int) {
	m := weights.SliceAt[float32](largest, genericCols)
	for i, x := range weights.SliceAt[float32](xp, rows*genericCols) {
		if j := i % genericCols; !(x <= m[j]) {
			m[j] = x
		}
	}
}

func expColumnsGeneric(xp, shifts, sums unsafe.Pointer, rows int) {
	shift, sum := weights.SliceAt[float32](shifts, genericCols), weights.SliceAt[float32](sums, genericCols)
	x := weights.SliceAt[float32](xp, rows*genericCols)
	for i := range x {
		x[i] = float32(math.Exp(float64(x[i]) - float64(shift[i%genericCols])))
		sum[i%genericCols] += x[i]
	}
}

func normGeneric(yp, xp, wp unsafe.Pointer, scale float32, n int) {
	y, x, w := weights.SliceAt[float32](yp, n), weights.SliceAt[float32](xp, n), weights.SliceAt[float32](wp, n)
	for k := range y {
		y[k] = x[k] * scale * w[k]
	}
}

func sumSquaresGeneric(xp unsafe.Pointer, n int) float64 {
	var s0, s1 float64
	x := weights.SliceAt[float32](xp, n)
	for k := 0; k+1 < n; k += 2 {
		s0 += float64(x[k]) * float64(x[k])
		s1 += float64(x[k+1]) * float64(x[k+1])
	}
	if n&1 != 0 {
		s0 += float64(x[n-1]) * float64(x[n-1])
	}
	return s0 + s1
}

func scaleGeneric(yp unsafe.Pointer, factor float32, n int) {
	y := weights.SliceAt[float32](yp, n)
	for k := range y {
		y[k] *= factor
	}
}

func readGeneric(streams int) func(p unsafe.Pointer, step, n int) float32 {
	return func(p unsafe.Pointer, step, n int) float32 {
		var sum uint64
		for o := 0; o < n; o += 256 {
			for s := range streams {
				for _, w := range (*[32]uint64)(unsafe.Add(p, s*step+o)) {
					sum += w
				}
			}
		}
		return float32(sum)
	}
}
