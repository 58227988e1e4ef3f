package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/sparsegonia/sparsegonia/ops/activation"
	"github.com/sparsegonia/sparsegonia/ops/simd"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

func TestLinearT(t *testing.T) {
	everywhere(t, func(t *testing.T, p *CPU) {
		r := rand.New(rand.NewPCG(3, 4))
		for _, d := range floatDtypes {
			for _, shape := range [][3]int{{1, 576, 192}, {1, 100, 33}, {2, 64, 101}, {3, 192, 576}, {8, 288, 97}, {17, 100, 200}, {32, 576, 31}, {1, 1, 1}, {9, 130, 400}, {19, 130, 400}, {17, 5, 0}, {3, 5, 0}} {
				T, O, K := shape[0], shape[1], shape[2]
				w := randomMatrix(r, d, K, O)
				x, bias := randoms(r, T*K), randoms(r, O)
				y := make([]float32, T*O)
				poison(p)
				LinearT(p, y, x, w, bias)
				wf := asWeights(p.variant, w, T)
				want, terms := make([]float64, T*O), make([]float64, T*O)
				for tok := range T {
					in := scaledRounded(p.variant, w, x[tok*K:][:K], T)
					for o := range O {
						s, a := float64(bias[o]), math.Abs(float64(bias[o]))
						for k, v := range in {
							term := v * wf[k][o]
							s += term
							a += math.Abs(term)
						}
						want[tok*O+o], terms[tok*O+o] = s, a
					}
				}
				near(t, fmt.Sprintf("%v T=%d O=%d K=%d", d, T, O, K), y, want, terms, sumEpsilon(p.variant, d, T, 4e-6, 5e-3))
			}
		}
	})
}

// sumEpsilon is what sums over weight rows may be wrong by: those of 4 bits round the coefficients
// of few tokens to 8 bits, those of Int8 and Int8G may round them to 15.
func sumEpsilon(v *simd.Variant, d weights.Dtype, T int, exact, rounded float64) float64 {
	switch {
	case T >= TileTokens:
		return epsilon(v, d, T, exact)
	case d == weights.Int4 || d == weights.Int4M:
		return rounded
	case d == weights.Int8, d == weights.Int8G && (v.Name == "avx512" || v.Name == "amx"):
		return max(exact, 1e-4)
	}
	return exact
}

// scaledRounded is x as rows of w along k see it: the tiles of Int8 multiply int16, which hold the
// scales of the rows.
func scaledRounded(v *simd.Variant, w *weights.Matrix, x []float32, T int) []float64 {
	d := w.Dtype()
	switch {
	case T < TileTokens || d != weights.Int8 && !onBF16(v, d):
		return rounded(weights.F32, x)
	case d != weights.Int8:
		return asInput(v, d, T, x)
	}
	scaled := slices.Clone(x)
	for k := range scaled {
		scaled[k] *= rowScale(v, w, k)
	}
	y := asInput(v, d, T, scaled)
	for k := range y {
		y[k] /= float64(rowScale(v, w, k))
	}
	return y
}

// mlpEpsilon bounds the rounding of a sparse MLP, relative to the sizes that referenceMLP gives.
const mlpEpsilon = 4e-6

// mlpError is mlpEpsilon or more, where hidden activations are rounded to bfloat16 or coefficients
// to 8 or 15 bits.
func mlpError(v *simd.Variant, d weights.Dtype, T int) float64 {
	if T >= TileTokens && onBF16(v, d) && d.Grouped() {
		return 0x1p-9 + mlpEpsilon
	}
	return sumEpsilon(v, d, T, mlpEpsilon, 1e-2)
}

// referenceMLP is SparseMLP in float64 on the decoded weights; the second
// result bounds the size of the terms summed.
func referenceMLP(v *simd.Variant, m *MLP[float32], x []float32, slots, neurons []int32, gate []float32, T int) (y, terms []float64) {
	H, O := m.Up.Cols(), m.Down.Cols()
	y, terms = make([]float64, T*O), make([]float64, T*O)
	up, down := asWeights(v, m.Up, T), asWeights(v, m.Down, T)
	var gw [][]float64
	if m.Gate != nil {
		gw = asWeights(v, m.Gate, T)
	}
	bias := func(b []float32, i int32) float64 {
		if b == nil {
			return 0
		}
		return float64(b[i])
	}
	for t := range T {
		in := asInput(v, m.Up.Dtype(), T, x[t*H:][:H])
		largest := 0.0 // hidden activation, times the scale of its down row
		for k, s := range slots {
			n := s
			if neurons != nil {
				n = neurons[k]
			}
			dot := func(row []float64) (sum, size float64) {
				for j, v := range in {
					sum += v * row[j]
					size += math.Abs(v * row[j])
				}
				return sum, size
			}
			u, size := dot(up[s])
			u += bias(m.UpBias, n)
			h := 0.0
			switch {
			case gate != nil && gw == nil:
				h, size = float64(gate[t*(len(gate)/T)+int(n)]), 0
			case gate != nil:
				h = float64(gate[t*(len(gate)/T)+int(n)]) * u
				size *= math.Abs(float64(gate[t*(len(gate)/T)+int(n)]))
			case gw != nil:
				g, gs := dot(gw[s])
				g += bias(m.GateBias, n)
				h = m.Act.Apply64(g) * u
				size = size*(math.Abs(g)+1) + gs*(math.Abs(u)+1)
			default:
				h = m.Act.Apply64(u)
			}
			if m.Down.Dtype() == weights.Int8 {
				largest = max(largest, math.Abs(h)*float64(rowScale(v, m.Down, int(s))))
			}
			for j, v := range down[s] {
				y[t*O+j] += h * v
				terms[t*O+j] += (math.Abs(h) + size) * math.Abs(v)
			}
		}
		for j := range O {
			if T >= TileTokens { // they are rounded to 1/16383 of the largest
				for _, s := range slots {
					terms[t*O+j] += largest / simd.Int16Limit / 2 / mlpEpsilon * math.Abs(down[s][j]) / float64(rowScale(v, m.Down, int(s)))
				}
			}
			y[t*O+j] += bias(m.DownBias, int32(j))
			terms[t*O+j] += math.Abs(y[t*O+j])
		}
	}
	return y, terms
}

func TestSparseMLP(t *testing.T) {
	everywhere(t, func(t *testing.T, p *CPU) {
		r := rand.New(rand.NewPCG(5, 6))
		for _, d := range floatDtypes {
			for _, shape := range [][4]int{
				{1, 576, 200, 576},
				{1, 100, 64, 33},
				{2, 192, 96, 256},
				{3, 64, 50, 64},
				{8, 100, 120, 100},
				{17, 192, 130, 70},
				{32, 64, 250, 192},
			} {
				T, H, I, O := shape[0], shape[1], shape[2], shape[3]
				for mode := range 8 {
					m := &MLP[float32]{Gate: randomMatrix(r, d, I, H), Up: randomMatrix(r, d, I, H), Down: randomMatrix(r, d, I, O), Act: activation.Func(mode % 4)}
					var gate []float32
					var neurons []int32
					slots := []int32{}
					for i := range I {
						if r.IntN(3) == 0 {
							slots = append(slots, int32(i))
						}
					}
					switch mode {
					case 1:
						m.GateBias, m.UpBias, m.DownBias = randoms(r, I), randoms(r, I), randoms(r, O)
					case 2:
						m.Gate, m.UpBias = nil, randoms(r, I)
					case 3:
						gate = randoms(r, T*I)
					case 4:
						neurons = slices.Clone(slots)
						r.Shuffle(len(slots), func(i, j int) { slots[i], slots[j] = slots[j], slots[i] })
						m.UpBias = randoms(r, I)
					case 5:
						slots, m.DownBias = slots[:0], randoms(r, O)
					case 6:
						m.Gate, gate = nil, randoms(r, T*I)
						m.UpBias = randoms(r, I) // a part of the gate values already
					case 7:
						m.Gate, gate = nil, randoms(r, T*I)
						neurons = slices.Clone(slots)
						r.Shuffle(len(slots), func(i, j int) { slots[i], slots[j] = slots[j], slots[i] })
					}
					x, y := randoms(r, T*H), make([]float32, T*O)
					poison(p)
					SparseMLP(p, y, x, m, slots, neurons, gate)
					want, terms := referenceMLP(p.variant, m, x, slots, neurons, gate, T)
					near(t, fmt.Sprintf("%v T=%d H=%d mode %d", d, T, H, mode), y, want, terms, mlpError(p.variant, d, T))
				}
			}
		}
	})
}

// All neurons active is the dense MLP.
func TestSparseMLPAllActive(t *testing.T) {
	everywhere(t, func(t *testing.T, p *CPU) {
		r := rand.New(rand.NewPCG(7, 8))
		const H, I = 192, 300
		slots := make([]int32, I)
		for i := range slots {
			slots[i] = int32(i)
		}
		for _, T := range []int{1, 3, 17} {
			m := &MLP[float32]{Gate: randomMatrix(r, weights.F32, I, H), Up: randomMatrix(r, weights.F32, I, H), Down: randomMatrix(r, weights.F32, I, H)}
			x := randoms(r, T*H)
			got, want := make([]float32, T*H), make([]float32, T*H)
			SparseMLP(p, got, x, m, slots, nil, nil)
			g, u := make([]float32, T*I), make([]float32, T*I)
			Linear(p, g, x, m.Gate, nil)
			Linear(p, u, x, m.Up, nil)
			GLU(p, g, g, u, activation.SiLU)
			LinearT(p, want, g, m.Down, nil)
			if !slices.Equal(got, want) {
				t.Errorf("T=%d: sparse and dense differ with all neurons active", T)
			}
		}
	})
}

// The dense MLP is the sparse one of all neurons, bit for bit, for as many neurons as a pool has
// seen, and more, and fewer.
func TestDenseMLP(t *testing.T) {
	everywhere(t, func(t *testing.T, p *CPU) {
		r := rand.New(rand.NewPCG(15, 16))
		for _, d := range floatDtypes {
			for _, shape := range [][4]int{{1, 100, 64, 33}, {3, 64, 250, 64}, {17, 70, 50, 100}} {
				T, H, I, O := shape[0], shape[1], shape[2], shape[3]
				for mode := range 3 {
					m := &MLP[float32]{Gate: randomMatrix(r, d, I, H), Up: randomMatrix(r, d, I, H), Down: randomMatrix(r, d, I, O), Act: activation.Func(mode)}
					switch mode {
					case 1:
						m.GateBias, m.UpBias, m.DownBias = randoms(r, I), randoms(r, I), randoms(r, O)
					case 2:
						m.Gate, m.UpBias = nil, randoms(r, I)
					}
					denseIsSparse(t, fmt.Sprintf("%v T=%d mode %d", d, T, mode), p, m, randoms(r, T*H))
				}
			}
		}
	})
}

// So it is with the exact kernels.
func TestDenseMLPExact(t *testing.T) {
	p := NewCPU(3)
	defer p.Close()
	r := rand.New(rand.NewPCG(17, 18))
	denseExact(t, p, weights.F64, activation.GELU, r.NormFloat64)
	denseExact(t, p, weights.Int32, activation.ReLU, func() int32 { return int32(r.Uint32()) })
	denseExact(t, p, weights.Int64, activation.ReLU, func() int64 { return int64(r.Uint64()) })
}

func denseExact[E weights.Elem](t *testing.T, p *CPU, d weights.Dtype, act activation.Func, value func() E) {
	t.Helper()
	const T, H, I, O = 3, 37, 50, 23
	values := func(n int) []E { return numbers(n, func(int) E { return value() }) }
	matrix := func(cols int) *weights.Matrix {
		m := weights.NewMatrix(d, I, cols)
		for i := range I {
			weights.SetRow(m, i, values(cols))
		}
		return m
	}
	m := &MLP[E]{Gate: matrix(H), Up: matrix(H), Down: matrix(O), Act: act}
	denseIsSparse(t, d.String(), p, m, values(T*H))
	m.GateBias, m.UpBias, m.DownBias = values(I), values(I), values(O)
	denseIsSparse(t, d.String()+" with biases", p, m, values(T*H))
}

func denseIsSparse[E weights.Elem](t *testing.T, what string, p *CPU, m *MLP[E], x []E) {
	t.Helper()
	slots := numbers(m.Up.Rows(), func(i int) int32 { return int32(i) })
	got, want := make([]E, len(x)/m.Up.Cols()*m.Down.Cols()), make([]E, len(x)/m.Up.Cols()*m.Down.Cols())
	SparseMLP(p, want, x, m, slots, nil, nil)
	DenseMLP(p, got, x, m)
	if !slices.Equal(got, want) {
		t.Errorf("%s: dense and sparse differ", what)
	}
}

func TestDenseMLPPanics(t *testing.T) {
	const H, I, O = 4, 6, 5
	for name, c := range map[string]struct {
		change func(m *MLP[float32])
		want   string
	}{
		"gate bias too short": {func(m *MLP[float32]) { m.GateBias = make([]float32, I-1) }, panicShape},
		"gate bias too long":  {func(m *MLP[float32]) { m.GateBias = make([]float32, I+1) }, panicShape},
		"up bias too short":   {func(m *MLP[float32]) { m.UpBias = make([]float32, I-1) }, panicShape},
		"down bias":           {func(m *MLP[float32]) { m.DownBias = make([]float32, I) }, panicShape},
		"outputs":             {func(m *MLP[float32]) { m.Down = weights.NewMatrix(weights.F32, I, O+1) }, panicShape},
		"rows":                {func(m *MLP[float32]) { m.Gate = weights.NewMatrix(weights.F32, I-1, H) }, panicDtype},
		"dtype":               {func(m *MLP[float32]) { m.Gate = weights.NewMatrix(weights.F16, I, H) }, panicDtype},
	} {
		t.Run(name, func(t *testing.T) {
			m := &MLP[float32]{Gate: weights.NewMatrix(weights.F32, I, H), Up: weights.NewMatrix(weights.F32, I, H), Down: weights.NewMatrix(weights.F32, I, O)}
			c.change(m)
			defer func() {
				if got := recover(); got != c.want {
					t.Errorf("panic %v, want %v", got, c.want)
				}
			}()
			DenseMLP(nil, make([]float32, O), make([]float32, H), m)
		})
	}
}

// The bits of every kernel are the same for any number of threads.
func TestDeterminism(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	const H, I = 576, 1000
	type result map[string][]float32
	for _, d := range floatDtypes {
		m := &MLP[float32]{Gate: randomMatrix(r, d, I, H), Up: randomMatrix(r, d, I, H), Down: randomMatrix(r, d, I, H)}
		var slots []int32
		for i := range I {
			if i%3 != 1 {
				slots = append(slots, int32(i))
			}
		}
		xs := randoms(r, 17*H)
		compute := func(p *CPU) result {
			out := result{}
			for _, T := range []int{1, 2, 17} {
				x := xs[:T*H]
				y, wide := make([]float32, T*H), make([]float32, T*I)
				SparseMLP(p, y, x, m, slots, nil, nil)
				Linear(p, wide, x, m.Gate, nil)
				back := make([]float32, T*H)
				LinearT(p, back, wide, m.Down, nil)
				out[fmt.Sprint("mlp", T)], out[fmt.Sprint("linear", T)], out[fmt.Sprint("linearT", T)] = y, wide, back
			}
			return out
		}
		for _, name := range simd.Variants() {
			var first result
			for _, threads := range []int{1, 2, 3, 4, 7} {
				p := NewCPU(threads, WithVariant(name))
				for range 2 {
					got := compute(p)
					if first == nil {
						first = got
					}
					for k, v := range first {
						if !slices.Equal(v, got[k]) {
							t.Fatalf("%v %s %s: other bits with %d threads", name, d, k, threads)
						}
					}
				}
				p.Close()
			}
		}
	}
}

func exactCase[E weights.Elem](t *testing.T, p *CPU, r *rand.Rand, d weights.Dtype, act activation.Func, value func() E) {
	const T, H, I, O = 3, 37, 50, 23
	values := func(n int) []E {
		s := make([]E, n)
		for i := range s {
			s[i] = value()
		}
		return s
	}
	matrix := func(cols int) (*weights.Matrix, [][]E) {
		m, rows := weights.NewMatrix(d, I, cols), make([][]E, I)
		for i := range rows {
			rows[i] = values(cols)
			weights.SetRow(m, i, rows[i])
		}
		return m, rows
	}
	gm, g := matrix(H)
	um, u := matrix(H)
	dm, w := matrix(O)
	bias, x, hidden := values(O), values(T*H), values(T*I)
	slots := []int32{1, 4, 5, 11, 48, 49}
	for _, known := range []bool{false, true} { // the hidden activations
		got, want := make([]E, T*O), make([]E, T*O)
		if known {
			SparseMLP(p, got, x, &MLP[E]{Up: um, Down: dm, DownBias: bias, Act: act}, slots, nil, hidden)
		} else {
			SparseMLP(p, got, x, &MLP[E]{Gate: gm, Up: um, Down: dm, DownBias: bias, Act: act}, slots, nil, nil)
		}
		for tok := range T {
			out := want[tok*O:][:O]
			for _, s := range slots {
				var a, b E
				for j, v := range x[tok*H:][:H] {
					a += v * g[s][j]
					b += v * u[s][j]
				}
				h := apply(act, a) * b
				if known {
					h = hidden[tok*I+int(s)]
				}
				for j := range out {
					out[j] += h * w[s][j]
				}
			}
			for j := range out {
				out[j] += bias[j]
			}
		}
		for i := range want {
			if diff := math.Abs(float64(got[i]) - float64(want[i])); got[i] != want[i] && (d != weights.F64 || diff > 1e-9*(1+math.Abs(float64(want[i])))) {
				t.Fatalf("%v, known %t: element %d is %v, want %v", d, known, i, got[i], want[i])
			}
		}
	}
}

// Integers wrap as the plain loop does; float64 differs by the order of a sum.
func TestExactDtypes(t *testing.T) {
	p := NewCPU(3)
	defer p.Close()
	r := rand.New(rand.NewPCG(11, 12))
	exactCase(t, p, r, weights.F64, activation.SiLU, r.NormFloat64)
	exactCase(t, p, r, weights.Int32, activation.ReLU, func() int32 { return int32(r.Uint32()) })
	exactCase(t, p, r, weights.Int64, activation.ReLU, func() int64 { return int64(r.Uint64()) })
}

// What is not finite spreads as the package comment says and never past its row.
func TestNonFinite(t *testing.T) {
	everywhere(t, func(t *testing.T, p *CPU) {
		r := rand.New(rand.NewPCG(13, 14))
		const O, K = 40, 200
		for _, d := range floatDtypes {
			for _, T := range []int{2, 17} {
				w := randomMatrix(r, d, O, K)
				for _, bad := range []float32{float32(math.NaN()), float32(math.Inf(1))} {
					x, y := randoms(r, T*K), make([]float32, T*O)
					x[K+5] = bad
					Linear(p, y, x, w, nil)
					for o := range O {
						if y[o] != y[o] || y[o] > math.MaxFloat32 {
							t.Fatalf("%v T=%d: %v in row 1 reached row 0", d, T, bad)
						}
						if v := float64(y[O+o]); !math.IsNaN(v) && !math.IsInf(v, 0) {
							t.Fatalf("%v T=%d: %v in the input gave %v", d, T, bad, v)
						}
					}
				}
				row := randoms(r, K)
				row[7] = float32(math.NaN())
				weights.SetRow(w, 3, row)
				x, y := randoms(r, T*K), make([]float32, T*O)
				Linear(p, y, x, w, nil)
				for i, v := range y {
					if (v != v) != (i%O == 3) {
						t.Fatalf("%v T=%d: a NaN weight in row 3 gave y[%d] = %v", d, T, i, v)
					}
				}
			}
		}
	})
}

// An input that is not finite, in the one token that has it, whatever meets it.
func TestSplitHugeInputs(t *testing.T) {
	everywhere(t, func(t *testing.T, p *CPU) {
		if p.variant.AMX == nil {
			t.Skip("no AMX")
		}
		r := rand.New(rand.NewPCG(71, 72))
		const T, K, O = 20, 64, 40
		for _, d := range []weights.Dtype{weights.F16, weights.BF16, weights.Int8G, weights.Int4, weights.Int4M} {
			w, x, y := randomMatrix(r, d, O, K), randoms(r, T*K), make([]float32, T*O)
			x[3*K] = math.MaxFloat32 // beyond the largest bfloat16
			x[5*K] = 1e-40           // below the smallest
			Linear(p, y, x, w, nil)
			for i, f := range y {
				if finite := f-f == 0; finite != (i/O != 3) {
					t.Fatalf("%v: output %d of token %d is %v", d, i%O, i/O, f)
				}
			}
		}
	})
}
