package ops

import (
	"fmt"
	"hash"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/sparsegonia/sparsegonia/ops/kernel"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// Predictor is a low-rank predictor of which neurons matter, after Deja Vu (arXiv 2310.17157).
type Predictor struct {
	Down *weights.Matrix // r×H
	Up   *weights.Matrix // I×r
}

// LowRankScores computes the scores up(down(x)) of p, without bias or nonlinearity: x T×H → T×I, or H → I.
// Both matrices have the compute dtype of x; the rank r is from 1 to I.
func LowRankScores(x *gorgonia.Node, p Predictor, opts ...Option) (*gorgonia.Node, error) {
	op, err := newLowRankOp(x, p, opts)
	if err != nil {
		return nil, err
	}
	return gorgonia.ApplyOp(op, x)
}

type lowRankOp struct {
	signature
	predictor Predictor
	cpu       *kernel.CPU
	low       *tensor.Dense // T×r, down(x)
}

func newLowRankOp(x *gorgonia.Node, p Predictor, opts []Option) (*lowRankOp, error) {
	s, err := newSignature("LowRankScores", "x", x)
	if err != nil {
		return nil, err
	}
	if err := s.in[0].wantRows(); err != nil {
		return nil, s.wrap(err)
	}
	if p.Down == nil || p.Up == nil {
		return nil, s.errorf("the predictor lacks a matrix")
	}
	rank, intermediate := p.Down.Rows(), p.Up.Rows()
	if rank < 1 || rank > intermediate || p.Up.Cols() != rank {
		return nil, s.errorf("the predictor's down is %d×%d and its up %d×%d, want r×H and I×r with 1 ≤ r ≤ I",
			rank, p.Down.Cols(), intermediate, p.Up.Cols())
	}
	low := s.in[0].withCols("down(x)", rank)
	if err := first(Weight{Matrix: p.Down}.check(s.in[0]), Weight{Matrix: p.Up}.check(low)); err != nil {
		return nil, s.wrap(err)
	}
	s.out = s.in[0].withCols("scores", intermediate)
	return &lowRankOp{s, p, newOptions(opts).cpu, low.newTensor()}, nil
}

func (op *lowRankOp) Do(inputs ...gorgonia.Value) (gorgonia.Value, error) {
	return op.UsePreallocDo(op.newOutput(), inputs...)
}

func (op *lowRankOp) UsePreallocDo(output gorgonia.Value, inputs ...gorgonia.Value) (gorgonia.Value, error) {
	var v values
	if err := op.bind(&v, output, inputs); err != nil {
		return nil, err
	}
	switch op.out.dtype {
	case tensor.Float32:
		runLowRank[float32](op, &v)
	case tensor.Float64:
		runLowRank[float64](op, &v)
	case tensor.Int32:
		runLowRank[int32](op, &v)
	case tensor.Int64:
		runLowRank[int64](op, &v)
	}
	return output, nil
}

func runLowRank[E weights.Elem](op *lowRankOp, v *values) {
	kernel.Linear(op.cpu, elements[E](op.low), elements[E](v.in[0]), op.predictor.Down, nil)
	kernel.Linear(op.cpu, elements[E](v.y), elements[E](op.low), op.predictor.Up, nil)
}

func (op *lowRankOp) WriteHash(h hash.Hash) {
	op.writeHash(h)
	fmt.Fprintf(h, " down %p up %p cpu %p", op.predictor.Down, op.predictor.Up, op.cpu)
}

func (op *lowRankOp) Hashcode() uint32 { return hashcode(op) }

// DiffWRT tells that there is a gradient for x if the weights are floating-point numbers.
func (op *lowRankOp) DiffWRT(int) []bool { return []bool{op.differentiable()} }

func (op *lowRankOp) differentiable() bool {
	return differentiable(op.predictor.Down) && differentiable(op.predictor.Up)
}

// SymDiff gives the gradient for x, downᵀ(upᵀ(grad)).
func (op *lowRankOp) SymDiff(inputs gorgonia.Nodes, output, grad *gorgonia.Node) (gorgonia.Nodes, error) {
	if !op.differentiable() {
		return op.signature.SymDiff(inputs, output, grad)
	}
	low, err := Linear(grad, Weight{Matrix: op.predictor.Up}.transposed(), WithCPU(op.cpu))
	if err != nil {
		return nil, err
	}
	x, err := Linear(low, Weight{Matrix: op.predictor.Down}.transposed(), WithCPU(op.cpu))
	return gorgonia.Nodes{x}, err
}
