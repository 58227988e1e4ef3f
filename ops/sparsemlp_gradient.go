package ops

import (
	"hash"
	"math"

	"github.com/sparsegonia/sparsegonia/ops/activation"
	"github.com/sparsegonia/sparsegonia/ops/weights"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// sparseMLPGradientOp is the gradient of a SparseMLP for x: x T×H, active I, grad T×O → T×H,
//
//	Σ over the active i of (grad·downᵢ)·(act′(a)·u·gateᵢ + act(a)·upᵢ), with a = x·gateᵢ and u = x·upᵢ
//
// and (grad·downᵢ)·act′(u)·upᵢ without a gate matrix. It is plain Go, for research on small models.
type sparseMLPGradientOp struct {
	signature
	mlp MLP
}

func newSparseMLPGradientOp(inputs gorgonia.Nodes, m MLP) (*sparseMLPGradientOp, error) {
	s, err := newSignature("SparseMLPGradient", "x active grad", inputs...)
	if err != nil {
		return nil, err
	}
	if err := first(s.in[2].wantDtype(s.in[0].dtype), s.in[2].wantShape(s.in[0].withCols("", m.Cache.Rows().Outputs()).shape...)); err != nil {
		return nil, s.wrap(err)
	}
	s.out = s.in[0].withCols("dx", s.in[0].cols())
	return &sparseMLPGradientOp{s, m}, nil
}

func (op *sparseMLPGradientOp) Do(inputs ...gorgonia.Value) (gorgonia.Value, error) {
	return op.UsePreallocDo(op.newOutput(), inputs...)
}

func (op *sparseMLPGradientOp) UsePreallocDo(output gorgonia.Value, inputs ...gorgonia.Value) (gorgonia.Value, error) {
	var v values
	if err := op.bind(&v, output, inputs); err != nil {
		return nil, err
	}
	var err error
	if op.out.dtype == tensor.Float64 {
		err = runSparseMLPGradient[float64](op, &v)
	} else {
		err = runSparseMLPGradient[float32](op, &v)
	}
	if err != nil {
		return nil, op.wrap(err)
	}
	return output, nil
}

func runSparseMLPGradient[E float32 | float64](op *sparseMLPGradientOp, v *values) error {
	rows, neurons := op.mlp.Cache.Rows(), op.mlp.Cache.Neurons()
	slots, err := op.mlp.activeSlots(&op.in[1], v.in[1].Int32s())
	if err != nil {
		return err
	}
	gateBias, upBias := biasValues[E](op.mlp.GateBias), biasValues[E](op.mlp.UpBias)
	hidden, outputs := rows.Hidden(), rows.Outputs()
	gate, up, down := make([]E, hidden), make([]E, hidden), make([]E, outputs)
	x, grad, dx := elements[E](v.in[0]), elements[E](v.in[2]), elements[E](v.y)
	clear(dx)
	for k, slot := range slots {
		neuron := slot
		if neurons != nil {
			neuron = neurons[k]
		}
		weights.Row(rows.Up, int(slot), up)
		weights.Row(rows.Down, int(slot), down)
		if rows.Gated() {
			weights.Row(rows.Gate, int(slot), gate)
		}
		for t := range len(x) / hidden {
			x, grad, dx := x[t*hidden:][:hidden], grad[t*outputs:][:outputs], dx[t*hidden:][:hidden]
			s, u := dotProduct(grad, down, nil, 0), dotProduct(x, up, upBias, neuron)
			if !rows.Gated() {
				addScaled(dx, s*derivative(op.mlp.Act, u), up)
				continue
			}
			a := dotProduct(x, gate, gateBias, neuron)
			addScaled(dx, s*derivative(op.mlp.Act, a)*u, gate)
			addScaled(dx, s*op.mlp.Act.Apply64(a), up)
		}
	}
	return nil
}

// dotProduct is a·b plus the neuron's bias, if there are biases.
func dotProduct[E float32 | float64](a, b, bias []E, neuron int32) (sum float64) {
	for i := range a {
		sum += float64(a[i]) * float64(b[i])
	}
	if bias != nil {
		sum += float64(bias[neuron])
	}
	return sum
}

func addScaled[E float32 | float64](y []E, scale float64, x []E) {
	for i := range y {
		y[i] += E(scale * float64(x[i]))
	}
}

// derivative is that of the activation function a at x.
func derivative(a activation.Func, x float64) float64 {
	switch a {
	case activation.SiLU:
		s := 1 / (1 + math.Exp(-x))
		return s * (1 + x*(1-s))
	case activation.GELU:
		return math.Erfc(-x/math.Sqrt2)/2 + x*math.Exp(-x*x/2)/math.Sqrt(2*math.Pi)
	case activation.GELUTanh:
		const c = 0.044715
		root := math.Sqrt(2 / math.Pi)
		t := math.Tanh(root * (x + c*x*x*x))
		return (1+t)/2 + x/2*(1-t*t)*root*(1+3*c*x*x)
	default: // ReLU
		if x > 0 {
			return 1
		}
		return 0
	}
}

func (op *sparseMLPGradientOp) WriteHash(h hash.Hash) {
	op.writeHash(h)
	op.mlp.writeHash(h)
}

func (op *sparseMLPGradientOp) Hashcode() uint32 { return hashcode(op) }
