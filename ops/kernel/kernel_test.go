package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/sparsegonia/sparsegonia/ops/simd"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// everywhere runs a test under every variant of this CPU: the best one with several thread counts,
// which make no difference (TestDeterminism). Under the race detector, which takes its time, one
// count has races, and avx512 is left out where amx runs the same Go code and more.
func everywhere(t *testing.T, f func(t *testing.T, p *CPU)) {
	t.Helper()
	for i, name := range simd.Variants() {
		counts := []int{2}
		switch {
		case simd.RaceEnabled && name == "avx512" && i > 0:
			continue
		case simd.RaceEnabled:
			counts = []int{5}
		case i == 0:
			counts = []int{1, 2, 5}
		}
		for _, threads := range counts {
			t.Run(fmt.Sprintf("%s/threads=%d", name, threads), func(t *testing.T) {
				p := NewCPU(threads, WithVariant(name))
				defer p.Close()
				f(t, p)
			})
		}
	}
}

var floatDtypes = []weights.Dtype{weights.F32, weights.F16, weights.BF16, weights.Int8, weights.Int8G, weights.Int4, weights.Int4M}

func randoms(r *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
	return x
}

func numbers[E any](n int, f func(i int) E) []E {
	x := make([]E, n)
	for i := range x {
		x[i] = f(i)
	}
	return x
}

func randomMatrix(r *rand.Rand, d weights.Dtype, rows, cols int) *weights.Matrix {
	m := weights.NewMatrix(d, rows, cols)
	for i := range rows {
		weights.SetRow(m, i, randoms(r, cols))
	}
	return m
}

// decoded is m as float64, rows × cols.
func decoded(m *weights.Matrix) [][]float64 {
	out := make([][]float64, m.Rows())
	row := make([]float32, m.Cols())
	for i := range out {
		weights.Row(m, i, row)
		for _, v := range row {
			out[i] = append(out[i], float64(v))
		}
	}
	return out
}

// rounded is x as weights of d see it: what is then left are float32 sums.
func rounded(d weights.Dtype, x []float32) []float64 {
	y := make([]float64, len(x))
	n, limit := len(x), 0.0
	switch {
	case d == weights.Int8:
		limit = simd.Int16Limit
	case d.Grouped():
		n, limit = weights.Group, 127
	}
	for i, v := range x {
		y[i] = float64(v)
	}
	if limit == 0 {
		return y
	}
	for o := 0; o < len(y); o += n {
		part := y[o:min(o+n, len(y))]
		var m float64
		for _, v := range part {
			m = max(m, math.Abs(v))
		}
		s := float32(m) / float32(limit)
		for i, v := range part {
			if s != 0 {
				part[i] = math.RoundToEven(float64(float32(v)/s)) * float64(s)
			}
		}
	}
	return y
}

// onBF16 reports whether products of many tokens with weights of d run on bfloat16.
func onBF16(v *simd.Variant, d weights.Dtype) bool {
	return v.Rows[d].Product(1, false) == simd.OnSplit
}

// rowScale returns the scale of row k of Int8 weights, 1 of others.
func rowScale(v *simd.Variant, m *weights.Matrix, k int) float32 {
	if scale := v.RowsOf(m).Scale; scale != nil {
		return scale(m, m.RowAt(k))
	}
	return 1
}

// asInput is x as weights of d see the inputs of T tokens.
func asInput(v *simd.Variant, d weights.Dtype, T int, x []float32) []float64 {
	switch {
	case T < TileTokens:
		return rounded(d, x)
	case onBF16(v, d):
		y := rounded(weights.F32, x)
		if d.Grouped() {
			for i := range y {
				y[i] = float64(weights.FromBF16(weights.ToBF16(x[i])))
			}
		}
		return y
	case d.Grouped():
		return rounded(weights.Int8, x) // the tiles multiply int16
	}
	return rounded(d, x)
}

// asWeights is decoded of weights that meet T tokens.
func asWeights(v *simd.Variant, m *weights.Matrix, T int) [][]float64 {
	w := decoded(m)
	if T < TileTokens || !onBF16(v, m.Dtype()) || !m.Dtype().Grouped() || m.Cols() == 0 {
		return w
	}
	row := make([]float32, weights.Groups(m.Cols())*weights.Group)
	for i := range w {
		v.RowsOf(m).Widen(row, m, m.RowAt(i), 0, m.Cols())
		for k := range w[i] {
			w[i][k] = float64(weights.FromBF16(weights.ToBF16(row[k])))
		}
	}
	return w
}

// epsilon is eps or, where both factors are split, what splitting them and leaving out the product
// of the low parts costs at most.
func epsilon(v *simd.Variant, d weights.Dtype, T int, eps float64) float64 {
	if T >= TileTokens && onBF16(v, d) && !d.Grouped() {
		return 2 * 0x1p-16
	}
	return eps
}

// poison fills what p computes with in between with NaN: what is read of it must have been written.
func poison(p *CPU) {
	var scratch [][]float32
	for i := range p.workers {
		scratch = append(scratch, p.workers[i].floats)
	}
	for _, k := range p.kept {
		switch k := k.(type) {
		case *[]float32:
			scratch = append(scratch, *k)
		case *gemmBuffers:
			scratch = append(scratch, k.packed, k.tokenScales, k.sums, k.factors)
			for i := range k.pairs {
				k.pairs[i] = -1
			}
			for i := range k.split {
				k.split[i] = 0xff
			}
		}
	}
	for _, s := range scratch {
		for i := range s {
			s[i] = float32(math.NaN())
		}
	}
}

// near fails unless every got is within eps·(Σ|terms|) of want.
func near(t *testing.T, what string, got []float32, want, terms []float64, eps float64) {
	t.Helper()
	for i := range want {
		if math.Abs(float64(got[i])-want[i]) > eps*terms[i]+1e-30 || got[i] != got[i] {
			t.Fatalf("%s: element %d is %v, want %v ± %.3g", what, i, got[i], want[i], eps*terms[i])
		}
	}
}

func TestLinear(t *testing.T) {
	everywhere(t, func(t *testing.T, p *CPU) {
		r := rand.New(rand.NewPCG(1, 2))
		for _, d := range floatDtypes {
			for _, shape := range [][3]int{{1, 64, 96}, {1, 101, 576}, {2, 7, 100}, {3, 33, 192}, {8, 97, 288}, {17, 200, 100}, {32, 130, 576}, {1, 1, 1}, {9, 1, 31}, {16, 1, 31}, {47, 33, 70}, {1, 5, 8300}, {17, 5, 0}, {3, 5, 0}} {
				T, O, K := shape[0], shape[1], shape[2]
				w := randomMatrix(r, d, O, K)
				x, bias := randoms(r, T*K), randoms(r, O)
				y := make([]float32, T*O)
				poison(p)
				Linear(p, y, x, w, bias)
				wf := asWeights(p.variant, w, T)
				want, terms := make([]float64, T*O), make([]float64, T*O)
				for tok := range T {
					in := asInput(p.variant, d, T, x[tok*K:][:K])
					for o := range O {
						s, a := float64(bias[o]), math.Abs(float64(bias[o]))
						for k, v := range in {
							s += v * wf[o][k]
							a += math.Abs(v * wf[o][k])
						}
						want[tok*O+o], terms[tok*O+o] = s, a
					}
				}
				near(t, fmt.Sprintf("%v T=%d O=%d K=%d", d, T, O, K), y, want, terms, epsilon(p.variant, d, T, 2e-6))
			}
		}
	})
}
