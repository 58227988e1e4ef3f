package ops

import (
	"io"

	"gorgonia.org/gorgonia"

	"github.com/sparsegonia/sparsegonia/ops/kernel"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// Weighted is implemented by the op of Linear. It lets rewriters read the captured weight.
type Weighted interface {
	gorgonia.Op
	Weight() Weight
}

// Linear applies w to every row of x: x T×K → T×O, or K → O. x has the compute dtype of the weight,
// which is float32 for f16, bf16 and quantised weights too.
func Linear(x *gorgonia.Node, w Weight) (*gorgonia.Node, error) {
	b := buildWeighted("Linear", x, w)
	return b.apply(&linearOp{b.signature, w})
}

// buildWeighted begins an op that applies w to the rows of x.
func buildWeighted(name string, x *gorgonia.Node, w Weight) *builder {
	b := build(name, "x", x)
	b.require(b.in[0].wantRows(), w.check(b.in[0]))
	b.out = b.in[0].withCols("y", w.Outputs())
	return b
}

type linearOp struct {
	signature
	weight Weight
}

// Weight returns the captured weight.
func (op *linearOp) Weight() Weight { return op.weight }

func (op *linearOp) run(cpu *kernel.CPU, v values) error {
	return byDtype(op.out.dtype, linear[float32], linear[float64], linear[int32], linear[int64])(cpu, op.weight, v)
}

func linear[E weights.Elem](cpu *kernel.CPU, w Weight, v values) error {
	if w.InputMajor {
		kernel.LinearT(cpu, to[E](v), from[E](v, 0), w.Matrix, biasValues[E](w.Bias))
	} else {
		kernel.Linear(cpu, to[E](v), from[E](v, 0), w.Matrix, biasValues[E](w.Bias))
	}
	return nil
}

func (op *linearOp) hash(w io.Writer) { op.weight.hash(w) }

// DiffWRT reports that there is a gradient for x if the weights are floating-point numbers.
func (op *linearOp) DiffWRT(int) []bool { return []bool{differentiable(op.weight.Matrix)} }

// SymDiff returns the gradient for x, grad·wᵀ, which is again a Linear.
func (op *linearOp) SymDiff(inputs gorgonia.Nodes, output, grad *gorgonia.Node) (gorgonia.Nodes, error) {
	if !differentiable(op.weight.Matrix) {
		return op.signature.SymDiff(inputs, output, grad)
	}
	x, err := Linear(grad, op.weight.transposed())
	return gorgonia.Nodes{x}, err
}
