package graph

import (
	"gorgonia.org/gorgonia"

	"github.com/sparsegonia/sparsegonia/ops"
)

// A LookAhead is a Selector that sees no more of a Site than Score; Site.X is nil. If the cache of
// the site is an ops.Prefetcher, the neurons are prefetched while the nodes between Score and X
// run.
type LookAhead interface {
	Selector
	LookAhead()
}

// LookAhead implements LookAhead.
func (LowRank) LookAhead() {}

// prefetch selects the neurons of the sites whose score input is n as soon as that is there, where
// they can be prefetched.
func (w *rewriter) prefetch(n *gorgonia.Node) error {
	for _, s := range w.ahead[n] {
		c, err := w.cacheOf(s)
		if err != nil {
			return err
		}
		fetcher, ok := c.(ops.Prefetcher)
		if !ok {
			continue
		}
		score, err := w.scoreOf(s, nil)
		if err != nil {
			return err
		}
		active, _, err := w.selected(s, Site{MLP: s.mlp, Score: score})
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
