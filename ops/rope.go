package ops

import (
	"fmt"
	"hash"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/sparsegonia/sparsegonia/ops/kernel"
)

// RoPE rotates the heads of every row of x by the angles of its position (arXiv 2104.09864). x is float32
// T×(heads·head size), positions int32 of length T. A row at position −1 is padding and copied as it is; another
// position outside the range of r is an error when the op runs.
func RoPE(x, positions *gorgonia.Node, heads int, r *kernel.Rotary, opts ...Option) (*gorgonia.Node, error) {
	op, err := newRopeOp(x, positions, heads, r, opts)
	if err != nil {
		return nil, err
	}
	return gorgonia.ApplyOp(op, x, positions)
}

// maxPositions bounds the table of angles where the rotary embedding has no bound of its own.
const maxPositions = 1 << 24

type ropeOp struct {
	signature
	heads  int
	rotary *kernel.Rotary
	cpu    *kernel.CPU
}

func newRopeOp(x, positions *gorgonia.Node, heads int, r *kernel.Rotary, opts []Option) (*ropeOp, error) {
	s, err := newSignature("RoPE", "x positions", x, positions)
	if err != nil {
		return nil, err
	}
	in := s.in[0]
	if err := first(in.wantDtype(tensor.Float32), in.wantMatrix(),
		s.in[1].wantDtype(tensor.Int32), s.in[1].wantShape(in.rows())); err != nil {
		return nil, s.wrap(err)
	}
	if r == nil {
		return nil, s.errorf("the rotary embedding is nil")
	}
	if size := r.Config().HeadDim; heads < 1 || in.cols() != heads*size {
		return nil, s.errorf("x has rows of length %d, want %d heads of size %d", in.cols(), heads, size)
	}
	s.out = in.withCols("y", in.cols())
	return &ropeOp{s, heads, r, newOptions(opts).cpu}, nil
}

func (op *ropeOp) Do(inputs ...gorgonia.Value) (gorgonia.Value, error) {
	return op.UsePreallocDo(op.newOutput(), inputs...)
}

func (op *ropeOp) UsePreallocDo(output gorgonia.Value, inputs ...gorgonia.Value) (gorgonia.Value, error) {
	var v values
	if err := op.bind(&v, output, inputs); err != nil {
		return nil, err
	}
	positions := v.in[1].Int32s()
	limit := op.rotary.Config().MaxContext
	if limit == 0 {
		limit = maxPositions
	}
	if err := op.in[1].wantRange(positions, limit); err != nil {
		return nil, op.wrap(err)
	}
	kernel.RoPE(op.cpu, v.y.Float32s(), v.in[0].Float32s(), op.heads, positions, op.rotary)
	return output, nil
}

func (op *ropeOp) WriteHash(h hash.Hash) {
	op.writeHash(h)
	fmt.Fprintf(h, " heads %d rotary %p cpu %p", op.heads, op.rotary, op.cpu)
}

func (op *ropeOp) Hashcode() uint32 { return hashcode(op) }
