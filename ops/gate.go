package ops

import (
	"fmt"
	"io"

	"gorgonia.org/gorgonia"

	"github.com/sparsegonia/sparsegonia/ops/activation"
	"github.com/sparsegonia/sparsegonia/ops/kernel"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// Gate computes the exact gate values act(x·w) of an MLP: x T×H → T×I, or H → I. They are the
// scores of a training-free selector, and SparseMLP takes them as its third input.
func Gate(x *gorgonia.Node, w Weight, act activation.Func) (*gorgonia.Node, error) {
	b := buildWeighted("Gate", x, w)
	b.require(checkActivation(act, b.out.dtype))
	return b.apply(&gateOp{b.signature, w, act})
}

type gateOp struct {
	signature
	weight Weight
	act    activation.Func
}

func (op *gateOp) run(cpu *kernel.CPU, v values) error {
	return byDtype(op.out.dtype, gate[float32], gate[float64], gate[int32], gate[int64])(cpu, op, v)
}

func gate[E weights.Elem](cpu *kernel.CPU, op *gateOp, v values) error {
	if err := linear[E](cpu, op.weight, v); err != nil {
		return err
	}
	kernel.Activate(cpu, to[E](v), to[E](v), op.act)
	return nil
}

func (op *gateOp) hash(w io.Writer) {
	op.weight.hash(w)
	fmt.Fprintf(w, " act %d", op.act)
}
