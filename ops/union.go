package ops

import (
	"hash"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/sparsegonia/sparsegonia/ops/kernel"
)

// Union makes active what is active for any token: mask bool T×I → bool I. live, if not nil, is int32 of length T;
// a row with a negative entry is padding and does not count. A mask that is a vector is one token's.
func Union(mask, live *gorgonia.Node, _ ...Option) (*gorgonia.Node, error) {
	inputs := gorgonia.Nodes{mask}
	if live != nil {
		inputs = append(inputs, live)
	}
	op, err := newUnionOp(inputs)
	if err != nil {
		return nil, err
	}
	return gorgonia.ApplyOp(op, inputs...)
}

type unionOp struct{ signature }

func newUnionOp(inputs gorgonia.Nodes) (*unionOp, error) {
	s, err := newSignature("Union", "mask live", inputs...)
	if err != nil {
		return nil, err
	}
	mask := s.in[0]
	if err := first(mask.wantDtype(tensor.Bool), mask.wantRows()); err != nil {
		return nil, s.wrap(err)
	}
	if len(inputs) == 2 {
		if err := first(s.in[1].wantDtype(tensor.Int32), s.in[1].wantShape(mask.rows())); err != nil {
			return nil, s.wrap(err)
		}
	}
	s.out = operand{"active", tensor.Bool, tensor.Shape{mask.cols()}}
	return &unionOp{s}, nil
}

func (op *unionOp) Do(inputs ...gorgonia.Value) (gorgonia.Value, error) {
	return op.UsePreallocDo(op.newOutput(), inputs...)
}

func (op *unionOp) UsePreallocDo(output gorgonia.Value, inputs ...gorgonia.Value) (gorgonia.Value, error) {
	var v values
	if err := op.bind(&v, output, inputs); err != nil {
		return nil, err
	}
	var live []int32
	if len(op.in) == 2 {
		live = v.in[1].Int32s()
	}
	kernel.Union(v.y.Bools(), v.in[0].Bools(), live)
	return output, nil
}

func (op *unionOp) WriteHash(h hash.Hash) { op.writeHash(h) }

func (op *unionOp) Hashcode() uint32 { return hashcode(op) }
