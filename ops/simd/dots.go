package simd

import (
	"unsafe"

	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// streamed tells whether rows of d are read as streams.
func (v *Variant) Streamed(d weights.Dtype) bool { return v.dot4[d] != nil }

// streaming is how a variant reads streams.
type streaming struct {
	// streams is how many there are, 4 or 8, where rows are added up. Neurons of 4 bits, which take the most work, are read
	// up to a third faster as 8 than as 4. Where rows are only multiplied there are rowsPerDot, which is faster than 8 and,
	// by up to a quarter, than 2.
	Streams int

	// dot, axpy and axpyInt8 are how many bytes behind where it is read a stream is asked for, by dot4, by axpy4, and by
	// axpy4 of Int8, which may have so much work with a row that much more can be fetched meanwhile.
	Dot, axpy, axpyInt8 int

	// byRow: short rows of a neuron, and all if the next neuron does not lie behind it, are asked for while the row before
	// them is read. Then nothing is asked for that is not needed, which costs up to a quarter where rows are short.
	ByRow bool
}

func (s *streaming) OfAxpy(d weights.Dtype) int {
	if d == weights.Int8 {
		return s.axpyInt8
	}
	return s.axpy
}

// shortRow is the most bytes of a row that is short.
const ShortRow = 4096

// asked is what to ask for while a row of size bytes is read: what lies ahead of it or, if the row that follows in its
// stream does not lie behind it, that row.
func Asked(ahead int, row unsafe.Pointer, size int, follows unsafe.Pointer) uintptr {
	if gap := uintptr(follows) - uintptr(row) - uintptr(size); gap < weights.RowAlign {
		return uintptr(row) + uintptr(ahead)
	}
	return uintptr(follows)
}

const RowsPerDot = 4

// dotRows are rows of streams, which may be the same, what comes behind them, and their products.
type DotRows struct {
	Row  [RowsPerDot]unsafe.Pointer
	Next [RowsPerDot]uintptr // asked for as far as row is read
	Sum  [RowsPerDot]float32
}

// dots writes to r.sum the products of x with the rows of r, which are rows of m.
func (v *Variant) Dots(x *Operand, m *weights.Matrix, r *DotRows) {
	for i := range r.Row { // by index: a copy of what was just written would wait for it
		RaceRead(r.Row[i], m.RowBytes())
	}
	switch {
	case m.Dtype().Grouped():
		v.dot4[m.Dtype()](unsafe.Pointer(x), r, weights.Groups(m.Cols()))
		return
	case m.Dtype() != weights.Int8:
		v.dots4(m.Dtype(), x.Q, r, m.Cols())
		return
	}
	if m.Cols() <= int16Cols {
		v.dots4(weights.Int8, x.Q, r, m.Cols())
	} else {
		v.longDots(x.Q, r, m.Cols())
	}
	scale := weights.Int8Scale(m.Cols())
	for i := range r.Row {
		r.Sum[i] *= x.Scale * *(*float32)(unsafe.Add(r.Row[i], scale))
	}
}

// longDots is dots4 of Int8 for more columns than an int32 holds the sums of.
func (v *Variant) longDots(x unsafe.Pointer, r *DotRows, cols int) {
	row, sum := r.Row, [RowsPerDot]float32{}
	for c := 0; c < cols; c += int16Cols {
		n := min(cols-c, int16Cols)
		v.dots4(weights.Int8, unsafe.Add(x, 2*c), r, n)
		for i, s := range r.Sum {
			sum[i] += s
			r.Row[i] = unsafe.Add(r.Row[i], n)
			r.Next[i] += uintptr(n)
		}
	}
	r.Row, r.Sum = row, sum
}

// dots4 is dot4 of any number of columns.
func (v *Variant) dots4(d weights.Dtype, x unsafe.Pointer, r *DotRows, n int) {
	whole := n &^ (weights.Group - 1)
	r.Sum = [RowsPerDot]float32{}
	if whole > 0 {
		v.dot4[d](x, r, whole)
	}
	if whole == n {
		return
	}
	xs := 4
	if d == weights.Int8 {
		xs = 2
	}
	rest := func(i int) unsafe.Pointer { return unsafe.Add(r.Row[i], whole*d.Size()) }
	for i := 0; i < RowsPerDot; i += 2 {
		a, b := generic.dot2[d](unsafe.Add(x, whole*xs), rest(i), rest(i+1), n-whole, 0, 0)
		r.Sum[i], r.Sum[i+1] = r.Sum[i]+a, r.Sum[i+1]+b
	}
}
