package ops

import (
	"cmp"
	"errors"
	"fmt"
	"io"

	"gorgonia.org/tensor"

	"github.com/sparsegonia/sparsegonia/ops/kernel"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// Weight is the weight of a linear map from K inputs to O outputs. The op that uses it captures it:
// it may have dtypes that tensors have not, and no machine copies it or transposes it in place.
type Weight struct {
	Matrix     *weights.Matrix // O×K, or K×O if InputMajor
	InputMajor bool            // false: a row per output, PyTorch's order. true: a row per input, Gorgonia's Mul(x, w)
	Bias       *weights.Matrix // 1×O in the compute dtype of Matrix, or nil
}

// Inputs returns K, the length of the vectors that the map takes; 0 without a matrix.
func (w Weight) Inputs() int {
	switch {
	case w.Matrix == nil:
		return 0
	case w.InputMajor:
		return w.Matrix.Rows()
	}
	return w.Matrix.Cols()
}

// Outputs returns O, the length of the vectors that the map gives; 0 without a matrix.
func (w Weight) Outputs() int {
	switch {
	case w.Matrix == nil:
		return 0
	case w.InputMajor:
		return w.Matrix.Cols()
	}
	return w.Matrix.Rows()
}

// transposed returns the transpose of w, without its bias.
func (w Weight) transposed() Weight { return Weight{Matrix: w.Matrix, InputMajor: !w.InputMajor} }

// differentiable reports whether the kernels of m compute with real numbers. Those of quantised
// weights round the activations, and what is piecewise constant has no useful gradient.
func differentiable(m *weights.Matrix) bool { return m.Dtype().Float() }

// check returns an error unless w can be applied to rows of x.
func (w Weight) check(x spec) error {
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

// hash identifies w by its matrices, not by their contents: what is captured may change between
// runs.
func (w Weight) hash(to io.Writer) {
	fmt.Fprintf(to, " weight %p %t %p", w.Matrix, w.InputMajor, w.Bias)
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

// biasValues returns the vector that checkBias has accepted.
func biasValues[E weights.Elem](bias *weights.Matrix) []E {
	if bias == nil {
		return nil
	}
	v, _ := weights.Values[E](bias)
	return v
}

// TensorWeight returns the weight held by t, a float32, float64, int32 or int64 matrix. inputMajor
// says that the rows of t belong to inputs, as in Gorgonia's Mul(x, w). There is no copy if t lies
// in row-major order or is the transpose, by T, of a tensor that does: Matrix is then that one.
func TensorWeight(t tensor.Tensor, inputMajor bool) (Weight, error) {
	m, transposed, err := tensorMatrix(t)
	if err != nil {
		return Weight{}, fmt.Errorf("ops: weight: %w", err)
	}
	return Weight{Matrix: m, InputMajor: inputMajor != transposed}, nil
}

// tensorMatrix returns t or its transpose as a matrix.
func tensorMatrix(t tensor.Tensor) (m *weights.Matrix, transposed bool, err error) {
	d, ok := t.(*tensor.Dense)
	if !ok || d == nil {
		return nil, false, fmt.Errorf("a %T, want a *tensor.Dense", t)
	}
	o := spec{"the tensor", d.Dtype(), d.Shape()}
	if err := cmp.Or(o.wantMatrix(), o.wantDtype(numeric...)); err != nil {
		return nil, false, err
	}
	if _, err := o.dense(d); err != nil {
		return nil, false, err
	}
	rows, cols := o.rows(), o.cols()
	switch strides := d.Strides(); {
	case RowMajor(d):
	case strides[0] == 1 && strides[1] == rows && uintptr(rows*cols)*d.Dtype().Size() == d.MemSize():
		rows, cols, transposed = cols, rows, true
	default:
		d = RowMajorCopy(d)
	}
	m, err = byDtype(o.dtype, matrixOf[float32], matrixOf[float64], matrixOf[int32], matrixOf[int64])(d, rows, cols)
	return m, transposed, err
}

func matrixOf[E weights.Elem](d *tensor.Dense, rows, cols int) (*weights.Matrix, error) {
	return weights.MatrixOf(rows, cols, elements[E](d))
}

// Tensor returns a rows × cols tensor over the memory of m, whose dtype is F32, F64, Int32 or Int64
// and whose rows lie without gaps, as those of a cache.Packed do. A matrix without elements is an
// error, since no tensor is empty.
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
	if m.Dtype() != m.Dtype().Compute() {
		return nil, fmt.Errorf("there are no tensors of dtype %v", m.Dtype())
	}
	view := byDtype(computeDtype(m.Dtype()), tensorView[float32], tensorView[float64], tensorView[int32], tensorView[int64])
	return view(m)
}

func tensorView[E weights.Elem](m *weights.Matrix) (*tensor.Dense, error) {
	values, ok := weights.Values[E](m)
	if !ok {
		return nil, fmt.Errorf("the rows of the %d×%d matrix are %d bytes apart", m.Rows(), m.Cols(), m.Stride())
	}
	return tensor.New(tensor.WithShape(m.Rows(), m.Cols()), tensor.WithBacking(values)), nil
}

// NeuronsOf returns the neurons of the MLP down(act(gate(x)) ⊙ up(x)), or of down(act(up(x))) if
// gate is the zero Weight. gate and up map H inputs to I neurons, down maps I neurons to O outputs;
// all have one dtype. The result is a view of the matrices if they lie neuron-major already, gate
// and up with a row per output and down with a row per input. Otherwise it is a copy. Biases are
// fields of MLP.
func NeuronsOf(gate, up, down Weight) (*weights.Neurons, error) {
	n, err := neuronsOf(gate, up, down)
	if err != nil {
		return nil, fmt.Errorf("ops: neurons: %w", err)
	}
	return n, nil
}

func neuronsOf(gate, up, down Weight) (*weights.Neurons, error) {
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
	shape := weights.MLPShape(dtype, intermediate, hidden, gated)
	shape.Parts[len(shape.Parts)-1].Cols = outputs
	n, err := shape.Allocate()
	if err != nil {
		return nil, err
	}
	err = cmp.Or(move(n.Up(), up, up.InputMajor), move(n.Down(), down, !down.InputMajor))
	if err == nil && gated {
		err = move(n.Gate(), gate, gate.InputMajor)
	}
	return n, err
}

// move copies the matrix of w, or its transpose.
func move(to *weights.Matrix, w Weight, transposed bool) error {
	move := weights.Copy
	if transposed {
		move = weights.Transpose
	}
	return move(kernel.DefaultCPU().Pool(), to, w.Matrix)
}
