package ops

import (
	"fmt"
	"io"
	"math"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/sparsegonia/sparsegonia/ops/kernel"
)

// Attention is causal attention with a KV cache, with grouped queries (arXiv 2305.13245) where kv
// has fewer heads. T tokens, d head size:
//
//	q float32 T×(heads·d), k and v float32 T×(kv heads·d), positions and sequences int32 T → T×(heads·d)
//
// Row t belongs to sequences[t] at positions[t]. All rows of k and v are first stored in kv. Row t
// then attends to the positions 0 to positions[t] of its sequence, which must have been stored. A
// row at position −1 is padding: nothing is stored for it and its output is zero. Positions and
// sequences that kv has no room for are errors when the op runs, and then nothing is stored.
//
// The op changes kv: use each kv in one Attention of a graph, so that the order of the changes is
// given.
func Attention(q, k, v, positions, sequences *gorgonia.Node, heads int, kv *kernel.KV, scale float32) (*gorgonia.Node, error) {
	b := build("Attention", "q k v positions sequences", q, k, v, positions, sequences)
	switch {
	case kv == nil || kv.Heads() < 1:
		return b.fail("the KV cache is nil or has no heads")
	case heads < 1 || heads%kv.Heads() != 0:
		return b.fail("%d heads are not a multiple of the %d of the KV cache", heads, kv.Heads())
	case math.IsNaN(float64(scale)) || math.IsInf(float64(scale), 0):
		return b.fail("scale is %v", scale)
	}
	rows, kvCols := b.in[0].rows(), kv.Heads()*kv.HeadDim()
	b.require(
		b.in[0].wantDtype(tensor.Float32), b.in[0].wantMatrix(), b.in[0].wantShape(rows, heads*kv.HeadDim()),
		b.in[1].wantDtype(tensor.Float32), b.in[1].wantShape(rows, kvCols),
		b.in[2].wantDtype(tensor.Float32), b.in[2].wantShape(rows, kvCols),
		b.in[3].wantDtype(tensor.Int32), b.in[3].wantShape(rows),
		b.in[4].wantDtype(tensor.Int32), b.in[4].wantShape(rows),
	)
	b.out = b.in[0].as("y")
	return b.apply(&attentionOp{b.signature, heads, kv, scale})
}

type attentionOp struct {
	signature
	heads int
	kv    *kernel.KV
	scale float32
}

func (op *attentionOp) run(cpu *kernel.CPU, v values) error {
	positions, sequences := from[int32](v, 3), from[int32](v, 4)
	if err := op.in[3].wantRange(positions, op.kv.Capacity()); err != nil {
		return err
	}
	for t, sequence := range sequences {
		if positions[t] >= 0 && (sequence < 0 || int(sequence) >= op.kv.Sequences()) {
			return fmt.Errorf("sequences[%d] is %d, the KV cache holds %d sequences", t, sequence, op.kv.Sequences())
		}
	}
	kernel.Attention(cpu, to[float32](v), from[float32](v, 0), from[float32](v, 1), from[float32](v, 2),
		op.heads, positions, sequences, op.kv, op.scale)
	return nil
}

func (op *attentionOp) hash(w io.Writer) {
	fmt.Fprintf(w, " heads %d kv %p scale %x", op.heads, op.kv, op.scale)
}
