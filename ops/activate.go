package ops

import (
	"fmt"
	"io"

	"gorgonia.org/gorgonia"

	"github.com/sparsegonia/sparsegonia/ops/activation"
	"github.com/sparsegonia/sparsegonia/ops/kernel"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// Activated is implemented by the ops of Activate (arity 1) and GLU (arity 2, gate first).
type Activated interface {
	gorgonia.Op
	Activation() activation.Func
}

// Activate applies act to every element of x, a tensor of any rank. Integers take ReLU only.
func Activate(x *gorgonia.Node, act activation.Func) (*gorgonia.Node, error) {
	b := build("Activate", "x", x)
	b.require(b.in[0].wantDtype(numeric...), checkActivation(act, b.in[0].dtype))
	b.out = b.in[0].as("y")
	return b.apply(&activateOp{b.signature, act})
}

type activateOp struct {
	signature
	act activation.Func
}

// Activation returns the activation function.
func (op *activateOp) Activation() activation.Func { return op.act }

func (op *activateOp) run(cpu *kernel.CPU, v values) error {
	return byDtype(op.out.dtype, activate[float32], activate[float64], activate[int32], activate[int64])(cpu, op, v)
}

func activate[E weights.Elem](cpu *kernel.CPU, op *activateOp, v values) error {
	kernel.Activate(cpu, to[E](v), from[E](v, 0), op.act)
	return nil
}

func (op *activateOp) hash(w io.Writer) { fmt.Fprintf(w, " act %d", op.act) }
