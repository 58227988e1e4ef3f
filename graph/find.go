package graph

import (
	"errors"
	"fmt"
	"slices"

	"gorgonia.org/gorgonia"

	"github.com/sparsegonia/sparsegonia/graph/vocabulary"
	"github.com/sparsegonia/sparsegonia/ops"
	"github.com/sparsegonia/sparsegonia/ops/activation"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// An MLP is a dense MLP in a graph, down(act(gate·x) ⊙ up·x) or down(act(up·x)).
type MLP struct {
	Name          string         // of its output node
	Input, Output *gorgonia.Node // x and y
	Activation    activation.Func

	// The weights with their biases: views of the values that their nodes are bound to, where
	// possible. They include constant factors. Gate is zero in a plain MLP.
	Gate, Up, Down ops.Weight

	// Source holds the neurons of an ops.DenseMLP, and of every MLP that a Selector sees; else it
	// is nil. If the neurons are in memory, the weights are views of them. If not, the weights have
	// biases but no matrices, except that Gate may have a copy for selectors.
	Source weights.Source

	input, output batch
	inner         gorgonia.Nodes // what only the MLP computes, without its output
}

// Shape returns the shape of the MLP's neurons, the zero Shape of a zero MLP.
func (m *MLP) Shape() weights.Shape {
	switch {
	case m != nil && m.Source != nil:
		return m.Source.Shape()
	case m == nil || m.Up.Matrix == nil:
		return weights.Shape{}
	}
	s := weights.MLPShape(m.Up.Matrix.Dtype(), m.Up.Outputs(), m.Up.Inputs(), m.Gate.Matrix != nil)
	s.Parts[len(s.Parts)-1].Cols = m.Down.Outputs()
	return s
}

// Gated reports whether the MLP has a gate.
func (m *MLP) Gated() bool { return m.Shape().Gated() }

// setSource sets the Source of m and, if it is in memory, makes the weights views of it.
func (m *MLP) setSource(source weights.Source) {
	m.Source = source
	if n, ok := source.(*weights.Neurons); ok {
		m.Gate.Matrix, m.Gate.InputMajor = n.Gate(), false
		m.Up.Matrix, m.Up.InputMajor = n.Up(), false
		m.Down.Matrix, m.Down.InputMajor = n.Down(), true
	}
}

// Skipped is a place that looks like an MLP or a linear map and is left alone.
type Skipped struct {
	Node   *gorgonia.Node // where the site would end
	Reason string         // the first
}

// FindMLPs returns the MLPs in the part of g that outputs depend on; without outputs, in all of g.
// They are in the order in which their outputs were made. Of two MLPs that share a linear map, as
// in a chain of layers, it returns the first. A weight without a value is an error.
func FindMLPs(g *gorgonia.ExprGraph, outputs ...*gorgonia.Node) ([]*MLP, []Skipped, error) {
	s, err := newSurvey(g, outputs)
	if err != nil {
		return nil, nil, err
	}
	return s.findMLPs()
}

func (s *survey) findMLPs() ([]*MLP, []Skipped, error) {
	claimed := map[*gorgonia.Node]*MLP{} // by the cores of their linear maps
	return find(s, "MLP", func(n *gorgonia.Node) (*MLP, error) {
		if m := s.fusedAt(n); m != nil {
			return m, nil
		}
		return s.findAt(n, claimed)
	})
}

// find returns the sites of a kind, which the function at recognises by their last nodes.
func find[S any](s *survey, kind string, at func(n *gorgonia.Node) (*S, error)) (found []*S, skipped []Skipped, err error) {
	for _, n := range s.nodes {
		m, err := at(n)
		var reason unsupportedError
		switch {
		case errors.As(err, &reason):
			skipped = append(skipped, Skipped{n, reason.Error()})
		case err != nil:
			return nil, nil, fmt.Errorf("graph: %s %q: %w", kind, n.Name(), err)
		case m != nil:
			found = append(found, m)
		}
	}
	return found, skipped, nil
}

// fusedAt returns the MLP that n computes in one node, nil if there is none.
func (s *survey) fusedAt(n *gorgonia.Node) *MLP {
	op, ok := n.Op().(ops.Fused)
	if !ok || op.MLP().Source == nil {
		return nil
	}
	fused, x := op.MLP(), s.inputs[n][0]
	m := &MLP{
		Name: n.Name(), Input: x, Output: n, Activation: fused.Act,
		Gate:  ops.Weight{Matrix: fused.GateCopy, Bias: fused.GateBias},
		Up:    ops.Weight{Bias: fused.UpBias},
		Down:  ops.Weight{Bias: fused.DownBias},
		input: lastAxis(x), output: lastAxis(n),
	}
	m.setSource(fused.Source)
	return m
}

// findAt returns the MLP whose down product is n, nil if nothing like an MLP ends there.
func (s *survey) findAt(n *gorgonia.Node, claimed map[*gorgonia.Node]*MLP) (*MLP, error) {
	for axis := n.Dims() - 1; axis >= max(n.Dims()-2, 0); axis-- {
		down := s.product(batch{n, axis})
		if down == nil {
			continue
		}
		e := s.elementwise(down.in)
		if len(e.variables) == 0 || !e.nonlinear {
			continue
		}
		return s.match(down, e, claimed)
	}
	return nil, nil
}

func skip(format string, args ...any) error { return unsupportedError{fmt.Sprintf(format, args...)} }

// match returns the MLP that down makes of e.
func (s *survey) match(down *linear, e *expression, claimed map[*gorgonia.Node]*MLP) (*MLP, error) {
	if e.obstacle != "" {
		return nil, skip("%s", e.obstacle)
	}
	gate, up, f, err := s.roles(e)
	if err != nil {
		return nil, err
	}
	maps := []*linear{up, down}
	if gate != nil {
		maps = append(maps, gate)
	}
	for _, l := range maps {
		if other := claimed[l.core]; other != nil {
			return nil, skip("%v belongs to MLP %q", describe(l.core), other.Name)
		}
	}
	m := &MLP{Activation: f.Func, input: up.in}
	if gate != nil && gate.in != up.in {
		if m.input = s.root(up.in); m.input != s.root(gate.in) {
			return nil, skip("the gate reads %v and up reads %v", describe(gate.in.node), describe(up.in.node))
		}
	}
	m.Input = m.input.node
	if err := s.checkWeights(m, maps); err != nil {
		return nil, err
	}
	m.inner = innerNodes(e, gate, up)
	if err := s.checkConsumers(m, down.core); err != nil {
		return nil, err
	}
	s.extend(m, down)
	if err := s.capture(m, gate, up, down, f); err != nil {
		return nil, err
	}
	for _, l := range maps {
		claimed[l.core] = m
	}
	return m, nil
}

// roles returns which map of e is the gate and which is up, and its activation.
func (s *survey) roles(e *expression) (gate, up *linear, f activation.Scaled, err error) {
	var ok bool
	switch len(e.variables) {
	case 1:
		up = e.variables[0]
		value := func(u float64) float64 { return e.value([]float64{u}) }
		if f, ok = activation.Recognise(value); ok {
			return nil, up, f, nil
		}
		if _, squared := gatedByItself(value); squared && s.isMergedSlice(up) {
			return nil, nil, f, mergedSlice(up)
		}
		return nil, nil, f, skip("the function of %v is none of silu, gelu, gelu_tanh and relu", describe(up.out.node))
	case 2:
		for i := range 2 {
			f, ok = activation.RecogniseGated(func(g, u float64) float64 {
				values := [2]float64{g, g}
				values[1-i] = u
				return e.value(values[:])
			})
			if !ok {
				continue
			}
			gate, up = e.variables[i], e.variables[1-i]
			if gate.core == up.core && gate.from == up.from && s.isMergedSlice(up) { // they differ by biases only
				return nil, nil, f, mergedSlice(up)
			}
			return gate, up, f, nil
		}
		return nil, nil, f, skip("the function of %v and %v is not a gate of silu, gelu, gelu_tanh or relu",
			describe(e.variables[0].out.node), describe(e.variables[1].out.node))
	}
	return nil, nil, f, skip("it is a function of %d linear maps", len(e.variables))
}

func mergedSlice(up *linear) error {
	return skip("gate and up are one and the same slice of %v: Gorgonia merges slices whose bounds differ by multiples of "+
		"256, so this graph computes with the gate's weights twice", describe(up.core))
}

// gatedByItself reports whether f is act(x)·x.
func gatedByItself(f func(float64) float64) (activation.Scaled, bool) {
	return activation.Recognise(func(x float64) float64 {
		if x == 0 {
			return 0
		}
		return f(x) / x
	})
}

// isMergedSlice reports whether Gorgonia may have merged the slice of outputs, or of a weight, that
// l takes with another one: it hashes the bounds of a slice as a byte each.
func (s *survey) isMergedSlice(l *linear) bool {
	width := l.to - l.from
	merged := func(from, of int) bool {
		for at := from % 256; at+width <= of; at += 256 {
			if at != from {
				return true
			}
		}
		return false
	}
	if merged(l.from, l.core.Shape().TotalSize()/l.length()) {
		return true
	}
	for n := l.weight.node; n != nil && len(s.inputs[n]) > 0; n = s.inputs[n][0] {
		if vocabulary.KindOf(n) == vocabulary.Slice {
			from := s.inputs[n][0].Shape()
			if axis, start, end, _ := vocabulary.SliceOf(n.Op(), from); end-start == width && merged(start, from[axis]) {
				return true
			}
		}
	}
	return false
}

// length returns the number of vectors that l maps.
func (l *linear) length() int { return l.out.length() }

// innerNodes returns the nodes between an MLP's input and its down product.
func innerNodes(e *expression, maps ...*linear) gorgonia.Nodes {
	inner := slices.Clone(e.path)
	for _, l := range maps {
		if l != nil {
			inner = append(inner, l.path...)
		}
	}
	return inner
}

// checkWeights refuses a weight or bias that the input of m is made from too.
func (s *survey) checkWeights(m *MLP, maps []*linear) error {
	sources := map[*gorgonia.Node]bool{}
	var follow func(n *gorgonia.Node)
	follow = func(n *gorgonia.Node) {
		switch vocabulary.KindOf(n) {
		case vocabulary.Leaf:
			sources[n] = true
		case vocabulary.Unary, vocabulary.Binary, vocabulary.Reshape, vocabulary.Transpose, vocabulary.Slice:
			for _, c := range s.inputs[n] {
				follow(c)
			}
		}
	}
	follow(m.Input)
	var find func(n *gorgonia.Node) *gorgonia.Node
	find = func(n *gorgonia.Node) *gorgonia.Node {
		switch {
		case sources[n]:
			return n
		case vocabulary.KindOf(n) == vocabulary.Size: // of static shapes: not a dependency
			return nil
		}
		for _, c := range s.inputs[n] {
			if found := find(c); found != nil {
				return found
			}
		}
		return nil
	}
	for _, l := range maps {
		nodes := gorgonia.Nodes{}
		if l.weighted == nil {
			nodes = append(nodes, l.weight.node)
		}
		for _, b := range l.biases {
			if b.node != nil {
				nodes = append(nodes, b.node)
			}
		}
		for _, n := range nodes {
			if shared := find(n); shared != nil {
				return skip("%v is both the input and a weight", describe(shared))
			}
		}
	}
	return nil
}

// checkConsumers refuses inner nodes of m that are outputs or have other readers.
func (s *survey) checkConsumers(m *MLP, core *gorgonia.Node) error {
	for _, n := range m.inner {
		if s.isOutput[n] {
			return skip("%v, inside it, is an output", describe(n))
		}
		for _, c := range s.consumers[n] {
			if c == core || vocabulary.KindOf(c) == vocabulary.Size || slices.Contains(m.inner, c) {
				continue
			}
			if vocabulary.KindOf(c) == vocabulary.Read {
				return skip("%v, inside it, is read by a Read", describe(n))
			}
			return skip("%v, inside it, is also read by %v", describe(n), describe(c))
		}
	}
	return nil
}

// extend makes biases that are broadcast over the down product part of the MLP. An addition without
// a broadcast may be that of an input and stays.
func (s *survey) extend(m *MLP, down *linear) {
	m.output = down.out
	for !s.isOutput[m.output.node] {
		readers := slices.DeleteFunc(slices.Clone(s.consumers[m.output.node]), func(n *gorgonia.Node) bool {
			return vocabulary.KindOf(n) == vocabulary.Size
		})
		if len(readers) != 1 || !s.isRepeated(readers[0]) {
			break
		}
		next := readers[0]
		longer := s.biased(batch{next, m.output.axis})
		if longer == nil || longer.core != down.core || longer.scale != 1 {
			break
		}
		m.inner = append(m.inner, m.output.node)
		m.output, *down = longer.out, *longer
	}
	m.Output = m.output.node
	m.Name = m.Output.Name()
}

// capture sets the weights of m.
func (s *survey) capture(m *MLP, gate, up, down *linear, f activation.Scaled) (err error) {
	first := up
	if gate != nil {
		first = gate
		if m.Up, err = s.resolve(up, 1); err != nil {
			return err
		}
	}
	w, err := s.resolve(first, f.Inner)
	if err != nil {
		return err
	}
	if gate != nil {
		m.Gate = w
	} else {
		m.Up = w
	}
	if m.Down, err = s.resolve(down, 1); err != nil {
		return err
	}
	if f.Outer != 1 {
		if m.Down.Matrix, err = scaleMatrix(m.Down.Matrix, f.Outer); err != nil {
			return err
		}
	}
	dtype := m.Up.Matrix.Dtype()
	for _, w := range []ops.Weight{m.Gate, m.Down} {
		if w.Matrix != nil && w.Matrix.Dtype() != dtype {
			return skip("its weights are of different dtypes, %v and %v", dtype, w.Matrix.Dtype())
		}
	}
	return nil
}
