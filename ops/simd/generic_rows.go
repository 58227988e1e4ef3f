package simd

import (
	"math"
	"unsafe"

	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// The dtypes without groups in plain Go.
var (
	plainF32  = plainRow[float32]{4, dot2F32, addF32, widenF32}
	plainF16  = plainRow[float32]{2, dot2F16, addF16, widenF16}
	plainBF16 = plainRow[float32]{2, dot2BF16, addBF16, widenBF16}
	plainInt8 = plainRow[int16]{1, dot2Int8, addInt8, widenInt8}
)

// ungrouped returns the kernels of generic.
func (p *plainRow[X]) ungrouped() ungrouped[X] {
	adds := func(count int) func(y []float32, r *AxpyRows) {
		return func(y []float32, r *AxpyRows) {
			for i := range count {
				p.add(y, r.Row[i], r.Coef[i])
			}
		}
	}
	return ungrouped[X]{
		dot: func(x []X, r *DotRows) {
			r.Sum[0], r.Sum[1] = p.dot2(x, r.Row[0], r.Row[1])
			r.Sum[2], r.Sum[3] = p.dot2(x, r.Row[2], r.Row[3])
		},
		add4: adds(4), add1: adds(1), widen: p.widen, plain: p,
	}
}

func (p *plainRow[X]) rowDots(y []float32, x []X, rows unsafe.Pointer, stride int) {
	for i := 0; i < len(y); i += 2 {
		last := min(i+1, len(y)-1)
		a, b := p.dot2(x, unsafe.Add(rows, i*stride), unsafe.Add(rows, last*stride))
		y[i] += a
		if last > i {
			y[last] += b
		}
	}
}

func (p *plainRow[X]) rowSum(y, coef []float32, rows unsafe.Pointer, stride int) {
	for i, c := range coef {
		p.add(y, unsafe.Add(rows, i*stride), c)
	}
}

func dot2F32(x []float32, ap, bp unsafe.Pointer) (float32, float32) {
	n := len(x)
	a, b := weights.SliceAt[float32](ap, n), weights.SliceAt[float32](bp, n)
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

func addF32(y []float32, row unsafe.Pointer, coef float32) {
	for k, w := range weights.SliceAt[float32](row, len(y)) {
		y[k] += coef * w
	}
}

func widenF32(dst []float32, row unsafe.Pointer) { copy(dst, weights.SliceAt[float32](row, len(dst))) }

func dot2F16(x []float32, ap, bp unsafe.Pointer) (float32, float32) {
	n := len(x)
	a, b := weights.SliceAt[uint16](ap, n), weights.SliceAt[uint16](bp, n)
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

func addF16(y []float32, row unsafe.Pointer, coef float32) {
	for k, h := range weights.SliceAt[uint16](row, len(y)) {
		y[k] += coef * weights.FromF16(h)
	}
}

func widenF16(dst []float32, row unsafe.Pointer) {
	for k, h := range weights.SliceAt[uint16](row, len(dst)) {
		dst[k] = weights.FromF16(h)
	}
}

func dot2BF16(x []float32, ap, bp unsafe.Pointer) (float32, float32) {
	n := len(x)
	a, b := weights.SliceAt[uint16](ap, n), weights.SliceAt[uint16](bp, n)
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

func addBF16(y []float32, row unsafe.Pointer, coef float32) {
	for k, h := range weights.SliceAt[uint16](row, len(y)) {
		y[k] += coef * weights.FromBF16(h)
	}
}

func widenBF16(dst []float32, row unsafe.Pointer) {
	for k, h := range weights.SliceAt[uint16](row, len(dst)) {
		dst[k] = weights.FromBF16(h)
	}
}

func dot2Int8(x []int16, ap, bp unsafe.Pointer) (float32, float32) {
	a, b := weights.SliceAt[int8](ap, len(x)), weights.SliceAt[int8](bp, len(x))
	var sa, sb int64
	for k, v := range x {
		sa += int64(v) * int64(a[k])
		sb += int64(v) * int64(b[k])
	}
	return float32(sa), float32(sb)
}

func addInt8(y []float32, row unsafe.Pointer, coef float32) {
	for k, q := range weights.SliceAt[int8](row, len(y)) {
		y[k] += coef * float32(q)
	}
}

func widenInt8(dst []float32, row unsafe.Pointer) {
	for k, q := range weights.SliceAt[int8](row, len(dst)) {
		dst[k] = float32(q)
	}
}

// widenPairs makes pairs of two rows of bytes.
func widenPairs(dst []int16, a, b unsafe.Pointer) {
	second := weights.SliceAt[int8](b, len(dst)/2)
	for k, q := range weights.SliceAt[int8](a, len(dst)/2) {
		dst[2*k], dst[2*k+1] = int16(q), int16(second[k])
	}
}

func widen16Bytes(dst []int16, quants unsafe.Pointer) {
	for k, q := range weights.SliceAt[int8](quants, len(dst)) {
		dst[k] = int16(q)
	}
}

// widen16Nibbles writes the nibbles less an offset.
func widen16Nibbles(offset int16) func(dst []int16, quants unsafe.Pointer) {
	return func(dst []int16, quants unsafe.Pointer) {
		q := weights.SliceAt[byte](quants, len(dst)/2)
		for k := range dst {
			dst[k] = int16(weights.Nibble(q[k/weights.Group*16:], k%weights.Group)) - offset
		}
	}
}

func widenGroups(d weights.Dtype) func(dst []float32, row weights.GroupRow) {
	return func(dst []float32, row weights.GroupRow) { weights.DecodeGroups(d, dst, row, 0, len(dst)) }
}

// dotGroups makes a dot of four rows of one of a single row.
func dotGroups(d weights.Dtype, dot func(x *Operand, row weights.GroupRow, groups int) float32) func(*Operand, *DotRows, int) {
	return func(x *Operand, r *DotRows, groups int) {
		for i, row := range r.Row {
			r.Sum[i] = dot(x, weights.GroupedRow(d, row, groups*weights.Group), groups)
		}
	}
}

func dotInt8G(x *Operand, row weights.GroupRow, groups int) (sum float32) {
	w, scales := weights.SliceAt[int8](row.Quants, groups*weights.Group), weights.SliceAt[uint16](row.Scales, groups)
	for g := range groups {
		xs, ws := x.q[g*weights.Group:][:weights.Group], w[g*weights.Group:][:weights.Group]
		var s int32
		for k, v := range xs {
			s += int32(v) * int32(ws[k])
		}
		sum += weights.FromF16(scales[g]) * x.d[g] * float32(s)
	}
	return sum
}

// dotNibbles returns Σ x·q, q the unsigned nibbles of a group.
func dotNibbles(x []int8, q []byte) (s int32) {
	x, q = x[:weights.Group], q[:weights.Group/2]
	for k, b := range q {
		s += int32(x[k])*int32(b&15) + int32(x[k+16])*int32(b>>4)
	}
	return s
}

func dotInt4(x *Operand, row weights.GroupRow, groups int) (sum float32) {
	w, scales := weights.SliceAt[byte](row.Quants, groups*16), weights.SliceAt[uint16](row.Scales, groups)
	for g := range groups {
		sum += weights.FromF16(scales[g]) * (x.d[g]*float32(dotNibbles(x.q[g*weights.Group:], w[g*16:])) - 8*x.s[g])
	}
	return sum
}

func dotInt4M(x *Operand, row weights.GroupRow, groups int) (sum float32) {
	w, scales, mins := weights.SliceAt[byte](row.Quants, groups*16), weights.SliceAt[uint16](row.Scales, groups), weights.SliceAt[uint16](row.Mins, groups)
	for g := range groups {
		sum += weights.FromF16(scales[g])*x.d[g]*float32(dotNibbles(x.q[g*weights.Group:], w[g*16:])) + weights.FromF16(mins[g])*x.s[g]
	}
	return sum
}

// addGroups adds the first count rows.
func addGroups(d weights.Dtype, count int) func(y []float32, r *AxpyRows) {
	return func(y []float32, r *AxpyRows) {
		var w [weights.Group]float32
		for i := range count {
			row := weights.GroupRow{Quants: r.Row[i], Scales: r.scales[i], Mins: r.mins[i]}
			for k := 0; k < len(y); k += weights.Group {
				weights.DecodeGroups(d, w[:], row, k, weights.Group)
				for j, v := range w {
					y[k+j] += r.Coef[i] * v
				}
			}
		}
	}
}

// addNibbles adds eight rows: for each group, p(i) = coef(i)·scale(i) are rounded to multiples q(i)
// of max|p|/127, and
//
//	y[j] += Σᵢ coef(i)·min(i) + 8·(max|p|/127·Σᵢ q(i) − Σᵢ p(i)) … + max|p|/127·Σᵢ q(i)·nibble(i,j)
func addNibbles(d weights.Dtype) func(y []float32, r *AxpyRows) {
	return func(y []float32, r *AxpyRows) {
		for g := range len(y) / weights.Group {
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
				if d.Minima() {
					exact += p
					mins += r.Coef[i] * weights.FromF16(*(*uint16)(unsafe.Add(r.mins[i], 2*g)))
				}
				w := weights.SliceAt[byte](unsafe.Add(r.Row[i], 16*g), 16)
				for j := range sums {
					sums[j] += q * int(weights.Nibble(w, j))
				}
			}
			offset := mins - 8*(rounded*factor-exact)
			y := y[g*weights.Group:][:weights.Group]
			for j, s := range sums {
				y[j] += offset + factor*float32(s)
			}
		}
	}
}
