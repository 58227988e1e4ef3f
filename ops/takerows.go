package ops

import (
	"io"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/sparsegonia/sparsegonia/ops/kernel"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// TakeRows takes rows of x: x T×H, rows int32 N → N×H. Row −1 gives zeros. Another row outside x is
// an error when the op runs. A language model takes the rows whose logits are wanted before it
// computes them.
func TakeRows(x, rows *gorgonia.Node) (*gorgonia.Node, error) {
	b := build("TakeRows", "x rows", x, rows)
	in, list := b.in[0], b.in[1]
	b.require(in.wantDtype(numeric...), in.wantMatrix(), list.wantDtype(tensor.Int32), list.wantVector())
	b.out = spec{"y", in.dtype, tensor.Shape{list.cols(), in.cols()}}
	return b.apply(&takeRowsOp{b.signature})
}

type takeRowsOp struct{ signature }

func (op *takeRowsOp) run(_ *kernel.CPU, v values) error {
	if err := op.in[1].wantRange(from[int32](v, 1), op.in[0].rows()); err != nil {
		return err
	}
	return byDtype(op.out.dtype, takeRows[float32], takeRows[float64], takeRows[int32], takeRows[int64])(op, v)
}

func takeRows[E weights.Elem](op *takeRowsOp, v values) error {
	x, y, cols := from[E](v, 0), to[E](v), op.out.cols()
	for i, row := range from[int32](v, 1) {
		y := y[i*cols:][:cols]
		if row < 0 {
			clear(y)
			continue
		}
		copy(y, x[int(row)*cols:])
	}
	return nil
}

func (op *takeRowsOp) hash(io.Writer) {}
