package graph

import (
	"errors"
	"fmt"

	"gorgonia.org/gorgonia"

	"github.com/sparsegonia/sparsegonia/graph/vocabulary"
	"github.com/sparsegonia/sparsegonia/ops"
	"github.com/sparsegonia/sparsegonia/ops/kernel"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// A Linear is a linear map in a graph, y = x·Wᵀ: an ops.Linear, or Gorgonia's product with a
// weight, without what is added to it later.
type Linear struct {
	Name          string         // of its output node
	Input, Output *gorgonia.Node // x and y
	Weight        ops.Weight     // a view of the bound value, where possible; with the bias of an ops.Linear

	input, output batch
}

// As returns the weight in dtype d, with a row for each output.
func (l *Linear) As(d weights.Dtype) (ops.Weight, error) {
	if l == nil || l.Weight.Matrix == nil {
		return ops.Weight{}, errors.New("graph: linear: there is no weight")
	}
	w := l.Weight
	m := weights.NewMatrix(d, w.Outputs(), w.Inputs())
	convert := weights.Copy
	if w.InputMajor {
		convert = weights.Transpose
	}
	if err := convert(kernel.DefaultCPU().Pool(), m, w.Matrix); err != nil {
		return ops.Weight{}, fmt.Errorf("graph: linear %q: %w", l.Name, err)
	}
	return ops.Weight{Matrix: m, Bias: w.Bias}, nil
}

// FindLinears returns the linear maps, those of MLPs included, in the part of g that outputs depend
// on; without outputs, in all of g. They are in the order in which their outputs were made. It
// skips a product if either operand may be the weight, or the weight is not a matrix. A weight
// without a value is an error.
func FindLinears(g *gorgonia.ExprGraph, outputs ...*gorgonia.Node) ([]*Linear, []Skipped, error) {
	s, err := newSurvey(g, outputs)
	if err != nil {
		return nil, nil, err
	}
	return s.findLinears()
}

func (s *survey) findLinears() ([]*Linear, []Skipped, error) { return find(s, "linear", s.linearAt) }

// linearAt returns the linear map whose product is n, nil if there is none.
func (s *survey) linearAt(n *gorgonia.Node) (*Linear, error) {
	var maps []*linear
	for axis := n.Dims() - 1; axis >= max(n.Dims()-2, 0); axis-- {
		if l := s.product(batch{n, axis}); l != nil {
			maps = append(maps, l)
		}
	}
	switch len(maps) {
	case 0:
		return nil, nil
	case 2: // both operands are made from leaves: the one without a value is the input
		left, right := maps[0].in.node, maps[1].in.node
		if s.isBound(left) == s.isBound(right) {
			return nil, skip("either %v or %v may be the weight", describe(left), describe(right))
		}
		if s.isBound(left) {
			maps = maps[1:]
		}
	}
	l := maps[0]
	if err := s.checkWeights(&MLP{Input: l.in.node}, maps[:1]); err != nil {
		return nil, err
	}
	w, err := s.resolve(l, 1)
	if err != nil {
		return nil, err
	}
	return &Linear{Name: n.Name(), Input: l.in.node, Output: n, Weight: w, input: l.in, output: l.out}, nil
}

// isBound reports whether all leaves that n is made from have values.
func (s *survey) isBound(n *gorgonia.Node) bool {
	if len(s.inputs[n]) == 0 {
		return n.Value() != nil
	}
	for _, c := range s.inputs[n] {
		if vocabulary.KindOf(c) != vocabulary.Size && !s.isBound(c) {
			return false
		}
	}
	return true
}

// SwappedLinear is a linear map that has another weight.
type SwappedLinear struct {
	Linear *Linear        // of the old graph
	Weight ops.Weight     // that Choose.Linear chose
	Output *gorgonia.Node // in the new graph
}

// linearSite is a linear map that is to be swapped.
type linearSite struct {
	linear *Linear
	weight ops.Weight
}

func (s *linearSite) describe() string { return fmt.Sprintf("linear %q", s.linear.Name) }

func (s *linearSite) needs(*rewriter) gorgonia.Nodes { return gorgonia.Nodes{s.linear.Input} }

func (s *linearSite) build(w *rewriter) (*gorgonia.Node, error) {
	input, err := w.node(s.linear.Input)
	if err != nil {
		return nil, err
	}
	x, err := toRows(batch{input, s.linear.input.axis})
	if err != nil {
		return nil, err
	}
	y, err := ops.Linear(x, s.weight)
	if err != nil {
		return nil, err
	}
	return fromRows(y, s.linear.output)
}

// planLinears plans the sites that choose chooses among the linear maps outside swapped MLPs.
func (w *rewriter) planLinears(
	choose func(i int, l *Linear) (ops.Weight, error), mlps []*mlpSite, out *Swapped,
) (sites []*linearSite, err error) {
	if choose == nil {
		return nil, nil
	}
	found, skipped, err := w.findLinears()
	if err != nil {
		return nil, err
	}
	out.Skipped = append(out.Skipped, skipped...)
	inside := map[*gorgonia.Node]bool{}
	for _, s := range mlps {
		for _, n := range append(s.mlp.inner, s.mlp.Output) {
			inside[n] = true
		}
	}
	for i, l := range found {
		if inside[l.Output] {
			continue
		}
		weight, err := choose(i, l)
		if err == nil && weight.Matrix != nil {
			err = errors.Join(checkGradients(l.Output), l.check(weight))
			site := &linearSite{l, weight}
			w.sites[l.Output], sites = site, append(sites, site)
		}
		if err != nil {
			return nil, fmt.Errorf("graph: linear %q: %w", l.Name, err)
		}
	}
	return sites, nil
}

// check refuses a weight that maps other vectors, or that has lost or gained a bias.
func (l *Linear) check(w ops.Weight) error {
	if w.Inputs() != l.Weight.Inputs() || w.Outputs() != l.Weight.Outputs() {
		return fmt.Errorf("the weight maps from %d inputs to %d outputs, want %d to %d",
			w.Inputs(), w.Outputs(), l.Weight.Inputs(), l.Weight.Outputs())
	}
	if (w.Bias == nil) != (l.Weight.Bias == nil) {
		return errors.New("one of the weights has a bias and the other has none")
	}
	return nil
}
