package kernel

import (
	"math"
	"unsafe"
)

// generic is written in plain Go. It defines the primitives, runs where there
// is no assembly, and takes the odd ends that assembly leaves.
var generic = variant{
	name: "generic",
	dot2: [dtypes]func(x, a, b unsafe.Pointer, n int, nextA, nextB uintptr) (xa, xb float32){
		F32: dot2F32, F16: dot2F16, BF16: dot2BF16, Int8: dot2Int8,
		Int8G: dot2Groups(Int8G), Int4: dot2Groups(Int4), Int4M: dot2Groups(Int4M),
	},
	axpy4: [dtypes]func(y unsafe.Pointer, r *axpyRows, n int){
		F32: axpyGeneric(F32, 4), F16: axpyGeneric(F16, 4), BF16: axpyGeneric(BF16, 4), Int8: axpyGeneric(Int8, 4),
		Int8G: axpyGeneric(Int8G, 4), Int4: axpyGeneric(Int4, 4), Int4M: axpyGeneric(Int4M, 4),
	},
	axpy1: [dtypes]func(y unsafe.Pointer, r *axpyRows, n int){
		F32: axpyGeneric(F32, 1), F16: axpyGeneric(F16, 1), BF16: axpyGeneric(BF16, 1), Int8: axpyGeneric(Int8, 1),
		Int8G: axpyGeneric(Int8G, 1), Int4: axpyGeneric(Int4, 1), Int4M: axpyGeneric(Int4M, 1),
	},
	axpy8: [dtypes]func(y unsafe.Pointer, r *axpyRows, n int){
		Int4: axpy8Generic(Int4), Int4M: axpy8Generic(Int4M),
	},
	axpy8Least: 1, axpy8Step: 1,
	rowDots: [dtypes]func(y, x, rows unsafe.Pointer, stride, n, count int){
		F32: rowDotsGeneric(F32), F16: rowDotsGeneric(F16),
	},
	rowSum: [dtypes]func(y, coef, rows unsafe.Pointer, stride, n, count int){
		F32: rowSumGeneric(F32), F16: rowSumGeneric(F16),
	},
	widen: widenGeneric,
	widenGroups: [dtypes]func(dst unsafe.Pointer, row groupRow, n int){
		Int8G: widenGroupsGeneric(Int8G), Int4: widenGroupsGeneric(Int4), Int4M: widenGroupsGeneric(Int4M),
	},
	tile: tileGeneric, tileRows: 4, tileCols: genericCols,
	turn: turnGeneric, turnSize: 4,
	tilePairs: tilePairsGeneric, packPairs: packPairsGeneric, widenPairs: widenPairsGeneric, prefetch: func(uintptr, int) {},
	widen16: [dtypes]func(dst, src unsafe.Pointer, n int){
		Int8: widen16Bytes, Int8G: widen16Bytes, Int4: widen16Nibbles(8), Int4M: widen16Nibbles(0),
	},
	activate: [ReLU + 1]func(y, x unsafe.Pointer, n int){
		SiLU: activateGeneric(SiLU), GELU: activateGeneric(GELU), GELUTanh: activateGeneric(GELUTanh), ReLU: activateGeneric(ReLU),
	},
	mul: mulGeneric, add: addGeneric, scale: scaleGeneric,
	expSum: expSumGeneric, maxColumns: maxColumnsGeneric, expColumns: expColumnsGeneric,
	norm: normGeneric, sumSquares: sumSquaresGeneric,
	read:       [5]func(p unsafe.Pointer, step, n int) float32{1: readGeneric(1), 2: readGeneric(2), 4: readGeneric(4)},
	quantize16: quantize16Generic, quantizeGroups: quantizeGroupsGeneric,
}

var widenGeneric = [dtypes]func(dst, src unsafe.Pointer, n int){
	F32: widenF32, F16: widenF16, BF16: widenBF16, Int8: widenInt8,
}

func dot2F32(xp, ap, bp unsafe.Pointer, n int, _, _ uintptr) (float32, float32) {
	x, a, b := values[float32](xp, n), values[float32](ap, n), values[float32](bp, n)
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
	x, a, b := values[float32](xp, n), values[uint16](ap, n), values[uint16](bp, n)
	var a0, a1, b0, b1 float32
	for k := 0; k+1 < n; k += 2 {
		a0 += x[k] * fromF16(a[k])
		b0 += x[k] * fromF16(b[k])
		a1 += x[k+1] * fromF16(a[k+1])
		b1 += x[k+1] * fromF16(b[k+1])
	}
	if n&1 != 0 {
		a0 += x[n-1] * fromF16(a[n-1])
		b0 += x[n-1] * fromF16(b[n-1])
	}
	return a0 + a1, b0 + b1
}

func dot2BF16(xp, ap, bp unsafe.Pointer, n int, _, _ uintptr) (float32, float32) {
	x, a, b := values[float32](xp, n), values[uint16](ap, n), values[uint16](bp, n)
	var a0, a1, b0, b1 float32
	for k := 0; k+1 < n; k += 2 {
		a0 += x[k] * fromBF16(a[k])
		b0 += x[k] * fromBF16(b[k])
		a1 += x[k+1] * fromBF16(a[k+1])
		b1 += x[k+1] * fromBF16(b[k+1])
	}
	if n&1 != 0 {
		a0 += x[n-1] * fromBF16(a[n-1])
		b0 += x[n-1] * fromBF16(b[n-1])
	}
	return a0 + a1, b0 + b1
}

func rowDotsGeneric(d Dtype) func(y, x, rows unsafe.Pointer, stride, n, count int) {
	dot2 := dot2F32
	if d == F16 {
		dot2 = dot2F16
	}
	return func(y, x, rows unsafe.Pointer, stride, n, count int) {
		out := values[float32](y, count)
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

func rowSumGeneric(d Dtype) func(y, coef, rows unsafe.Pointer, stride, n, count int) {
	return func(y, coef, rows unsafe.Pointer, stride, n, count int) {
		out := values[float32](y, n)
		for i, c := range values[float32](coef, count) {
			row := unsafe.Add(rows, i*stride)
			if d == F16 {
				for k, v := range values[uint16](row, n) {
					out[k] += c * fromF16(v)
				}
				continue
			}
			for k, v := range values[float32](row, n) {
				out[k] += c * v
			}
		}
	}
}

func dot2Int8(xp, ap, bp unsafe.Pointer, n int, _, _ uintptr) (float32, float32) {
	x, a, b := values[int16](xp, n), values[int8](ap, n), values[int8](bp, n)
	var sa, sb int64
	for k, v := range x {
		sa += int64(v) * int64(a[k])
		sb += int64(v) * int64(b[k])
	}
	return float32(sa), float32(sb)
}

func dot2Groups(d Dtype) func(x, a, b unsafe.Pointer, n int, nextA, nextB uintptr) (xa, xb float32) {
	dot := map[Dtype]func(x *operand, row groupRow, n int) float32{Int8G: dotInt8G, Int4: dotInt4, Int4M: dotInt4M}[d]
	return func(xp, ap, bp unsafe.Pointer, n int, _, _ uintptr) (float32, float32) {
		x := (*operand)(xp)
		return dot(x, groupedRow(d, ap, n*group), n), dot(x, groupedRow(d, bp, n*group), n)
	}
}

func dotInt8G(x *operand, row groupRow, n int) float32 {
	xq, d := values[int8](x.q, n*group), values[float32](x.d, n)
	w, scales := values[int8](row.quants, n*group), values[uint16](row.scales, n)
	var sum float32
	for g := range n {
		xs, ws := xq[g*group:][:group], w[g*group:][:group]
		var s int32
		for k, v := range xs {
			s += int32(v) * int32(ws[k])
		}
		sum += fromF16(scales[g]) * d[g] * float32(s)
	}
	return sum
}

// quants4 is Σ x·q, q the unsigned nibbles of a group.
func quants4(xs []int8, w []byte) (s int32) {
	xs, w = xs[:group], w[:group/2]
	for k, b := range w {
		s += int32(xs[k])*int32(b&15) + int32(xs[k+16])*int32(b>>4)
	}
	return s
}

func dotInt4(x *operand, row groupRow, n int) float32 {
	xq, d, sums := values[int8](x.q, n*group), values[float32](x.d, n), values[float32](x.s, n)
	w, scales := values[byte](row.quants, n*16), values[uint16](row.scales, n)
	var sum float32
	for g := range n {
		sum += fromF16(scales[g]) * (d[g]*float32(quants4(xq[g*group:], w[g*16:])) - 8*sums[g])
	}
	return sum
}

func dotInt4M(x *operand, row groupRow, n int) float32 {
	xq, d, sums := values[int8](x.q, n*group), values[float32](x.d, n), values[float32](x.s, n)
	w, scales, mins := values[byte](row.quants, n*16), values[uint16](row.scales, n), values[uint16](row.mins, n)
	var sum float32
	for g := range n {
		sum += fromF16(scales[g])*d[g]*float32(quants4(xq[g*group:], w[g*16:])) + fromF16(mins[g])*sums[g]
	}
	return sum
}

func axpyGeneric(d Dtype, rows int) func(y unsafe.Pointer, r *axpyRows, n int) {
	return func(yp unsafe.Pointer, r *axpyRows, n int) {
		y := values[float32](yp, n)
		var w [group]float32
		for i := range rows {
			c := r.coef[i]
			for k := 0; k < n; k += group {
				out := y[k:min(k+group, n)]
				if d.grouped() {
					decodeGroups(d, w[:], groupRow{r.row[i], r.scales[i], r.mins[i]}, k, len(out))
				} else {
					widenAny(d, unsafe.Pointer(&w[0]), unsafe.Add(r.row[i], k*d.size()), len(out))
				}
				for j := range out {
					out[j] += c * w[j]
				}
			}
		}
	}
}

func axpy8Generic(d Dtype) func(y unsafe.Pointer, r *axpyRows, n int) {
	return func(yp unsafe.Pointer, r *axpyRows, n int) {
		y := values[[group]float32](yp, n)
		for g := range y {
			var products [8]float32
			var most uint32
			for i, c := range r.coef {
				products[i] = c * fromF16(*(*uint16)(unsafe.Add(r.scales[i], 2*g)))
				most = max(most, math.Float32bits(products[i])&0x7fffffff)
			}
			factor := finite(most) * (1.0 / 127)
			var sums [group]int
			var rounded, exact, mins float32
			for i, p := range products {
				q := quantum(p*(1/factor), 1, 127)
				if factor == 0 {
					q = 0
				}
				rounded += float32(q)
				if d == Int4M {
					exact += p
					mins += r.coef[i] * fromF16(*(*uint16)(unsafe.Add(r.mins[i], 2*g)))
				}
				w := values[byte](unsafe.Add(r.row[i], 16*g), 16)
				for j := range sums {
					sums[j] += q * int(nibble(w, j))
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
func widenAny(d Dtype, dst, src unsafe.Pointer, n int) {
	switch d {
	case F32:
		widenF32(dst, src, n)
	case F16:
		widenF16(dst, src, n)
	case BF16:
		widenBF16(dst, src, n)
	case Int8:
		widenInt8(dst, src, n)
	}
}

func widenF32(dst, src unsafe.Pointer, n int) {
	copy(values[float32](dst, n), values[float32](src, n))
}

func widenF16(dst, src unsafe.Pointer, n int) {
	out := values[float32](dst, n)
	for k, h := range values[uint16](src, n) {
		out[k] = fromF16(h)
	}
}

func widenBF16(dst, src unsafe.Pointer, n int) {
	out := values[float32](dst, n)
	for k, h := range values[uint16](src, n) {
		out[k] = fromBF16(h)
	}
}

func widenInt8(dst, src unsafe.Pointer, n int) {
	out := values[float32](dst, n)
	for k, q := range values[int8](src, n) {
		out[k] = float32(q)
	}
}

func widenGroupsGeneric(d Dtype) func(dst unsafe.Pointer, row groupRow, n int) {
	return func(dst unsafe.Pointer, row groupRow, n int) {
		decodeGroups(d, values[float32](dst, n*group), row, 0, n*group)
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
	x := values[[4]float32](xp, k)
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
	x := values[[4][2]int16](xp, groups*pairs)
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
	in, out, s := values[[4]float32](src, n), values[[4][2]int16](dst, n/2), (*[4]float32)(scales)
	var most [4]uint32
	factor := func(k int) float32 { return *(*float32)(unsafe.Add(factors, k*factorStep)) }
	for k, row := range in {
		for j, v := range row {
			most[j] = max(most[j], math.Float32bits(v*factor(k))&0x7fffffff)
		}
	}
	for j, m := range most {
		s[j] = finite(m) / int16Limit
	}
	for k, row := range in {
		for j, v := range row {
			out[k/2][j][k%2] = int16(quantum(v*factor(k), s[j], int16Limit))
		}
	}
}

func widen16Bytes(dst, src unsafe.Pointer, n int) {
	out := values[int16](dst, n*group)
	for k, q := range values[int8](src, n*group) {
		out[k] = int16(q)
	}
}

func widen16Nibbles(offset int16) func(dst, src unsafe.Pointer, n int) {
	return func(dst, src unsafe.Pointer, n int) {
		out, in := values[int16](dst, n*group), values[byte](src, n*group/2)
		for k := range out {
			out[k] = int16(nibble(in[k/group*16:], k%group)) - offset
		}
	}
}

func widenPairsGeneric(dst, a, b unsafe.Pointer, n int) {
	out, second := values[[2]int16](dst, n), values[int8](b, n)
	for k, q := range values[int8](a, n) {
		out[k] = [2]int16{int16(q), int16(second[k])}
	}
}

func activateGeneric(a Activation) func(y, x unsafe.Pointer, n int) {
	return func(yp, xp unsafe.Pointer, n int) {
		y := values[float32](yp, n)
		for k, v := range values[float32](xp, n) {
			y[k] = a.Apply32(v)
		}
	}
}

func mulGeneric(yp, ap, bp unsafe.Pointer, n int) {
	y, a, b := values[float32](yp, n), values[float32](ap, n), values[float32](bp, n)
	for k := range y {
		y[k] = a[k] * b[k]
	}
}

func addGeneric(yp, ap, bp unsafe.Pointer, n int) {
	y, a, b := values[float32](yp, n), values[float32](ap, n), values[float32](bp, n)
	for k := range y {
		y[k] = a[k] + b[k]
	}
}

func expSumGeneric(yp, xp unsafe.Pointer, shift float32, n int) float32 {
	y := values[float32](yp, n)
	var sum float64
	for k, v := range values[float32](xp, n) {
		e := math.Exp(float64(v) - float64(shift))
		y[k] = float32(e)
		sum += e
	}
	return float32(sum)
}

const genericCols = 4 // of its tiles

func maxColumnsGeneric(largest, xp unsafe.Pointer, rows int) {
	m := values[float32](largest, genericCols)
	for i, x := range values[float32](xp, rows*genericCols) {
		if j := i % genericCols; !(x <= m[j]) {
			m[j] = x
		}
	}
}

func expColumnsGeneric(xp, shifts, sums unsafe.Pointer, rows int) {
	shift, sum := values[float32](shifts, genericCols), values[float32](sums, genericCols)
	x := values[float32](xp, rows*genericCols)
	for i := range x {
		x[i] = float32(math.Exp(float64(x[i]) - float64(shift[i%genericCols])))
		sum[i%genericCols] += x[i]
	}
}

func normGeneric(yp, xp, wp unsafe.Pointer, scale float32, n int) {
	y, x, w := values[float32](yp, n), values[float32](xp, n), values[float32](wp, n)
	for k := range y {
		y[k] = x[k] * scale * w[k]
	}
}

func sumSquaresGeneric(xp unsafe.Pointer, n int) float64 {
	var s0, s1 float64
	x := values[float32](xp, n)
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
	y := values[float32](yp, n)
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
