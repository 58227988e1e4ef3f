package ops

import (
	"hash"

	"github.com/sparsegonia/sparsegonia/ops/weights"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// TakeRows takes rows of x: x T×H, rows int32 of length N → N×H. Row −1 gives zeros; another row outside x is an error
// when the op runs. A language model takes the rows whose logits are wanted before it computes them.
func TakeRows(x, rows *gorgonia.Node, _ ...Option) (*gorgonia.Node, error) {
	op, err := newTakeRowsOp(x, rows)
	if err != nil {
		return nil, err
	}
	return gorgonia.ApplyOp(op, x, rows)
}

type takeRowsOp struct{ signature }

func newTakeRowsOp(x, rows *gorgonia.Node) (*takeRowsOp, error) {
	s, err := newSignature("TakeRows", "x rows", x, rows)
	if err != nil {
		return nil, err
	}
	in, list := s.in[0], s.in[1]
	if err := first(in.wantDtype(numeric...), in.wantMatrix(), list.wantDtype(tensor.Int32), list.wantVector()); err != nil {
		return nil, s.wrap(err)
	}
	s.out = operand{"y", in.dtype, tensor.Shape{list.cols(), in.cols()}}
	return &takeRowsOp{s}, nil
}

func (op *takeRowsOp) Do(inputs ...gorgonia.Value) (gorgonia.Value, error) {
	return op.UsePreallocDo(op.newOutput(), inputs...)
}

func (op *takeRowsOp) UsePreallocDo(output gorgonia.Value, inputs ...gorgonia.Value) (gorgonia.Value, error) {
	var v values
	if err := op.bind(&v, output, inputs); err != nil {
		return nil, err
	}
	rows := v.in[1].Int32s()
	if err := op.in[1].wantRange(rows, op.in[0].rows()); err != nil {
		return nil, op.wrap(err)
	}
	switch op.out.dtype {
	case tensor.Float32:
		takeRows(v.y.Float32s(), v.in[0].Float32s(), rows)
	case tensor.Float64:
		takeRows(v.y.Float64s(), v.in[0].Float64s(), rows)
	case tensor.Int32:
		takeRows(v.y.Int32s(), v.in[0].Int32s(), rows)
	case tensor.Int64:
		takeRows(v.y.Int64s(), v.in[0].Int64s(), rows)
	}
	return output, nil
}

func takeRows[E weights.Elem](y, x []E, rows []int32) {
	cols := len(y) / len(rows)
	for i, row := range rows {
		if row < 0 {
			clear(y[i*cols : (i+1)*cols])
			continue
		}
		copy(y[i*cols:(i+1)*cols], x[int(row)*cols:])
	}
}

func (op *takeRowsOp) WriteHash(h hash.Hash) { op.writeHash(h) }

func (op *takeRowsOp) Hashcode() uint32 { return hashcode(op) }
