package ops

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/sparsegonia/sparsegonia/ops/activation"
	"github.com/sparsegonia/sparsegonia/ops/optest"
)

func init() {
	registerTest("GLU", opTest{
		cases:  gluCases,
		sample: func(f *fixtures) (*gorgonia.Node, error) { return GLU(f.x, f.x, activation.SiLU) },
		random: func(r *randomInputs) (*gorgonia.Node, error) { return GLU(r.node(), r.node(), r.activation()) },
		errors: func(f *fixtures) []failure {
			return []failure{
				{"nil up", func() (*gorgonia.Node, error) { return GLU(f.x, nil, activation.SiLU) }, "up is nil"},
				{"shapes", func() (*gorgonia.Node, error) { return GLU(f.x, f.gate, activation.SiLU) }, "up has shape (3, 5), want (3, 8)"},
				{"ranks", func() (*gorgonia.Node, error) { return GLU(f.cube, f.x, activation.SiLU) }, "up has shape (3, 8), want (2, 3, 8)"},
				{"dtypes", func() (*gorgonia.Node, error) { return GLU(f.x, f.x64, activation.SiLU) }, "up has dtype float64, want float32"},
				{"integers", func() (*gorgonia.Node, error) { return GLU(f.xi, f.xi, activation.GELU) }, "no meaning for int32"},
			}
		},
	})
}

func gluCases(t *testing.T, run func(string, optest.Case)) {
	build := func(a activation.Func) optest.Builder {
		return func(in ...*gorgonia.Node) (*gorgonia.Node, error) { return GLU(in[0], in[1], a) }
	}
	for _, d := range computeDtypes {
		for _, a := range activationsOf(d) {
			for _, shape := range [][]int{{33}, {3, 11}, {2, 3, 5}} {
				c := optest.Case{
					Build: build(a),
					Inputs: []*tensor.Dense{
						optest.Normal(5, computeDtype(d), shape...), optest.Normal(6, computeDtype(d), shape...),
					},
					Reference: func(in ...*tensor.Dense) (*tensor.Dense, error) {
						gate, up := vectors(in[0]), vectors(in[1])
						for t := range gate {
							for i := range gate[t] {
								gate[t][i] = activationOf(a, gate[t][i]) * up[t][i]
							}
						}
						return newDense(in[0], gate), nil
					},
					Tolerance: tolerance(d),
					Allocates: exact(d),
				}
				for _, other := range activationsOf(d) {
					if other != a {
						c.Variants = append(c.Variants, build(other))
					}
				}
				// Exchanged inputs are another node of an equal op: the graph must tell them apart, the hash cannot.
				run(fmt.Sprintf("%v/%v/%v", d, a, shape), c)
				exchange(t, c.Inputs, c.Build, func(in ...*gorgonia.Node) (*gorgonia.Node, error) { return GLU(in[1], in[0], a) })
			}
		}
	}
}

// exchange checks that two builds on the same inputs are different nodes of one graph.
func exchange(t *testing.T, inputs []*tensor.Dense, a, b optest.Builder) {
	t.Helper()
	g := gorgonia.NewGraph()
	x, y := newInput(g, inputs[0]), newInput(g, inputs[1])
	first, err := a(x, y)
	require.NoError(t, err)
	second, err := b(x, y)
	require.NoError(t, err)
	require.NotSame(t, first, second)
	require.NotEqual(t, first.Hashcode(), second.Hashcode())
}
