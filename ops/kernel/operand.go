package kernel

import "unsafe"

// operand is one input vector in the form that the dots of a dtype read.
//
// Float weights read the numbers themselves. Int8 weights read int16 with one
// scale: it costs no more than bytes on a CPU that widens to int16 anyway, and
// a few large channels, which an int8 scale per token would sacrifice the rest
// to, do no harm. Grouped weights read int8 with a scale per group of 32. An
// input that holds a NaN or an infinity has a NaN scale, and so gives NaN.
type operand struct {
	q unsafe.Pointer // float32, int16 or int8 quants
	d unsafe.Pointer // scale per group
	s unsafe.Pointer // scale·Σ quants per group

	n      int
	scale  float32 // of int16 quants
	quants []float32
	scales []float32
	sums   []float32
}

// int16Limit keeps an int32 lane of eight from overflowing over 8192 columns:
// 8192/16 steps of two products up to 128·16383.
const (
	int16Limit = 16383
	int16Cols  = 8192
)

// prepare makes o the form of x that weights of d read.
func (v *variant) prepare(o *operand, d Dtype, x []float32) {
	o.n = len(x)
	raceRead(address(x), 4*len(x))
	switch {
	case d == Int8:
		o.quants = resize(o.quants, len(x)/2+group)
		o.q = address(o.quants)
		v.quantize16(o, x)
	case d.grouped():
		n := groups(len(x))
		o.quants = resize(o.quants, n*group/4)
		o.scales = resize(o.scales, n)
		o.sums = resize(o.sums, n)
		o.q, o.d, o.s = address(o.quants), address(o.scales), address(o.sums)
		v.quantizeGroups(o, x)
	default:
		o.q = address(x)
	}
}

// dotPair returns the products of x with two rows of m, which may be the same.
func (v *variant) dotPair(x *operand, m *Matrix, a, b unsafe.Pointer, nextA, nextB uintptr) (xa, xb float32) {
	d, n := m.dtype, m.cols
	raceRead(a, m.rowBytes)
	raceRead(b, m.rowBytes)
	switch {
	case d.grouped():
		return v.dot2[d](unsafe.Pointer(x), a, b, groups(n), nextA, nextB)
	case d == Int8:
		for c := 0; c < n; c += int16Cols {
			part := min(n-c, int16Cols)
			ya, yb := v.dotPart(d, unsafe.Add(x.q, 2*c), unsafe.Add(a, c), unsafe.Add(b, c), part, nextA+uintptr(c), nextB+uintptr(c))
			xa, xb = xa+ya, xb+yb
		}
		scale := int8Scale(n)
		return xa * (x.scale * *(*float32)(unsafe.Add(a, scale))), xb * (x.scale * *(*float32)(unsafe.Add(b, scale)))
	}
	return v.dotPart(d, x.q, a, b, n, nextA, nextB)
}

// dotPart is dot2 of any number of columns, for the dtypes without groups.
func (v *variant) dotPart(d Dtype, x, a, b unsafe.Pointer, n int, nextA, nextB uintptr) (xa, xb float32) {
	whole := n &^ (group - 1)
	if whole > 0 {
		xa, xb = v.dot2[d](x, a, b, whole, nextA, nextB)
	}
	if whole < n {
		xs, ws := 4, d.size()
		if d == Int8 {
			xs = 2
		}
		ya, yb := generic.dot2[d](unsafe.Add(x, whole*xs), unsafe.Add(a, whole*ws), unsafe.Add(b, whole*ws), n-whole, 0, 0)
		xa, xb = xa+ya, xb+yb
	}
	return xa, xb
}

// rowsPerAxpy is how many rows axpy adds at once.
func rowsPerAxpy(d Dtype) int {
	if d == Int4 || d == Int4M {
		return 8
	}
	return 4
}

// axpy adds to y, sums in the order of v.sumOrder with room for whole blocks, count rows of m whose addresses and
// coefficients stand in r. It may change r.
func (v *variant) axpy(r *axpyRows, y []float32, m *Matrix, count int) {
	d, n := m.dtype, m.cols
	for i := range count {
		row := r.row[i]
		raceRead(row, m.rowBytes)
		switch {
		case d.grouped():
			g := groupedRow(d, row, n)
			r.scales[i], r.mins[i] = g.scales, g.mins
		case d == Int8:
			r.coef[i] *= *(*float32)(unsafe.Add(row, int8Scale(n)))
		}
	}
	p := address(y)
	raceWrite(p, 4*len(y))
	r.bytes = m.rowBytes
	for i := rowsPerAxpy(d); i < len(r.next); i++ {
		r.next[i] = r.next[0]
	}
	if d.grouped() {
		n = groups(n) * group
	}
	switch rows := rowsPerAxpy(d); {
	case n == 0:
		return
	case v.sumOrder[d] != 0:
		r.fill(count, rows)
		if rows == 8 {
			v.axpy8[d](p, r, n/group)
		} else {
			v.axpy4[d](p, r, n)
		}
		return
	case rows == 8:
		v.axpyNibbles(r, p, d, count, n/group)
		return
	}
	whole := n &^ (group - 1)
	if whole > 0 {
		v.axpyUpTo4(r, p, d, count, whole)
	}
	if whole < n {
		for i := range count {
			r.row[i] = unsafe.Add(r.row[i], whole*d.size())
		}
		generic.axpyEach(r, unsafe.Add(p, 4*whole), d, count, n-whole)
	}
}

// axpyNibbles is axpy of up to eight rows of n groups of 4 bits.
func (v *variant) axpyNibbles(r *axpyRows, y unsafe.Pointer, d Dtype, count, n int) {
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
		r.row[i], r.scales[i] = unsafe.Add(r.row[i], 16*whole), unsafe.Add(r.scales[i], 2*whole)
		if d == Int4M {
			r.mins[i] = unsafe.Add(r.mins[i], 2*whole)
		}
	}
	y, n = unsafe.Add(y, 4*group*whole), (n-whole)*group
	v.axpyUpTo4(r, y, d, min(count, 4), n)
	if count > 4 {
		copy(r.row[:4], r.row[4:])
		copy(r.scales[:4], r.scales[4:])
		copy(r.mins[:4], r.mins[4:])
		copy(r.coef[:4], r.coef[4:])
		copy(r.next[:4], r.next[4:])
		v.axpyUpTo4(r, y, d, count-4, n)
	}
}

func (v *variant) axpyUpTo4(r *axpyRows, y unsafe.Pointer, d Dtype, count, n int) {
	if count == 4 {
		v.axpy4[d](y, r, n)
		return
	}
	v.axpyEach(r, y, d, count, n)
}

// axpyEach is axpy1 for every row.
func (v *variant) axpyEach(r *axpyRows, y unsafe.Pointer, d Dtype, count, n int) {
	row, scales, mins, coef := r.row[0], r.scales[0], r.mins[0], r.coef[0]
	for i := range count {
		r.row[0], r.scales[0], r.mins[0], r.coef[0] = r.row[i], r.scales[i], r.mins[i], r.coef[i]
		v.axpy1[d](y, r, n)
		r.row[0], r.scales[0], r.mins[0], r.coef[0] = row, scales, mins, coef
	}
}

// widenPart writes columns c to c+n−1 of a row, without the scale of an Int8
// row, as float32 to dst, which has room for whole groups. c is a multiple of 32.
func (v *variant) widenPart(dst []float32, m *Matrix, row unsafe.Pointer, c, n int) {
	d, p := m.dtype, address(dst)
	if d.grouped() {
		raceRead(row, m.rowBytes)
		g, at := groupedRow(d, row, m.cols), c/group
		g.quants = unsafe.Add(g.quants, at*quantBytes[d])
		g.scales = unsafe.Add(g.scales, 2*at)
		if d == Int4M {
			g.mins = unsafe.Add(g.mins, 2*at)
		}
		v.widenGroups[d](p, g, groups(n))
		return
	}
	src, whole := unsafe.Add(row, c*d.size()), n&^(group-1)
	raceRead(src, n*d.size())
	if whole > 0 {
		v.widen[d](p, src, whole)
	}
	if whole < n {
		generic.widen[d](unsafe.Add(p, 4*whole), unsafe.Add(src, whole*d.size()), n-whole)
	}
}

// widen16Part writes columns c to c+n−1 of a row of quants as int16 to dst, which
// has room for whole groups, their scales to factors (of Int8 the one of the row)
// and the minima of Int4M to mins. c is a multiple of 32.
func (v *variant) widen16Part(dst unsafe.Pointer, factors, mins []float32, m *Matrix, row unsafe.Pointer, c, n int) {
	d := m.dtype
	if d == Int8 {
		factors[0] = rowScale(m, row)
		src, whole := unsafe.Add(row, c), n&^(group-1)
		raceRead(src, n)
		if whole > 0 {
			v.widen16[d](dst, src, whole/group)
		}
		out := values[int16](dst, n)
		for k, q := range values[int8](src, n)[whole:] {
			out[whole+k] = int16(q)
		}
		return
	}
	raceRead(row, m.rowBytes)
	r, first, count := groupedRow(d, row, m.cols), c/group, groups(n)
	v.widen16[d](dst, unsafe.Add(r.quants, first*quantBytes[d]), count)
	for i, h := range values[uint16](unsafe.Add(r.scales, 2*first), count) {
		factors[i] = fromF16(h)
	}
	if d == Int4M {
		for i, h := range values[uint16](unsafe.Add(r.mins, 2*first), count) {
			mins[i] = fromF16(h)
		}
	}
}

// widenPairsPart writes n int8 of two rows as pairs of int16.
func (v *variant) widenPairsPart(dst, a, b unsafe.Pointer, n int) {
	raceRead(a, n)
	raceRead(b, n)
	whole := n &^ (group - 1)
	if whole > 0 {
		v.widenPairs(dst, a, b, whole)
	}
	if whole < n {
		widenPairsGeneric(unsafe.Add(dst, 4*whole), unsafe.Add(a, whole), unsafe.Add(b, whole), n-whole)
	}
}

// prefetchPart asks for columns c to c+n−1 of a row.
func (v *variant) prefetchPart(m *Matrix, row unsafe.Pointer, c, n int) {
	d, p := m.dtype, uintptr(row)
	if !d.grouped() {
		v.prefetch(p+uintptr(c*d.size()), n*d.size())
		return
	}
	q := quantBytes[d]
	v.prefetch(p+uintptr(c/group*q), groups(n)*q)
	v.prefetch(p+uintptr(groups(m.cols)*q+c/group*2), 1)
}

// rowScale is the factor that widenPart leaves out.
func rowScale(m *Matrix, row unsafe.Pointer) float32 {
	if m.dtype != Int8 {
		return 1
	}
	return *(*float32)(unsafe.Add(row, int8Scale(m.cols)))
}

func quantize16Generic(o *operand, x []float32) {
	o.scale = largest(x) / int16Limit
	q := values[int16](o.q, len(x))
	for k, v := range x {
		q[k] = int16(quantum(v, o.scale, int16Limit))
	}
}

func quantizeGroupsGeneric(o *operand, x []float32) {
	n := groups(len(x))
	q, d, s := values[int8](o.q, n*group), values[float32](o.d, n), values[float32](o.s, n)
	for g := range n {
		in, out := x[g*group:min((g+1)*group, len(x))], q[g*group:][:group]
		clear(out)
		d[g] = largest(in) / 127
		sum := 0
		for k, v := range in {
			r := quantum(v, d[g], 127)
			out[k] = int8(r)
			sum += r
		}
		s[g] = d[g] * float32(sum)
	}
}
