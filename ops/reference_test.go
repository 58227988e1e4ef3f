package ops

import (
	"fmt"
	"math"
	"testing"

	"github.com/stretchr/testify/require"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/sparsegonia/sparsegonia/ops/activation"
	"github.com/sparsegonia/sparsegonia/ops/optest"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// The references compute in float64, in the plainest order. Integers in these tests are small enough to be exact.

// vectors are the rows of a tensor; a vector has one.
func vectors(d *tensor.Dense) [][]float64 {
	cols := d.Shape()[d.Dims()-1]
	var all []float64
	switch d.Dtype() {
	case tensor.Float32:
		all = floats(d.Float32s())
	case tensor.Float64:
		all = floats(d.Float64s())
	case tensor.Int32:
		all = floats(d.Int32s())
	case tensor.Int64:
		all = floats(d.Int64s())
	}
	var rows [][]float64
	for ; len(all) > 0; all = all[cols:] {
		rows = append(rows, all[:cols])
	}
	return rows
}

func floats[E weights.Elem](s []E) []float64 {
	out := make([]float64, len(s))
	for i, x := range s {
		out[i] = float64(x)
	}
	return out
}

// newDense holds rows of numbers, with another last dimension than like has.
func newDense(like *tensor.Dense, rows [][]float64) *tensor.Dense {
	shape := like.Shape().Clone()
	shape[len(shape)-1] = len(rows[0])
	d := tensor.New(tensor.Of(like.Dtype()), tensor.WithShape(shape...))
	at := 0
	for _, row := range rows {
		for _, x := range row {
			switch d.Dtype() {
			case tensor.Float32:
				d.Float32s()[at] = float32(x)
			case tensor.Float64:
				d.Float64s()[at] = x
			case tensor.Int32:
				d.Int32s()[at] = int32(x)
			case tensor.Int64:
				d.Int64s()[at] = int64(x)
			}
			at++
		}
	}
	return d
}

// perRow makes a reference of a function of the rows of the first input.
func perRow(f func(x []float64) []float64) func(...*tensor.Dense) (*tensor.Dense, error) {
	return func(in ...*tensor.Dense) (*tensor.Dense, error) {
		rows := vectors(in[0])
		for t, x := range rows {
			rows[t] = f(x)
		}
		return newDense(in[0], rows), nil
	}
}

// decoded are the numbers that m stands for.
func decoded(m *weights.Matrix) [][]float64 {
	rows := make([][]float64, m.Rows())
	for i := range rows {
		switch m.Dtype().Compute() {
		case weights.F32:
			rows[i] = decodedRow[float32](m, i)
		case weights.F64:
			rows[i] = decodedRow[float64](m, i)
		case weights.Int32:
			rows[i] = decodedRow[int32](m, i)
		case weights.Int64:
			rows[i] = decodedRow[int64](m, i)
		}
	}
	return rows
}

func decodedRow[E weights.Elem](m *weights.Matrix, i int) []float64 {
	row := make([]E, m.Cols())
	weights.Row(m, i, row)
	return floats(row)
}

func dot(a, b []float64) (sum float64) {
	for i := range a {
		sum += a[i] * b[i]
	}
	return sum
}

// apply is the linear map of w.
func apply(w Weight, x []float64) []float64 {
	rows := decoded(w.Matrix)
	y := make([]float64, w.Outputs())
	for o := range y {
		if w.InputMajor {
			for k := range x {
				y[o] += x[k] * rows[k][o]
			}
		} else {
			y[o] = dot(x, rows[o])
		}
	}
	return plus(y, w.Bias)
}

func plus(y []float64, bias *weights.Matrix) []float64 {
	if bias != nil {
		for i, b := range decoded(bias)[0] {
			y[i] += b
		}
	}
	return y
}

func activationOf(a activation.Func, x float64) float64 {
	switch a {
	case activation.SiLU:
		return x / (1 + math.Exp(-x))
	case activation.GELU:
		return x * math.Erfc(-x/math.Sqrt2) / 2
	case activation.GELUTanh:
		return x / 2 * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(x+0.044715*x*x*x)))
	default:
		return max(x, 0)
	}
}

// mlpReference computes the MLP of rows over the given neurons. gate, if not nil, are the gate values.
func mlpReference(m MLP, rows *weights.Neurons, x []float64, neurons []int32, gate []float64) []float64 {
	up, down := decoded(rows.Up()), decoded(rows.Down())
	y := make([]float64, rows.Outputs())
	bias := func(b *weights.Matrix, i int32) float64 {
		if b == nil {
			return 0
		}
		return decoded(b)[0][i]
	}
	for _, i := range neurons {
		h := dot(x, up[i]) + bias(m.UpBias, i)
		switch {
		case gate != nil && !rows.Gated():
			h = gate[i]
		case gate != nil:
			h *= gate[i]
		case rows.Gated():
			h *= activationOf(m.Act, dot(x, decodedAt(rows.Gate(), int(i)))+bias(m.GateBias, i))
		default:
			h = activationOf(m.Act, h)
		}
		for k, d := range down[i] {
			y[k] += h * d
		}
	}
	return plus(y, m.DownBias)
}

func decodedAt(m *weights.Matrix, i int) []float64 { return decoded(m.Slice(i, i+1))[0] }

// Things to build ops of.

var (
	allDtypes = []weights.Dtype{
		weights.F32, weights.F64, weights.F16, weights.BF16, weights.Int32, weights.Int64,
		weights.Int8, weights.Int8G, weights.Int4, weights.Int4M,
	}
	computeDtypes  = []weights.Dtype{weights.F32, weights.F64, weights.Int32, weights.Int64}
	allActivations = []activation.Func{activation.SiLU, activation.GELU, activation.GELUTanh, activation.ReLU}
)

// activationsOf are the activations that d computes with.
func activationsOf(d weights.Dtype) []activation.Func {
	if c := d.Compute(); c == weights.Int32 || c == weights.Int64 {
		return []activation.Func{activation.ReLU}
	}
	return allActivations
}

// tolerance is that of sums of products with weights of dtype d. The kernels of quantised weights quantise the
// activations too: to 16 bits for Int8, to 8 bits in groups for the grouped dtypes.
func tolerance(d weights.Dtype) float64 {
	switch d {
	case weights.F64:
		return 1e-13
	case weights.Int8:
		return 1e-3
	case weights.Int8G, weights.Int4, weights.Int4M:
		return 5e-2
	}
	return 1e-5
}

// exact reports whether the kernels of d are made for checking, and allocate.
func exact(d weights.Dtype) bool { return d.Compute() != weights.F32 }

// matrix is a random matrix, encoded in d.
func matrix(seed uint64, d weights.Dtype, rows, cols int) *weights.Matrix {
	m := weights.NewMatrix(d, rows, cols)
	values := optest.Normal(seed, computeDtype(d), rows, cols)
	for i := range rows {
		switch computeDtype(d) {
		case tensor.Float32:
			weights.SetRow(m, i, values.Float32s()[i*cols:][:cols])
		case tensor.Float64:
			weights.SetRow(m, i, values.Float64s()[i*cols:][:cols])
		case tensor.Int32:
			weights.SetRow(m, i, values.Int32s()[i*cols:][:cols])
		case tensor.Int64:
			weights.SetRow(m, i, values.Int64s()[i*cols:][:cols])
		}
	}
	return m
}

func weight(seed uint64, d weights.Dtype, outputs, inputs int) Weight {
	return Weight{Matrix: matrix(seed, d, outputs, inputs), Bias: matrix(seed+1, d.Compute(), 1, outputs)}
}

func neurons(t testing.TB, seed uint64, d weights.Dtype, intermediate, hidden int, gated bool) *weights.Neurons {
	t.Helper()
	n, err := weights.AllocateNeurons(d, intermediate, hidden, gated)
	require.NoError(t, err)
	require.NoError(t, weights.Copy(nil, n.Up(), matrix(seed, d, intermediate, hidden)))
	require.NoError(t, weights.Copy(nil, n.Down(), matrix(seed+1, d, intermediate, hidden)))
	if gated {
		require.NoError(t, weights.Copy(nil, n.Gate(), matrix(seed+2, d, intermediate, hidden)))
	}
	return n
}

// input is a random tensor in the compute dtype of d, a vector if rows is 0.
func input(seed uint64, d weights.Dtype, rows, cols int) *tensor.Dense {
	if rows == 0 {
		return optest.Normal(seed, computeDtype(d), cols)
	}
	return optest.Normal(seed, computeDtype(d), rows, cols)
}

func ints(values ...int32) *tensor.Dense {
	return tensor.New(tensor.WithShape(len(values)), tensor.WithBacking(values))
}

func bools(cols int, values ...bool) *tensor.Dense {
	return tensor.New(tensor.WithShape(len(values)/cols, cols), tensor.WithBacking(values))
}

// slotsOf lists the true entries of active, padded with −1.
func slotsOf(active []bool) *tensor.Dense {
	slots := make([]int32, 0, len(active))
	for i, a := range active {
		if a {
			slots = append(slots, int32(i))
		}
	}
	for len(slots) < len(active) {
		slots = append(slots, -1)
	}
	return ints(slots...)
}

// activeNeurons are the entries of slots before the padding.
func activeNeurons(slots *tensor.Dense) (active []int32) {
	for _, s := range slots.Int32s() {
		if s >= 0 {
			active = append(active, s)
		}
	}
	return active
}

// newInput makes an input node with a value, named by its position among the nodes of g.
func newInput(g *gorgonia.ExprGraph, d *tensor.Dense) *gorgonia.Node {
	return gorgonia.NewTensor(g, d.Dtype(), d.Dims(), gorgonia.WithShape(d.Shape().Clone()...),
		gorgonia.WithName(fmt.Sprintf("in%d", len(g.AllNodes()))), gorgonia.WithValue(d))
}
