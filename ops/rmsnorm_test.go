package ops

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/sparsegonia/sparsegonia/ops/optest"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

func init() {
	registerTest("RMSNorm", opTest{
		cases:  rmsNormCases,
		sample: func(f *fixtures) (*gorgonia.Node, error) { return RMSNorm(f.x, make([]float32, 8), 1e-5) },
		random: func(r *randomInputs) (*gorgonia.Node, error) { return RMSNorm(r.node(), make([]float32, 8), 1e-5) },
		errors: func(f *fixtures) []failure {
			return []failure{
				{"dtype", func() (*gorgonia.Node, error) { return RMSNorm(f.x64, make([]float32, 8), 0) }, "want float32"},
				{"length", func() (*gorgonia.Node, error) { return RMSNorm(f.x, make([]float32, 7), 0) }, "the weight has length 7"},
				{"nil weight", func() (*gorgonia.Node, error) { return RMSNorm(f.x, nil, 0) }, "the weight has length 0"},
				{"NaN eps", func() (*gorgonia.Node, error) { return RMSNorm(f.x, make([]float32, 8), f.nan32) }, "eps is NaN"},
				{"negative eps", func() (*gorgonia.Node, error) { return RMSNorm(f.x, make([]float32, 8), -1) }, "eps is -1"},
				{"rank 3", func() (*gorgonia.Node, error) { return RMSNorm(f.cube, make([]float32, 8), 0) }, "want a vector or a matrix"},
			}
		},
	})
}

func rmsNormCases(t *testing.T, run func(string, optest.Case)) {
	build := func(w []float32, eps float32) optest.Builder {
		return unary(func(x *gorgonia.Node) (*gorgonia.Node, error) { return RMSNorm(x, w, eps) })
	}
	const hidden = 45
	w := optest.Normal(2, tensor.Float32, hidden).Float32s()
	for _, rows := range []int{0, 1, 4} {
		run(fmt.Sprintf("%d rows", rows), optest.Case{
			Build:  build(w, 1e-5),
			Inputs: []*tensor.Dense{input(3, weights.F32, rows, hidden)},
			Reference: perRow(func(x []float64) []float64 {
				scale := 1 / math.Sqrt(dot(x, x)/hidden+float64(float32(1e-5)))
				y := make([]float64, hidden)
				for i := range y {
					y[i] = x[i] * scale * float64(w[i])
				}
				return y
			}),
			Tolerance: 1e-6,
			Variants:  []optest.Builder{build(slices.Clone(w), 1e-5), build(w, 1e-6)},
		})
	}
}
