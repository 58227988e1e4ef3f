package simd

import (
	"unsafe"

	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// rowDotsAny is rowDots of rows of m, first and those that follow, of any number of columns.
func (v *Variant) RowDotsAny(y, x []float32, m *weights.Matrix, first int) {
	RaceRead(Address(x), 4*len(x))
	RaceRead(m.RowAt(first), (len(y)-1)*m.Stride()+m.RowBytes())
	RaceWrite(Address(y), 4*len(y))
	rows, whole := m.RowAt(first), m.Cols()&^(weights.Group-1)
	if whole > 0 {
		v.rowDots[m.Dtype()](Address(y), Address(x), rows, m.Stride(), whole, len(y))
	}
	if rest := m.Cols() - whole; rest > 0 {
		generic.rowDots[m.Dtype()](Address(y), Address(x[whole:]), unsafe.Add(rows, whole*m.Dtype().Size()), m.Stride(), rest, len(y))
	}
}

// rowSumAny is rowSum in the same way.
func (v *Variant) RowSumAny(y, coef []float32, m *weights.Matrix, first int) {
	RaceRead(Address(coef), 4*len(coef))
	RaceRead(m.RowAt(first), (len(coef)-1)*m.Stride()+m.RowBytes())
	RaceWrite(Address(y), 4*len(y))
	rows, whole := m.RowAt(first), m.Cols()&^(weights.Group-1)
	if whole > 0 {
		v.rowSum[m.Dtype()](Address(y), Address(coef), rows, m.Stride(), whole, len(coef))
	}
	if rest := m.Cols() - whole; rest > 0 {
		generic.rowSum[m.Dtype()](Address(y[whole:]), Address(coef), unsafe.Add(rows, whole*m.Dtype().Size()), m.Stride(), rest, len(coef))
	}
}
