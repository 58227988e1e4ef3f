package ops

import (
	"fmt"
	"hash"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/sparsegonia/sparsegonia/ops/activation"
	"github.com/sparsegonia/sparsegonia/ops/kernel"
)

// GLU computes act(gate) ⊙ up, the gating of a Llama MLP (arXiv 2002.05202), with any activation function.
// gate and up have the same dtype and the same shape, of any rank. Integers take ReLU only.
func GLU(gate, up *gorgonia.Node, act activation.Func, opts ...Option) (*gorgonia.Node, error) {
	op, err := newGLUOp(gate, up, act, opts)
	if err != nil {
		return nil, err
	}
	return gorgonia.ApplyOp(op, gate, up)
}

type gluOp struct {
	signature
	act activation.Func
	cpu *kernel.CPU
}

func newGLUOp(gate, up *gorgonia.Node, act activation.Func, opts []Option) (*gluOp, error) {
	s, err := newSignature("GLU", "gate up", gate, up)
	if err != nil {
		return nil, err
	}
	g, u := s.in[0], s.in[1]
	if err := first(g.wantDtype(numeric...), u.wantDtype(g.dtype), u.wantShape(g.shape...), checkActivation(act, g.dtype)); err != nil {
		return nil, s.wrap(err)
	}
	s.out = u.withCols("y", u.cols())
	return &gluOp{s, act, newOptions(opts).cpu}, nil
}

// Activation is the activation function that is applied to the gate.
func (op *gluOp) Activation() activation.Func { return op.act }

func (op *gluOp) Do(inputs ...gorgonia.Value) (gorgonia.Value, error) {
	return op.UsePreallocDo(op.newOutput(), inputs...)
}

func (op *gluOp) UsePreallocDo(output gorgonia.Value, inputs ...gorgonia.Value) (gorgonia.Value, error) {
	var v values
	if err := op.bind(&v, output, inputs); err != nil {
		return nil, err
	}
	switch op.out.dtype {
	case tensor.Float32:
		kernel.GLU(op.cpu, v.y.Float32s(), v.in[0].Float32s(), v.in[1].Float32s(), op.act)
	case tensor.Float64:
		kernel.GLU(op.cpu, v.y.Float64s(), v.in[0].Float64s(), v.in[1].Float64s(), op.act)
	case tensor.Int32:
		kernel.GLU(op.cpu, v.y.Int32s(), v.in[0].Int32s(), v.in[1].Int32s(), op.act)
	case tensor.Int64:
		kernel.GLU(op.cpu, v.y.Int64s(), v.in[0].Int64s(), v.in[1].Int64s(), op.act)
	}
	return output, nil
}

func (op *gluOp) WriteHash(h hash.Hash) {
	op.writeHash(h)
	fmt.Fprintf(h, " act %d cpu %p", op.act, op.cpu)
}

func (op *gluOp) Hashcode() uint32 { return hashcode(op) }
