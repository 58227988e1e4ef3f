package ops

import (
	"fmt"
	"io"

	"gorgonia.org/gorgonia"

	"github.com/sparsegonia/sparsegonia/ops/kernel"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// Predictor is a low-rank predictor of which neurons matter, after Deja Vu (arXiv 2310.17157).
type Predictor struct {
	Down *weights.Matrix // r×H
	Up   *weights.Matrix // I×r
}

// LowRankScores computes the scores up(down(x)) of p, without bias or nonlinearity: x T×H → T×I, or
// H → I. Both matrices have the compute dtype of x; the rank r is from 1 to I.
func LowRankScores(x *gorgonia.Node, p Predictor) (*gorgonia.Node, error) {
	b := build("LowRankScores", "x", x)
	if p.Down == nil || p.Up == nil {
		return b.fail("the predictor lacks a matrix")
	}
	b.require(b.in[0].wantRows())
	rank, intermediate := p.Down.Rows(), p.Up.Rows()
	if rank < 1 || rank > intermediate || p.Up.Cols() != rank {
		return b.fail("the predictor's down is %d×%d and its up %d×%d, want r×H and I×r with 1 ≤ r ≤ I",
			rank, p.Down.Cols(), intermediate, p.Up.Cols())
	}
	down, up := Weight{Matrix: p.Down}, Weight{Matrix: p.Up}
	b.require(down.check(b.in[0]), up.check(b.in[0].withCols("down(x)", rank)))
	b.out = b.in[0].withCols("scores", intermediate)
	return b.apply(&lowRankOp{b.signature, p})
}

type lowRankOp struct {
	signature
	predictor Predictor
}

func (op *lowRankOp) run(cpu *kernel.CPU, v values) error {
	return byDtype(op.out.dtype, lowRank[float32], lowRank[float64], lowRank[int32], lowRank[int64])(cpu, op, v)
}

func lowRank[E weights.Elem](cpu *kernel.CPU, op *lowRankOp, v values) error {
	kernel.LowRank(cpu, to[E](v), from[E](v, 0), op.predictor.Down, op.predictor.Up)
	return nil
}

func (op *lowRankOp) hash(w io.Writer) {
	fmt.Fprintf(w, " down %p up %p", op.predictor.Down, op.predictor.Up)
}

// DiffWRT reports that there is a gradient for x if the weights are floating-point numbers.
func (op *lowRankOp) DiffWRT(int) []bool { return []bool{op.differentiable()} }

func (op *lowRankOp) differentiable() bool {
	return differentiable(op.predictor.Down) && differentiable(op.predictor.Up)
}

// SymDiff returns the gradient for x, downᵀ(upᵀ(grad)).
func (op *lowRankOp) SymDiff(inputs gorgonia.Nodes, output, grad *gorgonia.Node) (gorgonia.Nodes, error) {
	if !op.differentiable() {
		return op.signature.SymDiff(inputs, output, grad)
	}
	low, err := Linear(grad, Weight{Matrix: op.predictor.Up}.transposed())
	if err != nil {
		return nil, err
	}
	x, err := Linear(low, Weight{Matrix: op.predictor.Down}.transposed())
	return gorgonia.Nodes{x}, err
}
