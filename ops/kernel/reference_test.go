package kernel

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// Every float16 survives the way to float32 and back; every float32 between two rounds to the nearer one.
func TestHalves(t *testing.T) {
	for h := range 1 << 16 {
		f := fromF16(uint16(h))
		if back := toF16(f); f == f && back != uint16(h) || f != f && back&0x7c00 != 0x7c00 {
			t.Fatalf("%#04x became %v and %#04x", h, f, back)
		}
		if b := fromBF16(uint16(h)); b == b && toBF16(b) != uint16(h) {
			t.Fatalf("bfloat16 %#04x became %v", h, b)
		}
		next := fromF16(uint16(h + 1))
		if h&0x7fff >= 0x7bff { // the next one is infinite
			continue
		}
		middle := (f + next) / 2
		even := uint16(h + h&1)
		for _, c := range []struct {
			f    float32
			want uint16
		}{
			{middle, even},
			{math.Nextafter32(middle, f), uint16(h)},
			{math.Nextafter32(middle, next), uint16(h + 1)},
		} {
			if got := toF16(c.f); got != c.want {
				t.Fatalf("%v between %v and %v became %#04x, want %#04x", c.f, f, next, got, c.want)
			}
		}
	}
}

// A row decodes to within half a step of what it was made from, whatever its length.
func TestSetRow(t *testing.T) {
	r := rand.New(rand.NewPCG(51, 52))
	for _, d := range floatDtypes {
		for n := 1; n < 100; n++ {
			m, x, got := NewMatrix(d, 1, n), randoms(r, n), make([]float32, n)
			SetRow(m, 0, x)
			Row(m, 0, got)
			for o := 0; o < n; o += group {
				part := x[o:min(o+group, n)]
				if d == Int8 {
					part = x
				}
				largest := float64(largest(part))
				step := map[Dtype]float64{F16: 0x1p-11, BF16: 0x1p-8, Int8: 1.0 / 127, Int8G: 1.01 / 127, Int4: 1.0 / 6, Int4M: 2.0 / 13}[d]
				for k := o; k < min(o+group, n); k++ {
					if e := math.Abs(float64(got[k] - x[k])); e > step*largest {
						t.Fatalf("%v n=%d: %v became %v", d, n, x[k], got[k])
					}
				}
			}
		}
	}
}

// The search must never do worse than the plain range, and keep what is on a grid already.
func TestScaleSearch(t *testing.T) {
	r := rand.New(rand.NewPCG(53, 54))
	for round := range 2000 {
		x := randoms(r, 1+r.IntN(group))
		lo, hi := slices.Min(x), slices.Max(x)
		d, m := nibbleScaleMin(x)
		plain := nibbleError(x, fromF16(toF16((hi-lo)/15)), fromF16(toF16(lo)), 0, false)
		if got := nibbleError(x, fromF16(d), fromF16(m), 0, false); len(x) > 1 && !(got <= plain) {
			t.Fatalf("round %d: error %v, %v without a search", round, got, plain)
		}
		grid := make([]float32, group)
		for i := range grid {
			grid[i] = 0.25 * float32(r.IntN(16)-8)
		}
		grid[3], grid[5] = -2, 1.75
		for _, dtype := range []Dtype{Int4, Int4M} {
			w, back := NewMatrix(dtype, 1, group), make([]float32, group)
			SetRow(w, 0, grid)
			Row(w, 0, back)
			if !slices.Equal(back, grid) {
				t.Fatalf("%v: %v became %v", dtype, grid, back)
			}
		}
	}
}

func TestMatrixView(t *testing.T) {
	data := make([]byte, 1024)
	for _, c := range []struct {
		name                   string
		d                      Dtype
		rows, cols, stride, at int
		ok                     bool
	}{
		{"fits", F32, 4, 64, 256, 0, true},
		{"one row too many", F32, 5, 64, 256, 0, false},
		{"rows overlap", F32, 2, 64, 255, 0, false},
		{"not aligned", F32, 1, 4, 16, 1, false},
		{"stride not aligned", F32, 2, 4, 18, 0, false},
		{"bytes need no alignment of more than their scales", Int8G, 2, 32, 34, 2, true},
		{"negative rows", F32, -1, 4, 16, 0, false},
		{"negative columns", F32, 1, -4, 16, 0, false},
		{"columns without end", F32, 1, math.MaxInt, math.MaxInt, 0, false},
		{"rows without end", F32, math.MaxInt, 4, 16, 0, false},
		{"stride without end", F32, 3, 4, math.MaxInt, 0, false},
		{"unknown dtype", Dtype(99), 1, 1, 1, 0, false},
		{"no rows", F32, 0, 4, 16, 0, true},
	} {
		_, err := MatrixView(c.d, c.rows, c.cols, c.stride, data[c.at:])
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestCopyAndTranspose(t *testing.T) {
	r := rand.New(rand.NewPCG(55, 56))
	p := NewCPU(2)
	defer p.Close()
	for _, shape := range [][2]int{{1, 1}, {33, 70}, {70, 130}} {
		src := randomMatrix(r, F32, shape[0], shape[1])
		for _, d := range append([]Dtype{F64}, floatDtypes...) {
			direct, back, twice := NewMatrix(d, shape[0], shape[1]), NewMatrix(F32, shape[1], shape[0]), NewMatrix(F32, shape[0], shape[1])
			if err := Copy(nil, direct, src); err != nil {
				t.Fatal(err)
			}
			if err := Transpose(nil, back, direct); err != nil {
				t.Fatal(err)
			}
			if err := Transpose(nil, twice, back); err != nil {
				t.Fatal(err)
			}
			want := NewMatrix(F32, shape[0], shape[1])
			if err := Copy(nil, want, direct); err != nil {
				t.Fatal(err)
			}
			for i := range shape[0] {
				if !slices.Equal(twice.Row(i), want.Row(i)) {
					t.Fatalf("%v %v: row %d differs after two transpositions", d, shape, i)
				}
			}
		}
		if err := Copy(nil, NewMatrix(Int32, shape[0], shape[1]), src); err == nil {
			t.Error("floats were copied to integers")
		}
		if err := Copy(nil, NewMatrix(F32, shape[0]+1, shape[1]), src); err == nil {
			t.Error("a matrix was copied to another shape")
		}
	}
}

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

func testTopK[E Elem](t *testing.T, r *rand.Rand, score func() E) {
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
			kv, err := NewKV(F32, 2, c.past+c.tokens, c.kvHeads, c.d)
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
