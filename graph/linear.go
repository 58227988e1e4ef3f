package graph

import (
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/sparsegonia/sparsegonia/graph/vocabulary"
	"github.com/sparsegonia/sparsegonia/ops"
)

// linear is an affine map of vectors, out = scale·(in·W)[from:to] + biases.
type linear struct {
	in, out  batch
	core     *gorgonia.Node // the product with the weight
	weighted ops.Weighted   // the core's op, if it has captured its weight
	weight   operandWeight  // otherwise
	from, to int            // the outputs of the core that remain after slices
	scale    float64
	biases   []bias
	path     gorgonia.Nodes // the nodes between in and out, with out
}

// operandWeight is a weight that is an operand of the core.
type operandWeight struct {
	node  *gorgonia.Node
	input int // the axis that is contracted
}

// bias is added to every vector: a number, or elements [from:to] of a node.
type bias struct {
	node     *gorgonia.Node // nil: the number
	number   float64
	scale    float64
	from, to int
}

// linear returns the affine map whose outputs are b, nil if there is none. A constant factor is
// part of an activation function rather than of the map, except under a bias.
func (s *survey) linear(b batch) *linear {
	if l := s.product(b); l != nil {
		return l
	}
	n := b.node
	switch vocabulary.KindOf(n) {
	case vocabulary.Reshape, vocabulary.Transpose, vocabulary.Slice:
		if from, ok := s.origin(b); ok {
			return s.linear(from).through(b)
		}
		return s.sliced(b)
	case vocabulary.Binary:
		return s.biased(b)
	}
	return nil
}

// through returns l with the output b, which holds the same vectors. l may be nil.
func (l *linear) through(b batch) *linear {
	if l == nil {
		return nil
	}
	l.out = b
	l.path = append(l.path, b.node)
	return l
}

// product returns the product with a weight whose outputs are b, nil if there is none.
func (s *survey) product(b batch) *linear {
	n := b.node
	l := &linear{out: b, core: n, scale: 1, path: gorgonia.Nodes{n}, to: b.width()}
	if op, ok := n.Op().(ops.Weighted); ok {
		if len(s.inputs[n]) != 1 || b.axis != n.Dims()-1 {
			return nil
		}
		l.weighted, l.in = op, lastAxis(s.inputs[n][0])
		return l
	}
	// The leading axes of the result are those of operand 0, the others of operand 1. contracted
	// are the inner axes.
	k, operands := vocabulary.KindOf(n), s.inputs[n]
	var contracted [2]int
	weight := 1 // the operand whose free axis is b.axis
	switch k {
	case vocabulary.MatMul, vocabulary.Batched, vocabulary.MatVec:
		last := operands[0].Dims() - 1
		contracted = [2]int{last, operands[1].Dims() - 2}
		a, bT := vocabulary.TransposesInputs(n.Op())
		if a {
			contracted[0]--
		}
		if bT {
			contracted[1]++
		}
		switch {
		case k == vocabulary.MatVec:
			contracted[1], weight = 0, 0
		case b.axis == last:
		case b.axis == last-1:
			weight = 0
		default:
			return nil
		}
	case vocabulary.Tensordot:
		left, right := vocabulary.ContractedAxes(n.Op())
		if len(left) != 1 || len(right) != 1 {
			return nil
		}
		contracted = [2]int{left[0], right[0]}
		if b.axis < operands[0].Dims()-1 {
			weight = 0
		}
		if w := operands[weight]; w.Dims() != 2 || weight == 1 && b.axis != n.Dims()-1 {
			return nil
		}
	default:
		return nil
	}
	l.in = batch{operands[1-weight], contracted[1-weight]}
	l.weight = operandWeight{operands[weight], contracted[weight]}
	if !s.isConstantExpression(l.weight.node) || k == vocabulary.Batched && l.in.node.Dims() != l.weight.node.Dims() {
		return nil
	}
	return l
}

// sliced returns the affine map that b is a slice of outputs of, nil if there is none.
func (s *survey) sliced(b batch) *linear {
	if vocabulary.KindOf(b.node) != vocabulary.Slice {
		return nil
	}
	from := s.inputs[b.node][0]
	axis, start, end, step := vocabulary.SliceOf(b.node.Op(), from.Shape())
	if axis != b.axis || from.Dims() != b.node.Dims() || step != 1 {
		return nil
	}
	l := s.linear(batch{from, axis})
	if l == nil {
		return nil
	}
	l.from, l.to = l.from+start, l.from+end
	for i := range l.biases {
		bias := &l.biases[i]
		bias.from, bias.to = bias.from+start, bias.from+end
	}
	return l.through(b)
}

// biased returns the affine map that b adds a bias to or subtracts one from, nil if there is none.
func (s *survey) biased(b batch) *linear {
	sign := 1.0
	switch {
	case vocabulary.IsBinary(b.node, "+"):
	case vocabulary.IsBinary(b.node, "-"):
		sign = -1
	default:
		return nil
	}
	for i := range 2 {
		other := s.inputs[b.node][1-i]
		from, ok := s.operand(b, i)
		if !ok {
			continue
		}
		add, ok := s.bias(other, b)
		if !ok {
			continue
		}
		l := s.scaled(from)
		if l == nil {
			continue
		}
		if sign < 0 && i == 1 { // bias − map
			l.rescale(-1)
		} else {
			add.scale = sign
		}
		l.biases = append(l.biases, add)
		return l.through(b)
	}
	return nil
}

// scaled returns the affine map that b multiplies by a number, nil if there is none.
func (s *survey) scaled(b batch) *linear {
	if l := s.linear(b); l != nil {
		return l
	}
	if vocabulary.IsUnary(b.node, "neg") {
		if from, ok := s.operand(b, 0); ok {
			if l := s.scaled(from); l != nil {
				l.rescale(-1)
				return l.through(b)
			}
		}
		return nil
	}
	product, quotient := vocabulary.IsBinary(b.node, "⊙"), vocabulary.IsBinary(b.node, "÷")
	for i := range 2 {
		if !product && (!quotient || i == 1) {
			break
		}
		factor, ok := s.number(s.inputs[b.node][1-i])
		if !ok || factor == 0 {
			continue
		}
		if quotient {
			factor = 1 / factor
		}
		if from, ok := s.operand(b, i); ok {
			if l := s.scaled(from); l != nil {
				l.rescale(factor)
				return l.through(b)
			}
		}
	}
	return nil
}

func (l *linear) rescale(factor float64) {
	l.scale *= factor
	for i := range l.biases {
		l.biases[i].scale *= factor
	}
}

// bias returns n as a bias of every vector of b:
//
//   - a number
//   - a vector that is repeated along the other axes
//   - if b is one vector, any vector that has a value; without one it is an input
func (s *survey) bias(n *gorgonia.Node, b batch) (bias, bool) {
	out := bias{scale: 1, to: b.width()}
	if c, ok := s.number(n); ok {
		out.number = c
		return out, true
	}
	if !s.isConstantExpression(n) {
		return out, false
	}
	shape := n.Shape()
	axis := -1
	if shape.TotalSize() == b.node.Shape().TotalSize() && len(shape) > 0 {
		axis = sameAxis(shape, b.node.Shape(), b.axis)
	}
	if axis < 0 {
		return out, false
	}
	for vocabulary.KindOf(n) == vocabulary.Repeat {
		if along := vocabulary.RepeatedAxis(n.Op()); along < 0 || along == axis {
			return out, false
		}
		from := s.inputs[n][0]
		if len(from.Shape()) != len(shape) {
			return out, false
		}
		n = from
	}
	if n.Op() == nil && n.Value() == nil && len(n.Shape()) == len(shape) && n.Shape().TotalSize() == shape.TotalSize() {
		return out, false
	}
	out.node = n
	return out, n.Shape().TotalSize() == b.width()
}

// isRepeated reports whether n broadcasts an operand, which then is a bias: a vector that is just
// added may be an input.
func (s *survey) isRepeated(n *gorgonia.Node) bool {
	for _, c := range s.inputs[n] {
		if vocabulary.KindOf(c) == vocabulary.Repeat {
			return true
		}
	}
	return false
}

// number returns the value of a constant scalar.
func (s *survey) number(n *gorgonia.Node) (float64, bool) {
	if vocabulary.KindOf(n) != vocabulary.Constant || !n.Shape().IsScalarEquiv() {
		return 0, false
	}
	switch v := n.Value().(type) {
	case *gorgonia.F64:
		return float64(*v), true
	case *gorgonia.F32:
		return float64(*v), true
	case *tensor.Dense:
		switch v.Dtype() {
		case tensor.Float64:
			return v.Float64s()[0], true
		case tensor.Float32:
			return float64(v.Float32s()[0]), true
		}
	}
	return 0, false
}
