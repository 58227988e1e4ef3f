package ops

import (
	"fmt"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/sparsegonia/sparsegonia/ops/optest"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

func init() {
	registerTest("LowRankScores", opTest{
		cases: lowRankCases,
		sample: func(f *fixtures) (*gorgonia.Node, error) {
			return LowRankScores(f.x, Predictor{matrix(1, weights.F32, 2, 8), matrix(1, weights.F32, 5, 2)})
		},
		random: func(r *randomInputs) (*gorgonia.Node, error) {
			return LowRankScores(r.node(), Predictor{r.w.Matrix, matrix(1, weights.F32, 8, 5)})
		},
		errors: func(f *fixtures) []failure {
			return []failure{
				{"empty", func() (*gorgonia.Node, error) { return LowRankScores(f.x, Predictor{}) }, "lacks a matrix"},
				{"no up", func() (*gorgonia.Node, error) {
					return LowRankScores(f.x, Predictor{matrix(1, weights.F32, 2, 8), nil})
				}, "lacks a matrix"},
				{"rank 0", func() (*gorgonia.Node, error) {
					return LowRankScores(f.x, Predictor{matrix(1, weights.F32, 0, 8), matrix(1, weights.F32, 5, 0)})
				}, "1 ≤ r ≤ I"},
				{"rank 6", func() (*gorgonia.Node, error) {
					return LowRankScores(f.x, Predictor{matrix(1, weights.F32, 6, 8), matrix(1, weights.F32, 5, 6)})
				}, "1 ≤ r ≤ I"},
				{"ranks", func() (*gorgonia.Node, error) {
					return LowRankScores(f.x, Predictor{matrix(1, weights.F32, 2, 8), matrix(1, weights.F32, 5, 3)})
				}, "down is 2×8 and its up 5×3"},
				{"hidden", func() (*gorgonia.Node, error) {
					return LowRankScores(f.x, Predictor{matrix(1, weights.F32, 2, 7), matrix(1, weights.F32, 5, 2)})
				}, "length 8, the weight takes 7"},
				{"dtypes", func() (*gorgonia.Node, error) {
					return LowRankScores(f.x, Predictor{matrix(1, weights.F32, 2, 8), matrix(1, weights.F64, 5, 2)})
				}, "works on float64"},
			}
		},
	})
}

func lowRankCases(t *testing.T, run func(string, optest.Case)) {
	build := func(p Predictor) optest.Builder {
		return unary(func(x *gorgonia.Node) (*gorgonia.Node, error) { return LowRankScores(x, p) })
	}
	const hidden, intermediate = 26, 40
	for _, d := range allDtypes {
		for _, rank := range []int{1, 6, intermediate} {
			for _, rows := range []int{0, 3} {
				p := Predictor{Down: matrix(1, d, rank, hidden), Up: matrix(2, d, intermediate, rank)}
				run(fmt.Sprintf("%v/rank %d/%d rows", d, rank, rows), optest.Case{
					Build:  build(p),
					Inputs: []*tensor.Dense{input(7, d, rows, hidden)},
					Reference: perRow(func(x []float64) []float64 {
						return apply(Weight{Matrix: p.Up}, apply(Weight{Matrix: p.Down}, x))
					}),
					Tolerance: tolerance(d),
					Allocates: exact(d),
					Variants: []optest.Builder{
						build(Predictor{matrix(3, d, rank, hidden), p.Up}),
						build(Predictor{p.Down, matrix(3, d, intermediate, rank)}),
					},
				})
			}
		}
	}
}
