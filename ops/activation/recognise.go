package activation

import (
	"math"
	"strconv"
)

// Scaled is the function Outer·Func(Inner·x).
type Scaled struct {
	Func
	Inner, Outer float64
}

// Recognise returns f as Outer·Func(Inner·x) and reports whether it is such a function. It compares
// values, because an activation can be written in many ways.
func Recognise(f func(x float64) float64) (Scaled, bool) {
	const large = 1e4
	for _, sign := range []float64{1, -1} {
		slope := f(sign*large) / (sign * large) // inner·outer, since act(x) tends to x
		if slope == 0 || math.IsNaN(slope) || math.IsInf(slope, 0) {
			continue
		}
		for _, act := range []Func{ReLU, SiLU, GELU, GELUTanh} {
			inner := sign
			if act != ReLU {
				inner *= innerScale(act, f(sign)/(sign*slope))
			}
			found := Scaled{act, inner, slope / inner}
			if found.matches(f) {
				return found.tidy(f), true
			}
		}
	}
	return Scaled{}, false
}

// innerScale returns the c > 0 with act(c)/c = ratio: for all activation functions but ReLU it
// grows from 1/2 to 1.
func innerScale(act Func, ratio float64) float64 {
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
func (m Scaled) tidy(f func(float64) float64) Scaled {
	m.Inner, m.Outer = rounded(m.Inner), rounded(m.Outer)
	inner, outer := math.Copysign(1, m.Inner), math.Copysign(1, m.Outer)
	for _, plain := range []Scaled{{m.Func, inner, outer}, {m.Func, inner, m.Outer}, {m.Func, m.Inner, outer}} {
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

// RecogniseGated is Recognise for f(g, u) = Outer·Func(Inner·g)·u.
func RecogniseGated(f func(g, u float64) float64) (Scaled, bool) {
	m, ok := Recognise(func(g float64) float64 { return f(g, 1) })
	if !ok {
		return Scaled{}, false
	}
	for _, u := range []float64{-1e3, -2.5, 0, 0.3, 40} {
		for _, g := range samples {
			if want := u * f(g, 1); !(math.Abs(f(g, u)-want) <= 1e-9*math.Abs(want)) {
				return Scaled{}, false
			}
		}
	}
	return m, true
}

// matches compares values at points of every magnitude. The tolerance leaves room for constants
// that were rounded to float32, and for formulas that lose the far left tail, where the functions
// are next to nothing.
func (m Scaled) matches(f func(float64) float64) bool {
	for _, x := range samples {
		want := m.Outer * m.Apply64(m.Inner*x)
		if !(math.Abs(f(x)-want) <= 1e-6*math.Abs(want)+1e-7*math.Abs(m.Outer)*min(math.Abs(m.Inner*x), 1)) {
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
