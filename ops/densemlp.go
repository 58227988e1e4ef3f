package ops

import (
	"io"

	"gorgonia.org/gorgonia"

	"github.com/sparsegonia/sparsegonia/ops/kernel"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// Fused is implemented by the op of DenseMLP. It lets rewriters read what is captured.
type Fused interface {
	gorgonia.Op
	MLP() MLP
}

// DenseMLP computes an MLP over all neurons of m.Source in one node: x T×H → T×O, or H → O,
//
//	y = Σᵢ act(x·gateᵢ)·(x·upᵢ)·downᵢ + down bias
//
// and without a gate matrix y = Σᵢ act(x·upᵢ)·downᵢ + down bias. It reads the rows of a neuron
// together, which for few tokens is faster than three products where they lie side by side, as in a
// store of weights.AllocateNeurons. Over neurons in memory it is the SparseMLP with every neuron
// active, bit for bit. Over blocks of neurons, as from a file, it adds the sums of the blocks in
// order. A block that cannot be read is an error when the op runs.
func DenseMLP(x *gorgonia.Node, m MLP) (*gorgonia.Node, error) {
	b := build("DenseMLP", "x", x)
	shape, err := m.sourceShape()
	if err != nil {
		return b.fail("%w", err)
	}
	b.require(m.check(b.in[0], shape))
	b.out = b.in[0].withCols("y", shape.Outputs())
	return b.apply(&denseMLPOp{b.signature, m})
}

type denseMLPOp struct {
	signature
	mlp MLP
}

// MLP returns what the op captures.
func (op *denseMLPOp) MLP() MLP { return op.mlp }

func (op *denseMLPOp) run(cpu *kernel.CPU, v values) error {
	return byDtype(op.out.dtype, denseMLP[float32], denseMLP[float64], denseMLP[int32], denseMLP[int64])(cpu, op, v)
}

func denseMLP[E weights.Elem](cpu *kernel.CPU, op *denseMLPOp, v values) error {
	return kernel.SourceMLP(cpu, to[E](v), from[E](v, 0), kernelMLP[E](&op.mlp), op.mlp.Source)
}

func (op *denseMLPOp) hash(w io.Writer) { op.mlp.hash(w) }
