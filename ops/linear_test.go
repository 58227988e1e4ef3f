package ops

import (
	"fmt"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/sparsegonia/sparsegonia/ops/activation"
	"github.com/sparsegonia/sparsegonia/ops/optest"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

func init() {
	registerTest("Linear", opTest{
		cases:  linearCases,
		sample: func(f *fixtures) (*gorgonia.Node, error) { return Linear(f.x, f.w) },
		random: func(r *randomInputs) (*gorgonia.Node, error) { return Linear(r.node(), r.w) },
		errors: func(f *fixtures) []failure {
			return []failure{
				{"nil x", func() (*gorgonia.Node, error) { return Linear(nil, f.w) }, "ops: Linear: x is nil"},
				{"scalar", func() (*gorgonia.Node, error) { return Linear(f.scalar, f.w) }, "x is a float32"},
				{"no shape", func() (*gorgonia.Node, error) { return Linear(f.bare, f.w) }, "x is a Matrix float32 of shape ()"},
				{"rank 3", func() (*gorgonia.Node, error) { return Linear(f.cube, f.w) }, "want a vector or a matrix"},
				{"no weight", func() (*gorgonia.Node, error) { return Linear(f.x, Weight{}) }, "no matrix"},
				{"inputs", func() (*gorgonia.Node, error) { return Linear(f.x, Weight{Matrix: matrix(1, weights.F32, 5, 7)}) }, "length 8, the weight takes 7"},
				{"input major", func() (*gorgonia.Node, error) { return Linear(f.x, Weight{Matrix: f.w.Matrix, InputMajor: true}) }, "length 8, the weight takes 5"},
				{"dtype", func() (*gorgonia.Node, error) { return Linear(f.x64, f.w) }, "x has dtype float64"},
				{"dtype of bytes", func() (*gorgonia.Node, error) { return Linear(f.bytes, f.w) }, "x has dtype uint8"},
				{"bias length", func() (*gorgonia.Node, error) {
					return Linear(f.x, Weight{Matrix: f.w.Matrix, Bias: matrix(1, weights.F32, 1, 4)})
				}, "bias is f32 1×4, want f32 1×5"},
				{"bias rows", func() (*gorgonia.Node, error) {
					return Linear(f.x, Weight{Matrix: f.w.Matrix, Bias: matrix(1, weights.F32, 5, 1)})
				}, "bias is f32 5×1"},
				{"bias dtype", func() (*gorgonia.Node, error) {
					return Linear(f.x, Weight{Matrix: f.w.Matrix, Bias: matrix(1, weights.F16, 1, 5)})
				}, "bias is f16"},
			}
		},
	})
}

func linearCases(t *testing.T, run func(string, optest.Case)) {
	build := func(w Weight) optest.Builder {
		return unary(func(x *gorgonia.Node) (*gorgonia.Node, error) { return Linear(x, w) })
	}
	const inputs, outputs = 37, 21
	for _, d := range allDtypes {
		w := weight(1, d, outputs, inputs)
		major := Weight{Matrix: matrix(3, d, inputs, outputs), InputMajor: true, Bias: w.Bias}
		plain := Weight{Matrix: w.Matrix}
		for _, rows := range []int{0, 1, 5} {
			for i, w := range []Weight{w, major, plain} {
				run(fmt.Sprintf("%v/%d rows/%d", d, rows, i), optest.Case{
					Build:     build(w),
					Inputs:    []*tensor.Dense{input(7, d, rows, inputs)},
					Reference: perRow(func(x []float64) []float64 { return apply(w, x) }),
					Tolerance: tolerance(d),
					Allocates: exact(d),
					Variants: []optest.Builder{
						build(Weight{Matrix: matrix(3, d, outputs, inputs), Bias: w.Bias}),
						build(Weight{w.Matrix, w.InputMajor, matrix(9, d.Compute(), 1, outputs)}),
						unary(func(x *gorgonia.Node) (*gorgonia.Node, error) { return Gate(x, w, activation.ReLU) }),
					},
				})
			}
		}
	}
	square := matrix(1, weights.F32, 8, 8)
	run("square", optest.Case{
		Build:     build(Weight{Matrix: square}),
		Inputs:    []*tensor.Dense{input(7, weights.F32, 2, 8)},
		Reference: perRow(func(x []float64) []float64 { return apply(Weight{Matrix: square}, x) }),
		Tolerance: 1e-5,
		Variants:  []optest.Builder{build(Weight{Matrix: square, InputMajor: true})},
	})
	run("one by one", optest.Case{
		Build:     build(Weight{Matrix: matrix(1, weights.F32, 1, 1)}),
		Inputs:    []*tensor.Dense{input(7, weights.F32, 1, 1)},
		Reference: perRow(func(x []float64) []float64 { return apply(Weight{Matrix: matrix(1, weights.F32, 1, 1)}, x) }),
		Tolerance: 1e-6,
	})
}
