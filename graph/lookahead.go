package graph

import (
	"gorgonia.org/gorgonia"

	"github.com/sparsegonia/sparsegonia/cache"
	"github.com/sparsegonia/sparsegonia/ops"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// Shape is the shape of the MLP's neurons.
func (m *MLP) Shape() weights.Shape {
	if m.Stored != nil {
		return m.Stored.Shape()
	}
	return weights.Shape{
		Dtype: m.Up.Matrix.Dtype(), Intermediate: m.Up.Outputs(), Hidden: m.Up.Inputs(), Gated: m.Gate.Matrix != nil,
	}
}

// WithWindow says how the neurons of the MLPs that lie in a neuron file are cached: the options of each MLP's
// cache.Window. The default keeps what the last 5 runs used.
func WithWindow(window cache.WindowOptions) Option { return func(o *options) { o.window = window } }

// A LookAhead is a Selector that sees no more of a Site than Score. The neurons that it selects are read from their file
// while the nodes between Score and X run. Site.X is nil.
type LookAhead interface {
	Selector
	LookAhead()
}

// LookAhead implements LookAhead.
func (LowRank) LookAhead() {}

// foretell selects the neurons of the sites whose score input is n as soon as that is there, where they can be fetched
// ahead of time.
func (w *rewriter) foretell(n *gorgonia.Node) error {
	for _, s := range w.ahead[n] {
		c, err := w.cacheOf(s)
		if err != nil {
			return err
		}
		fetcher, ok := c.(cache.Prefetcher)
		if !ok {
			continue
		}
		score, err := w.scoreOf(s, nil)
		if err != nil {
			return err
		}
		active, _, err := w.selected(s, Site{MLP: s.mlp, Score: score, CPU: w.o.cpu})
		if err != nil {
			return err
		}
		if active == nil {
			continue
		}
		if s.expected, err = ops.Prefetch(active, fetcher); err != nil {
			return err
		}
		gorgonia.WithName(s.mlp.Name + ".expected")(s.expected)
	}
	return nil
}
