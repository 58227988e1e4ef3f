package ops

import (
	"fmt"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/sparsegonia/sparsegonia/cache"
	"github.com/sparsegonia/sparsegonia/ops/optest"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

func init() {
	registerTest("Refresh", opTest{
		cases:  refreshCases,
		sample: func(f *fixtures) (*gorgonia.Node, error) { return Refresh(f.active, f.gated) },
		random: func(r *randomInputs) (*gorgonia.Node, error) { return Refresh(r.node(), r.mlp().Cache) },
		errors: func(f *fixtures) []failure {
			return []failure{
				{"nil cache", func() (*gorgonia.Node, error) { return Refresh(f.active, nil) }, "cache is a <nil>"},
				{"no identity", func() (*gorgonia.Node, error) { return Refresh(f.active, structCache{f.gated}) }, "want a pointer"},
				{"dtype", func() (*gorgonia.Node, error) { return Refresh(f.slots, f.gated) }, "active has dtype int32"},
				{"length", func() (*gorgonia.Node, error) { return Refresh(f.node(tensor.Bool, 6), f.gated) }, "active has shape (6), want (5)"},
				{"mask", func() (*gorgonia.Node, error) { return Refresh(f.mask, f.gated) }, "active has shape (3, 5), want (5)"},
			}
		},
	})
}

func refreshCases(t *testing.T, run func(string, optest.Case)) {
	for _, intermediate := range []int{1, 8, 77} {
		store := neurons(t, 1, weights.F32, intermediate, 3, true)
		run(fmt.Sprint(intermediate), optest.Case{
			Build: unary(func(active *gorgonia.Node) (*gorgonia.Node, error) {
				return Refresh(active, cache.InPlace(store))
			}),
			Stateful: true,
			Inputs:   []*tensor.Dense{optest.Normal(3, tensor.Bool, intermediate)},
			Reference: func(in ...*tensor.Dense) (*tensor.Dense, error) {
				return slotsOf(in[0].Bools()), nil
			},
		})
	}
}
