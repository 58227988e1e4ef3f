package ops

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/sparsegonia/sparsegonia/ops/activation"
	"github.com/sparsegonia/sparsegonia/ops/optest"
)

func init() {
	registerTest("Activate", opTest{
		cases:  activateCases,
		sample: func(f *fixtures) (*gorgonia.Node, error) { return Activate(f.x, activation.SiLU) },
		random: func(r *randomInputs) (*gorgonia.Node, error) { return Activate(r.node(), r.activation()) },
		errors: func(f *fixtures) []failure {
			return []failure{
				{"nil", func() (*gorgonia.Node, error) { return Activate(nil, activation.SiLU) }, "x is nil"},
				{"dtype", func() (*gorgonia.Node, error) { return Activate(f.bytes, activation.SiLU) }, "dtype uint8, want float32, float64, int32, int64"},
				{"integers", func() (*gorgonia.Node, error) { return Activate(f.xi, activation.SiLU) }, "activation silu has no meaning for int32"},
				{"unknown", func() (*gorgonia.Node, error) { return Activate(f.x, activation.Func(99)) }, "unknown activation 99"},
			}
		},
	})
}

func activateCases(t *testing.T, run func(string, optest.Case)) {
	build := func(a activation.Func) optest.Builder {
		return unary(func(x *gorgonia.Node) (*gorgonia.Node, error) { return Activate(x, a) })
	}
	for _, d := range computeDtypes {
		for _, a := range activationsOf(d) {
			for _, shape := range [][]int{{33}, {3, 11}, {2, 3, 5}, {1, 1}} {
				c := optest.Case{
					Build:  build(a),
					Inputs: []*tensor.Dense{optest.Normal(5, computeDtype(d), shape...)},
					Reference: perRow(func(x []float64) []float64 {
						y := slices.Clone(x)
						for i := range y {
							y[i] = activationOf(a, y[i])
						}
						return y
					}),
					Tolerance: tolerance(d),
					Allocates: exact(d),
				}
				for _, other := range activationsOf(d) {
					if other != a {
						c.Variants = append(c.Variants, build(other))
					}
				}
				run(fmt.Sprintf("%v/%v/%v", d, a, shape), c)
			}
		}
	}
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for _, a := range allActivations {
		run(fmt.Sprintf("not finite/%v", a), optest.Case{
			Build:  build(a),
			Inputs: []*tensor.Dense{vector(nan, inf, 0, -200, 1)},
			Reference: func(...*tensor.Dense) (*tensor.Dense, error) {
				return vector(nan, inf, 0, 0, float32(activationOf(a, 1))), nil
			},
			Tolerance: 1e-6,
		})
	}
}
