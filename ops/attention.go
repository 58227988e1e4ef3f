package ops

import (
	"fmt"
	"hash"
	"math"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/sparsegonia/sparsegonia/ops/kernel"
)

// Attention is causal attention with a KV cache, with grouped queries (arXiv 2305.13245) where kv has fewer heads.
// q is float32 T×(heads·d), k and v are float32 T×(kv heads·d), positions and sequences int32 of length T; the output
// is like q. Row t belongs to sequences[t] at positions[t]: all rows of k and v are stored in kv first, then row t
// attends to the positions 0…positions[t] of its sequence, which must have been stored. A row at position −1 is
// padding: nothing is stored for it and its output is zero. Positions and sequences that kv has no room for are errors
// when the op runs, and then nothing is stored.
//
// The op changes kv: use each kv in one Attention of a graph, so that the order of the changes is given.
func Attention(q, k, v, positions, sequences *gorgonia.Node, heads int, kv *kernel.KV, scale float32, opts ...Option) (*gorgonia.Node, error) {
	op, err := newAttentionOp(q, k, v, positions, sequences, heads, kv, scale, opts)
	if err != nil {
		return nil, err
	}
	return gorgonia.ApplyOp(op, q, k, v, positions, sequences)
}

type attentionOp struct {
	signature
	heads int
	kv    *kernel.KV
	scale float32
	cpu   *kernel.CPU
}

func newAttentionOp(q, k, v, positions, sequences *gorgonia.Node, heads int, kv *kernel.KV, scale float32, opts []Option) (*attentionOp, error) {
	s, err := newSignature("Attention", "q k v positions sequences", q, k, v, positions, sequences)
	if err != nil {
		return nil, err
	}
	if kv == nil {
		return nil, s.errorf("the KV cache is nil")
	}
	if heads < 1 || heads%kv.Heads() != 0 {
		return nil, s.errorf("%d heads are not a multiple of the %d of the KV cache", heads, kv.Heads())
	}
	rows, kvCols := s.in[0].rows(), kv.Heads()*kv.HeadDim()
	if err := first(
		s.in[0].wantDtype(tensor.Float32), s.in[0].wantMatrix(), s.in[0].wantShape(rows, heads*kv.HeadDim()),
		s.in[1].wantDtype(tensor.Float32), s.in[1].wantShape(rows, kvCols),
		s.in[2].wantDtype(tensor.Float32), s.in[2].wantShape(rows, kvCols),
		s.in[3].wantDtype(tensor.Int32), s.in[3].wantShape(rows),
		s.in[4].wantDtype(tensor.Int32), s.in[4].wantShape(rows),
	); err != nil {
		return nil, s.wrap(err)
	}
	if math.IsNaN(float64(scale)) || math.IsInf(float64(scale), 0) {
		return nil, s.errorf("scale is %v", scale)
	}
	s.out = s.in[0].withCols("y", s.in[0].cols())
	return &attentionOp{s, heads, kv, scale, newOptions(opts).cpu}, nil
}

func (op *attentionOp) Do(inputs ...gorgonia.Value) (gorgonia.Value, error) {
	return op.UsePreallocDo(op.newOutput(), inputs...)
}

func (op *attentionOp) UsePreallocDo(output gorgonia.Value, inputs ...gorgonia.Value) (gorgonia.Value, error) {
	var v values
	if err := op.bind(&v, output, inputs); err != nil {
		return nil, err
	}
	positions, sequences := v.in[3].Int32s(), v.in[4].Int32s()
	if err := op.in[3].wantRange(positions, op.kv.Capacity()); err != nil {
		return nil, op.wrap(err)
	}
	for t, sequence := range sequences {
		if positions[t] >= 0 && (sequence < 0 || int(sequence) >= op.kv.Sequences()) {
			return nil, op.errorf("sequences[%d] is %d, the KV cache holds %d sequences", t, sequence, op.kv.Sequences())
		}
	}
	kernel.Attention(op.cpu, v.y.Float32s(), v.in[0].Float32s(), v.in[1].Float32s(), v.in[2].Float32s(),
		op.heads, positions, sequences, op.kv, op.scale)
	return output, nil
}

func (op *attentionOp) WriteHash(h hash.Hash) {
	op.writeHash(h)
	fmt.Fprintf(h, " heads %d kv %p scale %x cpu %p", op.heads, op.kv, math.Float32bits(op.scale), op.cpu)
}

func (op *attentionOp) Hashcode() uint32 { return hashcode(op) }
