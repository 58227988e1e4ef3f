package ops

import (
	"fmt"
	"io"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/sparsegonia/sparsegonia/ops/kernel"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// Embedding takes the row of w for every token: tokens int32 T → float32 T×H. w is vocabulary × H,
// of any dtype that decodes to float32. Token −1 is padding and gives a zero row. Another id
// outside the vocabulary is an error when the op runs.
func Embedding(tokens *gorgonia.Node, w *weights.Matrix) (*gorgonia.Node, error) {
	b := build("Embedding", "tokens", tokens)
	b.require(b.in[0].wantDtype(tensor.Int32), b.in[0].wantVector())
	if w == nil {
		return b.fail("the weight is nil")
	}
	if computeDtype(w.Dtype()) != tensor.Float32 {
		return b.fail("the weight has dtype %v, which does not decode to float32", w.Dtype())
	}
	b.out = spec{"y", tensor.Float32, tensor.Shape{b.in[0].cols(), w.Cols()}}
	return b.apply(&embeddingOp{b.signature, w})
}

type embeddingOp struct {
	signature
	weight *weights.Matrix
}

func (op *embeddingOp) run(cpu *kernel.CPU, v values) error {
	tokens := from[int32](v, 0)
	if err := op.in[0].wantRange(tokens, op.weight.Rows()); err != nil {
		return err
	}
	kernel.Embed(cpu, to[float32](v), op.weight, tokens)
	return nil
}

func (op *embeddingOp) hash(w io.Writer) { fmt.Fprintf(w, " weight %p", op.weight) }
