package graph

import (
	"gorgonia.org/gorgonia"

	"github.com/sparsegonia/sparsegonia/cache"
	"github.com/sparsegonia/sparsegonia/ops"
)

// All is the selector of all neurons. It keeps an MLP dense and makes it one node, an ops.DenseMLP, which reads the weights
// of each neuron side by side: for few tokens faster than three products. An MLP whose neurons lie in a file is one node
// already and stays as it is.
type All struct{}

// Select implements Selector.
func (All) Select(Site) (Selection, error) { return Selection{}, nil }

// fused is the node that takes the place of an MLP of which all neurons are active.
func (w *rewriter) fused(s *site, x *gorgonia.Node) (*gorgonia.Node, error) {
	if s.mlp.Stored != nil {
		delete(w.sites, s.mlp.Output)
		return w.copy(s.mlp.Output)
	}
	s.cache = cache.InPlace(s.neurons)
	y, err := ops.DenseMLP(x, s.captured(), ops.WithCPU(w.o.cpu))
	if err != nil {
		return nil, err
	}
	return fromRows(y, s.mlp.output)
}
