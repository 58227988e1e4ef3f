package ops

import (
	"fmt"
	"io"
	"math"
	"unsafe"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/sparsegonia/sparsegonia/ops/kernel"
)

// RMSNorm scales every row of x to root mean square 1 and multiplies it by weight (arXiv
// 1910.07467): y = x / √(mean(x²) + eps) ⊙ weight; x float32 T×H or H, weight H, which is captured.
func RMSNorm(x *gorgonia.Node, weight []float32, eps float32) (*gorgonia.Node, error) {
	b := build("RMSNorm", "x", x)
	b.require(b.in[0].wantDtype(tensor.Float32), b.in[0].wantRows())
	if len(weight) != b.in[0].cols() {
		return b.fail("x has rows of length %d, the weight has length %d", b.in[0].cols(), len(weight))
	}
	if !(eps >= 0) || math.IsInf(float64(eps), 1) {
		return b.fail("eps is %v", eps)
	}
	b.out = b.in[0].as("y")
	return b.apply(&rmsNormOp{b.signature, weight, eps})
}

type rmsNormOp struct {
	signature
	weight []float32
	eps    float32
}

func (op *rmsNormOp) run(cpu *kernel.CPU, v values) error {
	kernel.RMSNorm(cpu, to[float32](v), from[float32](v, 0), op.weight, op.eps)
	return nil
}

func (op *rmsNormOp) hash(w io.Writer) {
	fmt.Fprintf(w, " weight %p eps %x", unsafe.SliceData(op.weight), op.eps)
}
