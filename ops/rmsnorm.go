package ops

import (
	"fmt"
	"hash"
	"math"
	"unsafe"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/sparsegonia/sparsegonia/ops/kernel"
)

// RMSNorm scales every row of x to root mean square 1 and multiplies it by weight (arXiv 1910.07467):
// y = x / √(mean(x²) + eps) ⊙ weight. x is a float32 T×H matrix or H-vector, weight is captured and has length H.
func RMSNorm(x *gorgonia.Node, weight []float32, eps float32, opts ...Option) (*gorgonia.Node, error) {
	op, err := newRMSNormOp(x, weight, eps, opts)
	if err != nil {
		return nil, err
	}
	return gorgonia.ApplyOp(op, x)
}

type rmsNormOp struct {
	signature
	weight []float32
	eps    float32
	cpu    *kernel.CPU
}

func newRMSNormOp(x *gorgonia.Node, weight []float32, eps float32, opts []Option) (*rmsNormOp, error) {
	s, err := newSignature("RMSNorm", "x", x)
	if err != nil {
		return nil, err
	}
	if err := first(s.in[0].wantDtype(tensor.Float32), s.in[0].wantRows()); err != nil {
		return nil, s.wrap(err)
	}
	if len(weight) != s.in[0].cols() {
		return nil, s.errorf("x has rows of length %d, the weight has length %d", s.in[0].cols(), len(weight))
	}
	if !(eps >= 0) || math.IsInf(float64(eps), 1) {
		return nil, s.errorf("eps is %v", eps)
	}
	s.out = s.in[0].withCols("y", len(weight))
	return &rmsNormOp{s, weight, eps, newOptions(opts).cpu}, nil
}

func (op *rmsNormOp) Do(inputs ...gorgonia.Value) (gorgonia.Value, error) {
	return op.UsePreallocDo(op.newOutput(), inputs...)
}

func (op *rmsNormOp) UsePreallocDo(output gorgonia.Value, inputs ...gorgonia.Value) (gorgonia.Value, error) {
	var v values
	if err := op.bind(&v, output, inputs); err != nil {
		return nil, err
	}
	kernel.RMSNorm(op.cpu, v.y.Float32s(), v.in[0].Float32s(), op.weight, op.eps)
	return output, nil
}

func (op *rmsNormOp) WriteHash(h hash.Hash) {
	op.writeHash(h)
	fmt.Fprintf(h, " weight %p eps %x cpu %p", unsafe.SliceData(op.weight), math.Float32bits(op.eps), op.cpu)
}

func (op *rmsNormOp) Hashcode() uint32 { return hashcode(op) }
