package simd

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"unsafe"

	"github.com/sparsegonia/sparsegonia/ops/activation"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// Every primitive of every variant against the generic one, at all alignments and lengths, between guard bytes. Moves and
// integers are equal bit for bit; sums are within rounding of the sizes of their terms.

// fenced is memory between bytes that make NaNs, so that what reads past an end gives a wrong result.
type fenced struct {
	bytes []byte
	first int
	n     int
}

const (
	fence     = 96
	fenceByte = 0xff
)

// newFenced returns n bytes that begin offset bytes behind a multiple of 64.
func newFenced(n, offset int) *fenced {
	f := &fenced{bytes: weights.AlignedBytes(n + 2*fence + 64), first: 64 + offset%64, n: n}
	for i := range f.bytes {
		f.bytes[i] = fenceByte
	}
	return f
}

func (f *fenced) p() unsafe.Pointer { return unsafe.Pointer(&f.bytes[f.first]) }

func (f *fenced) check(t *testing.T, what string) {
	t.Helper()
	for i, b := range f.bytes {
		if b != fenceByte && (i < f.first || i >= f.first+f.n) {
			t.Fatalf("%s: byte %d of %d was written", what, i-f.first, f.n)
		}
	}
}

func fencedValues[E any](x []E, offset int) *fenced {
	var e E
	f := newFenced(len(x)*int(unsafe.Sizeof(e)), offset)
	copy(weights.SliceAt[E](f.p(), len(x)), x)
	return f
}

// fencedRow is a row of n columns.
func fencedRow(r *rand.Rand, d weights.Dtype, n, offset int) *fenced {
	f := newFenced(d.RowBytes(n), offset&^(d.Align()-1))
	weights.Encode(d, f.bytes[f.first:][:f.n], randoms(r, n))
	return f
}

func assemblies(t *testing.T, f func(t *testing.T, v *Variant, r *rand.Rand)) {
	t.Helper()
	for _, v := range All() {
		if v.Unit != nil {
			continue // the primitives that it adds to those of another variant have tests of their own
		}
		t.Run(v.Name, func(t *testing.T) { f(t, v, rand.New(rand.NewPCG(21, 22))) })
	}
}

func same(a, b float32) bool {
	return a == b && math.Signbit(float64(a)) == math.Signbit(float64(b)) || a != a && b != b
}

func equal(t *testing.T, what string, got, want []float32) {
	t.Helper()
	for i := range want {
		if !same(got[i], want[i]) {
			t.Fatalf("%s: element %d is %v, want %v", what, i, got[i], want[i])
		}
	}
}

// preparedOperand is x as rows of d read it, in memory of its own.
func preparedOperand(d weights.Dtype, x []float32) *Operand {
	o := new(Operand)
	generic.Prepare(o, d, x)
	return o
}

func TestDots(t *testing.T) {
	assemblies(t, func(t *testing.T, v *Variant, r *rand.Rand) {
		for _, d := range floatDtypes {
			for n := weights.Group; n <= 43*weights.Group; n += weights.Group {
				what := fmt.Sprintf("%v n=%d", d, n)
				x := fencedValues(randoms(r, n), 4*r.IntN(16))
				in, count := x.p(), n
				o := preparedOperand(d, weights.SliceAt[float32](x.p(), n))
				switch {
				case d.Grouped():
					in, count = unsafe.Pointer(o), n/weights.Group
				case d == weights.Int8:
					in = o.Q
				}
				var rows DotRows
				var want [RowsPerDot]float32
				for i := range rows.Row {
					f := fencedRow(r, d, n, r.IntN(64))
					rows.Row[i], rows.Next[i] = f.p(), uintptr(f.p())+uintptr(v.Streaming.Dot)
				}
				for i := 0; i < RowsPerDot; i += 2 {
					a, b := rows.Row[i], rows.Row[i+1]
					want[i], want[i+1] = generic.dot2[d](in, a, b, count, 0, 0)
					if v.dot4[d] == nil {
						rows.Sum[i], rows.Sum[i+1] = v.dot2[d](in, a, b, count, uintptr(b), 0)
					}
				}
				if v.dot4[d] != nil {
					v.dot4[d](in, &rows, count)
				}
				for i, p := range rows.Row {
					row := make([]float32, n)
					weights.Decode(d, row, p, n)
					size := 0.0
					for k, w := range row {
						size += math.Abs(float64(w) * float64(weights.SliceAt[float32](x.p(), n)[k]))
					}
					if d == weights.Int8 {
						size /= float64(o.Scale) * float64(*(*float32)(unsafe.Add(p, weights.Int8Scale(n))))
					}
					if d.Grouped() {
						size *= 20 // nibbles are multiplied before their offset is taken off
					}
					if got := rows.Sum[i]; !(math.Abs(float64(got)-float64(want[i])) <= 1e-6*size) {
						t.Fatalf("%s row %d: %v, want %v", what, i, got, want[i])
					}
				}
			}
		}
	})
}

// columnSums are what axpy adds to: numbers of columns in the sumOrder of a dtype, in whole blocks.
type columnSums struct {
	*fenced
	v *Variant
	d weights.Dtype
	n int
}

func fencedSums(v *Variant, d weights.Dtype, columns []float32, offset int) *columnSums {
	step := v.SumOrder[d]
	if step == 0 {
		return &columnSums{fencedValues(columns, offset), v, d, len(columns)}
	}
	places := make([]float32, (len(columns)+4*step-1)/(4*step)*4*step)
	for c, x := range columns {
		block, l, h, k, i := c/(4*step)*4*step, c/step%4, c%step/16, c%16/4, c%4
		places[block+64*h+16*k+4*l+i] = x
	}
	return &columnSums{fencedValues(places, offset), v, d, len(columns)}
}

func (s *columnSums) inOrder() []float32 {
	y := make([]float32, s.n)
	s.v.InOrder(y, weights.SliceAt[float32](s.p(), s.fenced.n/4), s.v.SumOrder[s.d], make([]float32, SumBlock))
	return y
}

func TestAxpy(t *testing.T) {
	assemblies(t, func(t *testing.T, v *Variant, r *rand.Rand) {
		for _, d := range floatDtypes {
			for whole := weights.Group; whole <= 43*weights.Group; whole += weights.Group {
				n := whole
				if d == weights.Int8 && v.SumOrder[d] != 0 {
					n -= r.IntN(weights.Group)
				}
				for _, rows := range []int{1, 4} {
					if rows == 1 && v.axpy1[d] == nil || v.axpy4[d] == nil {
						continue // axpy4 of Int8 and Int8G, or axpy8 of 4 bits, does what they would
					}
					y := fencedSums(v, d, randoms(r, n), 4*r.IntN(16))
					start := y.inOrder()
					var ar AxpyRows
					coef := randoms(r, 4)
					const epsilon = 1e-6
					largest := 0.0
					for _, c := range coef {
						largest = max(largest, math.Abs(float64(c)))
					}
					want, size := make([]float64, n), make([]float64, n)
					for k, s := range start {
						want[k], size[k] = float64(s), math.Abs(float64(s))
					}
					for i := range rows {
						f := fencedRow(r, d, n, r.IntN(64))
						ar.Row[i], ar.Coef[i], ar.Next[i], ar.bytes = f.p(), coef[i], uintptr(f.p()), f.n
						scale := float32(1)
						if d.Grouped() {
							g := weights.GroupedRow(d, f.p(), n)
							ar.scales[i], ar.mins[i] = g.Scales, g.Mins
						} else if d == weights.Int8 {
							scale = *(*float32)(unsafe.Add(f.p(), weights.Int8Scale(n)))
						}
						row := make([]float32, n)
						weights.Decode(d, row, f.p(), n)
						for k, w := range row {
							term := float64(coef[i]) * float64(w) / float64(scale)
							want[k] += term
							size[k] += math.Abs(term)
							if rows == 4 && d == weights.Int8 { // coefficients may be rounded
								size[k] += largest * math.Abs(float64(w/scale)) * 0.501 / 16383 / epsilon
							}
							if d == weights.Int8G { // by its scale, this coefficient may be the largest
								rounding := math.Abs(float64(coef[i]) * float64(weights.FromF16(weights.SliceAt[uint16](ar.scales[i], n/weights.Group)[k/weights.Group])))
								size[k] += float64(rows-1) / 3 * rounding * 4 * 127 * 0.501 / 16383 / epsilon
							}
							if d == weights.Int4 || d == weights.Int4M { // the offset is added for itself
								size[k] += math.Abs(float64(coef[i])) * 5
							}
						}
					}
					if rows == 4 {
						v.axpy4[d](y.p(), &ar, n)
					} else {
						v.axpy1[d](y.p(), &ar, n)
					}
					what := fmt.Sprintf("%v n=%d rows=%d", d, n, rows)
					y.check(t, what)
					near(t, what, y.inOrder(), want, size, epsilon)
				}
			}
		}
	})
}

// Coefficients of bytes that are all nothing add nothing, those that are no numbers make none, and the largest bytes and
// coefficients fill an int32 almost to the last bit.
func TestAxpyBytes(t *testing.T) {
	assemblies(t, func(t *testing.T, v *Variant, r *rand.Rand) {
		const n = 5 * weights.Group
		for name, c := range map[string]struct {
			coef [4]float32
			sum  float64 // of the coefficients
		}{
			"zeros":    {},
			"largest":  {[4]float32{-3, -3, -3, -3}, -12},
			"opposite": {[4]float32{3, -3, 3, -3}, 0},
			"one":      {[4]float32{0, 0, 0, 7}, 7},
			"tiny":     {[4]float32{1e-30, 2e-30, 0, 0}, 3e-30},
			"infinite": {[4]float32{1, float32(math.Inf(-1)), 1, 1}, math.NaN()}, // or infinite, by how it is summed
			"NaN":      {[4]float32{1, 1, 1, float32(math.NaN())}, math.NaN()},
		} {
			start := randoms(r, n)
			y := fencedSums(v, weights.Int8, start, 4*r.IntN(16))
			var ar AxpyRows
			copy(ar.Coef[:], c.coef[:])
			largest := 0.0
			for i, coef := range c.coef {
				largest = max(largest, math.Abs(float64(coef)))
				f := fencedValues(slices.Repeat([]int8{-128}, n), r.IntN(64))
				ar.Row[i], ar.Next[i], ar.bytes = f.p(), uintptr(f.p()), n
			}
			v.axpy4[weights.Int8](y.p(), &ar, n)
			y.check(t, name)
			for k, got := range y.inOrder() {
				want := float64(start[k]) - 128*c.sum
				if want != want {
					if got == got && !(name == "infinite" && math.IsInf(float64(got), 0)) {
						t.Fatalf("%s: column %d is %v", name, k, got)
					}
					continue
				}
				if !(math.Abs(float64(got)-want) <= 0.01*largest+1e-6*math.Abs(want)) {
					t.Fatalf("%s: column %d is %v, want %v", name, k, got, want)
				}
			}
		}
	})
}

func TestAxpy8(t *testing.T) {
	assemblies(t, func(t *testing.T, v *Variant, r *rand.Rand) {
		for _, d := range []weights.Dtype{weights.Int4, weights.Int4M} {
			for groups := max(v.axpy8Least, 1); groups <= 40; groups += max(v.axpy8Step, 1) {
				for round := range 20 {
					n := groups * weights.Group
					y := fencedSums(v, d, randoms(r, n), 4*r.IntN(16))
					want := y.inOrder()
					var ar AxpyRows
					size := 100.0
					for i := range ar.Row {
						f := fencedRow(r, d, n, r.IntN(64))
						g := weights.GroupedRow(d, f.p(), n)
						ar.Row[i], ar.scales[i], ar.mins[i], ar.Next[i], ar.bytes = f.p(), g.Scales, g.Mins, uintptr(f.p()), f.n
						ar.Coef[i] = float32(r.NormFloat64())
						if round == 1 {
							ar.Coef[i] = 0
						}
						if round == 2 && i == 5 {
							ar.Coef[i] = 1e6
							size = 1e8
						}
						if round == 3 && i == 5 {
							ar.Coef[i] = strange[len(strange)-1-r.IntN(3)]
						}
					}
					v.axpy8[d](y.p(), &ar, groups)
					generic.axpy8[d](Address(want), &ar, groups)
					what := fmt.Sprintf("%v groups=%d round=%d", d, groups, round)
					y.check(t, what)
					for k, got := range y.inOrder() {
						if !(math.Abs(float64(got)-float64(want[k])) <= 1e-6*size) && (got == got || want[k] == want[k]) || round == 3 && got == got {
							t.Fatalf("%s: element %d is %v, want %v", what, k, got, want[k])
						}
					}
				}
			}
		}
	})
}

// All float16, and every quant, widen exactly.
func TestWiden(t *testing.T) {
	assemblies(t, func(t *testing.T, v *Variant, r *rand.Rand) {
		halves := make([]uint16, 1<<16)
		for i := range halves {
			halves[i] = uint16(i)
		}
		for _, d := range []weights.Dtype{weights.F16, weights.BF16} {
			got, want := make([]float32, 1<<16), make([]float32, 1<<16)
			v.widen[d](Address(got), Address(halves), 1<<16)
			generic.widen[d](Address(want), Address(halves), 1<<16)
			equal(t, d.String(), got, want)
		}
		for _, d := range floatDtypes {
			for n := weights.Group; n <= 8*weights.Group; n += weights.Group {
				row := fencedRow(r, d, n, r.IntN(64))
				got, want := newFenced(4*n, 4*r.IntN(16)), make([]float32, n)
				if d.Grouped() {
					v.widenGroups[d](got.p(), weights.GroupedRow(d, row.p(), n), n/weights.Group)
					generic.widenGroups[d](Address(want), weights.GroupedRow(d, row.p(), n), n/weights.Group)
				} else {
					v.widen[d](got.p(), row.p(), n)
					generic.widen[d](Address(want), row.p(), n)
				}
				what := fmt.Sprintf("%v n=%d", d, n)
				got.check(t, what)
				equal(t, what, weights.SliceAt[float32](got.p(), n), want)

				if d == weights.Int8 || d.Grouped() {
					got, want := newFenced(2*n, 2*r.IntN(32)), make([]int16, n)
					v.widen16[d](got.p(), row.p(), n/weights.Group)
					generic.widen16[d](Address(want), row.p(), n/weights.Group)
					got.check(t, what)
					for k, q := range weights.SliceAt[int16](got.p(), n) {
						if q != want[k] {
							t.Fatalf("%s: quant %d is %d, want %d", what, k, q, want[k])
						}
					}
				}
				if d == weights.Int8 {
					second := fencedRow(r, d, n, r.IntN(64))
					got, want := newFenced(4*n, 4*r.IntN(16)), make([]int32, n)
					v.widenPairs(got.p(), row.p(), second.p(), n)
					generic.widenPairs(Address(want), row.p(), second.p(), n)
					got.check(t, what)
					for k, q := range weights.SliceAt[int32](got.p(), n) {
						if q != want[k] {
							t.Fatalf("%s: pair %d is %#x, want %#x", what, k, q, want[k])
						}
					}
				}
			}
		}
	})
}

func TestTiles(t *testing.T) {
	assemblies(t, func(t *testing.T, v *Variant, r *rand.Rand) {
		size := v.TileRows * v.TileCols
		for k := range 21 {
			for _, columnMajor := range []bool{false, true} {
				rowStep, colStep := 4*(k+3), 4
				if columnMajor {
					rowStep, colStep = 4, 4*(v.TileRows+1)
				}
				w := fencedValues(randoms(r, (v.TileRows+1)*(k+3)), 4*r.IntN(16))
				x := fencedValues(randoms(r, k*v.TileCols), 4*r.IntN(16))
				c := fencedValues(randoms(r, size), 4*r.IntN(16))
				want, terms := make([]float64, size), make([]float64, size)
				for i := range want {
					start := float64(weights.SliceAt[float32](c.p(), size)[i])
					want[i], terms[i] = start, math.Abs(start)
					for j := range k {
						a := *(*float32)(unsafe.Add(w.p(), i/v.TileCols*rowStep+j*colStep))
						term := float64(a) * float64(weights.SliceAt[float32](x.p(), k*v.TileCols)[j*v.TileCols+i%v.TileCols])
						want[i] += term
						terms[i] += math.Abs(term)
					}
				}
				v.Tile(c.p(), w.p(), rowStep, colStep, x.p(), k)
				what := fmt.Sprintf("k=%d column-major=%v", k, columnMajor)
				c.check(t, what)
				near(t, what, weights.SliceAt[float32](c.p(), size), want, terms, 1e-6)
			}
		}
	})
}

func TestTurn(t *testing.T) {
	assemblies(t, func(t *testing.T, v *Variant, r *rand.Rand) {
		for range 20 {
			n := v.turnSize
			srcStep, dstStep := n+r.IntN(9), n+r.IntN(9)
			in := randoms(r, (n-1)*srcStep+n)
			src, dst := fencedValues(in, 4*r.IntN(16)), newFenced(4*((n-1)*dstStep+n), 4*r.IntN(16))
			v.turn(dst.p(), src.p(), 4*dstStep, 4*srcStep)
			dst.check(t, "turn")
			for at, x := range weights.SliceAt[float32](dst.p(), dst.n/4) {
				want := float32(math.NaN()) // between the rows
				if j, i := at/dstStep, at%dstStep; i < n {
					want = in[i*srcStep+j]
				}
				if !same(x, want) {
					t.Fatalf("number %d of %d rows %d apart is %v, want %v", at, n, dstStep, x, want)
				}
			}
		}
	})
}

// The largest numbers fill an int32 almost to the last bit; none may be lost.
func TestTilePairs(t *testing.T) {
	assemblies(t, func(t *testing.T, v *Variant, r *rand.Rand) {
		size := v.TileRows * v.TileCols
		for _, pairs := range []int{4, 16, 20, 128} {
			for groups := 1; groups <= 3; groups++ {
				for _, extreme := range []bool{false, true} {
					n := 2 * pairs * groups
					weight := func(int) int16 { return int16(int8(r.Uint32())) }
					input := func(int) int16 { return int16(r.IntN(2*Int16Limit+1) - Int16Limit) }
					if extreme {
						weight = func(int) int16 { return -128 }
						input = func(int) int16 { return -Int16Limit }
					}
					w := fencedValues(numbers(n*v.TileRows, weight), 2*r.IntN(32))
					x := fencedValues(numbers(n*v.TileCols, input), 2*r.IntN(32))
					factors := fencedValues(randoms(r, groups*v.TileRows), 4*r.IntN(16))
					c := fencedValues(make([]float32, size), 4*r.IntN(16))
					want, terms := make([]float64, size), make([]float64, size)
					for i := range want {
						row := weights.SliceAt[int16](unsafe.Add(w.p(), i/v.TileCols*2*n), n)
						for g := range groups {
							sum := 0
							for k := g * 2 * pairs; k < (g+1)*2*pairs; k++ {
								at := (k/2*v.TileCols+i%v.TileCols)*2 + k%2
								sum += int(row[k]) * int(weights.SliceAt[int16](x.p(), n*v.TileCols)[at])
							}
							if sum > math.MaxInt32 {
								t.Fatal("the case overflows")
							}
							f := float64(weights.SliceAt[float32](factors.p(), groups*v.TileRows)[i/v.TileCols*groups+g])
							want[i] += f * float64(sum)
							terms[i] += math.Abs(f * float64(sum))
						}
					}
					v.TilePairs(c.p(), w.p(), 2*n, 4, x.p(), factors.p(), 4*groups, pairs, groups)
					what := fmt.Sprintf("pairs=%d groups=%d extreme=%v", pairs, groups, extreme)
					c.check(t, what)
					near(t, what, weights.SliceAt[float32](c.p(), size), want, terms, 2e-7)
				}
			}
		}
	})
}

func numbers[E any](n int, f func(i int) E) []E {
	x := make([]E, n)
	for i := range x {
		x[i] = f(i)
	}
	return x
}

// strange are floats that a kernel may get wrong.
var strange = []float32{
	0, float32(math.Copysign(0, -1)), 1, -1, 1e-45, -1e-45, 1e-39, math.MaxFloat32, -math.MaxFloat32,
	88, -88, 89, -89, 1e4, -1e4, 15, -15, 0.5, -0.5, 1.5, -1.5, float32(math.Inf(1)), float32(math.Inf(-1)), float32(math.NaN()),
}

func TestElementwise(t *testing.T) {
	assemblies(t, func(t *testing.T, v *Variant, r *rand.Rand) {
		for n := range 70 {
			x := randoms(r, n)
			if n >= 40 {
				copy(x, strange)
			}
			a, b := fencedValues(x, 4*r.IntN(16)), fencedValues(randoms(r, n), 4*r.IntN(16))
			for _, op := range []struct {
				name    string
				epsilon float64 // relative
				run     func(v *Variant, y unsafe.Pointer)
			}{
				{"silu", 3e-6, func(v *Variant, y unsafe.Pointer) { v.Activate[activation.SiLU](y, a.p(), n) }},
				{"gelu", 0, func(v *Variant, y unsafe.Pointer) { v.Activate[activation.GELU](y, a.p(), n) }},
				{"gelu_tanh", 6e-6, func(v *Variant, y unsafe.Pointer) { v.Activate[activation.GELUTanh](y, a.p(), n) }},
				{"relu", 0, func(v *Variant, y unsafe.Pointer) { v.Activate[activation.ReLU](y, a.p(), n) }},
				{"mul", 0, func(v *Variant, y unsafe.Pointer) { v.Mul(y, a.p(), b.p(), n) }},
				{"add", 0, func(v *Variant, y unsafe.Pointer) { v.Add(y, a.p(), b.p(), n) }},
				{"norm", 0, func(v *Variant, y unsafe.Pointer) { v.Norm(y, a.p(), b.p(), 0.37, n) }},
				{"scale", 0, func(v *Variant, y unsafe.Pointer) {
					copy(weights.SliceAt[float32](y, n), x)
					v.Scale(y, -0.37, n)
				}},
			} {
				got, want := newFenced(4*n, 4*r.IntN(16)), make([]float32, n+1)
				op.run(v, got.p())
				op.run(&generic, Address(want))
				what := fmt.Sprintf("%s n=%d", op.name, n)
				got.check(t, what)
				for k, g := range weights.SliceAt[float32](got.p(), n) {
					w := want[k]
					near := math.Abs(float64(g)-float64(w)) <= op.epsilon*math.Abs(float64(w))+3e-36 && op.epsilon > 0
					if !same(g, w) && !near && !(g == 0 && w == 0) {
						t.Fatalf("%s: of %v is %v, want %v", what, x[k], g, w)
					}
				}
			}
		}
	})
}

func TestReductions(t *testing.T) {
	assemblies(t, func(t *testing.T, v *Variant, r *rand.Rand) {
		for n := 1; n < 70; n++ {
			x := fencedValues(randoms(r, n), 4*r.IntN(16))
			y, want := newFenced(4*n, 4*r.IntN(16)), make([]float32, n)
			got, sum := v.expSum(y.p(), x.p(), 1.5, n), generic.expSum(Address(want), x.p(), 1.5, n)
			y.check(t, "expSum")
			if math.Abs(float64(got-sum)) > 2e-6*float64(sum) {
				t.Fatalf("expSum n=%d: %v, want %v", n, got, sum)
			}
			for k, g := range weights.SliceAt[float32](y.p(), n) {
				if math.Abs(float64(g-want[k])) > 2e-6*float64(want[k]) {
					t.Fatalf("expSum n=%d: element %d is %v, want %v", n, k, g, want[k])
				}
			}
			a, b := v.SumSquares(x.p(), n), generic.SumSquares(x.p(), n)
			if math.Abs(a-b) > 1e-12*b {
				t.Fatalf("sumSquares n=%d: %v, want %v", n, a, b)
			}
		}
	})
}

// Inputs round to the same quants under every variant; what is not finite makes the scale NaN.
func TestQuantize(t *testing.T) {
	assemblies(t, func(t *testing.T, v *Variant, r *rand.Rand) {
		for n := 1; n < 150; n++ {
			for _, d := range []weights.Dtype{weights.Int8, weights.Int8G} {
				x := fencedValues(randoms(r, n), 4*r.IntN(16))
				in := weights.SliceAt[float32](x.p(), n)
				if n%7 == 0 {
					clear(in)
				}
				got, want := new(Operand), preparedOperand(d, in)
				v.Prepare(got, d, in)
				what := fmt.Sprintf("%v n=%d", d, n)
				if d == weights.Int8 {
					equal(t, what, []float32{got.Scale}, []float32{want.Scale})
					for k, q := range weights.SliceAt[int16](got.Q, n) {
						if w := weights.SliceAt[int16](want.Q, n)[k]; q != w && got.Scale != 0 {
							t.Fatalf("%s: quant %d is %d, want %d", what, k, q, w)
						}
					}
				} else {
					for g := range weights.Groups(n) {
						if got.scales[g] != want.scales[g] || got.sums[g] != want.sums[g] {
							t.Fatalf("%s: group %d has scale %v and sum %v, want %v and %v", what, g, got.scales[g], got.sums[g], want.scales[g], want.sums[g])
						}
					}
					for k, q := range weights.SliceAt[int8](got.Q, weights.Groups(n)*weights.Group) {
						if w := weights.SliceAt[int8](want.Q, weights.Groups(n)*weights.Group)[k]; q != w && got.scales[k/weights.Group] != 0 {
							t.Fatalf("%s: quant %d is %d, want %d", what, k, q, w)
						}
					}
				}
				for _, bad := range strange[len(strange)-3:] {
					at := r.IntN(n)
					in[at] = bad
					v.Prepare(got, d, in)
					scale := got.Scale
					if d.Grouped() {
						scale = got.scales[at/weights.Group]
					}
					if scale == scale {
						t.Fatalf("%s: the scale of %v is %v", what, bad, scale)
					}
				}
			}
		}
	})
}

func TestPackPairs(t *testing.T) {
	assemblies(t, func(t *testing.T, v *Variant, r *rand.Rand) {
		width := v.TileCols
		for n := 2; n < 40; n += 2 {
			in := randoms(r, n*width)
			for k := range n {
				in[k*width] = 0 // a column of zeros
			}
			factors := randoms(r, n)
			x := fencedValues(in, 4*r.IntN(16))
			got, scales := newFenced(2*n*width, 4*r.IntN(16)), newFenced(4*width, 4*r.IntN(16))
			v.PackPairs(got.p(), x.p(), scales.p(), Address(factors), 4, n)
			got.check(t, "pairs")
			scales.check(t, "scales")
			for j, s := range weights.SliceAt[float32](scales.p(), width) {
				var largest float32
				for k := range n {
					largest = max(largest, weights.Abs(in[k*width+j]*factors[k]))
				}
				if s != largest/Int16Limit {
					t.Fatalf("n=%d: scale %d is %v, want %v", n, j, s, largest/Int16Limit)
				}
				for k := range n {
					q := weights.SliceAt[int16](got.p(), n*width)[(k/2*width+j)*2+k%2]
					if want := int16(weights.Quantum(in[k*width+j]*factors[k], s, Int16Limit)); q != want {
						t.Fatalf("n=%d: quant %d,%d is %d, want %d", n, k, j, q, want)
					}
				}
			}
			in[3*width/2] = float32(math.Inf(1))
			v.PackPairs(got.p(), Address(in), scales.p(), Address(factors), 4, n)
			for j, s := range weights.SliceAt[float32](scales.p(), width) {
				if bad := n > 1 && j == width/2; (s != s) != bad {
					t.Fatalf("n=%d: an infinity in column %d made scale %d %v", n, width/2, j, s)
				}
			}
		}
	})
}
