package graph

import (
	"gorgonia.org/gorgonia"

	"github.com/sparsegonia/sparsegonia/ops"
)

// All is the selector of all neurons. It keeps an MLP dense and makes it one node, an ops.DenseMLP,
// which reads the weights of each neuron side by side: for few tokens faster than three products.
type All struct{}

// Select implements Selector.
func (All) Select(Site) (Selection, error) { return Selection{}, nil }

// dense builds the node that takes the place of an MLP of which all neurons are active.
func (s *mlpSite) dense(x *gorgonia.Node) (*gorgonia.Node, error) {
	m := s.captured()
	if m.Source = s.mlp.Source; s.mlp.Up.Matrix == nil {
		m.GateCopy = s.mlp.Gate.Matrix
	}
	y, err := ops.DenseMLP(x, m)
	if err != nil {
		return nil, err
	}
	return fromRows(y, s.mlp.output)
}
