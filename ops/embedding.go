package ops

import (
	"fmt"
	"hash"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/sparsegonia/sparsegonia/ops/kernel"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// Embedding takes the row of w for every token: tokens int32 of length T → float32 T×H. w is vocabulary × H, of any
// dtype that decodes to float32. Token −1 is padding and gives a zero row; another id outside the vocabulary is an
// error when the op runs.
func Embedding(tokens *gorgonia.Node, w *weights.Matrix, opts ...Option) (*gorgonia.Node, error) {
	op, err := newEmbeddingOp(tokens, w, opts)
	if err != nil {
		return nil, err
	}
	return gorgonia.ApplyOp(op, tokens)
}

type embeddingOp struct {
	signature
	weight *weights.Matrix
	cpu    *kernel.CPU
}

func newEmbeddingOp(tokens *gorgonia.Node, w *weights.Matrix, opts []Option) (*embeddingOp, error) {
	s, err := newSignature("Embedding", "tokens", tokens)
	if err != nil {
		return nil, err
	}
	if err := first(s.in[0].wantDtype(tensor.Int32), s.in[0].wantVector()); err != nil {
		return nil, s.wrap(err)
	}
	if w == nil {
		return nil, s.errorf("the weight is nil")
	}
	if computeDtype(w.Dtype()) != tensor.Float32 {
		return nil, s.errorf("the weight has dtype %v, which does not decode to float32", w.Dtype())
	}
	s.out = operand{"y", tensor.Float32, tensor.Shape{s.in[0].cols(), w.Cols()}}
	return &embeddingOp{s, w, newOptions(opts).cpu}, nil
}

func (op *embeddingOp) Do(inputs ...gorgonia.Value) (gorgonia.Value, error) {
	return op.UsePreallocDo(op.newOutput(), inputs...)
}

func (op *embeddingOp) UsePreallocDo(output gorgonia.Value, inputs ...gorgonia.Value) (gorgonia.Value, error) {
	var v values
	if err := op.bind(&v, output, inputs); err != nil {
		return nil, err
	}
	tokens := v.in[0].Int32s()
	if err := op.in[0].wantRange(tokens, op.weight.Rows()); err != nil {
		return nil, op.wrap(err)
	}
	kernel.Embed(op.cpu, v.y.Float32s(), op.weight, tokens)
	return output, nil
}

func (op *embeddingOp) WriteHash(h hash.Hash) {
	op.writeHash(h)
	fmt.Fprintf(h, " weight %p cpu %p", op.weight, op.cpu)
}

func (op *embeddingOp) Hashcode() uint32 { return hashcode(op) }
