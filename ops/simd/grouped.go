package simd

import (
	"unsafe"

	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// grouped are the kernels of a dtype of groups, for rows of whole groups, at least one.
type grouped struct {
	dtype weights.Dtype
	dot   func(x *Operand, r *DotRows, groups int)

	// add4 and add1 add to y the first 4 rows or the first one. They are nil if more or add8 takes
	// any number.
	add4, add1 func(y []float32, r *AxpyRows)

	// add8, nil for bytes, adds 8 rows of groups, at least add8Least and a multiple of add8Step.
	add8                func(y []float32, r *AxpyRows)
	add8Least, add8Step int

	widen   func(dst []float32, row weights.GroupRow)
	widen16 func(dst []int16, quants unsafe.Pointer)
}

// groups returns the RowKernel of a grouped dtype. inOrder is nil if sums are left in order; else
// one call of add8 or add4 adds all rows.
func (p *shared) groups(k grouped, inOrder func(y, sums, scratch []float32), r Reading) RowKernel {
	quantBytes := k.dtype.QuantBytes()
	minima := k.dtype.Minima()
	prefetch := p.prefetch
	row := RowKernel{
		Prepare: prepareGroups(p.quantizeGroups),
		Dot:     func(x *Operand, r *DotRows, m *weights.Matrix) { k.dot(x, r, weights.Groups(m.Cols())) },
		PerAdd:  4, InOrder: inOrder, Reading: r,
		Widen: func(dst []float32, m *weights.Matrix, row unsafe.Pointer, c, n int) {
			k.widen(dst[:weights.Groups(n)*weights.Group], part(m.Cols(), row, c, quantBytes))
		},
		Prefetch: func(m *weights.Matrix, row unsafe.Pointer, c, n int) {
			at := uintptr(row)
			prefetch(at+uintptr(c/weights.Group*quantBytes), weights.Groups(n)*quantBytes)
			prefetch(at+uintptr(weights.Groups(m.Cols())*quantBytes+c/weights.Group*2), 1)
		},
		Integers: Integers{
			Widen16: func(dst []int16, factors, mins []float32, m *weights.Matrix, row unsafe.Pointer, c, n int) {
				g, count := part(m.Cols(), row, c, quantBytes), weights.Groups(n)
				k.widen16(dst[:count*weights.Group], g.Quants)
				for i, h := range weights.SliceAt[uint16](g.Scales, count) {
					factors[i] = weights.FromF16(h)
				}
				if minima {
					for i, h := range weights.SliceAt[uint16](g.Mins, count) {
						mins[i] = weights.FromF16(h)
					}
				}
			},
			PerScale: weights.Group, Minima: minima,
		},
		Tiles: Tiles{products: [2]Product{OnPairs, OnFloats}},
	}
	all := k.add4 // adds rows in one call
	if k.add8 != nil {
		row.PerAdd, all = 8, k.add8
	}
	add := func(y []float32, r *AxpyRows, count int) {
		r.fill(count, row.PerAdd)
		all(y, r)
	}
	if inOrder == nil {
		row.InOrder = copySums
		add = k.addUpTo4
		if k.add8 != nil {
			add = k.addUpTo8
		}
	}
	row.Add = func(y []float32, r *AxpyRows, m *weights.Matrix, count int) {
		for i := range count {
			g := weights.GroupedRow(k.dtype, r.Row[i], m.Cols())
			r.scales[i], r.mins[i] = g.Scales, g.Mins
		}
		r.bytes = m.RowBytes()
		for i := row.PerAdd; i < len(r.Next); i++ {
			r.Next[i] = r.Next[0]
		}
		if n := weights.Groups(m.Cols()) * weights.Group; n > 0 {
			add(y[:n], r, count)
		}
	}
	return row
}

// part returns a row of that many columns from column c on. Its minima are behind all scales, also
// where it has none.
func part(cols int, row unsafe.Pointer, c, quantBytes int) weights.GroupRow {
	n, at := weights.Groups(cols), c/weights.Group
	scales := unsafe.Add(row, n*quantBytes+2*at)
	return weights.GroupRow{Quants: unsafe.Add(row, at*quantBytes), Scales: scales, Mins: unsafe.Add(scales, 2*n)}
}

func (k *grouped) addUpTo4(y []float32, r *AxpyRows, count int) {
	addUpTo4(y, r, count, k.add4, k.add1)
}

// addUpTo8 adds up to eight rows: with add8 as many groups as it takes, the rest by four rows.
func (k *grouped) addUpTo8(y []float32, r *AxpyRows, count int) {
	n := len(y) / weights.Group
	whole := n - n%k.add8Step
	if whole < k.add8Least {
		whole = 0
	}
	if whole > 0 {
		r.fill(count, 8)
		k.add8(y[:whole*weights.Group], r)
	}
	if whole == n {
		return
	}
	for i := range count {
		rest := weights.GroupRow{Quants: r.Row[i], Scales: r.scales[i], Mins: r.mins[i]}.From(k.dtype, whole)
		r.Row[i], r.scales[i], r.mins[i] = rest.Quants, rest.Scales, rest.Mins
	}
	y = y[whole*weights.Group:]
	k.addUpTo4(y, r, min(count, 4))
	if count > 4 {
		copy(r.Row[:4], r.Row[4:])
		copy(r.scales[:4], r.scales[4:])
		copy(r.mins[:4], r.mins[4:])
		copy(r.Coef[:4], r.Coef[4:])
		copy(r.Next[:4], r.Next[4:])
		k.addUpTo4(y, r, count-4)
	}
}
