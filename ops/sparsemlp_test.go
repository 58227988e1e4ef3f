package ops

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/sparsegonia/sparsegonia/cache"
	"github.com/sparsegonia/sparsegonia/ops/activation"
	"github.com/sparsegonia/sparsegonia/ops/optest"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

func init() {
	registerTest("SparseMLP", opTest{
		cases:  sparseMLPCases,
		sample: func(f *fixtures) (*gorgonia.Node, error) { return SparseMLP(f.x, f.slots, f.gate, f.mlp) },
		random: func(r *randomInputs) (*gorgonia.Node, error) { return SparseMLP(r.node(), r.node(), r.node(), r.mlp()) },
		errors: func(f *fixtures) []failure {
			return []failure{
				{"no cache", func() (*gorgonia.Node, error) { return SparseMLP(f.x, f.slots, nil, MLP{}) }, "cache is a <nil>"},
				{"planes", func() (*gorgonia.Node, error) { return SparseMLP(f.x, f.slots, nil, MLP{Cache: f.planes}) }, "need an up and a down"},
				{"mixed dtypes", func() (*gorgonia.Node, error) { return SparseMLP(f.x, f.slots, nil, MLP{Cache: f.mixed}) }, "down is f16, up is f32"},
				{"x", func() (*gorgonia.Node, error) { return SparseMLP(f.gate, f.slots, nil, MLP{Cache: f.gated}) }, "x has rows of length 5, want 8"},
				{"x dtype", func() (*gorgonia.Node, error) { return SparseMLP(f.x64, f.slots, nil, MLP{Cache: f.gated}) }, "x has dtype float64"},
				{"rank 3", func() (*gorgonia.Node, error) { return SparseMLP(f.cube, f.slots, nil, MLP{Cache: f.gated}) }, "want a vector or a matrix"},
				{"slots", func() (*gorgonia.Node, error) { return SparseMLP(f.x, f.list, nil, MLP{Cache: f.gated}) }, "slots has shape (3), want (5)"},
				{"a mask", func() (*gorgonia.Node, error) { return SparseMLP(f.x, f.active, nil, MLP{Cache: f.gated}) }, "slots has dtype bool"},
				{"gate shape", func() (*gorgonia.Node, error) { return SparseMLP(f.x, f.slots, f.x, MLP{Cache: f.gated}) }, "gate has shape (3, 8), want (3, 5)"},
				{"gate vector", func() (*gorgonia.Node, error) { return SparseMLP(f.vector, f.slots, f.gate, MLP{Cache: f.gated}) }, "gate has shape (3, 5), want (5)"},
				{"gate dtype", func() (*gorgonia.Node, error) { return SparseMLP(f.x, f.slots, f.mask, MLP{Cache: f.gated}) }, "gate has dtype bool"},
				{"plain gate", func() (*gorgonia.Node, error) { return SparseMLP(f.x, f.slots, f.x, MLP{Cache: f.plain}) }, "gate has shape (3, 8), want (3, 5)"},
				{"plain bias", func() (*gorgonia.Node, error) {
					return SparseMLP(f.x, f.slots, nil, MLP{Cache: f.plain, GateBias: matrix(1, weights.F32, 1, 5)})
				}, "no gate matrix"},
				{"gate bias", func() (*gorgonia.Node, error) {
					return SparseMLP(f.x, f.slots, nil, MLP{Cache: f.gated, GateBias: matrix(1, weights.F32, 1, 8)})
				}, "gate bias is f32 1×8"},
				{"up bias", func() (*gorgonia.Node, error) {
					return SparseMLP(f.x, f.slots, nil, MLP{Cache: f.gated, UpBias: matrix(1, weights.F64, 1, 5)})
				}, "up bias is f64"},
				{"down bias", func() (*gorgonia.Node, error) {
					return SparseMLP(f.x, f.slots, nil, MLP{Cache: f.gated, DownBias: matrix(1, weights.F32, 1, 5)})
				}, "down bias is f32 1×5, want f32 1×8"},
				{"integers", func() (*gorgonia.Node, error) {
					return SparseMLP(f.xi, f.slots, nil, MLP{Cache: f.number, Act: activation.SiLU})
				}, "no meaning for int32"},
				{"activation", func() (*gorgonia.Node, error) { return SparseMLP(f.x, f.slots, nil, MLP{Cache: f.gated, Act: 77}) }, "unknown activation 77"},
			}
		},
	})
}

func sparseMLPCases(t *testing.T, run func(string, optest.Case)) {
	build := func(m MLP) optest.Builder {
		return func(in ...*gorgonia.Node) (*gorgonia.Node, error) {
			var gate *gorgonia.Node
			if len(in) == 3 {
				gate = in[2]
			}
			return SparseMLP(in[0], in[1], gate, m)
		}
	}
	const hidden, intermediate, outputs = 33, 20, 14
	sets := map[string]*tensor.Dense{
		"all":  slotsOf(slices.Repeat([]bool{true}, intermediate)),
		"some": slotsOf(optest.Normal(8, tensor.Bool, intermediate).Bools()),
		"one":  slotsOf(append(make([]bool, intermediate-1), true)),
		"none": slotsOf(make([]bool, intermediate)),
	}
	for _, d := range allDtypes {
		for _, gated := range []bool{true, false} {
			m := MLP{Cache: cache.InPlace(neurons(t, 1, d, intermediate, hidden, gated))}
			biased := m
			biased.UpBias = matrix(11, d.Compute(), 1, intermediate)
			biased.DownBias = matrix(12, d.Compute(), 1, hidden)
			if gated {
				biased.GateBias = matrix(13, d.Compute(), 1, intermediate)
			}
			for setName, active := range sets {
				for i, m := range []MLP{m, biased} {
					m.Act = activationsOf(d)[(len(setName)+i)%len(activationsOf(d))]
					other := m
					other.Cache = cache.InPlace(m.Cache.Rows())
					down := m
					down.DownBias = matrix(15, d.Compute(), 1, hidden)
					variants := []optest.Builder{build(other), build(down)}
					for _, a := range activationsOf(d) {
						if a != m.Act {
							v := m
							v.Act = a
							variants = append(variants, build(v))
						}
					}
					run(fmt.Sprintf("%v/gated=%t/%s/%d", d, gated, setName, i), optest.Case{
						Build:  build(m),
						Inputs: []*tensor.Dense{input(3, d, i*3, hidden), active},
						Reference: perRow(func(x []float64) []float64 {
							return mlpReference(m, m.Cache.Rows(), x, activeNeurons(active), nil)
						}),
						Tolerance: tolerance(d),
						Allocates: exact(d),
						Variants:  variants,
						Invalid: map[string][]*tensor.Dense{
							"slot too large": {input(3, d, i*3, hidden), ints(slices.Repeat([]int32{intermediate}, intermediate)...)},
							"greatest slot":  {input(3, d, i*3, hidden), ints(append([]int32{math.MaxInt32}, slices.Repeat([]int32{-1}, intermediate-1)...)...)},
						},
					})
				}
			}
			for _, rows := range []int{0, 2} {
				biased.Act = activationsOf(d)[0]
				gate := input(19, d, rows, intermediate)
				active := sets["some"]
				run(fmt.Sprintf("%v/gated=%t/gate values/%d rows", d, gated, rows), optest.Case{
					Build:  build(biased),
					Inputs: []*tensor.Dense{input(3, d, rows, hidden), active, gate},
					Reference: func(in ...*tensor.Dense) (*tensor.Dense, error) {
						x, gates := vectors(in[0]), vectors(in[2])
						for t := range x {
							x[t] = mlpReference(biased, biased.Cache.Rows(), x[t], activeNeurons(in[1]), gates[t])
						}
						return newDense(in[0], x), nil
					},
					Tolerance: tolerance(d),
					Allocates: exact(d),
				})
			}

			other := biased
			rows := m.Cache.Rows()
			n, err := weights.NewNeurons(rows.Gate(), rows.Up(), matrix(21, d, intermediate, outputs))
			require.NoError(t, err)
			other.Cache, other.DownBias = cache.InPlace(n), matrix(22, d.Compute(), 1, outputs)
			run(fmt.Sprintf("%v/gated=%t/other outputs", d, gated), optest.Case{
				Build:  build(other),
				Inputs: []*tensor.Dense{input(3, d, 3, hidden), sets["some"]},
				Reference: perRow(func(x []float64) []float64 {
					return mlpReference(other, other.Cache.Rows(), x, activeNeurons(sets["some"]), nil)
				}),
				Tolerance: tolerance(d),
				Allocates: exact(d),
			})
		}
	}
}
