package ops

import (
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/sparsegonia/sparsegonia/ops/optest"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

func init() {
	registerTest("Prefetch", opTest{
		cases:  prefetchCases,
		sample: func(f *fixtures) (*gorgonia.Node, error) { return Prefetch(f.active, f.ahead) },
		random: func(r *randomInputs) (*gorgonia.Node, error) { return Prefetch(r.node(), r.ahead) },
		errors: func(f *fixtures) []failure {
			return []failure{
				{"no cache", func() (*gorgonia.Node, error) { return Prefetch(f.active, nil) }, "cache is a <nil>"},
				{"a mask", func() (*gorgonia.Node, error) { return Prefetch(f.mask, f.ahead) }, "active has shape (3, 5), want (5)"},
			}
		},
	})
}

func prefetchCases(t *testing.T, run func(string, optest.Case)) {
	store := neurons(t, 1, weights.F32, 77, 3, true)
	run("window", optest.Case{
		Build: unary(func(active *gorgonia.Node) (*gorgonia.Node, error) {
			return Prefetch(active, window(t, store))
		}),
		Stateful:  true,
		Inputs:    []*tensor.Dense{optest.Normal(3, tensor.Bool, 77)},
		Reference: func(in ...*tensor.Dense) (*tensor.Dense, error) { return in[0].Clone().(*tensor.Dense), nil },
	})
}
