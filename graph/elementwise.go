package graph

import (
	"fmt"
	"math"

	"gorgonia.org/gorgonia"

	"github.com/sparsegonia/sparsegonia/graph/vocabulary"
	"github.com/sparsegonia/sparsegonia/ops"
)

// expression is an elementwise function of the outputs of affine maps.
type expression struct {
	variables []*linear
	value     func(variables []float64) float64
	path      gorgonia.Nodes // the nodes between the maps and the result, with the result
	nonlinear bool           // it has other ops than sums
	obstacle  string         // the first reason why there is no value
}

// elementwise returns the expression whose result is b.
func (s *survey) elementwise(b batch) *expression {
	r := &reader{survey: s, known: map[*gorgonia.Node]func([]float64) float64{}}
	r.e.value = r.read(b)
	return &r.e
}

type reader struct {
	*survey
	e     expression
	known map[*gorgonia.Node]func([]float64) float64
}

func (r *reader) read(b batch) func([]float64) float64 {
	if f, ok := r.known[b.node]; ok {
		return f
	}
	f := r.readNew(b)
	r.known[b.node] = f
	return f
}

func (r *reader) readNew(b batch) func([]float64) float64 {
	n := b.node
	if from, ok := r.origin(b); ok {
		r.e.path = append(r.e.path, n)
		return r.read(from)
	}
	if l := r.linear(b); l != nil {
		i := len(r.e.variables)
		r.e.variables = append(r.e.variables, l)
		return func(v []float64) float64 { return v[i] }
	}
	r.e.path = append(r.e.path, n)
	if op, ok := n.Op().(ops.Activated); ok && len(r.inputs[n]) <= 2 {
		r.e.nonlinear = true
		act, x := op.Activation(), r.operandOf(b, 0)
		if len(r.inputs[n]) == 1 {
			return func(v []float64) float64 { return act.Apply64(x(v)) }
		}
		y := r.operandOf(b, 1)
		return func(v []float64) float64 { return act.Apply64(x(v)) * y(v) }
	}
	switch vocabulary.KindOf(n) {
	case vocabulary.Unary:
		r.e.nonlinear = true
		f, x := vocabulary.UnaryFunc(n.Op()), r.operandOf(b, 0)
		return func(v []float64) float64 { return f(x(v)) }
	case vocabulary.Binary:
		r.e.nonlinear = r.e.nonlinear || !vocabulary.IsBinary(n, "+") && !vocabulary.IsBinary(n, "-")
		f, x, y := vocabulary.BinaryFunc(n.Op()), r.operandOf(b, 0), r.operandOf(b, 1)
		return func(v []float64) float64 { return f(x(v), y(v)) }
	}
	f := r.fail("%v is not an elementwise function of linear maps", describe(n))
	switch vocabulary.KindOf(n) {
	case vocabulary.Reshape, vocabulary.Transpose, vocabulary.Slice, vocabulary.Repeat:
		// Its operand says whether this looks like an MLP.
		if from := r.inputs[n][0]; from.Dims() > 0 {
			r.read(batch{from, min(b.axis, from.Dims()-1)})
		}
	}
	return f
}

func (r *reader) operandOf(b batch, i int) func([]float64) float64 {
	n := r.inputs[b.node][i]
	if c, ok := r.number(n); ok {
		return func([]float64) float64 { return c }
	}
	from, ok := r.operand(b, i)
	switch {
	case !ok:
		return r.fail("%v is broadcast in %v", describe(n), describe(b.node))
	case r.isConstantExpression(n):
		return r.fail("%v takes the elements of %v", describe(b.node), describe(n))
	}
	return r.read(from)
}

func (r *reader) fail(format string, args ...any) func([]float64) float64 {
	if r.e.obstacle == "" {
		r.e.obstacle = fmt.Sprintf(format, args...)
	}
	return func([]float64) float64 { return math.NaN() }
}
