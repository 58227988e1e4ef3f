package llama

import (
	"cmp"
	"fmt"

	"gorgonia.org/gorgonia"

	"github.com/sparsegonia/sparsegonia/cache"
	"github.com/sparsegonia/sparsegonia/graph"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// swap puts sparse MLPs into a graph as the session's plan says. Predictors look ahead: they see
// what attention sees.
func (s *Session) swap(g *Graph) (*graph.Swapped, error) {
	plan := s.o.Plan
	if got, want := len(plan.Layers), len(s.model.layers); got != want {
		return nil, fmt.Errorf("llama: the plan has %d layers, the model %d", got, want)
	}
	layers := map[int]int{} // of the graph's MLPs
	swapped, err := graph.Swap(g.ExprGraph, gorgonia.Nodes{g.Output},
		graph.Choose{MLP: func(i int, m *graph.MLP) (graph.Selector, error) {
			layers[i] = g.layerOf(m)
			return plan.Selector(layers[i], m)
		}},
		graph.WithScoreInput(func(m *graph.MLP) *gorgonia.Node { return g.AttentionInput[g.layerOf(m)] }),
		graph.WithLive(g.Positions),
		graph.WithCache(func(i int, n weights.Source) (cache.Cache, error) { return s.cacheOf(layers[i], n) }))
	if err != nil {
		return nil, fmt.Errorf("llama: %w", err)
	}
	if len(swapped.Skipped) > 0 {
		skipped := swapped.Skipped[0]
		return nil, fmt.Errorf("llama: %v cannot be swapped: %s", skipped.Node, skipped.Reason)
	}
	return swapped, nil
}

// cacheOf returns the cache of a layer, one for all graphs of the session.
func (s *Session) cacheOf(layer int, n weights.Source) (c cache.Cache, err error) {
	if s.caches[layer] != nil {
		return s.caches[layer], nil
	}
	if s.o.Cache == nil {
		c, err = cache.New(n, s.window())
	} else if c, err = s.o.Cache(layer, n); err == nil && c == nil {
		err = fmt.Errorf("layer %d: SessionOptions.Cache made no cache", layer)
	}
	if err != nil {
		return nil, err
	}
	s.caches[layer] = c
	return c, nil
}

// window returns what each layer keeps in memory of a neuron file.
func (s *Session) window() cache.WindowOptions {
	w := s.o.Window
	w.Tokens = cmp.Or(w.Tokens, 5)
	if w.Budget > 0 {
		w.Budget = max(w.Budget/int64(len(s.caches)), 1) // 0 would be no limit
	}
	return w
}

// layerOf returns the layer that an MLP of the graph belongs to.
func (g *Graph) layerOf(m *graph.MLP) int {
	for i, n := range g.MLP {
		if n == m.Output {
			return i
		}
	}
	return -1
}

// Density returns the share of the neurons of each layer that were active, over all steps that were
// decoded: 1 for a layer that is dense, and for all before the first step.
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

// CacheStats returns the counts of the cache of a layer, zero if the layer is dense or no token was
// decoded.
func (s *Session) CacheStats(layer int) cache.Stats {
	if s.caches[layer] == nil {
		return cache.Stats{}
	}
	return s.caches[layer].Stats()
}
