package kernel

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// The largest are those that a stable sort puts first.
func TestMaskTopK(t *testing.T) {
	r := rand.New(rand.NewPCG(57, 58))
	few := func() int { return r.IntN(9) - 4 }
	testTopK(t, r, func() float32 { return float32(few()) })
	testTopK(t, r, func() float32 { return math.Float32frombits(r.Uint32()) }) // NaN and infinities among them
	testTopK(t, r, func() float32 { return strange[r.IntN(len(strange))] })
	testTopK(t, r, func() float32 { return math.Float32frombits(0x3f800000 + r.Uint32N(5)) })
	testTopK(t, r, func() float64 { return float64(few()) })
	testTopK(t, r, func() float64 { return math.Float64frombits(r.Uint64()) })
	testTopK(t, r, func() float64 { return math.Float64frombits(0x3ff0000000000000 + r.Uint64N(5)) })
	testTopK(t, r, func() int32 { return int32(few()) })
	testTopK(t, r, func() int32 { return int32(r.Uint32()) })
	testTopK(t, r, func() int64 { return int64(few()) })
	testTopK(t, r, func() int64 { return int64(r.Uint64()) })
	testTopK(t, r, func() int64 { return math.MinInt64 + int64(r.IntN(2)) })
}

func testTopK[E weights.Elem](t *testing.T, r *rand.Rand, score func() E) {
	t.Helper()
	for range 300 {
		n := 1 + r.IntN(40)
		scores := numbers(n, func(int) E { return score() })
		k := r.IntN(n + 1)
		order := numbers(n, func(i int) int { return i })
		slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(scores[b], scores[a]) })
		want := make([]bool, n)
		for _, i := range order[:k] {
			want[i] = scores[i] == scores[i]
		}
		got := make([]bool, n)
		MaskTopK(got, scores, n, k)
		if !slices.Equal(got, want) {
			t.Fatalf("%d largest of %v: %v, want %v", k, scores, got, want)
		}
	}
}

func TestAttention(t *testing.T) {
	everywhere(t, func(t *testing.T, p *CPU) {
		r := rand.New(rand.NewPCG(59, 60))
		for _, c := range []struct{ heads, kvHeads, d, past, tokens int }{{1, 1, 8, 0, 1}, {4, 2, 36, 7, 3}, {9, 3, 64, 40, 1}, {6, 1, 32, 0, 20}} {
			kv, err := NewKV(weights.F32, 2, c.past+c.tokens, c.kvHeads, c.d)
			if err != nil {
				t.Fatal(err)
			}
			n := c.past + c.tokens
			keys, vals := randoms(r, n*c.kvHeads*c.d), randoms(r, n*c.kvHeads*c.d)
			q := randoms(r, n*c.heads*c.d)
			y := make([]float32, len(q))
			run := func(from, to int) {
				positions := numbers(to-from, func(i int) int32 { return int32(from + i) })
				sequences := numbers(to-from, func(int) int32 { return 1 })
				w, kw := c.heads*c.d, c.kvHeads*c.d
				Attention(p, y[from*w:to*w], q[from*w:to*w], keys[from*kw:to*kw], vals[from*kw:to*kw], c.heads, positions, sequences, kv, 0.3)
			}
			if c.past > 0 {
				run(0, c.past)
			}
			run(c.past, n)
			for pos := range n {
				for h := range c.heads {
					kh := h / (c.heads / c.kvHeads)
					at := func(x []float32, heads, pos, h int) []float32 { return x[(pos*heads+h)*c.d:][:c.d] }
					scores := make([]float64, pos+1)
					total := 0.0
					for j := range scores {
						for i, v := range at(q, c.heads, pos, h) {
							scores[j] += 0.3 * float64(v) * float64(at(keys, c.kvHeads, j, kh)[i])
						}
						scores[j] = math.Exp(scores[j])
						total += scores[j]
					}
					want, terms := make([]float64, c.d), make([]float64, c.d)
					for j, s := range scores {
						for i, v := range at(vals, c.kvHeads, j, kh) {
							want[i] += s / total * float64(v)
							terms[i] += s / total * math.Abs(float64(v))
						}
					}
					near(t, "attention", at(y, c.heads, pos, h), want, terms, 2e-5)
				}
			}
		}
	})
}

func TestArgmax(t *testing.T) {
	nan := float32(math.NaN())
	for _, c := range []struct {
		x    []float32
		want int
	}{
		{nil, -1},
		{[]float32{3}, 0},
		{[]float32{1, 3, 3, 2}, 1},
		{[]float32{nan, -5, nan}, 1},
		{[]float32{nan, nan}, 0},
		{[]float32{float32(math.Inf(-1)), nan}, 0},
	} {
		if got := Argmax(c.x); got != c.want {
			t.Errorf("of %v: %d, want %d", c.x, got, c.want)
		}
	}
}

// strange are floats that a kernel may get wrong.
var strange = []float32{
	0, float32(math.Copysign(0, -1)), 1, -1, 1e-45, -1e-45, 1e-39, math.MaxFloat32, -math.MaxFloat32,
	88, -88, 89, -89, 1e4, -1e4, 15, -15, 0.5, -0.5, 1.5, -1.5, float32(math.Inf(1)), float32(math.Inf(-1)), float32(math.NaN()),
}

// The magnitude of the least integer, which its type does not hold, reaches every threshold.
func TestMaskOfTheLeastInteger(t *testing.T) {
	testLeast(t, int32(math.MinInt32), math.MaxInt32)
	testLeast(t, int64(math.MinInt64), math.MaxInt64)
}

func testLeast[E int32 | int64](t *testing.T, least, most E) {
	t.Helper()
	scores := []E{least, -6, 2, least + 1}
	got := make([]bool, 4)
	for _, c := range []struct {
		tau  []E
		abs  bool
		want []bool
	}{
		{[]E{5}, true, []bool{true, true, false, true}},
		{[]E{most}, true, []bool{true, false, false, true}},
		{[]E{5, 7}, true, []bool{true, false, false, true}},
		{[]E{5}, false, []bool{false, false, false, false}},
		{[]E{least}, false, []bool{true, true, true, true}},
	} {
		if MaskThreshold(got, scores, c.tau, c.abs); !slices.Equal(got, c.want) {
			t.Errorf("%v against %v, magnitudes %v: %v, want %v", scores, c.tau, c.abs, got, c.want)
		}
	}
}
