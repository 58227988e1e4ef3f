package ops

import (
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/sparsegonia/sparsegonia/ops/optest"
)

func init() {
	registerTest("Union", opTest{
		cases:  unionCases,
		sample: func(f *fixtures) (*gorgonia.Node, error) { return Union(f.mask, f.list) },
		random: func(r *randomInputs) (*gorgonia.Node, error) { return Union(r.node(), r.node()) },
		errors: func(f *fixtures) []failure {
			return []failure{
				{"nil", func() (*gorgonia.Node, error) { return Union(nil, nil) }, "mask is nil"},
				{"dtype", func() (*gorgonia.Node, error) { return Union(f.x, nil) }, "mask has dtype float32"},
				{"live", func() (*gorgonia.Node, error) { return Union(f.mask, f.slots) }, "live has shape (5), want (3)"},
				{"live dtype", func() (*gorgonia.Node, error) { return Union(f.mask, f.vector) }, "live has dtype float32"},
			}
		},
	})
}

func unionCases(t *testing.T, run func(string, optest.Case)) {
	mask := bools(4,
		true, false, false, false,
		false, true, false, false,
		true, false, false, true,
	)
	reference := func(want ...bool) func(...*tensor.Dense) (*tensor.Dense, error) {
		return func(...*tensor.Dense) (*tensor.Dense, error) {
			return tensor.New(tensor.WithShape(4), tensor.WithBacking(want)), nil
		}
	}
	all := unary(func(mask *gorgonia.Node) (*gorgonia.Node, error) { return Union(mask, nil) })
	live := func(in ...*gorgonia.Node) (*gorgonia.Node, error) { return Union(in[0], in[1]) }
	run("all", optest.Case{
		Build: all, Inputs: []*tensor.Dense{mask}, Reference: reference(true, true, false, true),
	})
	run("live", optest.Case{
		Build: live, Inputs: []*tensor.Dense{mask, ints(0, 7, -1)}, Reference: reference(true, true, false, false),
	})
	run("none live", optest.Case{
		Build: live, Inputs: []*tensor.Dense{mask, ints(-1, -5, -1)}, Reference: reference(false, false, false, false),
	})
	run("one token", optest.Case{
		Build:     all,
		Inputs:    []*tensor.Dense{tensor.New(tensor.WithShape(4), tensor.WithBacking([]bool{false, true, false, true}))},
		Reference: reference(false, true, false, true),
	})
}
