package ops

import (
	"io"
	"math"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/sparsegonia/sparsegonia/ops/activation"
	"github.com/sparsegonia/sparsegonia/ops/kernel"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// sparseMLPGradient is the gradient of a SparseMLP for x: x T×H, slots I, grad T×O → T×H,
//
//	Σ over the active i of (grad·downᵢ)·(act′(a)·u·gateᵢ + act(a)·upᵢ), with a = x·gateᵢ and u = x·upᵢ
//
// and (grad·downᵢ)·act′(u)·upᵢ without a gate matrix. It is plain Go, for research on small models.
func sparseMLPGradient(x, slots, grad *gorgonia.Node, m MLP) (*gorgonia.Node, error) {
	b := build("SparseMLPGradient", "x slots grad", x, slots, grad)
	in := b.in[0]
	b.require(b.in[2].wantDtype(in.dtype), b.in[2].wantShape(in.withCols("", m.Cache.Rows().Outputs()).shape...))
	b.out = in.as("dx")
	return b.apply(&sparseMLPGradientOp{b.signature, m})
}

type sparseMLPGradientOp struct {
	signature
	mlp MLP
}

func (op *sparseMLPGradientOp) run(_ *kernel.CPU, v values) error {
	if op.out.dtype == tensor.Float64 {
		return addGradient[float64](op, v)
	}
	return addGradient[float32](op, v)
}

func (op *sparseMLPGradientOp) hash(w io.Writer) { op.mlp.hash(w) }

func addGradient[E float32 | float64](op *sparseMLPGradientOp, v values) error {
	rows, neurons := op.mlp.Cache.Rows(), op.mlp.Cache.Neurons()
	slots, err := op.mlp.activeSlots(from[int32](v, 1))
	if err != nil {
		return err
	}
	gateBias, upBias := biasValues[E](op.mlp.GateBias), biasValues[E](op.mlp.UpBias)
	hidden, outputs := rows.Hidden(), rows.Outputs()
	gate, up, down := make([]E, hidden), make([]E, hidden), make([]E, outputs)
	x, grad, dx := from[E](v, 0), from[E](v, 2), to[E](v)
	clear(dx)
	for k, slot := range slots {
		neuron := slot
		if neurons != nil {
			neuron = neurons[k]
		}
		weights.Row(rows.Up(), int(slot), up)
		weights.Row(rows.Down(), int(slot), down)
		if rows.Gated() {
			weights.Row(rows.Gate(), int(slot), gate)
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

// dotProduct returns a·b plus the neuron's bias, if there are biases.
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

// derivative returns the derivative of a at x.
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
