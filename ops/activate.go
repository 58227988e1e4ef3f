package ops

import (
	"fmt"
	"hash"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/sparsegonia/sparsegonia/ops/activation"
	"github.com/sparsegonia/sparsegonia/ops/kernel"
)

// Activate applies the activation function to every element of x, a tensor of any rank. Integers take ReLU only.
func Activate(x *gorgonia.Node, act activation.Func, opts ...Option) (*gorgonia.Node, error) {
	op, err := newActivateOp(x, act, opts)
	if err != nil {
		return nil, err
	}
	return gorgonia.ApplyOp(op, x)
}

type activateOp struct {
	signature
	act activation.Func
	cpu *kernel.CPU
}

func newActivateOp(x *gorgonia.Node, act activation.Func, opts []Option) (*activateOp, error) {
	s, err := newSignature("Activate", "x", x)
	if err != nil {
		return nil, err
	}
	if err := s.in[0].wantDtype(numeric...); err != nil {
		return nil, s.wrap(err)
	}
	if err := checkActivation(act, s.in[0].dtype); err != nil {
		return nil, s.wrap(err)
	}
	s.out = s.in[0].withCols("y", s.in[0].cols())
	return &activateOp{s, act, newOptions(opts).cpu}, nil
}

// Activation is the activation function.
func (op *activateOp) Activation() activation.Func { return op.act }

func (op *activateOp) Do(inputs ...gorgonia.Value) (gorgonia.Value, error) {
	return op.UsePreallocDo(op.newOutput(), inputs...)
}

func (op *activateOp) UsePreallocDo(output gorgonia.Value, inputs ...gorgonia.Value) (gorgonia.Value, error) {
	var v values
	if err := op.bind(&v, output, inputs); err != nil {
		return nil, err
	}
	switch op.out.dtype {
	case tensor.Float32:
		kernel.Activate(op.cpu, v.y.Float32s(), v.in[0].Float32s(), op.act)
	case tensor.Float64:
		kernel.Activate(op.cpu, v.y.Float64s(), v.in[0].Float64s(), op.act)
	case tensor.Int32:
		kernel.Activate(op.cpu, v.y.Int32s(), v.in[0].Int32s(), op.act)
	case tensor.Int64:
		kernel.Activate(op.cpu, v.y.Int64s(), v.in[0].Int64s(), op.act)
	}
	return output, nil
}

func (op *activateOp) WriteHash(h hash.Hash) {
	op.writeHash(h)
	fmt.Fprintf(h, " act %d cpu %p", op.act, op.cpu)
}

func (op *activateOp) Hashcode() uint32 { return hashcode(op) }
