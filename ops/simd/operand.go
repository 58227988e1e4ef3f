package simd

import (
	"unsafe"

	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// operand is one input vector in the form that the dots of a dtype read.
//
// Float weights read the numbers themselves. Int8 weights read int16 with one
// scale: it costs no more than bytes on a CPU that widens to int16 anyway, and
// a few large channels, which an int8 scale per token would sacrifice the rest
// to, do no harm. Grouped weights read int8 with a scale per group of 32. An
// input that holds a NaN or an infinity has a NaN scale, and so gives NaN.
type Operand struct {
	Q unsafe.Pointer // float32, int16 or int8 quants
	d unsafe.Pointer // scale per group
	s unsafe.Pointer // scale·Σ quants per group

	n      int
	Scale  float32 // of int16 quants
	quants []float32
	scales []float32
	sums   []float32
}

// int16Limit keeps an int32 lane of eight from overflowing over 8192 columns:
// 8192/16 steps of two products up to 128·16383.
const (
	Int16Limit = 16383
	int16Cols  = 8192
)

// prepare makes o the form of x that weights of d read.
func (v *Variant) Prepare(o *Operand, d weights.Dtype, x []float32) {
	o.n = len(x)
	RaceRead(Address(x), 4*len(x))
	switch {
	case d == weights.Int8:
		o.quants = Resize(o.quants, len(x)/2+weights.Group)
		o.Q = Address(o.quants)
		v.Quantize16(o, x)
	case d.Grouped():
		n := weights.Groups(len(x))
		o.quants = Resize(o.quants, n*weights.Group/4)
		o.scales = Resize(o.scales, n)
		o.sums = Resize(o.sums, n)
		o.Q, o.d, o.s = Address(o.quants), Address(o.scales), Address(o.sums)
		v.quantizeGroups(o, x)
	default:
		o.Q = Address(x)
	}
}

// dotPair returns the products of x with two rows of m, which may be the same.
func (v *Variant) DotPair(x *Operand, m *weights.Matrix, a, b unsafe.Pointer, nextA, nextB uintptr) (xa, xb float32) {
	d, n := m.Dtype(), m.Cols()
	RaceRead(a, m.RowBytes())
	RaceRead(b, m.RowBytes())
	switch {
	case d.Grouped():
		return v.dot2[d](unsafe.Pointer(x), a, b, weights.Groups(n), nextA, nextB)
	case d == weights.Int8:
		for c := 0; c < n; c += int16Cols {
			part := min(n-c, int16Cols)
			ya, yb := v.dotPart(d, unsafe.Add(x.Q, 2*c), unsafe.Add(a, c), unsafe.Add(b, c), part, nextA+uintptr(c), nextB+uintptr(c))
			xa, xb = xa+ya, xb+yb
		}
		scale := weights.Int8Scale(n)
		return xa * (x.Scale * *(*float32)(unsafe.Add(a, scale))), xb * (x.Scale * *(*float32)(unsafe.Add(b, scale)))
	}
	return v.dotPart(d, x.Q, a, b, n, nextA, nextB)
}

// dotPart is dot2 of any number of columns, for the dtypes without groups.
func (v *Variant) dotPart(d weights.Dtype, x, a, b unsafe.Pointer, n int, nextA, nextB uintptr) (xa, xb float32) {
	whole := n &^ (weights.Group - 1)
	if whole > 0 {
		xa, xb = v.dot2[d](x, a, b, whole, nextA, nextB)
	}
	if whole < n {
		xs, ws := 4, d.Size()
		if d == weights.Int8 {
			xs = 2
		}
		ya, yb := generic.dot2[d](unsafe.Add(x, whole*xs), unsafe.Add(a, whole*ws), unsafe.Add(b, whole*ws), n-whole, 0, 0)
		xa, xb = xa+ya, xb+yb
	}
	return xa, xb
}

// rowsPerAxpy is how many rows axpy adds at once.
func RowsPerAxpy(d weights.Dtype) int {
	if d == weights.Int4 || d == weights.Int4M {
		return 8
	}
	return 4
}

// axpy adds to y, sums in the order of v.sumOrder with room for whole blocks, count rows of m whose addresses and
// coefficients stand in r. It may change r.
func (v *Variant) Axpy(r *AxpyRows, y []float32, m *weights.Matrix, count int) {
	d, n := m.Dtype(), m.Cols()
	for i := range count {
		row := r.Row[i]
		RaceRead(row, m.RowBytes())
		switch {
		case d.Grouped():
			g := weights.GroupedRow(d, row, n)
			r.scales[i], r.mins[i] = g.Scales, g.Mins
		case d == weights.Int8:
			r.Coef[i] *= *(*float32)(unsafe.Add(row, weights.Int8Scale(n)))
		}
	}
	p := Address(y)
	RaceWrite(p, 4*len(y))
	r.bytes = m.RowBytes()
	for i := RowsPerAxpy(d); i < len(r.Next); i++ {
		r.Next[i] = r.Next[0]
	}
	if d.Grouped() {
		n = weights.Groups(n) * weights.Group
	}
	switch rows := RowsPerAxpy(d); {
	case n == 0:
		return
	case v.SumOrder[d] != 0:
		r.fill(count, rows)
		if rows == 8 {
			v.axpy8[d](p, r, n/weights.Group)
		} else {
			v.axpy4[d](p, r, n)
		}
		return
	case rows == 8:
		v.axpyNibbles(r, p, d, count, n/weights.Group)
		return
	}
	whole := n &^ (weights.Group - 1)
	if whole > 0 {
		v.axpyUpTo4(r, p, d, count, whole)
	}
	if whole < n {
		for i := range count {
			r.Row[i] = unsafe.Add(r.Row[i], whole*d.Size())
		}
		generic.axpyEach(r, unsafe.Add(p, 4*whole), d, count, n-whole)
	}
}

// axpyNibbles is axpy of up to eight rows of n groups of 4 bits.
func (v *Variant) axpyNibbles(r *AxpyRows, y unsafe.Pointer, d weights.Dtype, count, n int) {
	whole := n - n%v.axpy8Step
	if whole < v.axpy8Least {
		whole = 0
	}
	if whole > 0 {
		r.fill(count, 8)
		v.axpy8[d](y, r, whole)
	}
	if whole == n {
		return
	}
	for i := range count {
		r.Row[i], r.scales[i] = unsafe.Add(r.Row[i], 16*whole), unsafe.Add(r.scales[i], 2*whole)
		if d == weights.Int4M {
			r.mins[i] = unsafe.Add(r.mins[i], 2*whole)
		}
	}
	y, n = unsafe.Add(y, 4*weights.Group*whole), (n-whole)*weights.Group
	v.axpyUpTo4(r, y, d, min(count, 4), n)
	if count > 4 {
		copy(r.Row[:4], r.Row[4:])
		copy(r.scales[:4], r.scales[4:])
		copy(r.mins[:4], r.mins[4:])
		copy(r.Coef[:4], r.Coef[4:])
		copy(r.Next[:4], r.Next[4:])
		v.axpyUpTo4(r, y, d, count-4, n)
	}
}

func (v *Variant) axpyUpTo4(r *AxpyRows, y unsafe.Pointer, d weights.Dtype, count, n int) {
	if count == 4 {
		v.axpy4[d](y, r, n)
		return
	}
	v.axpyEach(r, y, d, count, n)
}

// axpyEach is axpy1 for every row.
func (v *Variant) axpyEach(r *AxpyRows, y unsafe.Pointer, d weights.Dtype, count, n int) {
	row, scales, mins, coef := r.Row[0], r.scales[0], r.mins[0], r.Coef[0]
	for i := range count {
		r.Row[0], r.scales[0], r.mins[0], r.Coef[0] = r.Row[i], r.scales[i], r.mins[i], r.Coef[i]
		v.axpy1[d](y, r, n)
		r.Row[0], r.scales[0], r.mins[0], r.Coef[0] = row, scales, mins, coef
	}
}

// widenPart writes columns c to c+n−1 of a row, without the scale of an Int8
// row, as float32 to dst, which has room for whole groups. c is a multiple of 32.
func (v *Variant) WidenPart(dst []float32, m *weights.Matrix, row unsafe.Pointer, c, n int) {
	d, p := m.Dtype(), Address(dst)
	if d.Grouped() {
		RaceRead(row, m.RowBytes())
		g, at := weights.GroupedRow(d, row, m.Cols()), c/weights.Group
		g.Quants = unsafe.Add(g.Quants, at*weights.QuantBytes[d])
		g.Scales = unsafe.Add(g.Scales, 2*at)
		if d == weights.Int4M {
			g.Mins = unsafe.Add(g.Mins, 2*at)
		}
		v.widenGroups[d](p, g, weights.Groups(n))
		return
	}
	src, whole := unsafe.Add(row, c*d.Size()), n&^(weights.Group-1)
	RaceRead(src, n*d.Size())
	if whole > 0 {
		v.widen[d](p, src, whole)
	}
	if whole < n {
		generic.widen[d](unsafe.Add(p, 4*whole), unsafe.Add(src, whole*d.Size()), n-whole)
	}
}

// widen16Part writes columns c to c+n−1 of a row of quants as int16 to dst, which
// has room for whole groups, their scales to factors (of Int8 the one of the row)
// and the minima of Int4M to mins. c is a multiple of 32.
func (v *Variant) Widen16Part(dst unsafe.Pointer, factors, mins []float32, m *weights.Matrix, row unsafe.Pointer, c, n int) {
	d := m.Dtype()
	if d == weights.Int8 {
		factors[0] = RowScale(m, row)
		src, whole := unsafe.Add(row, c), n&^(weights.Group-1)
		RaceRead(src, n)
		if whole > 0 {
			v.widen16[d](dst, src, whole/weights.Group)
		}
		out := weights.SliceAt[int16](dst, n)
		for k, q := range weights.SliceAt[int8](src, n)[whole:] {
			out[whole+k] = int16(q)
		}
		return
	}
	RaceRead(row, m.RowBytes())
	r, first, count := weights.GroupedRow(d, row, m.Cols()), c/weights.Group, weights.Groups(n)
	v.widen16[d](dst, unsafe.Add(r.Quants, first*weights.QuantBytes[d]), count)
	for i, h := range weights.SliceAt[uint16](unsafe.Add(r.Scales, 2*first), count) {
		factors[i] = weights.FromF16(h)
	}
	if d == weights.Int4M {
		for i, h := range weights.SliceAt[uint16](unsafe.Add(r.Mins, 2*first), count) {
			mins[i] = weights.FromF16(h)
		}
	}
}

// widenPairsPart writes n int8 of two rows as pairs of int16.
func (v *Variant) WidenPairsPart(dst, a, b unsafe.Pointer, n int) {
	RaceRead(a, n)
	RaceRead(b, n)
	whole := n &^ (weights.Group - 1)
	if whole > 0 {
		v.widenPairs(dst, a, b, whole)
	}
	if whole < n {
		widenPairsGeneric(unsafe.Add(dst, 4*whole), unsafe.Add(a, whole), unsafe.Add(b, whole), n-whole)
	}
}

// prefetchPart asks for columns c to c+n−1 of a row.
func (v *Variant) PrefetchPart(m *weights.Matrix, row unsafe.Pointer, c, n int) {
	d, p := m.Dtype(), uintptr(row)
	if !d.Grouped() {
		v.prefetch(p+uintptr(c*d.Size()), n*d.Size())
		return
	}
	q := weights.QuantBytes[d]
	v.prefetch(p+uintptr(c/weights.Group*q), weights.Groups(n)*q)
	v.prefetch(p+uintptr(weights.Groups(m.Cols())*q+c/weights.Group*2), 1)
}

// rowScale is the factor that widenPart leaves out.
func RowScale(m *weights.Matrix, row unsafe.Pointer) float32 {
	if m.Dtype() != weights.Int8 {
		return 1
	}
	return *(*float32)(unsafe.Add(row, weights.Int8Scale(m.Cols())))
}

func quantize16Generic(o *Operand, x []float32) {
	o.Scale = weights.Largest(x) / Int16Limit
	q := weights.SliceAt[int16](o.Q, len(x))
	for k, v := range x {
		q[k] = int16(weights.Quantum(v, o.Scale, Int16Limit))
	}
}

func quantizeGroupsGeneric(o *Operand, x []float32) {
	n := weights.Groups(len(x))
	q, d, s := weights.SliceAt[int8](o.Q, n*weights.Group), weights.SliceAt[float32](o.d, n), weights.SliceAt[float32](o.s, n)
	for g := range n {
		in, out := x[g*weights.Group:min((g+1)*weights.Group, len(x))], q[g*weights.Group:][:weights.Group]
		clear(out)
		d[g] = weights.Largest(in) / 127
		sum := 0
		for k, v := range in {
			r := weights.Quantum(v, d[g], 127)
			out[k] = int8(r)
			sum += r
		}
		s[g] = d[g] * float32(sum)
	}
}
