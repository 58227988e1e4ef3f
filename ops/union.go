package ops

import (
	"io"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/sparsegonia/sparsegonia/ops/kernel"
)

// Union makes active what is active for any token: mask bool T×I → bool I. A mask that is a vector
// is one token's. live, if not nil, is int32 T: a row with a negative entry is padding and does not
// count.
func Union(mask, live *gorgonia.Node) (*gorgonia.Node, error) {
	inputs := gorgonia.Nodes{mask}
	if live != nil {
		inputs = append(inputs, live)
	}
	b := build("Union", "mask live", inputs...)
	in := b.in[0]
	b.require(in.wantDtype(tensor.Bool), in.wantRows())
	if live != nil {
		b.require(b.in[1].wantDtype(tensor.Int32), b.in[1].wantShape(in.rows()))
	}
	b.out = spec{"active", tensor.Bool, tensor.Shape{in.cols()}}
	return b.apply(&unionOp{b.signature})
}

type unionOp struct{ signature }

func (op *unionOp) run(_ *kernel.CPU, v values) error {
	var live []int32
	if len(op.in) == 2 {
		live = from[int32](v, 1)
	}
	kernel.Union(v.y.Bools(), v.input(0).Bools(), live)
	return nil
}

func (op *unionOp) hash(io.Writer) {}
