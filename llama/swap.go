package llama

import (
	"fmt"

	"gorgonia.org/gorgonia"

	"github.com/sparsegonia/sparsegonia/cache"
	"github.com/sparsegonia/sparsegonia/graph"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// swap puts sparse MLPs into a graph as the session's plan says. Predictors look ahead: they see what attention sees.
func (s *Session) swap(g *Graph) (*graph.Swapped, error) {
	plan := s.o.Plan
	if got, want := len(plan.Layers), len(s.model.layers); got != want {
		return nil, fmt.Errorf("llama: the plan has %d layers, the model %d", got, want)
	}
	swapped, err := graph.Swap(g.Graph, gorgonia.Nodes{g.Output}, graph.Choose{MLP: func(_ int, m *graph.MLP) (graph.Selector, error) {
		return plan.Selector(g.layerOf(m), m)
	}},
		graph.WithScoreInput(func(m *graph.MLP) *gorgonia.Node { return g.AttentionInput[g.layerOf(m)] }),
		graph.WithLive(g.Positions), graph.WithCache(func(_ int, n weights.Source) (cache.Cache, error) { return cache.New(n, s.window()) }))
	if err != nil {
		return nil, fmt.Errorf("llama: %w", err)
	}
	if len(swapped.Skipped) > 0 {
		skipped := swapped.Skipped[0]
		return nil, fmt.Errorf("llama: %v cannot be swapped: %s", skipped.Node, skipped.Reason)
	}
	return swapped, nil
}

// window is what each layer keeps in memory of a neuron file.
func (s *Session) window() cache.WindowOptions {
	w := s.o.Window
	if w.Tokens == 0 {
		w.Tokens = 5
	}
	if w.Budget > 0 {
		w.Budget = max(w.Budget/int64(len(s.model.layers)), 1) // 0 would be no limit
	}
	return w
}

// layerOf is the layer that an MLP of the graph belongs to.
func (g *Graph) layerOf(m *graph.MLP) int {
	for i, n := range g.MLP {
		if n == m.Output {
			return i
		}
	}
	return -1
}

// Density is the share of the neurons of each layer that were active, over all tokens that were decoded: 1 for a layer
// that is dense, and for all before the first token.
func (s *Session) Density() []float64 {
	density := make([]float64, len(s.model.layers))
	for i := range density {
		density[i] = 1
		if stats := s.CacheStats(i); stats.Refreshes > 0 {
			density[i] = stats.Active() / float64(s.model.Config.IntermediateSize)
		}
	}
	return density
}

// CacheStats are the counts of the weight cache of a layer, zero if the layer is dense.
func (s *Session) CacheStats(layer int) (stats cache.Stats) {
	for _, p := range s.programs {
		if p.sparse == nil {
			continue
		}
		for _, m := range p.sparse.MLPs {
			if p.dense.layerOf(m.MLP) == layer {
				stats.Add(m.Cache.Stats())
			}
		}
	}
	return stats
}
