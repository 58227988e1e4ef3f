package kernel

import "unsafe"

// streamed tells whether rows of d are read as streams.
func (v *variant) streamed(d Dtype) bool { return v.dot4[d] != nil }

// streaming is how a variant reads streams.
type streaming struct {
	// streams is how many there are, 4 or 8, where rows are added up. Neurons of 4 bits, which take the most work, are read
	// up to a third faster as 8 than as 4. Where rows are only multiplied there are rowsPerDot, which is faster than 8 and,
	// by up to a quarter, than 2.
	streams int

	// dot, axpy and axpyInt8 are how many bytes behind where it is read a stream is asked for, by dot4, by axpy4, and by
	// axpy4 of Int8, which may have so much work with a row that much more can be fetched meanwhile.
	dot, axpy, axpyInt8 int

	// byRow: short rows of a neuron, and all if the next neuron does not lie behind it, are asked for while the row before
	// them is read. Then nothing is asked for that is not needed, which costs up to a quarter where rows are short.
	byRow bool
}

func (s *streaming) ofAxpy(d Dtype) int {
	if d == Int8 {
		return s.axpyInt8
	}
	return s.axpy
}

// shortRow is the most bytes of a row that is short.
const shortRow = 4096

// asked is what to ask for while a row of size bytes is read: what lies ahead of it or, if the row that follows in its
// stream does not lie behind it, that row.
func asked(ahead int, row unsafe.Pointer, size int, follows unsafe.Pointer) uintptr {
	if gap := uintptr(follows) - uintptr(row) - uintptr(size); gap < rowAlign {
		return uintptr(row) + uintptr(ahead)
	}
	return uintptr(follows)
}

const rowsPerDot = 4

// dotRows are rows of streams, which may be the same, what comes behind them, and their products.
type dotRows struct {
	row  [rowsPerDot]unsafe.Pointer
	next [rowsPerDot]uintptr // asked for as far as row is read
	sum  [rowsPerDot]float32
}

// dots writes to r.sum the products of x with the rows of r, which are rows of m.
func (v *variant) dots(x *operand, m *Matrix, r *dotRows) {
	for i := range r.row { // by index: a copy of what was just written would wait for it
		raceRead(r.row[i], m.rowBytes)
	}
	switch {
	case m.dtype.grouped():
		v.dot4[m.dtype](unsafe.Pointer(x), r, groups(m.cols))
		return
	case m.dtype != Int8:
		v.dots4(m.dtype, x.q, r, m.cols)
		return
	}
	if m.cols <= int16Cols {
		v.dots4(Int8, x.q, r, m.cols)
	} else {
		v.longDots(x.q, r, m.cols)
	}
	scale := int8Scale(m.cols)
	for i := range r.row {
		r.sum[i] *= x.scale * *(*float32)(unsafe.Add(r.row[i], scale))
	}
}

// longDots is dots4 of Int8 for more columns than an int32 holds the sums of.
func (v *variant) longDots(x unsafe.Pointer, r *dotRows, cols int) {
	row, sum := r.row, [rowsPerDot]float32{}
	for c := 0; c < cols; c += int16Cols {
		n := min(cols-c, int16Cols)
		v.dots4(Int8, unsafe.Add(x, 2*c), r, n)
		for i, s := range r.sum {
			sum[i] += s
			r.row[i] = unsafe.Add(r.row[i], n)
			r.next[i] += uintptr(n)
		}
	}
	r.row, r.sum = row, sum
}

// dots4 is dot4 of any number of columns.
func (v *variant) dots4(d Dtype, x unsafe.Pointer, r *dotRows, n int) {
	whole := n &^ (group - 1)
	r.sum = [rowsPerDot]float32{}
	if whole > 0 {
		v.dot4[d](x, r, whole)
	}
	if whole == n {
		return
	}
	xs := 4
	if d == Int8 {
		xs = 2
	}
	rest := func(i int) unsafe.Pointer { return unsafe.Add(r.row[i], whole*d.size()) }
	for i := 0; i < rowsPerDot; i += 2 {
		a, b := generic.dot2[d](unsafe.Add(x, whole*xs), rest(i), rest(i+1), n-whole, 0, 0)
		r.sum[i], r.sum[i+1] = r.sum[i]+a, r.sum[i+1]+b
	}
}
