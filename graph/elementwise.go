package graph

import (
	"fmt"
	"math"
	"strconv"

	"gorgonia.org/gorgonia"

	"github.com/sparsegonia/sparsegonia/graph/vocabulary"
	"github.com/sparsegonia/sparsegonia/ops"
	"github.com/sparsegonia/sparsegonia/ops/activation"
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

// form describes an expression act(inner·g)·u·outer, or act(inner·u)·outer.
type form struct {
	act          activation.Func
	inner, outer float64
}

var activations = []activation.Func{activation.ReLU, activation.SiLU, activation.GELU, activation.GELUTanh}

// activationOf returns f as outer·act(inner·x). It compares values, because an activation can be
// written in many ways.
func activationOf(f func(x float64) float64) (form, bool) {
	const large = 1e4
	for _, sign := range []float64{1, -1} {
		slope := f(sign*large) / (sign * large) // inner·outer, since act(x) tends to x
		if slope == 0 || math.IsNaN(slope) || math.IsInf(slope, 0) {
			continue
		}
		for _, act := range activations {
			inner := sign
			if act != activation.ReLU {
				inner *= innerScale(act, f(sign)/(sign*slope))
			}
			found := form{act, inner, slope / inner}
			if found.matches(f) {
				return found.tidy(f), true
			}
		}
	}
	return form{}, false
}

// innerScale returns the c > 0 with act(c)/c = ratio: for all activation functions but ReLU it
// grows from 1/2 to 1.
func innerScale(act activation.Func, ratio float64) float64 {
	low, high := 1e-3, 1e3
	for range 200 {
		middle := math.Sqrt(low * high)
		if act.Apply64(middle)/middle < ratio {
			low = middle
		} else {
			high = middle
		}
	}
	return math.Sqrt(low * high)
}

// tidy removes rounding errors from the scales. Scales that are 1 leave the weights as they are.
func (m form) tidy(f func(float64) float64) form {
	m.inner, m.outer = rounded(m.inner), rounded(m.outer)
	inner, outer := math.Copysign(1, m.inner), math.Copysign(1, m.outer)
	for _, plain := range []form{{m.act, inner, outer}, {m.act, inner, m.outer}, {m.act, m.inner, outer}} {
		if plain.matches(f) {
			return plain
		}
	}
	return m
}

// rounded returns x to thirteen digits, far more than matches distinguishes.
func rounded(x float64) float64 {
	y, _ := strconv.ParseFloat(strconv.FormatFloat(x, 'e', 12, 64), 64)
	return y
}

// gated returns f as outer·act(inner·g)·u.
func gated(f func(g, u float64) float64) (form, bool) {
	m, ok := activationOf(func(g float64) float64 { return f(g, 1) })
	if !ok {
		return form{}, false
	}
	for _, u := range []float64{-1e3, -2.5, 0, 0.3, 40} {
		for _, g := range samples {
			if want := u * f(g, 1); !(math.Abs(f(g, u)-want) <= 1e-9*math.Abs(want)) {
				return form{}, false
			}
		}
	}
	return m, true
}

// matches compares values at points of every magnitude. The tolerance leaves room for constants
// that were rounded to float32, and for formulas that lose the far left tail, where the functions
// are next to nothing.
func (m form) matches(f func(float64) float64) bool {
	for _, x := range samples {
		want := m.outer * m.act.Apply64(m.inner*x)
		if !(math.Abs(f(x)-want) <= 1e-6*math.Abs(want)+1e-7*math.Abs(m.outer)*min(math.Abs(m.inner*x), 1)) {
			return false
		}
	}
	return true
}

// samples are 0, numbers of every magnitude from 1e-9 to 1e4, and numbers close together where the
// functions bend.
var samples = func() []float64 {
	xs := []float64{0}
	for x := 1e-9; x < 1.5e4; x *= 1.7 {
		xs = append(xs, x, -x)
	}
	for i := range 200 {
		x := 0.01 + float64(i)*0.06
		xs = append(xs, x, -x)
	}
	return xs
}()
