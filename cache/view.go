package cache

import (
	"errors"
	"fmt"

	"github.com/sparsegonia/sparsegonia/ops/weights"
	"gorgonia.org/tensor"
)

// View is the active neurons of a Packed as they lie in its pools: row s of every matrix belongs to neuron Neurons[s].
// It is valid until the next Refresh or Reset of the Packed, which write other neurons to the same memory.
type View struct {
	Neurons []int32         // n, in the order of the slots
	Gate    *weights.Matrix // n×H, nil for a plain MLP
	Up      *weights.Matrix // n×H
	Down    *weights.Matrix // n×O
}

// View is the active neurons without a copy.
func (c *Packed) View() View {
	v := View{Neurons: c.neuron}
	for i, to := range []**weights.Matrix{&v.Gate, &v.Up, &v.Down} {
		if m := c.rows.matrices()[i]; m != nil {
			*to = m.Slice(0, len(c.neuron))
		}
	}
	return v
}

// Tensors are the matrices as tensors over the same memory, for weights of dtype F32, F64, Int32 and Int64; gate is
// nil for a plain MLP. It is an error if no neuron is active, since no tensor is empty.
func (v View) Tensors() (gate, up, down *tensor.Dense, err error) {
	if len(v.Neurons) == 0 {
		return nil, nil, nil, errors.New("cache: view: no neuron is active")
	}
	if d := v.Up.Dtype(); !tensors(d) {
		return nil, nil, nil, fmt.Errorf("cache: view: there are no tensors of dtype %v", d)
	}
	for i, m := range []*weights.Matrix{v.Gate, v.Up, v.Down} {
		if m == nil {
			continue
		}
		t, err := dense(m)
		if err != nil {
			return nil, nil, nil, fmt.Errorf("cache: view: %w", err)
		}
		*[]**tensor.Dense{&gate, &up, &down}[i] = t
	}
	return gate, up, down, nil
}

// tensors tells whether a tensor can hold numbers of dtype d.
func tensors(d weights.Dtype) bool {
	switch d {
	case weights.F32, weights.F64, weights.Int32, weights.Int64:
		return true
	}
	return false
}

func dense(m *weights.Matrix) (*tensor.Dense, error) {
	switch m.Dtype() {
	case weights.F64:
		return denseOf[float64](m)
	case weights.Int32:
		return denseOf[int32](m)
	case weights.Int64:
		return denseOf[int64](m)
	default:
		return denseOf[float32](m)
	}
}

func denseOf[E weights.Elem](m *weights.Matrix) (*tensor.Dense, error) {
	values, ok := weights.Values[E](m)
	if !ok || len(values) == 0 {
		return nil, fmt.Errorf("a %d×%d matrix of stride %d is no tensor", m.Rows(), m.Cols(), m.Stride())
	}
	return tensor.New(tensor.WithShape(m.Rows(), m.Cols()), tensor.WithBacking(values)), nil
}
