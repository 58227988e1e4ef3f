package graph

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"gorgonia.org/gorgonia"
)

// survey is what the outputs of a graph depend on, and the statements about it.
type survey struct {
	whole      *gorgonia.ExprGraph               // all of the graph
	inputs     map[*gorgonia.Node]gorgonia.Nodes // the operands of each node, in order
	consumers  map[*gorgonia.Node]gorgonia.Nodes // the nodes and statements that read a node
	isOutput   map[*gorgonia.Node]bool
	nodes      gorgonia.Nodes // operands first, otherwise in the order in which they were made
	statements gorgonia.Nodes
	constants  map[*gorgonia.Node]bool // memo of isConstant
}

// newSurvey surveys the part of g that outputs depend on. Without outputs it is all of g.
func newSurvey(g *gorgonia.ExprGraph, outputs gorgonia.Nodes) (*survey, error) {
	if g == nil || len(g.AllNodes()) == 0 {
		return nil, errors.New("graph: the graph is empty")
	}
	all := slices.Clone(g.AllNodes())
	slices.SortFunc(all, func(a, b *gorgonia.Node) int { return cmp.Compare(a.ID(), b.ID()) })
	s := &survey{
		inputs:    map[*gorgonia.Node]gorgonia.Nodes{},
		consumers: map[*gorgonia.Node]gorgonia.Nodes{},
		isOutput:  map[*gorgonia.Node]bool{},
		constants: map[*gorgonia.Node]bool{},
	}
	for i, n := range outputs {
		if n == nil || !slices.Contains(all, n) {
			return nil, fmt.Errorf("graph: output %d is not a node of the graph", i)
		}
		if k := kindOf(n); k == readKind || k == setKind {
			return nil, fmt.Errorf("graph: output %d, %v, is a statement without a value", i, describe(n))
		}
		s.isOutput[n] = true
	}
	// A subgraph has an index of its own: that of g is wrong after Gorgonia has removed a node from it.
	whole := g.ExactSubgraphRoots(all...)
	s.whole = whole
	if len(outputs) == 0 {
		s.rootsOf(whole, all)
	}
	var list func(n *gorgonia.Node)
	list = func(n *gorgonia.Node) {
		if _, ok := s.inputs[n]; ok {
			return
		}
		s.inputs[n] = children(whole, n)
		for _, c := range s.inputs[n] {
			list(c)
		}
		s.nodes = append(s.nodes, n)
	}
	wanted := map[*gorgonia.Node]bool{}
	var want func(n *gorgonia.Node)
	want = func(n *gorgonia.Node) {
		if !wanted[n] {
			wanted[n] = true
			for _, c := range children(whole, n) {
				want(c)
			}
		}
	}
	for n := range s.isOutput {
		want(n)
	}
	s.want(whole, all, wanted, want)
	for _, n := range all {
		if wanted[n] {
			list(n)
		}
	}
	for _, n := range slices.Concat(s.nodes, s.statements) {
		for _, c := range children(whole, n) {
			if !slices.Contains(s.consumers[c], n) {
				s.consumers[c] = append(s.consumers[c], n)
			}
		}
	}
	for _, n := range s.statements {
		s.inputs[n] = children(whole, n)
	}
	return s, nil
}

// rootsOf makes the nodes that no other reads the outputs.
func (s *survey) rootsOf(g *gorgonia.ExprGraph, all gorgonia.Nodes) {
	read := map[*gorgonia.Node]bool{}
	for _, n := range all {
		if kindOf(n) == readKind {
			s.isOutput[children(g, n)[0]] = true
			continue
		}
		for _, c := range children(g, n) {
			read[c] = true
		}
	}
	for _, n := range all {
		if k := kindOf(n); !read[n] && k != readKind && k != setKind {
			s.isOutput[n] = true
		}
	}
}

// want finds the statements about wanted nodes. What a wanted node is set to is wanted too.
func (s *survey) want(g *gorgonia.ExprGraph, all gorgonia.Nodes, wanted map[*gorgonia.Node]bool, want func(*gorgonia.Node)) {
	for again := true; again; {
		again = false
		for _, n := range all {
			k := kindOf(n)
			if k != readKind && k != setKind || slices.Contains(s.statements, n) || !wanted[children(g, n)[0]] {
				continue
			}
			s.statements = append(s.statements, n)
			for _, c := range children(g, n) {
				again = again || !wanted[c]
				want(c)
			}
		}
	}
}

// isConstantExpression tells whether n depends on leaves and constants alone and is made of operations that one does
// to weights: a weight, a bias or a view of one. Inputs look the same; the position tells them apart.
func (s *survey) isConstantExpression(n *gorgonia.Node) bool {
	if known, ok := s.constants[n]; ok {
		return known
	}
	ok := false
	switch kindOf(n) {
	case leafKind, constantKind:
		ok = true
	case repeatKind: // the other operand is the size of something, which is known
		ok = s.isConstantExpression(s.inputs[n][0])
	case transposeKind, reshapeKind, sliceKind, concatKind, unaryKind, binaryKind:
		ok = true
		for _, c := range s.inputs[n] {
			ok = ok && s.isConstantExpression(c)
		}
	}
	s.constants[n] = ok
	return ok
}
