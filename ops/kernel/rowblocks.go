package kernel

import "unsafe"

// rowDotsAny is rowDots of rows of m, first and those that follow, of any number of columns.
func (v *variant) rowDotsAny(y, x []float32, m *Matrix, first int) {
	raceRead(address(x), 4*len(x))
	raceRead(m.row(first), (len(y)-1)*m.stride+m.rowBytes)
	raceWrite(address(y), 4*len(y))
	rows, whole := m.row(first), m.cols&^(group-1)
	if whole > 0 {
		v.rowDots[m.dtype](address(y), address(x), rows, m.stride, whole, len(y))
	}
	if rest := m.cols - whole; rest > 0 {
		generic.rowDots[m.dtype](address(y), address(x[whole:]), unsafe.Add(rows, whole*m.dtype.size()), m.stride, rest, len(y))
	}
}

// rowSumAny is rowSum in the same way.
func (v *variant) rowSumAny(y, coef []float32, m *Matrix, first int) {
	raceRead(address(coef), 4*len(coef))
	raceRead(m.row(first), (len(coef)-1)*m.stride+m.rowBytes)
	raceWrite(address(y), 4*len(y))
	rows, whole := m.row(first), m.cols&^(group-1)
	if whole > 0 {
		v.rowSum[m.dtype](address(y), address(coef), rows, m.stride, whole, len(coef))
	}
	if rest := m.cols - whole; rest > 0 {
		generic.rowSum[m.dtype](address(y[whole:]), address(coef), unsafe.Add(rows, whole*m.dtype.size()), m.stride, rest, len(coef))
	}
}
