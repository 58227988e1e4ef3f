package weights

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestHalves(t *testing.T) {
	for h := range 1 << 16 {
		f := FromF16(uint16(h))
		if back := toF16(f); f == f && back != uint16(h) || f != f && back&0x7c00 != 0x7c00 {
			t.Fatalf("%#04x became %v and %#04x", h, f, back)
		}
		if b := FromBF16(uint16(h)); b == b && ToBF16(b) != uint16(h) {
			t.Fatalf("bfloat16 %#04x became %v", h, b)
		}
		next := FromF16(uint16(h + 1))
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
			for o := 0; o < n; o += Group {
				part := x[o:min(o+Group, n)]
				if d == Int8 {
					part = x
				}
				largest := float64(Largest(part))
				step := map[Dtype]float64{F16: 0x1p-11, BF16: 0x1p-8, Int8: 1.0 / 127, Int8G: 1.01 / 127, Int4: 1.0 / 6, Int4M: 2.0 / 13}[d]
				for k := o; k < min(o+Group, n); k++ {
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
		x := randoms(r, 1+r.IntN(Group))
		lo, hi := slices.Min(x), slices.Max(x)
		d, m := nibbleScaleMin(x)
		plain := nibbleError(x, FromF16(toF16((hi-lo)/15)), FromF16(toF16(lo)), 0, false)
		if got := nibbleError(x, FromF16(d), FromF16(m), 0, false); len(x) > 1 && !(got <= plain) {
			t.Fatalf("round %d: error %v, %v without a search", round, got, plain)
		}
		grid := make([]float32, Group)
		for i := range grid {
			grid[i] = 0.25 * float32(r.IntN(16)-8)
		}
		grid[3], grid[5] = -2, 1.75
		for _, dtype := range []Dtype{Int4, Int4M} {
			w, back := NewMatrix(dtype, 1, Group), make([]float32, Group)
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

var floatDtypes = []Dtype{F32, F16, BF16, Int8, Int8G, Int4, Int4M}

func randoms(r *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
	return x
}

func randomMatrix(r *rand.Rand, d Dtype, rows, cols int) *Matrix {
	m := NewMatrix(d, rows, cols)
	for i := range rows {
		SetRow(m, i, randoms(r, cols))
	}
	return m
}

// Every dtype has a row of the table; a number that is none does no harm.
func TestTable(t *testing.T) {
	for d := range Dtype(Dtypes) {
		back, err := ParseDtype(d.String())
		if err != nil || back != d {
			t.Errorf("%v is read as %v: %v", d, back, err)
		}
		if d.RowBytes(3) <= 0 || d.RowBytes(64)%d.Align() != 0 {
			t.Errorf("%v: rows of 3 and 64 numbers have %d and %d bytes", d, d.RowBytes(3), d.RowBytes(64))
		}
	}
	if none := Dtype(200); none.Grouped() || none.Float() || none.RowBytes(5) != 0 || none.String() != "dtype(200)" {
		t.Errorf("%v has traits", none)
	}
}
