package graph

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/sparsegonia/sparsegonia/cache"
	"github.com/sparsegonia/sparsegonia/ops"
	"github.com/sparsegonia/sparsegonia/ops/activation"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// all is the choice of All everywhere.
func all(int, *MLP) (Selector, error) { return All{}, nil }

// fusedNodes are the ops.DenseMLP nodes of a graph.
func fusedNodes(g *gorgonia.ExprGraph) (found gorgonia.Nodes) {
	for _, n := range g.AllNodes() {
		if _, ok := n.Op().(ops.Fused); ok {
			found = append(found, n)
		}
	}
	return found
}

// An MLP of which all neurons are active is one node, on either machine.
func TestSwapAll(t *testing.T) {
	forDecoders(t, func(t *testing.T, d decoder) {
		want := run(t, d.graph, d.output)[0]
		s, err := Swap(d.graph, gorgonia.Nodes{d.output}, Choose{MLP: all})
		require.NoError(t, err)
		assert.Empty(t, s.Skipped)
		require.Len(t, s.MLPs, 2)
		assert.ElementsMatch(t, gorgonia.Nodes{s.MLPs[0].Output, s.MLPs[1].Output}, fusedNodes(s.Graph))
		for i, m := range s.MLPs {
			name := fmt.Sprintf("layers.%d.mlp.", i)
			assert.Equal(t, name+"down_proj", m.Output.Name())
			assert.Nil(t, m.Slots)
			assert.Nil(t, m.Cache)
			assert.Equal(t, 40, m.MLP.Shape().Intermediate)
			assert.Equal(t, gorgonia.Nodes{s.Node(m.MLP.Input)}, children(s.Graph, m.Output))
			for _, gone := range []string{"gate_proj", "up_proj"} {
				assert.NotEmpty(t, d.graph.ByName(name+gone))
				assert.Empty(t, s.Graph.ByName(name+gone))
			}
		}
		assertClose(t, want, run(t, s.Graph, s.Outputs...)[0], 1e-5)
		m, err := NewMachine(s.Graph, s.Outputs)
		require.NoError(t, err)
		defer m.Close()
		for range 2 {
			require.NoError(t, m.RunAll())
			assertClose(t, want, s.Outputs[0].Value().(*tensor.Dense), 1e-5)
			m.Reset()
		}
		for _, m := range s.MLPs {
			assert.Equal(t, 1.0, m.Density())
		}
	})
}

// Swap finds what it has made one node, and can make it sparse: however the MLP was written at first.
func TestSwapFused(t *testing.T) {
	for _, p := range patterns {
		t.Run(p.name, func(t *testing.T) {
			forDtypes(t, func(t *testing.T, dtype tensor.Dtype, tolerance float64) {
				k := &draft{g: gorgonia.NewGraph(), dtype: dtype}
				y := p.build(k)
				want := run(t, k.g, y)[0]
				fused, err := Swap(k.g, gorgonia.Nodes{y}, Choose{MLP: all})
				require.NoError(t, err)
				require.Len(t, fusedNodes(fused.Graph), max(p.mlps, 1))
				assertClose(t, want, run(t, fused.Graph, fused.Outputs...)[0], tolerance)

				found, skipped, err := FindMLPs(fused.Graph, fused.Outputs...)
				require.NoError(t, err)
				assert.Empty(t, skipped)
				require.Len(t, found, len(fused.MLPs))
				for i, m := range found {
					before := fused.MLPs[i].MLP
					assert.Equal(t, p.act, m.Activation)
					assert.Equal(t, before.Gated(), m.Gated())
					assert.Equal(t, before.Shape(), m.Shape())
				}
				sparse, err := Swap(fused.Graph, fused.Outputs, Choose{MLP: always})
				require.NoError(t, err)
				require.Len(t, sparse.MLPs, len(found))
				assert.Empty(t, fusedNodes(sparse.Graph))
				assertClose(t, want, run(t, sparse.Graph, sparse.Outputs...)[0], tolerance)
				for _, m := range sparse.MLPs {
					assert.Positive(t, m.Cache.Stats().Refreshes)
				}
			})
		})
	}
}

// The neuron-major weights and the biases of a Linear are those of the node that it becomes a part of, and of the sparse
// MLP that this becomes.
func TestSwapFusedCopiesNoWeights(t *testing.T) {
	k := &draft{g: gorgonia.NewGraph(), dtype: tensor.Float32}
	weight := func(rows, cols int, inputMajor bool) ops.Weight {
		w, err := ops.TensorWeight(k.values(rows, cols), inputMajor)
		require.NoError(t, err)
		w.Bias, err = weights.MatrixOf(1, w.Outputs(), k.values(w.Outputs()).Float32s())
		require.NoError(t, err)
		return w
	}
	gate, up, down := weight(intermediate, hidden, false), weight(intermediate, hidden, false), weight(intermediate, hidden, true)
	x := k.x()
	y := affine(times(silu(affine(x, gate)), affine(x, up)), down)
	fused, err := Swap(k.g, gorgonia.Nodes{y}, Choose{MLP: all})
	require.NoError(t, err)
	found, _, err := FindMLPs(fused.Graph)
	require.NoError(t, err)
	require.Len(t, found, 1)
	sparse, err := Swap(fused.Graph, fused.Outputs, Choose{MLP: always})
	require.NoError(t, err)
	for _, s := range []*Swapped{fused, sparse} {
		require.Len(t, s.MLPs, 1)
		rows := s.MLPs[0].MLP.Source.(*weights.Neurons)
		assert.Same(t, gate.Matrix, rows.Gate())
		assert.Same(t, up.Matrix, rows.Up())
		assert.Same(t, down.Matrix, rows.Down())
	}
	assert.Same(t, gate.Bias, found[0].Gate.Bias)
	assert.Same(t, up.Bias, found[0].Up.Bias)
	assert.Same(t, down.Bias, found[0].Down.Bias)
}

// Only MLPs that become sparse have a cache of WithCache.
func TestSwapAllAndOthers(t *testing.T) {
	d := newDecoder(t, activation.SiLU, false, true)
	want := run(t, d.graph, d.output)[0]
	var made []int
	s, err := Swap(d.graph, gorgonia.Nodes{d.output}, Choose{MLP: func(i int, m *MLP) (Selector, error) {
		if i == 0 {
			return All{}, nil
		}
		return always(i, m)
	}},
		WithCache(func(i int, n weights.Source) (cache.Cache, error) {
			made = append(made, i)
			return cache.NewPacked(n.(*weights.Neurons), nil)
		}))
	require.NoError(t, err)
	assert.Equal(t, []int{1}, made)
	assert.Equal(t, gorgonia.Nodes{s.MLPs[0].Output}, fusedNodes(s.Graph))
	assert.Nil(t, s.MLPs[0].Cache)
	assert.NotNil(t, s.MLPs[1].Slots)
	assertClose(t, want, run(t, s.Graph, s.Outputs...)[0], 1e-5)
}

// lookAtAll looks ahead and lets every neuron be active.
type lookAtAll struct{ All }

func (lookAtAll) LookAhead() {}

// An MLP whose neurons lie in a file is one node already, and has no window.
func TestSwapAllStored(t *testing.T) {
	s := newStored(t, false)
	want := run(t, s.graph, s.output)[0]
	for _, selector := range []Selector{All{}, lookAtAll{}} {
		window := cache.WindowOptions{} // cannot be made
		if _, ahead := selector.(LookAhead); ahead {
			window.Tokens = 1
		}
		swapped, err := Swap(s.graph, gorgonia.Nodes{s.output}, Choose{MLP: func(int, *MLP) (Selector, error) { return selector, nil }},
			WithScoreInput(s.scoreInput), withWindow(window))
		require.NoError(t, err)
		for _, m := range swapped.MLPs {
			assert.Nil(t, m.Cache)
			assert.Nil(t, m.Slots)
		}
		assert.Len(t, swapped.Graph.AllNodes(), len(s.graph.AllNodes()))
		assert.Equal(t, s.output.Op().Hashcode(), swapped.Outputs[0].Op().Hashcode())
		assertClose(t, want, run(t, swapped.Graph, swapped.Outputs...)[0], 0)
	}
}
