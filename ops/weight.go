package ops

import (
	"errors"
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/sparsegonia/sparsegonia/ops/activation"
	"github.com/sparsegonia/sparsegonia/ops/kernel"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// Weight is the weight of a linear map from K inputs to O outputs. It is captured by the op that uses it: it may have
// dtypes that tensors have not, and no machine copies it or transposes it in place.
type Weight struct {
	Matrix     *weights.Matrix // O×K, or K×O if InputMajor
	InputMajor bool            // false: a row per output, PyTorch's order. true: a row per input, Gorgonia's Mul(x, w)
	Bias       *weights.Matrix // 1×O in the compute dtype of Matrix, or nil
}

// Inputs is K, the length of the vectors that the map takes.
func (w Weight) Inputs() int {
	if w.InputMajor {
		return w.Matrix.Rows()
	}
	return w.Matrix.Cols()
}

// Outputs is O, the length of the vectors that the map gives.
func (w Weight) Outputs() int {
	if w.InputMajor {
		return w.Matrix.Cols()
	}
	return w.Matrix.Rows()
}

// transposed is the transpose of w, without its bias.
func (w Weight) transposed() Weight { return Weight{Matrix: w.Matrix, InputMajor: !w.InputMajor} }

// differentiable tells whether the kernels of m compute with real numbers. Those of quantised weights round the
// activations, and what is piecewise constant has no useful gradient.
func differentiable(m *weights.Matrix) bool {
	switch m.Dtype() {
	case weights.F32, weights.F64, weights.F16, weights.BF16:
		return true
	}
	return false
}

// Weighted is implemented by the op of Linear. It lets rewriters read the captured weight.
type Weighted interface {
	gorgonia.Op
	Weight() Weight
}

// Activated is implemented by the ops of Activate (arity 1) and GLU (arity 2, gate first).
type Activated interface {
	gorgonia.Op
	Activation() activation.Func
}

// check tells whether w can be applied to rows of x.
func (w Weight) check(x operand) error {
	if w.Matrix == nil {
		return errors.New("the weight has no matrix")
	}
	if got := computeDtype(w.Matrix.Dtype()); got != x.dtype {
		return fmt.Errorf("a weight of dtype %v works on %v, %s has dtype %v", w.Matrix.Dtype(), got, x.name, x.dtype)
	}
	if w.Inputs() != x.cols() {
		return fmt.Errorf("%s has rows of length %d, the weight takes %d", x.name, x.cols(), w.Inputs())
	}
	return checkBias("bias", w.Bias, w.Outputs(), w.Matrix.Dtype().Compute())
}

func checkBias(name string, bias *weights.Matrix, length int, dtype weights.Dtype) error {
	if bias == nil {
		return nil
	}
	if bias.Rows() != 1 || bias.Cols() != length || bias.Dtype() != dtype {
		return fmt.Errorf("%s is %v %d×%d, want %v 1×%d", name, bias.Dtype(), bias.Rows(), bias.Cols(), dtype, length)
	}
	return nil
}

// biasValues is the vector that checkBias has accepted.
func biasValues[E weights.Elem](bias *weights.Matrix) []E {
	if bias == nil {
		return nil
	}
	v, _ := weights.Values[E](bias)
	return v
}

// linear computes y = x·w for rows of x.
func linear[E weights.Elem](p *kernel.CPU, y, x *tensor.Dense, w Weight) {
	if w.InputMajor {
		kernel.LinearT(p, elements[E](y), elements[E](x), w.Matrix, biasValues[E](w.Bias))
	} else {
		kernel.Linear(p, elements[E](y), elements[E](x), w.Matrix, biasValues[E](w.Bias))
	}
}

// TensorWeight is the weight held by a float32, float64, int32 or int64 matrix, without a copy if it lies in
// row-major order or is the transpose, by T, of one that does: then Matrix is that one. inputMajor tells that the rows
// of t belong to inputs, as in Gorgonia's Mul(x, w).
func TensorWeight(t tensor.Tensor, inputMajor bool) (Weight, error) {
	m, turned, err := tensorMatrix(t)
	if err != nil {
		return Weight{}, fmt.Errorf("ops: weight: %w", err)
	}
	return Weight{Matrix: m, InputMajor: inputMajor != turned}, nil
}

// tensorMatrix views t or, if turned, its transpose.
func tensorMatrix(t tensor.Tensor) (m *weights.Matrix, turned bool, err error) {
	d, ok := t.(*tensor.Dense)
	if !ok || d == nil {
		return nil, false, fmt.Errorf("a %T, want a *tensor.Dense", t)
	}
	o := operand{"the tensor", d.Dtype(), d.Shape()}
	if err := first(o.wantMatrix(), o.wantDtype(numeric...)); err != nil {
		return nil, false, err
	}
	if _, err := o.dense(d); err != nil {
		return nil, false, err
	}
	rows, cols := o.rows(), o.cols()
	switch strides := d.Strides(); {
	case rowMajor(d):
	case strides[0] == 1 && strides[1] == rows && uintptr(rows*cols)*d.Dtype().Size() == d.MemSize():
		rows, cols, turned = cols, rows, true
	default:
		d = o.rowMajorCopy(d)
	}
	switch o.dtype {
	case tensor.Float64:
		m, err = weights.MatrixOf(rows, cols, d.Float64s())
	case tensor.Int32:
		m, err = weights.MatrixOf(rows, cols, d.Int32s())
	case tensor.Int64:
		m, err = weights.MatrixOf(rows, cols, d.Int64s())
	default:
		m, err = weights.MatrixOf(rows, cols, d.Float32s())
	}
	return m, turned, err
}

// Tensor returns a rows × cols tensor over the memory of m, whose dtype is F32, F64, Int32 or Int64 and whose rows lie
// without gaps, as those of a cache.View do. A matrix without elements is an error, since no tensor is empty.
func Tensor(m *weights.Matrix) (*tensor.Dense, error) {
	t, err := tensorOf(m)
	if err != nil {
		return nil, fmt.Errorf("ops: tensor: %w", err)
	}
	return t, nil
}

func tensorOf(m *weights.Matrix) (*tensor.Dense, error) {
	switch {
	case m == nil:
		return nil, errors.New("no matrix")
	case m.Rows() == 0 || m.Cols() == 0:
		return nil, fmt.Errorf("the matrix is %d×%d, and no tensor is empty", m.Rows(), m.Cols())
	}
	switch m.Dtype() {
	case weights.F32:
		return tensorView[float32](m)
	case weights.F64:
		return tensorView[float64](m)
	case weights.Int32:
		return tensorView[int32](m)
	case weights.Int64:
		return tensorView[int64](m)
	}
	return nil, fmt.Errorf("there are no tensors of dtype %v", m.Dtype())
}

func tensorView[E weights.Elem](m *weights.Matrix) (*tensor.Dense, error) {
	values, ok := weights.Values[E](m)
	if !ok {
		return nil, fmt.Errorf("the rows of the %d×%d matrix are %d bytes apart", m.Rows(), m.Cols(), m.Stride())
	}
	return tensor.New(tensor.WithShape(m.Rows(), m.Cols()), tensor.WithBacking(values)), nil
}

// NeuronsOf is the neuron store of the MLP down(act(gate(x)) ⊙ up(x)), or of down(act(up(x))) if gate is the zero
// Weight. gate and up map H inputs to I neurons, down maps I neurons to O outputs; all have one dtype. The store is a
// view of the matrices if they lie neuron-major already, gate and up with a row per output and down with a row per
// input. Otherwise it is a copy. Biases are not part of it: they are fields of MLP.
func NeuronsOf(gate, up, down Weight, opts ...Option) (*weights.Neurons, error) {
	n, err := neuronsOf(gate, up, down, newOptions(opts).cpu)
	if err != nil {
		return nil, fmt.Errorf("ops: neurons: %w", err)
	}
	return n, nil
}

func neuronsOf(gate, up, down Weight, cpu *kernel.CPU) (*weights.Neurons, error) {
	if up.Matrix == nil || down.Matrix == nil {
		return nil, errors.New("up or down has no matrix")
	}
	hidden, intermediate, dtype := up.Inputs(), up.Outputs(), up.Matrix.Dtype()
	outputs := down.Outputs()
	if down.Inputs() != intermediate || down.Matrix.Dtype() != dtype {
		return nil, fmt.Errorf("up is a %v map from %d to %d, down a %v map from %d to %d",
			dtype, hidden, intermediate, down.Matrix.Dtype(), down.Inputs(), down.Outputs())
	}
	gated := gate.Matrix != nil
	if gated && (gate.Inputs() != hidden || gate.Outputs() != intermediate || gate.Matrix.Dtype() != dtype) {
		return nil, fmt.Errorf("up is a %v map from %d to %d, gate a %v map from %d to %d",
			dtype, hidden, intermediate, gate.Matrix.Dtype(), gate.Inputs(), gate.Outputs())
	}
	if !gate.InputMajor && !up.InputMajor && down.InputMajor {
		return weights.NewNeurons(gate.Matrix, up.Matrix, down.Matrix)
	}
	n, err := allocate(dtype, intermediate, hidden, outputs, gated)
	if err != nil {
		return nil, err
	}
	type move struct {
		to        *weights.Matrix
		from      Weight
		transpose bool
	}
	moves := []move{{n.Up, up, up.InputMajor}, {n.Down, down, !down.InputMajor}}
	if gated {
		moves = append(moves, move{n.Gate, gate, gate.InputMajor})
	}
	for _, m := range moves {
		turn := weights.Copy
		if m.transpose {
			turn = weights.Transpose
		}
		if err := turn(cpu.Pool(), m.to, m.from.Matrix); err != nil {
			return nil, err
		}
	}
	return n, nil
}

// allocate makes room for neurons: in one store if an MLP gives as many numbers as it takes.
func allocate(d weights.Dtype, intermediate, hidden, outputs int, gated bool) (*weights.Neurons, error) {
	if hidden == outputs {
		return weights.AllocateNeurons(d, intermediate, hidden, gated)
	}
	var gate *weights.Matrix
	if gated {
		gate = weights.NewMatrix(d, intermediate, hidden)
	}
	return weights.NewNeurons(gate, weights.NewMatrix(d, intermediate, hidden), weights.NewMatrix(d, intermediate, outputs))
}
