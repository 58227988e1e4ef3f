package ops

import (
	"fmt"
	"hash"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/sparsegonia/sparsegonia/ops/kernel"
)

// Linear applies w to every row of x: x T×K → T×O, or K → O.
// x has the compute dtype of the weight: float32 for f16, bf16 and quantised weights too.
func Linear(x *gorgonia.Node, w Weight, opts ...Option) (*gorgonia.Node, error) {
	op, err := newLinearOp(x, w, opts)
	if err != nil {
		return nil, err
	}
	return gorgonia.ApplyOp(op, x)
}

type linearOp struct {
	signature
	weight Weight
	cpu    *kernel.CPU
}

func newLinearOp(x *gorgonia.Node, w Weight, opts []Option) (*linearOp, error) {
	s, err := weightedSignature("Linear", x, w)
	if err != nil {
		return nil, err
	}
	return &linearOp{s, w, newOptions(opts).cpu}, nil
}

// weightedSignature is the signature of an op that applies w to the rows of x.
func weightedSignature(name string, x *gorgonia.Node, w Weight) (signature, error) {
	s, err := newSignature(name, "x", x)
	if err != nil {
		return s, err
	}
	if err := s.in[0].wantRows(); err != nil {
		return s, s.wrap(err)
	}
	if err := w.check(s.in[0]); err != nil {
		return s, s.wrap(err)
	}
	s.out = s.in[0].withCols("y", w.Outputs())
	return s, nil
}

// Weight is the captured weight.
func (op *linearOp) Weight() Weight { return op.weight }

func (op *linearOp) Do(inputs ...gorgonia.Value) (gorgonia.Value, error) {
	return op.UsePreallocDo(op.newOutput(), inputs...)
}

func (op *linearOp) UsePreallocDo(output gorgonia.Value, inputs ...gorgonia.Value) (gorgonia.Value, error) {
	var v values
	if err := op.bind(&v, output, inputs); err != nil {
		return nil, err
	}
	switch op.out.dtype {
	case tensor.Float32:
		linear[float32](op.cpu, v.y, v.in[0], op.weight)
	case tensor.Float64:
		linear[float64](op.cpu, v.y, v.in[0], op.weight)
	case tensor.Int32:
		linear[int32](op.cpu, v.y, v.in[0], op.weight)
	case tensor.Int64:
		linear[int64](op.cpu, v.y, v.in[0], op.weight)
	}
	return output, nil
}

func (op *linearOp) WriteHash(h hash.Hash) {
	op.writeHash(h)
	op.weight.writeHash(h)
	fmt.Fprintf(h, " cpu %p", op.cpu)
}

func (op *linearOp) Hashcode() uint32 { return hashcode(op) }

// DiffWRT tells that there is a gradient for x if the weights are floating-point numbers.
func (op *linearOp) DiffWRT(int) []bool { return []bool{differentiable(op.weight.Matrix)} }

// SymDiff gives the gradient for x, grad·wᵀ, which is again a Linear.
func (op *linearOp) SymDiff(inputs gorgonia.Nodes, output, grad *gorgonia.Node) (gorgonia.Nodes, error) {
	if !differentiable(op.weight.Matrix) {
		return op.signature.SymDiff(inputs, output, grad)
	}
	x, err := Linear(grad, op.weight.transposed(), WithCPU(op.cpu))
	return gorgonia.Nodes{x}, err
}

// writeHash identifies w by its matrices, not by their contents: what is captured may change between runs.
func (w Weight) writeHash(h hash.Hash) {
	fmt.Fprintf(h, " weight %p %t %p", w.Matrix, w.InputMajor, w.Bias)
}
