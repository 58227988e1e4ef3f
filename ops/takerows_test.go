package ops

import (
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/sparsegonia/sparsegonia/ops/optest"
)

func init() {
	registerTest("TakeRows", opTest{
		cases:  takeRowsCases,
		sample: func(f *fixtures) (*gorgonia.Node, error) { return TakeRows(f.x, f.list) },
		random: func(r *randomInputs) (*gorgonia.Node, error) { return TakeRows(r.node(), r.node()) },
		errors: func(f *fixtures) []failure {
			return []failure{
				{"vector", func() (*gorgonia.Node, error) { return TakeRows(f.vector, f.list) }, "x has shape (8), want a matrix"},
				{"rows", func() (*gorgonia.Node, error) { return TakeRows(f.x, f.xi) }, "rows has shape (3, 8), want a vector"},
				{"rows dtype", func() (*gorgonia.Node, error) { return TakeRows(f.x, f.active) }, "rows has dtype bool"},
			}
		},
	})
}

func takeRowsCases(t *testing.T, run func(string, optest.Case)) {
	build := func(in ...*gorgonia.Node) (*gorgonia.Node, error) { return TakeRows(in[0], in[1]) }
	for _, d := range computeDtypes {
		x := input(1, d, 4, 7)
		run(d.String(), optest.Case{
			Build:  build,
			Inputs: []*tensor.Dense{x, ints(3, -1, 0)},
			Reference: func(in ...*tensor.Dense) (*tensor.Dense, error) {
				rows := vectors(in[0])
				y := tensor.New(tensor.Of(in[0].Dtype()), tensor.WithShape(3, 7))
				return newDense(y, [][]float64{rows[3], make([]float64, 7), rows[0]}), nil
			},
			Invalid: map[string][]*tensor.Dense{
				"row too large": {x, ints(3, 4, 0)},
				"row −2":        {x, ints(3, -2, 0)},
			},
		})
	}
}
