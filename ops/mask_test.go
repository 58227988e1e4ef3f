package ops

import (
	"fmt"
	"math"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/sparsegonia/sparsegonia/ops/optest"
)

func init() {
	registerTest("Mask", opTest{
		cases:  maskCases,
		sample: func(f *fixtures) (*gorgonia.Node, error) { return Mask(f.gate, Threshold(0.5, 0.25, 1, 2, 3)) },
		random: func(r *randomInputs) (*gorgonia.Node, error) { return Mask(r.node(), r.method()) },
		errors: func(f *fixtures) []failure {
			return []failure{
				{"no method", func() (*gorgonia.Node, error) { return Mask(f.x, MaskMethod{}) }, "no mask method"},
				{"no thresholds", func() (*gorgonia.Node, error) { return Mask(f.x, Threshold()) }, "0 thresholds"},
				{"7 thresholds", func() (*gorgonia.Node, error) { return Mask(f.x, Threshold(make([]float64, 7)...)) }, "7 thresholds, want 1 or one for each of 8"},
				{"NaN threshold", func() (*gorgonia.Node, error) { return Mask(f.x, Threshold(0, 0, f.nan, 0, 0, 0, 0, 0)) }, "threshold 2 is NaN"},
				{"int threshold", func() (*gorgonia.Node, error) { return Mask(f.xi, Threshold(1<<31)) }, "above all integer scores"},
				{"infinite int", func() (*gorgonia.Node, error) { return Mask(f.xi, Threshold(math.Inf(1))) }, "above all integer scores"},
				{"dtype", func() (*gorgonia.Node, error) { return Mask(f.mask, Threshold(0)) }, "scores has dtype bool"},
				{"rank 3", func() (*gorgonia.Node, error) { return Mask(f.cube, Threshold(0)) }, "want a vector or a matrix"},
				{"sparsity 1.1", func() (*gorgonia.Node, error) { return Mask(f.x, TopK(1.1)) }, "sparsity 1.1"},
				{"sparsity -0.1", func() (*gorgonia.Node, error) { return Mask(f.x, TopK(-0.1)) }, "sparsity -0.1"},
				{"sparsity NaN", func() (*gorgonia.Node, error) { return Mask(f.x, TopK(f.nan)) }, "sparsity NaN"},
				{"statistical 0", func() (*gorgonia.Node, error) { return Mask(f.x, Statistical(0)) }, "sparsity 0 is not in (0, 1)"},
				{"statistical 1", func() (*gorgonia.Node, error) { return Mask(f.x, Statistical(1)) }, "sparsity 1 is not in (0, 1)"},
				{"topk magnitude", func() (*gorgonia.Node, error) { return Mask(f.x, TopK(0.5).Magnitude()) }, "only a threshold"},
			}
		},
	})
}

func maskCases(t *testing.T, run func(string, optest.Case)) {
	build := func(m MaskMethod) optest.Builder {
		return unary(func(x *gorgonia.Node) (*gorgonia.Node, error) { return Mask(x, m) })
	}
	const intermediate = 50
	perNeuron := optest.Normal(9, tensor.Float64, intermediate).Float64s()
	methods := []struct {
		name   string
		method MaskMethod
		active func(x []float64, i int) bool
	}{
		{"zero threshold", Threshold(0), func(x []float64, i int) bool { return x[i] >= 0 }},
		{"threshold", Threshold(0.3), func(x []float64, i int) bool { return x[i] >= 0.3 }},
		{"magnitude", Threshold(1.7).Magnitude(), func(x []float64, i int) bool { return math.Abs(x[i]) >= 1.7 }},
		{"threshold each", Threshold(perNeuron...), func(x []float64, i int) bool { return x[i] >= perNeuron[i] }},
		{"magnitude each", Threshold(perNeuron...).Magnitude(), func(x []float64, i int) bool { return math.Abs(x[i]) >= perNeuron[i] }},
		{"everything", Threshold(math.Inf(-1)), func([]float64, int) bool { return true }},
		{"topk", TopK(0.7), topK(15)},
		{"topk all", TopK(0), topK(intermediate)},
		{"topk none", TopK(1), topK(0)},
		{"statistical", Statistical(0.8), statistical(0.8416212335729143)},
		{"statistical half", Statistical(0.5), statistical(0)},
	}
	for _, d := range computeDtypes {
		for i, m := range methods {
			for _, rows := range []int{0, 4} {
				c := optest.Case{
					Build:  build(m.method),
					Inputs: []*tensor.Dense{input(4, d, rows, intermediate)},
					Reference: func(in ...*tensor.Dense) (*tensor.Dense, error) {
						var mask []bool
						for _, x := range vectors(in[0]) {
							for i := range x {
								mask = append(mask, m.active(x, i))
							}
						}
						return tensor.New(tensor.WithShape(in[0].Shape().Clone()...), tensor.WithBacking(mask)), nil
					},
				}
				for j, other := range methods {
					if j != i {
						c.Variants = append(c.Variants, build(other.method))
					}
				}
				run(fmt.Sprintf("%v/%s/%d rows", d, m.name, rows), c)
			}
		}
	}
	nan := float32(math.NaN())
	for _, m := range []MaskMethod{Threshold(math.Inf(-1)), Threshold(0), Threshold(0).Magnitude(), TopK(0.5)} {
		run("NaN scores/"+m.String(), optest.Case{
			Build:  build(m),
			Inputs: []*tensor.Dense{tensor.New(tensor.WithShape(4), tensor.WithBacking([]float32{nan, 3, nan, 2}))},
			Reference: func(...*tensor.Dense) (*tensor.Dense, error) {
				return tensor.New(tensor.WithShape(4), tensor.WithBacking([]bool{false, true, false, true})), nil
			},
		})
	}
}

// topK reports whether fewer than k scores come before x[i].
func topK(k int) func(x []float64, i int) bool {
	return func(x []float64, i int) bool {
		before := 0
		for j := range x {
			if x[j] > x[i] || x[j] == x[i] && j < i {
				before++
			}
		}
		return before < k
	}
}

func statistical(z float64) func(x []float64, i int) bool {
	return func(x []float64, i int) bool {
		var sum, squares float64
		for _, v := range x {
			sum += v
		}
		mean := sum / float64(len(x))
		for _, v := range x {
			squares += (v - mean) * (v - mean)
		}
		return x[i] > mean+z*math.Sqrt(squares/float64(len(x)-1))
	}
}
