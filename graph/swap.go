package graph

import (
	"errors"
	"fmt"
	"io"
	"unsafe"

	"gorgonia.org/gorgonia"

	"github.com/sparsegonia/sparsegonia/cache"
	"github.com/sparsegonia/sparsegonia/ops"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// Swapped is the result of Swap.
type Swapped struct {
	Graph   *gorgonia.ExprGraph
	Outputs gorgonia.Nodes  // in the order in which they were given to Swap
	MLPs    []SwappedMLP    // in the order of FindMLPs
	Linears []SwappedLinear // in the order of FindLinears
	Skipped []Skipped       // nodes of the old graph

	nodes map[*gorgonia.Node]*gorgonia.Node
}

// Close closes the caches of the MLPs that have something to close, such as a cache.Window. The new
// graph must not run afterwards, nor may the file that it reads be closed before.
func (s *Swapped) Close() error {
	var errs []error
	for _, m := range s.MLPs {
		if c, ok := m.Cache.(io.Closer); ok {
			errs = append(errs, c.Close())
		}
	}
	return errors.Join(errs...)
}

// SwappedMLP is an MLP that has become sparse, or one node.
type SwappedMLP struct {
	MLP    *MLP           // of the old graph, with weights that lie neuron-major
	Cache  cache.Cache    // nil if Slots is
	Output *gorgonia.Node // in the new graph
	Slots  *gorgonia.Node // in the new graph: int32 I, the slots of the active neurons, then −1; nil: all are active
}

// Density returns the share of the neurons that were active, over all runs so far.
func (m *SwappedMLP) Density() float64 {
	if m.Slots == nil {
		return 1
	}
	return m.Cache.Stats().Active() / float64(m.Cache.Intermediate())
}

// Node returns the node of the new graph that has the value of a node of the old one. It returns
// nil for nodes that the outputs do not depend on, and for weights and inner nodes of swapped MLPs.
func (s *Swapped) Node(old *gorgonia.Node) *gorgonia.Node { return s.nodes[old] }

// Option is an option of Swap.
type Option func(*options)

type options struct {
	scoreInput func(m *MLP) *gorgonia.Node
	live       *gorgonia.Node
	cache      func(i int, s weights.Source) (cache.Cache, error)
}

// WithScoreInput sets the node of the old graph that look-ahead predictors of an MLP see in place
// of the MLP's input: T vectors of any length along its last axis. It must not depend on the MLP.
// If f returns nil, they see the input.
func WithScoreInput(f func(m *MLP) *gorgonia.Node) Option {
	return func(o *options) { o.scoreInput = f }
}

// WithLive sets a node of the old graph, int32 of length T, that marks padding: rows with a
// negative entry make no neuron active.
func WithLive(n *gorgonia.Node) Option { return func(o *options) { o.live = n } }

// WithCache sets the function that makes the cache of each MLP that becomes sparse. i is the index
// of the MLP in FindMLPs. s holds its neurons: a *weights.Neurons, or a *cache.StreamLayer if they
// lie in a file. The default is cache.New.
func WithCache(f func(i int, s weights.Source) (cache.Cache, error)) Option {
	return func(o *options) { o.cache = f }
}

// Choose decides which sites of a graph are swapped. Each function is called for every site of its
// kind, in order; a linear map inside a swapped MLP is not a site. A site stays as it is if the
// function is nil or returns a zero value.
type Choose struct {
	// MLP returns a Selector for MLP i of FindMLPs: the MLP becomes sparse, or one node by All.
	MLP func(i int, m *MLP) (Selector, error)

	// Linear returns another weight, of the same inputs and outputs, for linear map i of
	// FindLinears: the map becomes an ops.Linear. The weight may have another dtype or layout (see
	// Linear.As). It must have a bias if and only if the map has one.
	Linear func(i int, l *Linear) (ops.Weight, error)
}

// Swap returns a new graph that computes outputs as g does, but with other nodes at the sites that
// choose chooses. With the zero Choose it is a copy. Without outputs it has all nodes of g.
func Swap(g *gorgonia.ExprGraph, outputs gorgonia.Nodes, choose Choose, opts ...Option) (*Swapped, error) {
	w := &rewriter{
		graph:   gorgonia.NewGraph(),
		sites:   map[*gorgonia.Node]site{},
		taken:   map[*gorgonia.Node]bool{},
		nodes:   map[*gorgonia.Node]*gorgonia.Node{},
		neurons: map[[3]weightKey]*weights.Neurons{},
		ahead:   map[*gorgonia.Node][]*mlpSite{},
	}
	for i, opt := range opts {
		if opt == nil {
			return nil, fmt.Errorf("graph: swap: option %d is nil", i)
		}
		opt(&w.o)
	}
	if w.o.cache == nil {
		w.o.cache = func(_ int, s weights.Source) (cache.Cache, error) { return cache.New(s, cache.WindowOptions{}) }
	}
	var err error
	if w.survey, err = newSurvey(g, outputs); err != nil {
		return nil, err
	}
	out := &Swapped{Graph: w.graph, nodes: w.nodes}
	mlps, err := w.planMLPs(choose.MLP, out)
	if err != nil {
		return nil, err
	}
	linears, err := w.planLinears(choose.Linear, mlps, out)
	if err != nil {
		return nil, err
	}
	if err := w.rewrite(); err != nil {
		return nil, err
	}
	for _, n := range outputs {
		out.Outputs = append(out.Outputs, w.nodes[n])
	}
	for _, s := range mlps {
		swapped := SwappedMLP{MLP: s.mlp, Output: w.nodes[s.mlp.Output], Slots: s.slots}
		if s.slots != nil {
			swapped.Cache = s.cache
		}
		out.MLPs = append(out.MLPs, swapped)
	}
	for _, l := range linears {
		out.Linears = append(out.Linears, SwappedLinear{l.linear, l.weight, w.nodes[l.linear.Output]})
	}
	return out, nil
}

// rewriter builds the new graph.
type rewriter struct {
	*survey
	o       options
	graph   *gorgonia.ExprGraph
	sites   map[*gorgonia.Node]site           // by their outputs
	nodes   map[*gorgonia.Node]*gorgonia.Node // old to new; nil while a node is being built
	taken   map[*gorgonia.Node]bool           // new nodes that stand for one already
	neurons map[[3]weightKey]*weights.Neurons // MLPs with the same weights share them
	ahead   map[*gorgonia.Node][]*mlpSite     // sites to prefetch for, by the score input, of the old graph
}

// site is a place of the old graph that is swapped.
type site interface {
	// describe returns what errors call the site.
	describe() string

	// needs returns the nodes of the old graph that the new nodes depend on; some may be nil.
	needs(w *rewriter) gorgonia.Nodes

	// build builds the nodes that replace the site and returns the last.
	build(w *rewriter) (*gorgonia.Node, error)
}

// mlpSite is an MLP that is to be swapped.
type mlpSite struct {
	index    int // in FindMLPs
	mlp      *MLP
	selector Selector
	cache    cache.Cache    // nil: not made yet
	score    *gorgonia.Node // of the old graph, or nil
	expected *gorgonia.Node // of the new graph: bool I, the prefetched neurons, or nil
	slots    *gorgonia.Node // of the new graph, when it has been built
}

func (s *mlpSite) describe() string { return fmt.Sprintf("MLP %q", s.mlp.Name) }

func (s *mlpSite) needs(w *rewriter) gorgonia.Nodes {
	return gorgonia.Nodes{s.mlp.Input, s.score, w.o.live}
}

// planMLPs plans the sites that choose chooses among the MLPs.
func (w *rewriter) planMLPs(choose func(i int, m *MLP) (Selector, error), out *Swapped) (sites []*mlpSite, err error) {
	if choose == nil {
		return nil, nil
	}
	found, skipped, err := w.findMLPs()
	if err != nil {
		return nil, err
	}
	out.Skipped = append(out.Skipped, skipped...)
	for i, m := range found {
		selector, err := choose(i, m)
		if err == nil && selector != nil {
			err = w.planMLP(i, m, selector)
		}
		if err != nil {
			return nil, fmt.Errorf("graph: MLP %q: %w", m.Name, err)
		}
		if s, ok := w.sites[m.Output].(*mlpSite); ok {
			sites = append(sites, s)
		}
	}
	return sites, nil
}

// checkGradients refuses nodes that gradients pass through.
func checkGradients(nodes ...*gorgonia.Node) error {
	for _, n := range nodes {
		if n.Deriv() != nil {
			return fmt.Errorf("there are gradients through %v: swap a graph that was built without Grad", describe(n))
		}
	}
	return nil
}

// planMLP plans the site of m.
func (w *rewriter) planMLP(i int, m *MLP, selector Selector) error {
	if err := checkGradients(append(m.inner, m.Output)...); err != nil {
		return err
	}
	site := &mlpSite{index: i, mlp: m, selector: selector}
	if m.Source == nil {
		if err := w.capture(site); err != nil {
			return err
		}
	}
	if w.o.scoreInput != nil {
		site.score = w.o.scoreInput(m)
	}
	w.sites[m.Output] = site
	if _, early := selector.(LookAhead); early && site.score != nil {
		w.ahead[site.score] = append(w.ahead[site.score], site)
	}
	return nil
}

// capture makes the weights of a site neuron-major.
func (w *rewriter) capture(s *mlpSite) error {
	m := s.mlp
	key := [3]weightKey{keyOf(m.Gate), keyOf(m.Up), keyOf(m.Down)}
	neurons := w.neurons[key]
	var err error
	if neurons == nil {
		if neurons, err = ops.NeuronsOf(m.Gate, m.Up, m.Down); err != nil {
			return err
		}
		w.neurons[key] = neurons
	}
	// Selectors read the neuron-major weights, so the others need not stay in memory.
	major := *m
	major.setSource(neurons)
	s.mlp = &major
	return nil
}

// cacheOf returns the cache of a site. The first call makes it: dense sites have none.
func (w *rewriter) cacheOf(s *mlpSite) (c cache.Cache, err error) {
	if s.cache != nil {
		return s.cache, nil
	}
	if c, err = w.o.cache(s.index, s.mlp.Source); err != nil {
		return nil, err
	}
	if c == nil {
		return nil, errors.New("WithCache made no cache")
	}
	s.cache = c
	return c, nil
}

// captured returns what the op that replaces the MLP captures, besides the weights.
func (s *mlpSite) captured() ops.MLP {
	m := s.mlp
	return ops.MLP{Act: m.Activation, GateBias: m.Gate.Bias, UpBias: m.Up.Bias, DownBias: m.Down.Bias}
}

// weightKey identifies the memory and the layout of a weight.
type weightKey struct {
	data       *byte
	rows, cols int
	stride     int
	dtype      weights.Dtype
	inputMajor bool
}

func keyOf(w ops.Weight) weightKey {
	m := w.Matrix
	if m == nil {
		return weightKey{}
	}
	return weightKey{unsafe.SliceData(m.Row(0)), m.Rows(), m.Cols(), m.Stride(), m.Dtype(), w.InputMajor}
}

func (s *mlpSite) build(w *rewriter) (*gorgonia.Node, error) {
	m := s.mlp
	input, err := w.node(m.Input)
	if err != nil {
		return nil, err
	}
	x, err := toRows(batch{input, m.input.axis})
	if err != nil {
		return nil, err
	}
	active, gate := s.expected, (*gorgonia.Node)(nil)
	if active == nil {
		score, err := w.scoreOf(s, x)
		if err != nil {
			return nil, err
		}
		if active, gate, err = w.selected(s, Site{MLP: m, X: x, Score: score}); err != nil {
			return nil, err
		}
	}
	if active == nil {
		return s.dense(x)
	}
	return w.sparse(s, x, active, gate)
}

// sparse builds the MLP of the active neurons.
func (w *rewriter) sparse(s *mlpSite, x, active, gate *gorgonia.Node) (*gorgonia.Node, error) {
	c, err := w.cacheOf(s)
	if err != nil {
		return nil, err
	}
	if s.slots, err = ops.Refresh(active, c); err != nil {
		return nil, err
	}
	gorgonia.WithName(s.mlp.Name + ".slots")(s.slots)
	m := s.captured()
	m.Cache = c
	y, err := ops.SparseMLP(x, s.slots, gate, m)
	if err != nil {
		return nil, err
	}
	return fromRows(y, s.mlp.output)
}

// scoreOf returns the new node for the score input of s, x if there is none.
func (w *rewriter) scoreOf(s *mlpSite, x *gorgonia.Node) (*gorgonia.Node, error) {
	if s.score == nil {
		return x, nil
	}
	score, err := w.node(s.score)
	if err != nil || score.Dims() <= 2 {
		return score, err
	}
	return toRows(lastAxis(score))
}

// selected builds the nodes of the selector. It returns the active set, bool I, nil if all neurons
// are active, and the gate values if the selector has them.
func (w *rewriter) selected(s *mlpSite, at Site) (active, gate *gorgonia.Node, err error) {
	selection, err := s.selector.Select(at)
	if err == nil {
		err = selection.check()
	}
	if err != nil || selection.Mask == nil {
		return nil, nil, err
	}
	var live *gorgonia.Node
	if w.o.live != nil {
		if live, err = w.node(w.o.live); err != nil {
			return nil, nil, err
		}
	}
	if active, err = ops.Union(selection.Mask, live); err != nil {
		return nil, nil, err
	}
	gorgonia.WithName(s.mlp.Name + ".active")(active)
	return active, selection.Gate, nil
}
