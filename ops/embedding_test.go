package ops

import (
	"math"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/sparsegonia/sparsegonia/ops/optest"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

func init() {
	registerTest("Embedding", opTest{
		cases:  embeddingCases,
		sample: func(f *fixtures) (*gorgonia.Node, error) { return Embedding(f.list, matrix(1, weights.F32, 5, 8)) },
		random: func(r *randomInputs) (*gorgonia.Node, error) { return Embedding(r.node(), r.w.Matrix) },
		errors: func(f *fixtures) []failure {
			return []failure{
				{"dtype", func() (*gorgonia.Node, error) { return Embedding(f.vector, f.w.Matrix) }, "tokens has dtype float32"},
				{"matrix", func() (*gorgonia.Node, error) { return Embedding(f.xi, f.w.Matrix) }, "want a vector"},
				{"nil", func() (*gorgonia.Node, error) { return Embedding(f.list, nil) }, "weight is nil"},
				{"weight dtype", func() (*gorgonia.Node, error) { return Embedding(f.list, matrix(1, weights.F64, 5, 8)) }, "f64, which does not decode to float32"},
			}
		},
	})
}

func embeddingCases(t *testing.T, run func(string, optest.Case)) {
	build := func(w *weights.Matrix) optest.Builder {
		return unary(func(x *gorgonia.Node) (*gorgonia.Node, error) { return Embedding(x, w) })
	}
	const vocabulary, hidden = 11, 34
	for _, d := range allDtypes {
		if d.Compute() != weights.F32 {
			continue
		}
		w := matrix(1, d, vocabulary, hidden)
		run(d.String(), optest.Case{
			Build:  build(w),
			Inputs: []*tensor.Dense{ints(3, 0, -1, vocabulary-1, 3)},
			Reference: func(in ...*tensor.Dense) (*tensor.Dense, error) {
				rows := decoded(w)
				var y []float32
				for _, id := range in[0].Int32s() {
					for k := range hidden {
						v := 0.0
						if id >= 0 {
							v = rows[id][k]
						}
						y = append(y, float32(v))
					}
				}
				return tensor.New(tensor.WithShape(5, hidden), tensor.WithBacking(y)), nil
			},
			Variants: []optest.Builder{build(matrix(1, d, vocabulary, hidden))},
			Invalid: map[string][]*tensor.Dense{
				"id too large":   {ints(3, 0, -1, vocabulary, 3)},
				"id −2":          {ints(3, 0, -2, 1, 3)},
				"least id":       {ints(math.MinInt32, 0, 0, 0, 0)},
				"greatest id":    {ints(0, 0, 0, 0, math.MaxInt32)},
				"all are absent": {ints(99, 99, 99, 99, 99)},
			},
		})
	}
}
