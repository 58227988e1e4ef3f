package ops

import (
	"fmt"
	"math"
	"testing"

	"github.com/stretchr/testify/require"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/sparsegonia/sparsegonia/ops/kernel"
	"github.com/sparsegonia/sparsegonia/ops/optest"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

func init() {
	registerTest("RoPE", opTest{
		cases:  ropeCases,
		sample: func(f *fixtures) (*gorgonia.Node, error) { return RoPE(f.x, f.list, 2, f.rotary) },
		random: func(r *randomInputs) (*gorgonia.Node, error) { return RoPE(r.node(), r.node(), r.heads(), r.rotary) },
		errors: func(f *fixtures) []failure {
			return []failure{
				{"vector", func() (*gorgonia.Node, error) { return RoPE(f.vector, f.list, 2, f.rotary) }, "want a matrix"},
				{"positions", func() (*gorgonia.Node, error) { return RoPE(f.x, f.slots, 2, f.rotary) }, "positions has shape (5), want (3)"},
				{"position dtype", func() (*gorgonia.Node, error) { return RoPE(f.x, f.vector, 2, f.rotary) }, "positions has dtype float32"},
				{"heads", func() (*gorgonia.Node, error) { return RoPE(f.x, f.list, 3, f.rotary) }, "want 3 heads of size 4"},
				{"no heads", func() (*gorgonia.Node, error) { return RoPE(f.x, f.list, 0, f.rotary) }, "want 0 heads"},
				{"nil", func() (*gorgonia.Node, error) { return RoPE(f.x, f.list, 2, nil) }, "rotary embedding is nil"},
				{"other graph", func() (*gorgonia.Node, error) { return RoPE(f.x, f.foreign, 2, f.rotary) }, "same graph"},
			}
		},
	})
}

func ropeCases(t *testing.T, run func(string, optest.Case)) {
	build := func(heads int, r *kernel.Rotary) optest.Builder {
		return func(in ...*gorgonia.Node) (*gorgonia.Node, error) { return RoPE(in[0], in[1], heads, r) }
	}
	const heads, size, theta = 3, 8, 10000.0
	rotary := func(theta float64, interleaved bool) *kernel.Rotary {
		r, err := kernel.NewRotary(kernel.RotaryConfig{
			HeadDim: size, Dim: size, Theta: theta, Scaling: "default", MaxContext: 64, Interleaved: interleaved,
		})
		require.NoError(t, err)
		return r
	}
	r := rotary(theta, false)
	for _, interleaved := range []bool{false, true} {
		r := rotary(theta, interleaved)
		x := input(1, weights.F32, 4, heads*size)
		run(fmt.Sprintf("interleaved=%t", interleaved), optest.Case{
			Build:  build(heads, r),
			Inputs: []*tensor.Dense{x, ints(0, 5, -1, 63)},
			Reference: func(in ...*tensor.Dense) (*tensor.Dense, error) {
				rows := vectors(in[0])
				for t, position := range in[1].Int32s() {
					if position < 0 {
						continue
					}
					for h := range heads {
						rotate(rows[t][h*size:][:size], float64(position), theta, interleaved)
					}
				}
				return newDense(in[0], rows), nil
			},
			Tolerance: 1e-5,
			Variants:  []optest.Builder{build(heads, rotary(theta, interleaved))},
			Invalid:   map[string][]*tensor.Dense{"position −2": {x, ints(0, -2, 0, 0)}},
		})
	}
	run("one row", optest.Case{
		Build:     build(1, r),
		Inputs:    []*tensor.Dense{input(1, weights.F32, 1, size), ints(0)},
		Reference: perRow(func(x []float64) []float64 { return x }), // position 0 rotates nothing
	})
}

// rotate rotates the pairs of one head by the angles of a position.
func rotate(head []float64, position, theta float64, interleaved bool) {
	half := len(head) / 2
	for i := range half {
		sin, cos := math.Sincos(position * math.Pow(theta, -float64(i)/float64(half)))
		a, b := i, i+half
		if interleaved {
			a, b = 2*i, 2*i+1
		}
		head[a], head[b] = head[a]*cos-head[b]*sin, head[a]*sin+head[b]*cos
	}
}
