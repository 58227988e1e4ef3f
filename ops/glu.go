package ops

import (
	"fmt"
	"io"

	"gorgonia.org/gorgonia"

	"github.com/sparsegonia/sparsegonia/ops/activation"
	"github.com/sparsegonia/sparsegonia/ops/kernel"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// GLU computes act(gate) ⊙ up, the gating of a Llama MLP (arXiv 2002.05202), with any activation
// function. gate and up have one dtype and one shape, of any rank. Integers take ReLU only.
func GLU(gate, up *gorgonia.Node, act activation.Func) (*gorgonia.Node, error) {
	b := build("GLU", "gate up", gate, up)
	g, u := b.in[0], b.in[1]
	b.require(g.wantDtype(numeric...), u.wantDtype(g.dtype), u.wantShape(g.shape...), checkActivation(act, g.dtype))
	b.out = u.as("y")
	return b.apply(&gluOp{b.signature, act})
}

type gluOp struct {
	signature
	act activation.Func
}

// Activation returns the activation function of the gate.
func (op *gluOp) Activation() activation.Func { return op.act }

func (op *gluOp) run(cpu *kernel.CPU, v values) error {
	return byDtype(op.out.dtype, glu[float32], glu[float64], glu[int32], glu[int64])(cpu, op, v)
}

func glu[E weights.Elem](cpu *kernel.CPU, op *gluOp, v values) error {
	kernel.GLU(cpu, to[E](v), from[E](v, 0), from[E](v, 1), op.act)
	return nil
}

func (op *gluOp) hash(w io.Writer) { fmt.Fprintf(w, " act %d", op.act) }
