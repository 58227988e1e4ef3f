package graph

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/sparsegonia/sparsegonia/graph/vocabulary"
	"gorgonia.org/gorgonia"
)

// survey holds the nodes that the outputs of a graph depend on, and the statements about them.
type survey struct {
	// whole is the graph with an index of its own: Gorgonia's is wrong after RemoveNode.
	whole *gorgonia.ExprGraph
	all   gorgonia.Nodes // of whole, in the order in which they were made

	isOutput   map[*gorgonia.Node]bool
	nodes      gorgonia.Nodes // that outputs and statements depend on: operands first, otherwise in the order of all
	statements gorgonia.Nodes
	inputs     map[*gorgonia.Node]gorgonia.Nodes // the operands of nodes and statements, in order
	consumers  map[*gorgonia.Node]gorgonia.Nodes // the nodes and statements that read a node

	constants map[*gorgonia.Node]bool // memo of isConstantExpression
}

// newSurvey returns a survey of the part of g that outputs depend on; without outputs, of all of g.
func newSurvey(g *gorgonia.ExprGraph, outputs gorgonia.Nodes) (*survey, error) {
	if g == nil || len(g.AllNodes()) == 0 {
		return nil, errors.New("graph: the graph is empty")
	}
	s := &survey{
		all:       slices.Clone(g.AllNodes()),
		isOutput:  map[*gorgonia.Node]bool{},
		inputs:    map[*gorgonia.Node]gorgonia.Nodes{},
		consumers: map[*gorgonia.Node]gorgonia.Nodes{},
		constants: map[*gorgonia.Node]bool{},
	}
	slices.SortFunc(s.all, func(a, b *gorgonia.Node) int { return cmp.Compare(a.ID(), b.ID()) })
	s.whole = g.ExactSubgraphRoots(s.all...)
	for i, n := range outputs {
		if n == nil || !slices.Contains(s.all, n) {
			return nil, fmt.Errorf("graph: output %d is not a node of the graph", i)
		}
		if isStatement(n) {
			return nil, fmt.Errorf("graph: output %d, %v, is a statement without a value", i, describe(n))
		}
		s.isOutput[n] = true
	}
	if len(outputs) == 0 {
		s.findOutputs()
	}
	s.findNodes()
	for _, n := range slices.Concat(s.nodes, s.statements) {
		s.inputs[n] = children(s.whole, n)
		for _, c := range s.inputs[n] {
			if !slices.Contains(s.consumers[c], n) {
				s.consumers[c] = append(s.consumers[c], n)
			}
		}
	}
	return s, nil
}

// isStatement reports whether n is a Read or a Set.
func isStatement(n *gorgonia.Node) bool {
	k := vocabulary.KindOf(n)
	return k == vocabulary.Read || k == vocabulary.Set
}

// findOutputs makes operands of a Read and nodes without readers the outputs.
func (s *survey) findOutputs() {
	read := map[*gorgonia.Node]bool{}
	for _, n := range s.all {
		for _, c := range children(s.whole, n) {
			if vocabulary.KindOf(n) == vocabulary.Read {
				s.isOutput[c] = true
			}
			read[c] = true
		}
	}
	for _, n := range s.all {
		if !read[n] && !isStatement(n) {
			s.isOutput[n] = true
		}
	}
}

// findNodes sets nodes and statements. The operands of a Set are needed too.
func (s *survey) findNodes() {
	wanted := map[*gorgonia.Node]bool{}
	var want func(n *gorgonia.Node)
	want = func(n *gorgonia.Node) {
		if !wanted[n] {
			wanted[n] = true
			for _, c := range children(s.whole, n) {
				want(c)
			}
		}
	}
	for n := range s.isOutput {
		want(n)
	}
	for found := -1; found < len(s.statements); {
		found = len(s.statements)
		for _, n := range s.all {
			if isStatement(n) && !wanted[n] && wanted[children(s.whole, n)[0]] {
				s.statements = append(s.statements, n)
				want(n)
			}
		}
	}
	listed := map[*gorgonia.Node]bool{}
	var list func(n *gorgonia.Node)
	list = func(n *gorgonia.Node) {
		if listed[n] {
			return
		}
		listed[n] = true
		for _, c := range children(s.whole, n) {
			list(c)
		}
		s.nodes = append(s.nodes, n)
	}
	for _, n := range s.all {
		if wanted[n] && !isStatement(n) {
			list(n)
		}
	}
}

// isConstantExpression reports whether n may be a weight, a bias or a view of one: it depends on
// leaves and constants alone, by operations that are usual for weights. An input may look the same;
// only its position differs.
func (s *survey) isConstantExpression(n *gorgonia.Node) bool {
	if known, ok := s.constants[n]; ok {
		return known
	}
	ok := false
	switch vocabulary.KindOf(n) {
	case vocabulary.Leaf, vocabulary.Constant:
		ok = true
	case vocabulary.Repeat: // the other operand is a size, which is known
		ok = s.isConstantExpression(s.inputs[n][0])
	case vocabulary.Transpose, vocabulary.Reshape, vocabulary.Slice, vocabulary.Concat, vocabulary.Unary, vocabulary.Binary:
		ok = true
		for _, c := range s.inputs[n] {
			ok = ok && s.isConstantExpression(c)
		}
	}
	s.constants[n] = ok
	return ok
}
