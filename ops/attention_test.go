package ops

import (
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
	registerTest("Attention", opTest{
		cases: attentionCases,
		sample: func(f *fixtures) (*gorgonia.Node, error) {
			return Attention(f.x, f.x, f.x, f.list, f.list, 2, f.kv, 0.5)
		},
		random: func(r *randomInputs) (*gorgonia.Node, error) {
			return Attention(r.node(), r.node(), r.node(), r.node(), r.node(), r.heads(), r.kv, 1)
		},
		errors: func(f *fixtures) []failure {
			return []failure{
				{"nil kv", func() (*gorgonia.Node, error) { return Attention(f.x, f.x, f.x, f.list, f.list, 2, nil, 1) }, "KV cache is nil"},
				{"heads", func() (*gorgonia.Node, error) { return Attention(f.x, f.x, f.x, f.list, f.list, 3, f.kv, 1) }, "3 heads are not a multiple of the 2"},
				{"no heads", func() (*gorgonia.Node, error) { return Attention(f.x, f.x, f.x, f.list, f.list, 0, f.kv, 1) }, "0 heads"},
				{"q", func() (*gorgonia.Node, error) { return Attention(f.gate, f.x, f.x, f.list, f.list, 2, f.kv, 1) }, "q has shape (3, 5), want (3, 8)"},
				{"k", func() (*gorgonia.Node, error) { return Attention(f.x, f.gate, f.x, f.list, f.list, 2, f.kv, 1) }, "k has shape (3, 5), want (3, 8)"},
				{"v dtype", func() (*gorgonia.Node, error) { return Attention(f.x, f.x, f.x64, f.list, f.list, 2, f.kv, 1) }, "v has dtype float64"},
				{"positions", func() (*gorgonia.Node, error) { return Attention(f.x, f.x, f.x, f.slots, f.list, 2, f.kv, 1) }, "positions has shape (5), want (3)"},
				{"sequences", func() (*gorgonia.Node, error) { return Attention(f.x, f.x, f.x, f.list, f.vector, 2, f.kv, 1) }, "sequences has dtype float32"},
				{"nil v", func() (*gorgonia.Node, error) { return Attention(f.x, f.x, nil, f.list, f.list, 2, f.kv, 1) }, "v is nil"},
				{"NaN scale", func() (*gorgonia.Node, error) { return Attention(f.x, f.x, f.x, f.list, f.list, 2, f.kv, f.nan32) }, "scale is NaN"},
				{"inf scale", func() (*gorgonia.Node, error) { return Attention(f.x, f.x, f.x, f.list, f.list, 2, f.kv, f.inf32) }, "scale is +Inf"},
			}
		},
	})
}

func attentionCases(t *testing.T, run func(string, optest.Case)) {
	const heads, kvHeads, size, scale = 4, 2, 6, 0.4
	build := func(d weights.Dtype, kv *kernel.KV, scale float32) optest.Builder {
		return func(in ...*gorgonia.Node) (*gorgonia.Node, error) {
			state := kv
			if state == nil {
				var err error
				if state, err = kernel.NewKV(d, 2, 8, kvHeads, size); err != nil {
					return nil, err
				}
			}
			return Attention(in[0], in[1], in[2], in[3], in[4], heads, state, scale)
		}
	}
	shared, err := kernel.NewKV(weights.F32, 2, 8, kvHeads, size)
	require.NoError(t, err)
	q := input(1, weights.F32, 6, heads*size)
	k, v := input(2, weights.F32, 6, kvHeads*size), input(3, weights.F32, 6, kvHeads*size)
	positions, sequences := ints(0, 1, 0, 2, 1, -1), ints(0, 0, 1, 0, 1, 99)
	reference := func(in ...*tensor.Dense) (*tensor.Dense, error) {
		q, k, v := vectors(in[0]), vectors(in[1]), vectors(in[2])
		for t := range q {
			q[t] = attend(t, q[t], k, v, in[3].Int32s(), in[4].Int32s(), heads, kvHeads, scale)
		}
		return newDense(in[0], q), nil
	}
	for _, d := range []weights.Dtype{weights.F32, weights.F16} {
		tolerance := 1e-5
		if d == weights.F16 {
			tolerance = 2e-3 // keys and values are rounded
		}
		run(d.String(), optest.Case{
			Build:     build(d, nil, scale),
			Inputs:    []*tensor.Dense{q, k, v, positions, sequences},
			Reference: reference,
			Tolerance: tolerance,
			Stateful:  true,
			Variants:  []optest.Builder{build(d, shared, scale), build(d, shared, 0.5)},
			Invalid: map[string][]*tensor.Dense{
				"position beyond the capacity": {q, k, v, ints(0, 1, 0, 8, 1, -1), sequences},
				"position −2":                  {q, k, v, ints(0, 1, 0, -2, 1, -1), sequences},
				"sequence too large":           {q, k, v, positions, ints(0, 0, 2, 0, 1, 0)},
				"sequence −1":                  {q, k, v, positions, ints(0, 0, -1, 0, 1, 0)},
			},
		})
	}
}

// attend is attention for row t, among the rows given.
func attend(t int, q []float64, k, v [][]float64, positions, sequences []int32, heads, kvHeads int, scale float64) []float64 {
	y := make([]float64, len(q))
	if positions[t] < 0 {
		return y
	}
	size := len(q) / heads
	for h := range heads {
		of := func(row []float64) []float64 { return row[h/(heads/kvHeads)*size:][:size] }
		var total float64
		for s := range k {
			if sequences[s] != sequences[t] || positions[s] < 0 || positions[s] > positions[t] {
				continue
			}
			p := math.Exp(scale * dot(q[h*size:][:size], of(k[s])))
			total += p
			for i, x := range of(v[s]) {
				y[h*size+i] += p * x
			}
		}
		for i := range size {
			y[h*size+i] /= total
		}
	}
	return y
}
