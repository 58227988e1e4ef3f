package ops

import (
	"fmt"
	"hash"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/sparsegonia/sparsegonia/ops/activation"
	"github.com/sparsegonia/sparsegonia/ops/kernel"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// Gate computes the exact gate values act(x·w) of an MLP: x T×H → T×I, or H → I. They are the scores of a training-free
// selector, and SparseMLP takes them as its third input.
func Gate(x *gorgonia.Node, w Weight, act activation.Func, opts ...Option) (*gorgonia.Node, error) {
	op, err := newGateOp(x, w, act, opts)
	if err != nil {
		return nil, err
	}
	return gorgonia.ApplyOp(op, x)
}

type gateOp struct {
	signature
	weight Weight
	act    activation.Func
	cpu    *kernel.CPU
}

func newGateOp(x *gorgonia.Node, w Weight, act activation.Func, opts []Option) (*gateOp, error) {
	s, err := weightedSignature("Gate", x, w)
	if err != nil {
		return nil, err
	}
	if err := checkActivation(act, s.out.dtype); err != nil {
		return nil, s.wrap(err)
	}
	return &gateOp{s, w, act, newOptions(opts).cpu}, nil
}

func (op *gateOp) Do(inputs ...gorgonia.Value) (gorgonia.Value, error) {
	return op.UsePreallocDo(op.newOutput(), inputs...)
}

func (op *gateOp) UsePreallocDo(output gorgonia.Value, inputs ...gorgonia.Value) (gorgonia.Value, error) {
	var v values
	if err := op.bind(&v, output, inputs); err != nil {
		return nil, err
	}
	switch op.out.dtype {
	case tensor.Float32:
		runGate[float32](op, v.y, v.in[0])
	case tensor.Float64:
		runGate[float64](op, v.y, v.in[0])
	case tensor.Int32:
		runGate[int32](op, v.y, v.in[0])
	case tensor.Int64:
		runGate[int64](op, v.y, v.in[0])
	}
	return output, nil
}

func runGate[E weights.Elem](op *gateOp, y, x *tensor.Dense) {
	linear[E](op.cpu, y, x, op.weight)
	kernel.Activate(op.cpu, elements[E](y), elements[E](y), op.act)
}

func (op *gateOp) WriteHash(h hash.Hash) {
	op.writeHash(h)
	op.weight.writeHash(h)
	fmt.Fprintf(h, " act %d cpu %p", op.act, op.cpu)
}

func (op *gateOp) Hashcode() uint32 { return hashcode(op) }
