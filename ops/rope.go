package ops

import (
	"cmp"
	"fmt"
	"io"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/sparsegonia/sparsegonia/ops/kernel"
)

// RoPE rotates the heads of every row of x by the angles of its position (arXiv 2104.09864); x
// float32 T×(heads·head size), positions int32 T. A row at position −1 is padding and copied as it
// is. Another position outside the range of r is an error when the op runs.
func RoPE(x, positions *gorgonia.Node, heads int, r *kernel.Rotary) (*gorgonia.Node, error) {
	b := build("RoPE", "x positions", x, positions)
	in := b.in[0]
	b.require(in.wantDtype(tensor.Float32), in.wantMatrix(),
		b.in[1].wantDtype(tensor.Int32), b.in[1].wantShape(in.rows()))
	if r == nil {
		return b.fail("the rotary embedding is nil")
	}
	if size := r.Config().HeadDim; heads < 1 || in.cols() != heads*size {
		return b.fail("x has rows of length %d, want %d heads of size %d", in.cols(), heads, size)
	}
	b.out = in.as("y")
	return b.apply(&ropeOp{b.signature, heads, r})
}

// maxPositions bounds the table of angles where the rotary embedding has no bound of its own.
const maxPositions = 1 << 24

type ropeOp struct {
	signature
	heads  int
	rotary *kernel.Rotary
}

func (op *ropeOp) run(cpu *kernel.CPU, v values) error {
	positions := from[int32](v, 1)
	limit := cmp.Or(op.rotary.Config().MaxContext, maxPositions)
	if err := op.in[1].wantRange(positions, limit); err != nil {
		return err
	}
	kernel.RoPE(cpu, to[float32](v), from[float32](v, 0), op.heads, positions, op.rotary)
	return nil
}

func (op *ropeOp) hash(w io.Writer) { fmt.Fprintf(w, " heads %d rotary %p", op.heads, op.rotary) }
