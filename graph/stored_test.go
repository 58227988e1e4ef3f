package graph

import (
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/sparsegonia/sparsegonia/cache"
	"github.com/sparsegonia/sparsegonia/ops"
	"github.com/sparsegonia/sparsegonia/ops/activation"
	"github.com/sparsegonia/sparsegonia/ops/kernel"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// stored is a graph of two MLPs whose neurons lie in a file: x ─ Tanh ─ score ─ Square ─ MLP ─ … with the score input
// two steps ahead of the MLP.
type stored struct {
	graph  *gorgonia.ExprGraph
	output *gorgonia.Node
	score  []*gorgonia.Node
	layers []*weights.Neurons
	disk   *cache.File
}

func newStored(t *testing.T, gates bool) *stored {
	t.Helper()
	const layers, tokens, hidden, intermediate = 2, 3, 12, 50
	s := &stored{graph: gorgonia.NewGraph()}
	for i := range uint64(layers) {
		n, err := weights.AllocateNeurons(weights.F32, intermediate, hidden, true)
		require.NoError(t, err)
		for k, m := range []*weights.Matrix{n.Gate(), n.Up(), n.Down()} {
			values := small(10*i+uint64(k), tensor.Float32, hidden, intermediate, hidden).Float32s()
			for r := range intermediate {
				weights.SetRow(m, r, values[r*hidden:][:hidden])
			}
		}
		s.layers = append(s.layers, n)
	}
	path := filepath.Join(t.TempDir(), "neurons")
	require.NoError(t, cache.WriteFile(path, "", layers, func(i int) (*weights.Neurons, error) { return s.layers[i], nil }))
	var err error
	s.disk, err = cache.OpenFile(path)
	require.NoError(t, err)
	t.Cleanup(func() { s.disk.Close() })
	stream, err := cache.NewStream(s.disk, 2000)
	require.NoError(t, err)

	x := newLeaf(s.graph, "x", small(99, tensor.Float32, 1, tokens, hidden))
	for i := range layers {
		score := gorgonia.Must(gorgonia.Tanh(x))
		s.score = append(s.score, score)
		layer, err := stream.Layer(i)
		require.NoError(t, err)
		m := ops.MLP{Source: layer, Act: activation.SiLU}
		if gates {
			m.GateCopy = weights.NewMatrix(weights.Int4, intermediate, hidden) // far from exact
			require.NoError(t, weights.Copy(nil, m.GateCopy, s.layers[i].Gate()))
		}
		x = gorgonia.Must(ops.DenseMLP(gorgonia.Must(gorgonia.Square(score)), m))
	}
	s.output = x
	return s
}

func withWindow(o cache.WindowOptions) Option {
	return WithCache(func(_ int, s weights.Source) (cache.Cache, error) {
		l := s.(*cache.StreamLayer)
		return cache.NewWindow(l.File(), l.Index(), o)
	})
}

// scoreInput is the score input of an MLP.
func (s *stored) scoreInput(m *MLP) *gorgonia.Node {
	return s.score[m.Source.(*cache.StreamLayer).Index()]
}

func TestSwapStored(t *testing.T) {
	s := newStored(t, true)
	found, skipped, err := FindMLPs(s.graph)
	require.NoError(t, err)
	require.Empty(t, skipped)
	require.Len(t, found, 2)
	assert.Equal(t, s.layers[0].Shape(), found[0].Shape())
	assert.True(t, found[0].Gated())
	assert.Equal(t, s.score[1], children(s.graph, found[1].Input)[0])
	want := run(t, s.graph, s.output)[0]

	cpu := kernel.NewCPU(2)
	predictor := ops.Predictor{Down: weights.NewMatrix(weights.F32, 3, 12), Up: weights.NewMatrix(weights.F32, 50, 3)}
	for name, selector := range map[string]Selector{
		"gate":     GateSelector{Threshold: []float64{0}},
		"low rank": LowRank{Predictor: predictor, Mask: ops.Threshold(0)}, // all scores are 0
	} {
		t.Run(name, func(t *testing.T) {
			swapped, err := Swap(s.graph, gorgonia.Nodes{s.output}, Choose{MLP: func(int, *MLP) (Selector, error) { return selector, nil }},
				WithScoreInput(s.scoreInput),
				withWindow(cache.WindowOptions{Tokens: 2}))
			require.NoError(t, err)
			assertClose(t, want, run(t, swapped.Graph, swapped.Outputs...)[0], 1e-5)
			m, err := NewMachine(swapped.Graph, swapped.Outputs, WithCPU(cpu))
			require.NoError(t, err)
			require.NoError(t, m.RunAll())
			assertClose(t, want, swapped.Outputs[0].Value().(*tensor.Dense), 1e-5)
			for _, mlp := range swapped.MLPs {
				assert.EqualValues(t, 2, mlp.Cache.Stats().Refreshes)
				assert.Equal(t, 1.0, mlp.Density())
			}
		})
	}
}

// What a look-ahead selector names is prefetched before the nodes that its MLP's input is made by.
func TestSwapStoredPrefetches(t *testing.T) {
	s := newStored(t, false)
	predictor := ops.Predictor{Down: weights.NewMatrix(weights.F32, 3, 12), Up: weights.NewMatrix(weights.F32, 50, 3)}
	swapped, err := Swap(s.graph, gorgonia.Nodes{s.output}, Choose{MLP: func(int, *MLP) (Selector, error) {
		return LowRank{Predictor: predictor, Mask: ops.Threshold(0)}, nil
	}},
		WithScoreInput(s.scoreInput))
	require.NoError(t, err)
	order, _, err := schedule(swapped.Graph, swapped.Outputs)
	require.NoError(t, err)
	for i, m := range swapped.MLPs {
		at := func(name string) int {
			return slices.IndexFunc(order, func(n *gorgonia.Node) bool { return n.Name() == m.MLP.Name+name })
		}
		input := slices.Index(order, swapped.Node(m.MLP.Input))
		assert.Greater(t, input, at(".expected"), "MLP %d is not prefetched", i)
		assert.Less(t, input, at(".slots"), "MLP %d is refreshed at once", i)
	}
}

func TestSwapStoredErrors(t *testing.T) {
	s := newStored(t, false)
	_, err := Swap(s.graph, gorgonia.Nodes{s.output}, Choose{MLP: always})
	assert.ErrorContains(t, err, "needs the gate in memory, or a copy of it")
	gated := newStored(t, true)
	_, err = Swap(gated.graph, gorgonia.Nodes{gated.output}, Choose{MLP: always}, withWindow(cache.WindowOptions{}))
	assert.ErrorContains(t, err, "0 tokens")

	swapped, err := Swap(gated.graph, gorgonia.Nodes{gated.output}, Choose{MLP: always})
	require.NoError(t, err)
	require.NoError(t, gated.disk.Close())
	for _, g := range []*gorgonia.ExprGraph{gated.graph, swapped.Graph} {
		m, err := NewMachine(g, nil)
		require.NoError(t, err)
		assert.ErrorContains(t, m.RunAll(), "file already closed")
	}
}
