package graph

import (
	"bytes"
	"fmt"
	"unsafe"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/sparsegonia/sparsegonia/graph/vocabulary"
	"github.com/sparsegonia/sparsegonia/ops"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// resolve returns the weight of l times scale, with its biases: a view of the values that the nodes
// are bound to, where possible.
func (s *survey) resolve(l *linear, scale float64) (ops.Weight, error) {
	w, err := s.coreWeight(l)
	if err != nil {
		return ops.Weight{}, err
	}
	own := w.Bias
	if w, err = sliceOutputs(w, l.from, l.to); err != nil {
		return ops.Weight{}, err
	}
	if scale *= l.scale; scale != 1 {
		if w.Matrix, err = scaleMatrix(w.Matrix, scale); err != nil {
			return ops.Weight{}, err
		}
	}
	w.Bias, err = s.sumBiases(l, own, scale, w.Matrix.Dtype().Compute())
	return w, err
}

// coreWeight returns the weight of all outputs of l's core.
func (s *survey) coreWeight(l *linear) (ops.Weight, error) {
	if l.weighted != nil {
		return l.weighted.Weight(), nil
	}
	n, inputAxis := l.weight.node, l.weight.input
	for vocabulary.KindOf(n) == vocabulary.Transpose && n.Dims() == 2 {
		n, inputAxis = s.inputs[n][0], vocabulary.PermutationOf(n.Op())[inputAxis]
	}
	t, err := s.value(n)
	if err != nil {
		return ops.Weight{}, err
	}
	if t.Dims() > 2 {
		if t, err = oneMatrix(n, t); err != nil {
			return ops.Weight{}, err
		}
		inputAxis -= n.Dims() - 2
	}
	w, err := ops.TensorWeight(t, inputAxis == 0)
	if err != nil {
		return ops.Weight{}, fmt.Errorf("weight %q: %w", n.Name(), err)
	}
	return w, nil
}

// oneMatrix returns the matrix that all matrices of a batch are equal to.
func oneMatrix(n *gorgonia.Node, t *tensor.Dense) (*tensor.Dense, error) {
	t = ops.RowMajorCopy(t)
	shape := t.Shape()
	rows, cols := shape[len(shape)-2], shape[len(shape)-1]
	first := tensor.New(tensor.Of(t.Dtype()), tensor.WithShape(rows, cols))
	copy(first.Raw, t.Raw)
	for at := 0; at < len(t.Raw); at += len(first.Raw) {
		if !bytes.Equal(t.Raw[at:][:len(first.Raw)], first.Raw) {
			return nil, unsupportedError{fmt.Sprintf("the matrices of weight %q differ", n.Name())}
		}
	}
	return first, nil
}

// unsupportedError is a reason to skip a site.
type unsupportedError struct{ reason string }

func (e unsupportedError) Error() string { return e.reason }

// value returns the value of a constant expression for the values that its leaves are bound to now.
func (s *survey) value(n *gorgonia.Node) (*tensor.Dense, error) {
	switch vocabulary.KindOf(n) {
	case vocabulary.Leaf, vocabulary.Constant:
		switch v := n.Value().(type) {
		case nil:
			return nil, fmt.Errorf("weight %q has no value: bind it to a tensor first", n.Name())
		case *tensor.Dense:
			return v, nil
		default:
			return nil, unsupportedError{fmt.Sprintf("a weight depends on %v, a %T", describe(n), v)}
		}
	}
	operands := make([]gorgonia.Value, len(s.inputs[n]))
	for i, c := range s.inputs[n] {
		switch {
		case vocabulary.KindOf(n) == vocabulary.Repeat && i == 1:
			axis := vocabulary.RepeatedAxis(n.Op())
			operands[i] = gorgonia.NewI(n.Shape()[axis] / s.inputs[n][0].Shape()[axis])
		case c.IsScalar() && vocabulary.KindOf(c) == vocabulary.Constant:
			operands[i] = c.Value()
		default:
			v, err := s.value(c)
			if err != nil {
				return nil, err
			}
			operands[i] = ops.RowMajorCopy(v) // ops may change their operands, and some are wrong for transposed ones
		}
	}
	v, err := n.Op().Do(operands...)
	if err != nil {
		return nil, fmt.Errorf("computing %v: %w", describe(n), err)
	}
	d, ok := v.(*tensor.Dense)
	if !ok {
		return nil, unsupportedError{fmt.Sprintf("%v is a %T", describe(n), v)}
	}
	return d, nil
}

// sliceOutputs returns outputs [from:to] of w without its bias.
func sliceOutputs(w ops.Weight, from, to int) (ops.Weight, error) {
	m := w.Matrix
	w.Bias = nil
	if from == 0 && to == w.Outputs() {
		return w, nil
	}
	if !w.InputMajor {
		w.Matrix = m.Slice(from, to)
		return w, nil
	}
	if size := m.Dtype().RowBytes(1); m.Dtype().RowBytes(m.Cols()) == size*m.Cols() && m.Dtype() != weights.Int8 {
		var all []byte
		if m.Rows() > 0 {
			all = unsafe.Slice(unsafe.SliceData(m.Row(0)), (m.Rows()-1)*m.Stride()+size*m.Cols())
		}
		var err error
		w.Matrix, err = weights.MatrixView(m.Dtype(), m.Rows(), to-from, m.Stride(), all[from*size:])
		return w, err
	}
	return w, unsupportedError{fmt.Sprintf("a slice of the columns of a %v weight", m.Dtype())}
}

// scaleMatrix returns factor·m.
func scaleMatrix(m *weights.Matrix, factor float64) (*weights.Matrix, error) {
	switch m.Dtype() {
	case weights.F32:
		return rescaled[float32](m, factor)
	case weights.F64:
		return rescaled[float64](m, factor)
	}
	return nil, unsupportedError{fmt.Sprintf("a %v weight times %g", m.Dtype(), factor)}
}

func rescaled[E float32 | float64](m *weights.Matrix, factor float64) (*weights.Matrix, error) {
	values := make([]E, m.Rows()*m.Cols())
	for i := range m.Rows() {
		row := values[i*m.Cols():][:m.Cols()]
		weights.Row(m, i, row)
		for j := range row {
			row[j] = E(float64(row[j]) * factor)
		}
	}
	return weights.MatrixOf(m.Rows(), m.Cols(), values)
}

// sumBiases returns the sum of l's biases and of its op's own, 1×O of the dtype, or nil if there
// are none. A single vector is a view.
func (s *survey) sumBiases(l *linear, own *weights.Matrix, scale float64, dtype weights.Dtype) (*weights.Matrix, error) {
	if len(l.biases) == 0 && own == nil {
		return nil, nil
	}
	outputs := l.to - l.from
	if len(l.biases) == 0 && outputs == own.Cols() && scale == 1 {
		return own, nil
	}
	switch dtype {
	case weights.F32:
		return sumBiases[float32](s, l, own, scale)
	case weights.F64:
		return sumBiases[float64](s, l, own, scale)
	}
	return nil, unsupportedError{fmt.Sprintf("a sum of biases of dtype %v", dtype)}
}

func sumBiases[E float32 | float64](s *survey, l *linear, own *weights.Matrix, scale float64) (*weights.Matrix, error) {
	sum := make([]float64, l.to-l.from)
	add := func(values []E, scale float64) {
		for i := range sum {
			sum[i] += scale * float64(values[i])
		}
	}
	if own != nil {
		values, _ := weights.Values[E](own)
		add(values[l.from:l.to], scale)
	}
	outer := scale / l.scale // factors after the map scale the biases too
	for _, b := range l.biases {
		if b.node == nil {
			for i := range sum {
				sum[i] += outer * b.scale * b.number
			}
			continue
		}
		t, err := s.value(b.node)
		if err != nil {
			return nil, err
		}
		values, ok := vectorOf[E](t)
		if !ok {
			return nil, unsupportedError{fmt.Sprintf("bias %q is %v", b.node.Name(), t.Dtype())}
		}
		values = values[b.from:b.to]
		if len(l.biases) == 1 && own == nil && outer*b.scale == 1 {
			return weights.MatrixOf(1, len(values), values)
		}
		add(values, outer*b.scale)
	}
	out := make([]E, len(sum))
	for i := range out {
		out[i] = E(sum[i])
	}
	return weights.MatrixOf(1, len(out), out)
}

// vectorOf returns the elements of a tensor that is a vector but for axes of length 1.
func vectorOf[E float32 | float64](t *tensor.Dense) (values []E, ok bool) {
	if len(t.Raw) != t.Shape().TotalSize()*int(t.Dtype().Size()) {
		t = ops.RowMajorCopy(t)
	}
	switch v := any(&values).(type) {
	case *[]float32:
		if ok = t.Dtype() == tensor.Float32; ok {
			*v = t.Float32s()
		}
	case *[]float64:
		if ok = t.Dtype() == tensor.Float64; ok {
			*v = t.Float64s()
		}
	}
	return values, ok
}
