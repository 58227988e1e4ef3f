package kernel

import (
	"github.com/sparsegonia/sparsegonia/ops/activation"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// The kernels of float64, int32 and int64 are plain Go, for checks and integer models. Sums of
// integers are modulo 2³² and 2⁶⁴. They allocate a closure a section.

func linearExact[E weights.Elem](cpu *CPU, y, x []E, w *weights.Matrix, bias []E) {
	tokens := len(y) / w.Rows()
	cpu.Pool().Ranges(w.Rows(), 16, func(r0, r1 int) {
		for r := r0; r < r1; r++ {
			row := weights.SliceAt[E](w.RowAt(r), w.Cols())
			for t := range tokens {
				s := dotExact(x[t*w.Cols():][:w.Cols()], row)
				if bias != nil {
					s += bias[r]
				}
				y[t*w.Rows()+r] = s
			}
		}
	})
}

// linearTExact computes y = h·w[slots] + bias; slots nil means all rows.
func linearTExact[E weights.Elem](cpu *CPU, y, h []E, w *weights.Matrix, slots []int32, bias []E, tokens int) {
	if tokens == 0 {
		return
	}
	n := len(h) / tokens
	cpu.Pool().Ranges(w.Cols(), 256, func(c0, c1 int) {
		for t := range tokens {
			out := y[t*w.Cols():][c0:c1]
			clear(out)
			for k, c := range h[t*n:][:n] {
				i := k
				if slots != nil {
					i = int(slots[k])
				}
				for j, v := range weights.SliceAt[E](w.RowAt(i), w.Cols())[c0:c1] {
					out[j] += c * v
				}
			}
			if bias != nil {
				for j, b := range bias[c0:c1] {
					out[j] += b
				}
			}
		}
	})
}

func sparseExact[E weights.Elem](cpu *CPU, y, x []E, m MLP[E], slots, neurons []int32, gate []E, tokens int) {
	hidden, n := m.Up.Cols(), len(slots)
	h := make([]E, tokens*n)
	cpu.Pool().Ranges(n, 16, func(k0, k1 int) {
		for t := range tokens {
			in := x[t*hidden:][:hidden]
			for k := k0; k < k1; k++ {
				slot, neuron := int(slots[k]), int(neurons[k])
				if gate != nil && m.Gate == nil {
					h[t*n+k] = gate[t*(len(gate)/tokens)+neuron]
					continue
				}
				u := dotExact(in, weights.SliceAt[E](m.Up.RowAt(slot), hidden)) + at(m.UpBias, neuron)
				switch {
				case gate != nil:
					u *= gate[t*(len(gate)/tokens)+neuron]
				case m.Gate != nil:
					g := dotExact(in, weights.SliceAt[E](m.Gate.RowAt(slot), hidden)) + at(m.GateBias, neuron)
					u *= apply(m.Act, g)
				default:
					u = apply(m.Act, u)
				}
				h[t*n+k] = u
			}
		}
	})
	linearTExact(cpu, y, h, m.Down, slots, m.DownBias, tokens)
}

// at returns b[i], or 0 if there is no b.
func at[E weights.Elem](b []E, i int) E {
	if b == nil {
		return 0
	}
	return b[i]
}

func dotExact[E weights.Elem](x, w []E) E {
	var s0, s1 E
	k := 0
	for ; k+1 < len(x); k += 2 {
		s0 += x[k] * w[k]
		s1 += x[k+1] * w[k+1]
	}
	if k < len(x) {
		s0 += x[k] * w[k]
	}
	return s0 + s1
}

// apply returns a(x) in the type of the activations; a of integers is ReLU.
func apply[E weights.Elem](a activation.Func, x E) E {
	if a == activation.ReLU {
		if x < 0 {
			return 0
		}
		return x
	}
	return E(a.Apply64(float64(x)))
}

// checkActivation panics if a has no meaning for E.
func checkActivation[E weights.Elem](a activation.Func) {
	if d := weights.DtypeOf[E](); (d == weights.Int32 || d == weights.Int64) && !a.SupportsIntegers() || a > activation.ReLU {
		panic("kernel: activation is not defined for this element type")
	}
}
