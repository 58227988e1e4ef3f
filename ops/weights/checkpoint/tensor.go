package checkpoint

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/sparsegonia/sparsegonia/ops/parallel"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// A Tensor is a view of the numbers of a checkpoint.
type Tensor struct {
	Name  string
	File  string // path of the file that has it
	Type  Type
	Shape []int  // row-major, outermost first; empty for a scalar
	Data  []byte // as stored, little-endian; aliases the mapping

	mapped bool
}

// Rows returns the number of rows: the product of all sizes but the last.
func (t Tensor) Rows() int {
	rows := 1
	for _, n := range t.Shape[:max(len(t.Shape)-1, 0)] {
		rows *= n
	}
	return rows
}

// Cols returns the length of a row: the last size, 1 for a scalar.
func (t Tensor) Cols() int { return rowLength(t.Shape) }

// Float32 decodes all numbers of the tensor, row by row. F64 is rounded to
// nearest; every other type is exact up to what ggml itself computes. It is an
// error if dst has not one place for each number.
func (t Tensor) Float32(dst []float32) error {
	if n := t.Rows() * t.Cols(); len(dst) != n {
		return fmt.Errorf("checkpoint: tensor %s: %d places for %d numbers", quote(t.Name), len(dst), n)
	}
	return t.decode(dst, t.Data)
}

// Float32Row decodes a row into dst, of length Cols.
func (t Tensor) Float32Row(dst []float32, row int) error {
	rows := t.Rows()
	if row < 0 || row >= rows {
		return fmt.Errorf("checkpoint: tensor %s: row %d of %d", quote(t.Name), row, rows)
	}
	if len(dst) != t.Cols() {
		return fmt.Errorf("checkpoint: tensor %s: %d places for a row of %d", quote(t.Name), len(dst), t.Cols())
	}
	n := len(t.Data) / rows
	return t.decode(dst, t.Data[row*n:(row+1)*n])
}

// Slice returns rows first to end−1 of a tensor of two dimensions or more, as a tensor of two.
func (t Tensor) Slice(first, end int) Tensor {
	n := len(t.Data) / t.Rows()
	t.Shape, t.Data = []int{end - first, t.Cols()}, t.Data[first*n:end*n]
	return t
}

// View returns the numbers of t where they lie, as a matrix of Rows × Cols. False if kernels cannot
// read the type, or not at that address.
func (t Tensor) View() (*weights.Matrix, bool) {
	d, ok := t.Type.Dtype()
	if !ok || d.Grouped() {
		return nil, false
	}
	m, err := weights.MatrixView(d, t.Rows(), t.Cols(), d.RowBytes(t.Cols()), t.Data)
	return m, err == nil
}

// CopyTo converts t to the dtype of m, which has Rows × Cols numbers, on the threads of p. Numbers
// that m stores as t does are copied as they are; others go through float32.
func (t Tensor) CopyTo(p *parallel.Pool, m *weights.Matrix) error {
	if m.Rows() != t.Rows() || m.Cols() != t.Cols() {
		return fmt.Errorf("checkpoint: tensor %s: %d×%d to %d×%d", quote(t.Name), t.Rows(), t.Cols(), m.Rows(), m.Cols())
	}
	if v, ok := t.View(); ok {
		if err := weights.Copy(p, m, v); err != nil {
			return fmt.Errorf("checkpoint: %s: tensor %s: %w", t.File, quote(t.Name), err)
		}
		return nil
	}
	d, ok := t.Type.Dtype()
	same := ok && d == m.Dtype()
	n := len(t.Data) / t.Rows()
	errs := make([]error, t.Rows())
	p.Ranges(t.Rows(), 32, func(first, end int) {
		row := make([]float32, t.Cols())
		for i := first; i < end; i++ {
			switch {
			case same && d.Grouped():
				errs[i] = weights.SetRowBlocks(m, i, t.Data[i*n:(i+1)*n])
			case same:
				copy(m.Row(i), t.Data[i*n:])
			default:
				if errs[i] = t.Float32Row(row, i); errs[i] == nil {
					weights.SetRow(m, i, row)
				}
			}
		}
	})
	if err := cmp.Or(errs...); err != nil {
		return fmt.Errorf("checkpoint: %s: tensor %s: %w", t.File, quote(t.Name), err)
	}
	return nil
}

// Release tells the operating system that the numbers will not be needed soon,
// after they were copied: their pages leave the memory of the process. Data
// stays valid and is read from the file again when used.
func (t Tensor) Release() {
	if t.mapped {
		weights.GiveBack(t.Data)
	}
}

func (t Tensor) decode(dst []float32, data []byte) (err error) {
	if !t.Type.valid() {
		return fmt.Errorf("checkpoint: tensor %s: %v is %w", quote(t.Name), t.Type, ErrUnsupported)
	}
	l := &layouts[t.Type]
	if len(dst)%l.block != 0 || len(data) != len(dst)/l.block*l.bytes {
		return fmt.Errorf("checkpoint: tensor %s: %d bytes of %v for %d numbers", quote(t.Name), len(data), t.Type, len(dst))
	}
	if t.mapped {
		defer t.catchFault(&err)()
	}
	if l.block == 1 {
		l.decode(dst, data)
		return nil
	}
	for len(dst) > 0 {
		l.decode(dst[:l.block], data[:l.bytes])
		dst, data = dst[l.block:], data[l.bytes:]
	}
	return nil
}

// catchFault makes faults of this goroutine panics, and returns what has to be deferred to make
// such a panic an error.
func (t Tensor) catchFault(err *error) func() {
	before := debug.SetPanicOnFault(true)
	return func() {
		debug.SetPanicOnFault(before)
		fault := recover()
		if e, ok := fault.(interface {
			runtime.Error
			Addr() uintptr
		}); ok {
			*err = fmt.Errorf("checkpoint: tensor %s: the file was truncated while it was open: %w", quote(t.Name), corrupt(e))
		} else if fault != nil {
			panic(fault)
		}
	}
}
