package ops

import (
	"maps"
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
	"pgregory.net/rapid"

	"github.com/sparsegonia/sparsegonia/cache"
	"github.com/sparsegonia/sparsegonia/ops/activation"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

var anyDtype = rapid.SampledFrom([]tensor.Dtype{
	tensor.Float32, tensor.Float32, tensor.Float64, tensor.Int32, tensor.Int32, tensor.Int64, tensor.Bool, tensor.Uint8,
})

func anyShape(t *rapid.T) []int {
	return rapid.SliceOfN(rapid.SampledFrom([]int{1, 2, 3, 5, 8}), 1, 3).Draw(t, "shape")
}

// randomInputs draws what builders are given.
type randomInputs struct {
	*fixtures
	t      *rapid.T
	inputs []*tensor.Dense // of the nodes
}

func (r *randomInputs) node() *gorgonia.Node {
	if rapid.IntRange(0, 19).Draw(r.t, "nil") == 0 {
		return nil
	}
	d := tensor.New(tensor.Of(anyDtype.Draw(r.t, "dtype")), tensor.WithShape(anyShape(r.t)...))
	r.inputs = append(r.inputs, d)
	return newInput(r.g, d)
}

func (r *randomInputs) activation() activation.Func {
	return rapid.SampledFrom(append([]activation.Func{99}, allActivations...)).Draw(r.t, "activation")
}

func (r *randomInputs) heads() int { return rapid.IntRange(-1, 3).Draw(r.t, "heads") }

func (r *randomInputs) method() MaskMethod {
	return rapid.SampledFrom([]MaskMethod{
		Threshold(0), Threshold(0, 1, 2, 3, 4).Magnitude(), TopK(0.5), Statistical(0.5), {},
	}).Draw(r.t, "method")
}

func (r *randomInputs) mlp() MLP {
	return MLP{
		Cache: rapid.SampledFrom([]cache.Cache{r.gated, r.plain, r.number, nil}).Draw(r.t, "cache"),
		Source: rapid.SampledFrom([]weights.Source{
			r.store, r.plainStore, r.layer, (*weights.Neurons)(nil), new(weights.Neurons), new(cache.StreamLayer), nil,
		}).Draw(r.t, "source"),
		Act: r.activation(),
	}
}

// Builders get nodes of any shapes and dtypes, and what they accept runs: nothing panics.
func TestBuildersNeverPanic(t *testing.T) {
	f, names := newFixtures(t), slices.Sorted(maps.Keys(registry))
	rapid.Check(t, func(t *rapid.T) {
		fixtures := *f
		fixtures.g = gorgonia.NewGraph()
		r := &randomInputs{fixtures: &fixtures, t: t}
		n, err := registry[rapid.SampledFrom(names).Draw(t, "op")].random(r)
		if (n == nil) != (err != nil) {
			t.Fatalf("node %v, error %v", n, err)
		}
		if err != nil {
			return
		}
		values := make([]gorgonia.Value, len(r.inputs))
		for i, d := range r.inputs {
			values[i] = d
		}
		if _, err = n.Op().Do(values...); err != nil { // zeros are in every range
			t.Fatal(err)
		}
	})
}

// Ops get values of any kind: nothing panics.
func TestDoNeverPanics(t *testing.T) {
	ops := allOps(t)
	names := make([]string, 0, len(ops))
	for name := range ops {
		names = append(names, name)
	}
	rapid.Check(t, func(t *rapid.T) {
		op := ops[rapid.SampledFrom(names).Draw(t, "op")]
		value := func(like *spec) gorgonia.Value {
			switch rapid.IntRange(0, 9).Draw(t, "kind") {
			case 0:
				return nil
			case 1:
				return gorgonia.NewF64(1)
			case 2:
				return tensor.New(tensor.Of(anyDtype.Draw(t, "dtype")), tensor.WithShape(anyShape(t)...))
			}
			d := like.newTensor()
			if like.dtype == tensor.Int32 {
				for i := range d.Int32s() {
					d.Int32s()[i] = rapid.SampledFrom([]int32{-2, -1, 0, 1, 2, 3, 7, 8, math.MaxInt32, math.MinInt32}).Draw(t, "index")
				}
			}
			return d
		}
		s := op.(implementation).self()
		inputs := make([]gorgonia.Value, 0, len(s.in)+1)
		for i := range s.in {
			inputs = append(inputs, value(&s.in[i]))
		}
		if rapid.IntRange(0, 9).Draw(t, "count") == 0 {
			inputs = inputs[:len(inputs)-1]
		}
		got, err := op.Do(inputs...)
		require.True(t, (got == nil) == (err != nil), "value %v, error %v", got, err)
		got, err = op.(gorgonia.UsePreallocDoer).UsePreallocDo(value(&s.out), inputs...)
		require.True(t, (got == nil) == (err != nil), "value %v, error %v", got, err)
	})
}
