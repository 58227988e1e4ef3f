package ops

import (
	"fmt"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/sparsegonia/sparsegonia/ops/activation"
	"github.com/sparsegonia/sparsegonia/ops/optest"
)

func init() {
	registerTest("Gate", opTest{
		cases:  gateCases,
		sample: func(f *fixtures) (*gorgonia.Node, error) { return Gate(f.x, f.w, activation.SiLU) },
		random: func(r *randomInputs) (*gorgonia.Node, error) { return Gate(r.node(), r.w, r.activation()) },
		errors: func(f *fixtures) []failure {
			return []failure{
				{"integers", func() (*gorgonia.Node, error) { return Gate(f.xi, f.wi, activation.GELUTanh) }, "no meaning for int32"},
				{"inputs", func() (*gorgonia.Node, error) { return Gate(f.gate, f.w, activation.SiLU) }, "ops: Gate: x has rows of length 5, the weight takes 8"},
			}
		},
	})
}

func gateCases(t *testing.T, run func(string, optest.Case)) {
	build := func(w Weight, a activation.Func) optest.Builder {
		return unary(func(x *gorgonia.Node) (*gorgonia.Node, error) { return Gate(x, w, a) })
	}
	const hidden, intermediate = 24, 35
	for _, d := range allDtypes {
		for _, a := range activationsOf(d) {
			for _, rows := range []int{0, 3} {
				w := weight(1, d, intermediate, hidden)
				run(fmt.Sprintf("%v/%v/%d rows", d, a, rows), optest.Case{
					Build:  build(w, a),
					Inputs: []*tensor.Dense{input(7, d, rows, hidden)},
					Reference: perRow(func(x []float64) []float64 {
						y := apply(w, x)
						for i := range y {
							y[i] = activationOf(a, y[i])
						}
						return y
					}),
					Tolerance: tolerance(d),
					Allocates: exact(d),
					Variants: []optest.Builder{
						build(weight(5, d, intermediate, hidden), a),
						build(Weight{Matrix: w.Matrix}, a),
						unary(func(x *gorgonia.Node) (*gorgonia.Node, error) { return Linear(x, w) }),
					},
				})
			}
		}
	}
}
