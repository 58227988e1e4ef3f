package kernel

// The kernels of float64, int32 and int64: plain Go, the sums of integers
// modulo 2^32 and 2^64. They are for checking and for integer models, and
// allocate a closure per section.

func linearExact[E Elem](cpu *CPU, y, x []E, w *Matrix, bias []E) {
	tokens := len(y) / w.rows
	cpu.Pool().Ranges(w.rows, 16, func(r0, r1 int) {
		for r := r0; r < r1; r++ {
			row := values[E](w.row(r), w.cols)
			for t := range tokens {
				s := dotExact(x[t*w.cols:][:w.cols], row)
				if bias != nil {
					s += bias[r]
				}
				y[t*w.rows+r] = s
			}
		}
	})
}

// linearTExact writes y = h·w[slots] + bias; slots nil means all rows.
func linearTExact[E Elem](cpu *CPU, y, h []E, w *Matrix, slots []int32, bias []E, tokens int) {
	if tokens == 0 {
		return
	}
	n := len(h) / tokens
	cpu.Pool().Ranges(w.cols, 256, func(c0, c1 int) {
		for t := range tokens {
			out := y[t*w.cols:][c0:c1]
			clear(out)
			for k, c := range h[t*n:][:n] {
				i := k
				if slots != nil {
					i = int(slots[k])
				}
				for j, v := range values[E](w.row(i), w.cols)[c0:c1] {
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

func sparseExact[E Elem](cpu *CPU, y, x []E, m *MLP[E], slots, neurons []int32, gate []E, tokens int) {
	hidden, n := m.Up.cols, len(slots)
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
				u := dotExact(in, values[E](m.Up.row(slot), hidden)) + at(m.UpBias, neuron)
				switch {
				case gate != nil:
					u *= gate[t*(len(gate)/tokens)+neuron]
				case m.Gate != nil:
					g := dotExact(in, values[E](m.Gate.row(slot), hidden)) + at(m.GateBias, neuron)
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

// at is b[i], or 0 if there is no b.
func at[E Elem](b []E, i int) E {
	if b == nil {
		return 0
	}
	return b[i]
}

func dotExact[E Elem](x, w []E) E {
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

// apply is a in the type of the activations; of integers it is ReLU.
func apply[E Elem](a Activation, x E) E {
	if a == ReLU {
		if x < 0 {
			return 0
		}
		return x
	}
	return E(a.Apply64(float64(x)))
}

// checkActivation panics if a has no meaning for E.
func checkActivation[E Elem](a Activation) {
	if d := dtypeOf[E](); (d == Int32 || d == Int64) && !a.SupportsIntegers() || a > ReLU {
		panic("kernel: activation is not defined for this element type")
	}
}
