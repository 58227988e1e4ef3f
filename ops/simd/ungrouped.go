package simd

import (
	"unsafe"

	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// ungrouped are the kernels of a dtype without groups: floats, whose operand is float32, and Int8,
// whose operand is int16. They need whole groups of columns, at least one. What is left of a row is
// for plain.
type ungrouped[X float32 | int16] struct {
	dot        func(x []X, r *DotRows)        // r.Sum[i] = x·r.Row[i]
	add4, add1 func(y []float32, r *AxpyRows) // y += Σ r.Coef[i]·r.Row[i] of the first 4 rows, of the first
	widen      func(dst []float32, row unsafe.Pointer)
	plain      *plainRow[X]
}

// attention are the kernels of rows, stride bytes apart, that attention needs. They need whole
// groups of columns.
type attention struct {
	dots func(y, x []float32, rows unsafe.Pointer, stride int) // y[i] += x·row i
	sum  func(y, x []float32, rows unsafe.Pointer, stride int) // y += Σ x[i]·row i
}

// plainRow is a dtype without groups in plain Go, for any number of columns.
type plainRow[X float32 | int16] struct {
	size  int // bytes of a number
	dot2  func(x []X, a, b unsafe.Pointer) (xa, xb float32)
	add   func(y []float32, row unsafe.Pointer, coef float32) // y += coef·row
	widen func(dst []float32, row unsafe.Pointer)
}

// whole returns the columns of the whole groups of n.
func whole(n int) int { return n &^ (weights.Group - 1) }

// floats returns the RowKernel of a dtype of floats.
func (p *shared) floats(k ungrouped[float32], a attention, r Reading, t Tiles) RowKernel {
	size := k.plain.size
	row := RowKernel{
		Prepare: prepareFloats,
		Dot:     func(x *Operand, r *DotRows, _ *weights.Matrix) { k.dots(x.x, r) },
		Add: func(y []float32, r *AxpyRows, m *weights.Matrix, count int) {
			k.add(y, r, m.Cols(), count)
		},
		PerAdd: 4, InOrder: copySums, Reading: r, Tiles: t,
		Widen: func(dst []float32, _ *weights.Matrix, row unsafe.Pointer, c, n int) {
			k.widenAny(dst, unsafe.Add(row, c*size), n)
		},
		Prefetch: p.prefetchNumbers(size),
	}
	if a.dots != nil {
		row.RowDots = func(y, x []float32, m *weights.Matrix, first int) {
			rows, w := m.RowAt(first), whole(len(x))
			if w > 0 {
				a.dots(y, x[:w], rows, m.Stride())
			}
			if w < len(x) {
				k.plain.rowDots(y, x[w:], unsafe.Add(rows, w*size), m.Stride())
			}
		}
		row.RowSum = func(y, coef []float32, m *weights.Matrix, first int) {
			rows, w := m.RowAt(first), whole(len(y))
			if w > 0 {
				a.sum(y[:w], coef, rows, m.Stride())
			}
			if w < len(y) {
				k.plain.rowSum(y[w:], coef, unsafe.Add(rows, w*size), m.Stride())
			}
		}
	}
	return row
}

// int8s returns the RowKernel of Int8. k does without the scales of rows. inOrder is nil if add4
// leaves sums in order and needs whole groups.
func (p *shared) int8s(k ungrouped[int16], inOrder func(y, sums, scratch []float32), r Reading) RowKernel {
	row := RowKernel{
		Prepare: prepare16(p.quantize16),
		Dot: func(x *Operand, r *DotRows, m *weights.Matrix) {
			if m.Cols() <= int16Cols {
				k.dots(x.q16, r)
			} else {
				k.longDots(x.q16, r)
			}
			at := weights.Int8Scale(m.Cols())
			for i := range r.Row {
				r.Sum[i] *= x.scale * *(*float32)(unsafe.Add(r.Row[i], at))
			}
		},
		Add: func(y []float32, r *AxpyRows, m *weights.Matrix, count int) {
			at := weights.Int8Scale(m.Cols())
			for i := range count {
				r.Coef[i] *= *(*float32)(unsafe.Add(r.Row[i], at))
			}
			switch {
			case inOrder == nil:
				k.add(y, r, m.Cols(), count)
			case m.Cols() > 0:
				r.fill(count, 4)
				k.add4(y[:m.Cols()], r)
			}
		},
		PerAdd: 4, InOrder: inOrder, Reading: r,
		Widen: func(dst []float32, _ *weights.Matrix, row unsafe.Pointer, c, n int) {
			k.widenAny(dst, unsafe.Add(row, c), n)
		},
		Scale: func(m *weights.Matrix, row unsafe.Pointer) float32 {
			return *(*float32)(unsafe.Add(row, weights.Int8Scale(m.Cols())))
		},
		Prefetch: p.prefetchNumbers(1),
		Tiles:    Tiles{products: [2]Product{OnPairs, OnPairs}},
	}
	row.Integers = Integers{
		Widen16: func(dst []int16, factors, _ []float32, m *weights.Matrix, at unsafe.Pointer, c, n int) {
			factors[0] = row.Scale(m, at)
			at = unsafe.Add(at, c)
			if w := whole(n); w > 0 {
				p.widen16(dst[:w], at)
			}
			for k, q := range weights.SliceAt[int8](at, n)[whole(n):] {
				dst[whole(n)+k] = int16(q)
			}
		},
		WidenPairs: func(dst []int16, _ *weights.Matrix, a, b unsafe.Pointer, c, n int) {
			a, b = unsafe.Add(a, c), unsafe.Add(b, c)
			w := whole(n)
			if w > 0 {
				p.widenPairs(dst[:2*w], a, b)
			}
			if w < n {
				widenPairs(dst[2*w:2*n], unsafe.Add(a, w), unsafe.Add(b, w))
			}
		},
		Bytes: func(_ *weights.Matrix, row unsafe.Pointer, c, n int) []int8 {
			return weights.SliceAt[int8](unsafe.Add(row, c), n)
		},
	}
	if inOrder == nil {
		row.InOrder = copySums
	}
	return row
}

// dots is dot of any number of columns.
func (k *ungrouped[X]) dots(x []X, r *DotRows) {
	r.Sum = [RowsPerDot]float32{}
	w := whole(len(x))
	if w > 0 {
		k.dot(x[:w], r)
	}
	if w == len(x) {
		return
	}
	for i := 0; i < RowsPerDot; i += 2 {
		a, b := k.plain.dot2(x[w:], unsafe.Add(r.Row[i], w*k.plain.size), unsafe.Add(r.Row[i+1], w*k.plain.size))
		r.Sum[i], r.Sum[i+1] = r.Sum[i]+a, r.Sum[i+1]+b
	}
}

// longDots is dots of rows of bytes with more columns than an int32 holds the sums of.
func (k *ungrouped[X]) longDots(x []X, r *DotRows) {
	row, sum := r.Row, [RowsPerDot]float32{}
	for c := 0; c < len(x); c += int16Cols {
		n := min(len(x)-c, int16Cols)
		k.dots(x[c:][:n], r)
		for i, s := range r.Sum {
			sum[i] += s
			r.Row[i] = unsafe.Add(r.Row[i], n)
			r.Next[i] += uintptr(n)
		}
	}
	r.Row, r.Sum = row, sum
}

// add adds up to four rows of n columns to y.
func (k *ungrouped[X]) add(y []float32, r *AxpyRows, n, count int) {
	w := whole(n)
	if w > 0 {
		addUpTo4(y[:w], r, count, k.add4, k.add1)
	}
	if w < n {
		for i := range count {
			k.plain.add(y[w:n], unsafe.Add(r.Row[i], w*k.plain.size), r.Coef[i])
		}
	}
}

// addUpTo4 adds up to four rows to y: with add4, or one by one with add1, which adds the first.
func addUpTo4(y []float32, r *AxpyRows, count int, add4, add1 func(y []float32, r *AxpyRows)) {
	if count == 4 {
		add4(y, r)
		return
	}
	row, scales, mins, coef := r.Row[0], r.scales[0], r.mins[0], r.Coef[0]
	for i := range count {
		r.Row[0], r.scales[0], r.mins[0], r.Coef[0] = r.Row[i], r.scales[i], r.mins[i], r.Coef[i]
		add1(y, r)
		r.Row[0], r.scales[0], r.mins[0], r.Coef[0] = row, scales, mins, coef
	}
}

// widenAny is widen of n columns, any number.
func (k *ungrouped[X]) widenAny(dst []float32, row unsafe.Pointer, n int) {
	w := whole(n)
	if w > 0 {
		k.widen(dst[:w], row)
	}
	if w < n {
		k.plain.widen(dst[w:n], unsafe.Add(row, w*k.plain.size))
	}
}
