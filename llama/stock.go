package llama

import (
	"sync"

	"gorgonia.org/tensor"

	"github.com/sparsegonia/sparsegonia/ops"
	"github.com/sparsegonia/sparsegonia/ops/kernel"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// stockWeights are the float32 matrices that weight nodes of stock graphs are bound to: made when
// the first such graph is built and shared by all. A tensor can view neither a narrow matrix nor
// the rows of a neuron store, so those are copied.
type stockWeights struct {
	mu   sync.Mutex
	rows map[*weights.Matrix][]float32 // O×K
}

// of returns w as tensors: O×K, and O or nil.
//
// With a row per output, BLAS reads each row once, as a dot product, which takes half the time of
// the other order. Every call makes a new tensor over the same memory, because machines transpose
// weights in place.
func (s *stockWeights) of(w ops.Weight, p *kernel.CPU) (weight, bias *tensor.Dense, err error) {
	rows, err := s.byOutput(w, p)
	if err != nil {
		return nil, nil, err
	}
	weight = tensor.New(tensor.WithShape(w.Outputs(), w.Inputs()), tensor.WithBacking(rows))
	if w.Bias != nil {
		values, _ := weights.Values[float32](w.Bias)
		bias = tensor.New(tensor.WithShape(len(values)), tensor.WithBacking(values))
	}
	return weight, bias, nil
}

// byOutput returns the elements of w, a row per output.
func (s *stockWeights) byOutput(w ops.Weight, p *kernel.CPU) ([]float32, error) {
	if values, ok := weights.Values[float32](w.Matrix); ok && !w.InputMajor {
		return values, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if values, ok := s.rows[w.Matrix]; ok {
		return values, nil
	}
	values := make([]float32, w.Outputs()*w.Inputs())
	m, err := weights.MatrixOf(w.Outputs(), w.Inputs(), values)
	if err != nil {
		return nil, err
	}
	if err := copyByOutput(p, m, w); err != nil {
		return nil, err
	}
	if s.rows == nil {
		s.rows = map[*weights.Matrix][]float32{}
	}
	s.rows[w.Matrix] = values
	return values, nil
}

func copyByOutput(p *kernel.CPU, to *weights.Matrix, w ops.Weight) error {
	if !w.InputMajor {
		return weights.Copy(p.Pool(), to, w.Matrix)
	}
	if w.Matrix.Dtype() == weights.F32 {
		return weights.Transpose(p.Pool(), to, w.Matrix)
	}
	wide := weights.NewMatrix(weights.F32, w.Matrix.Rows(), w.Matrix.Cols())
	if err := weights.Copy(p.Pool(), wide, w.Matrix); err != nil {
		return err
	}
	return weights.Transpose(p.Pool(), to, wide)
}
