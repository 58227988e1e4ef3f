package graph

import (
	"errors"
	"fmt"
	"slices"

	"github.com/sparsegonia/sparsegonia/graph/vocabulary"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// rewrite builds the new nodes in the order of the old ones, so that ops with state keep theirs.
func (w *rewriter) rewrite() error {
	needed := map[*gorgonia.Node]bool{}
	var need func(n *gorgonia.Node)
	need = func(n *gorgonia.Node) {
		if n == nil || needed[n] {
			return
		}
		needed[n] = true
		if site := w.sites[n]; site != nil {
			for _, n := range site.needs(w) {
				need(n)
			}
			return
		}
		for _, c := range children(w.whole, n) {
			need(c)
		}
	}
	for n := range w.isOutput {
		need(n)
	}
	for _, n := range w.statements {
		need(n)
	}
	for _, n := range slices.Concat(w.survey.nodes, w.statements) {
		if needed[n] {
			if _, err := w.node(n); err != nil {
				return err
			}
		}
	}
	return nil
}

// node returns the new node for n. The first call builds it and the nodes that it depends on.
func (w *rewriter) node(n *gorgonia.Node) (*gorgonia.Node, error) {
	if built, ok := w.nodes[n]; ok {
		if built == nil {
			return nil, fmt.Errorf("graph: %v depends on itself by way of a sparse MLP's inputs", describe(n))
		}
		return built, nil
	}
	if !slices.Contains(w.all, n) {
		return nil, fmt.Errorf("graph: %v is not a node of the graph", describe(n))
	}
	w.nodes[n] = nil
	var built *gorgonia.Node
	var err error
	if site := w.sites[n]; site != nil {
		if built, err = site.build(w); err != nil {
			return nil, fmt.Errorf("graph: %s: %w", site.describe(), err)
		}
		w.rename(built, n)
	} else if built, err = w.copy(n); err != nil {
		return nil, err
	}
	w.nodes[n], w.taken[built] = built, true
	return built, w.prefetch(n)
}

// copy returns a new node with the op of n.
func (w *rewriter) copy(n *gorgonia.Node) (*gorgonia.Node, error) {
	from := children(w.whole, n)
	to := make(gorgonia.Nodes, len(from))
	for i, c := range from {
		var err error
		if to[i], err = w.node(c); err != nil {
			return nil, err
		}
	}
	name := givenName(n, from)
	if vocabulary.KindOf(n) == vocabulary.Constant {
		built := w.graph.AddNode(gorgonia.NewConstant(n.Value(), gorgonia.WithName(name)))
		if w.taken[built] { // Gorgonia merges constants of one name, whatever their values
			built = w.graph.AddNode(gorgonia.NewConstant(n.Value(), gorgonia.WithName(w.unused(n))))
		}
		return built, nil
	}
	options := func(name string) []gorgonia.NodeConsOpt {
		o := []gorgonia.NodeConsOpt{gorgonia.In(w.graph), gorgonia.WithName(name), gorgonia.WithChildren(slices.Clone(to))}
		if n.Op() != nil {
			o = append(o, gorgonia.WithOp(n.Op()))
		}
		if n.Type() != nil {
			o = append(o, gorgonia.WithType(n.Type()))
			if _, scalar := n.Type().(tensor.Dtype); scalar || n.Dims() > 0 && len(n.Shape()) > 0 {
				o = append(o, gorgonia.WithShape(n.Shape()...))
			}
		}
		return o
	}
	built := gorgonia.NewUniqueNode(options(name)...)
	if len(from) > 0 {
		return built, nil
	}
	if w.taken[built] {
		// Inputs of one name, type and shape are merged when they are made, not when renamed.
		built = gorgonia.NewUniqueNode(options(w.unused(n))...)
		gorgonia.WithName(name)(built)
	}
	if v := n.Value(); v != nil && n.Op() == nil {
		if err := gorgonia.Let(built, v); err != nil {
			return nil, fmt.Errorf("graph: %v: %w", describe(n), err)
		}
	}
	return built, nil
}

// unused returns a name that no other node has.
func (w *rewriter) unused(n *gorgonia.Node) string { return fmt.Sprintf("%s#%d", n.Name(), n.ID()) }

// givenName returns the name that n was given, empty if Gorgonia made it of its operands.
func givenName(n *gorgonia.Node, operands gorgonia.Nodes) string {
	made := fmt.Sprintf("%s(", n.Op())
	for i, c := range operands {
		if i > 0 {
			made += ", "
		}
		made += fmt.Sprintf("%%%x", c.ID())
	}
	if name := n.Name(); name != made+")" {
		return name
	}
	return ""
}

func (w *rewriter) rename(built, n *gorgonia.Node) {
	if name := givenName(n, children(w.whole, n)); name != "" {
		gorgonia.WithName(name)(built)
	}
}

// toRows returns a node whose rows are the vectors of b, or the node of b if that is a vector.
func toRows(b batch) (*gorgonia.Node, error) {
	n, dims := b.node, b.node.Dims()
	if dims == 0 {
		return nil, errors.New("the input is a scalar")
	}
	if dims == 1 || dims == 2 && b.axis == 1 {
		return n, nil
	}
	width, length := b.width(), b.length()
	n, err := gorgonia.Transpose(n, axisLast(dims, b.axis)...)
	if err != nil || dims == 2 {
		return n, err
	}
	return gorgonia.Reshape(n, tensor.Shape{length, width})
}

// fromRows is the inverse of toRows: it returns a node like b whose vectors are the rows of y.
func fromRows(y *gorgonia.Node, b batch) (*gorgonia.Node, error) {
	shape, dims := b.node.Shape(), b.node.Dims()
	order := axisLast(dims, b.axis)
	rotated := make(tensor.Shape, dims)
	back := make([]int, dims)
	for i, axis := range order {
		rotated[i], back[axis] = shape[axis], i
	}
	if !slices.Equal(y.Shape(), rotated) {
		var err error
		if y, err = gorgonia.Reshape(y, rotated); err != nil {
			return nil, err
		}
	}
	return gorgonia.Transpose(y, back...)
}

// axisLast returns the permutation that moves axis to the end.
func axisLast(dims, axis int) []int {
	order := make([]int, 0, dims)
	for i := range dims {
		if i != axis {
			order = append(order, i)
		}
	}
	return append(order, axis)
}
