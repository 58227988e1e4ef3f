package simd

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"unsafe"

	"github.com/chewxy/math32"

	"github.com/sparsegonia/sparsegonia/ops/activation"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// Every primitive of every variant against the generic one, at all alignments and lengths, between
// guard bytes. Moves and integers are equal bit for bit; sums are within rounding of the sizes of
// their terms.

// fenced is memory between bytes that make NaNs, so that what reads past an end gives a wrong
// result.
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
		if v.AMX != nil {
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

// slice returns the memory of f as numbers.
func slice[E any](f *fenced) []E {
	var e E
	return weights.SliceAt[E](f.p(), f.n/int(unsafe.Sizeof(e)))
}

// shapeOf returns a matrix of one row of n columns: kernels take rows from anywhere.
func shapeOf(d weights.Dtype, n int) *weights.Matrix { return weights.NewMatrix(d, 1, n) }

// eachLength calls f for numbers of columns: whole groups and, of every dtype, any number.
func eachLength(r *rand.Rand, f func(n int)) {
	for n := weights.Group; n <= 43*weights.Group; n += weights.Group {
		f(n)
		f(n - 1 - r.IntN(weights.Group-1))
	}
}

func TestDots(t *testing.T) {
	assemblies(t, func(t *testing.T, v *Variant, r *rand.Rand) {
		for _, d := range floatDtypes {
			eachLength(r, func(n int) {
				what := fmt.Sprintf("%v n=%d", d, n)
				x, m := fencedValues(randoms(r, n), 4*r.IntN(16)), shapeOf(d, n)
				var got, want Operand
				v.Rows[d].Prepare(&got, slice[float32](x))
				generic.Rows[d].Prepare(&want, slice[float32](x))
				var rows DotRows
				for i := range rows.Row {
					f := fencedRow(r, d, n, r.IntN(64))
					rows.Row[i], rows.Next[i] = f.p(), uintptr(f.p())+uintptr(v.Rows[d].DotAhead)
				}
				expected := rows
				v.Rows[d].Dot(&got, &rows, m)
				generic.Rows[d].Dot(&want, &expected, m)
				for i, p := range rows.Row {
					row := make([]float32, n)
					weights.Decode(d, row, p, n)
					size := 0.0
					for k, w := range row {
						size += math.Abs(float64(w) * float64(slice[float32](x)[k]))
					}
					if d.Grouped() {
						size *= 20 // nibbles are multiplied before their offset is taken off
					}
					if got := rows.Sum[i]; !(math.Abs(float64(got)-float64(expected.Sum[i])) <= 1e-6*size) {
						t.Fatalf("%s row %d: %v, want %v", what, i, got, expected.Sum[i])
					}
				}
			})
		}
	})
}

// columnSums are the y of an Add: numbers of columns in the order of a dtype.
type columnSums struct {
	*fenced
	kernel *RowKernel
	n      int
}

func fencedSums(kernel *RowKernel, columns []float32, offset int) *columnSums {
	sums := make([]float32, PaddedCols(len(columns)))
	for c, place := range kernel.places(len(columns)) {
		sums[int(place)] = columns[c]
	}
	return &columnSums{fencedValues(sums, offset), kernel, len(columns)}
}

// places returns where the sums of n columns stand.
func (k *RowKernel) places(n int) []float32 {
	places := make([]float32, n)
	k.InOrder(places, numbers(PaddedCols(n), func(i int) float32 { return float32(i) }), make([]float32, SumBlock))
	return places
}

func (s *columnSums) inOrder() []float32 {
	y := make([]float32, s.n)
	s.kernel.InOrder(y, slice[float32](s.fenced), make([]float32, SumBlock))
	return y
}

// The order is the one that sums.go describes.
func TestOrder(t *testing.T) {
	assemblies(t, func(t *testing.T, v *Variant, r *rand.Rand) {
		for _, d := range floatDtypes {
			places := v.Rows[d].places(3 * SumBlock)
			step := 0
			if v.Name == "avx512" {
				step = map[weights.Dtype]int{weights.Int8: 16, weights.Int8G: 16, weights.Int4: 32, weights.Int4M: 32}[d]
			}
			for c, got := range places {
				want := c
				if step != 0 {
					block, l, h, k, i := c/(4*step)*4*step, c/step%4, c%step/16, c%16/4, c%4
					want = block + 64*h + 16*k + 4*l + i
				}
				if int(got) != want {
					t.Fatalf("%v: column %d stands at %v, want %d", d, c, got, want)
				}
			}
		}
	})
}

// set sets random rows of n columns with coefficients and returns them decoded.
func (a *AxpyRows) set(r *rand.Rand, d weights.Dtype, n int, coef []float32) (rows [][]float32) {
	for i, c := range coef {
		f := fencedRow(r, d, n, r.IntN(64))
		a.Row[i], a.Coef[i], a.Next[i] = f.p(), c, uintptr(f.p())
		row := make([]float32, n)
		weights.Decode(d, row, f.p(), n)
		rows = append(rows, row)
	}
	return rows
}

// scaleOf returns the scale of column c of a row.
func scaleOf(d weights.Dtype, row unsafe.Pointer, n, c int) float64 {
	switch {
	case d.Grouped():
		return float64(weights.FromF16(*(*uint16)(unsafe.Add(weights.GroupedRow(d, row, n).Scales, c/weights.Group*2))))
	case d == weights.Int8:
		return float64(*(*float32)(unsafe.Add(row, weights.Int8Scale(n))))
	}
	return 0
}

// Sums of one to all rows are right but for the rounding of coefficients that package kernel
// grants.
func TestAdd(t *testing.T) {
	const epsilon = 1e-6
	assemblies(t, func(t *testing.T, v *Variant, r *rand.Rand) {
		for _, d := range floatDtypes {
			kernel := &v.Rows[d]
			step := map[weights.Dtype]float64{weights.Int8: 128 / 16383.0, weights.Int8G: 128 / 16383.0, weights.Int4: 8 / 127.0, weights.Int4M: 8 / 127.0}[d]
			eachLength(r, func(n int) {
				for _, count := range []int{1, 1 + r.IntN(kernel.PerAdd), kernel.PerAdd} {
					start := randoms(r, n)
					y := fencedSums(kernel, start, 4*r.IntN(16))
					var ar AxpyRows
					coef := randoms(r, count)
					rows := ar.set(r, d, n, coef)
					want, size := make([]float64, n), make([]float64, n)
					for k, s := range start {
						want[k], size[k] = float64(s), math.Abs(float64(s))
						largest := 0.0
						for i, row := range rows {
							term := float64(coef[i]) * float64(row[k])
							want[k] += term
							size[k] += math.Abs(term)
							largest = max(largest, math.Abs(float64(coef[i])*scaleOf(d, ar.Row[i], n, k)))
							if d == weights.Int4 || d == weights.Int4M { // the offset is added for itself
								size[k] += math.Abs(float64(coef[i])) * 5
							}
						}
						size[k] += float64(count) * largest * step * 0.502 / epsilon
					}
					kernel.Add(slice[float32](y.fenced), &ar, shapeOf(d, n), count)
					what := fmt.Sprintf("%v n=%d rows=%d", d, n, count)
					y.check(t, what)
					near(t, what, y.inOrder(), want, size, epsilon)
				}
			})
		}
	})
}

// Coefficients of bytes that are all nothing add nothing, those that are no numbers make none, and
// the largest bytes and coefficients fill an int32 almost to the last bit.
func TestAddBytes(t *testing.T) {
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
			"infinite": {[4]float32{1, math32.Inf(-1), 1, 1}, math.NaN()}, // or infinite, by how it is summed
			"NaN":      {[4]float32{1, 1, 1, math32.NaN()}, math.NaN()},
		} {
			start := randoms(r, n)
			y := fencedSums(&v.Rows[weights.Int8], start, 4*r.IntN(16))
			var ar AxpyRows
			copy(ar.Coef[:], c.coef[:])
			largest := 0.0
			for i, coef := range c.coef {
				largest = max(largest, math.Abs(float64(coef)))
				f := fencedValues(slices.Repeat([]int8{-128}, n+4), 4*r.IntN(16))
				*(*float32)(unsafe.Add(f.p(), n)) = 1
				ar.Row[i], ar.Next[i] = f.p(), uintptr(f.p())
			}
			v.Rows[weights.Int8].Add(slice[float32](y.fenced), &ar, shapeOf(weights.Int8, n), 4)
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

// Eight rows of 4 bits are rounded as the generic kernel rounds them.
func TestAddNibbles(t *testing.T) {
	assemblies(t, func(t *testing.T, v *Variant, r *rand.Rand) {
		least, step := 1, 1
		if v.Name == "avx2" { // fewer groups are not rounded
			least, step = 8, 2
		}
		for _, d := range []weights.Dtype{weights.Int4, weights.Int4M} {
			for groups := least; groups <= 40; groups += step {
				for round := range 20 {
					n := groups * weights.Group
					start := randoms(r, n)
					y, want := fencedSums(&v.Rows[d], start, 4*r.IntN(16)), slices.Grow(slices.Clone(start), SumBlock)
					var ar AxpyRows
					size := 100.0
					coef := randoms(r, 8)
					switch round {
					case 1:
						clear(coef)
					case 2:
						coef[5], size = 1e6, 1e8
					case 3:
						coef[5] = strange[len(strange)-1-r.IntN(3)]
					}
					ar.set(r, d, n, coef)
					same := ar
					v.Rows[d].Add(slice[float32](y.fenced), &ar, shapeOf(d, n), 8)
					generic.Rows[d].Add(want[:PaddedCols(n)], &same, shapeOf(d, n), 8)
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
		halves := numbers(1<<16, func(i int) uint16 { return uint16(i) })
		for _, d := range []weights.Dtype{weights.F16, weights.BF16} {
			got, want := make([]float32, 1<<16), make([]float32, 1<<16)
			v.Rows[d].Widen(got, nil, Address(halves), 0, 1<<16)
			generic.Rows[d].Widen(want, nil, Address(halves), 0, 1<<16)
			equal(t, d.String(), got, want)
		}
		for _, d := range floatDtypes {
			kernel, reference := &v.Rows[d], &generic.Rows[d]
			for cols := 1; cols <= 8*weights.Group; cols += 1 + r.IntN(7) {
				m, row := shapeOf(d, cols), fencedRow(r, d, cols, r.IntN(64))
				c := r.IntN(cols) &^ (weights.Group - 1)
				n := 1 + r.IntN(cols-c)
				padded := weights.Groups(n) * weights.Group
				what := fmt.Sprintf("%v of %d columns %d from %d on", d, cols, n, c)
				got, want := newFenced(4*padded, 4*r.IntN(16)), make([]float32, padded)
				kernel.Widen(slice[float32](got), m, row.p(), c, n)
				reference.Widen(want, m, row.p(), c, n)
				got.check(t, what)
				equal(t, what, slice[float32](got)[:n], want[:n])
				kernel.Prefetch(m, row.p(), c, n)

				if kernel.Widen16 != nil {
					got, want := newFenced(2*padded, 2*r.IntN(32)), make([]int16, padded)
					var factors, mins, wantFactors, wantMins [8]float32
					kernel.Widen16(slice[int16](got), factors[:], mins[:], m, row.p(), c, n)
					reference.Widen16(want, wantFactors[:], wantMins[:], m, row.p(), c, n)
					got.check(t, what)
					if !slices.Equal(slice[int16](got)[:n], want[:n]) || factors != wantFactors || mins != wantMins {
						t.Fatalf("%s: as int16 %v × %v + %v, want %v × %v + %v", what, slice[int16](got), factors, mins, want, wantFactors, wantMins)
					}
				}
				if kernel.WidenPairs != nil {
					second := fencedRow(r, d, cols, r.IntN(64))
					got, want := newFenced(4*n, 4*r.IntN(16)), make([]int16, 2*n)
					kernel.WidenPairs(slice[int16](got), m, row.p(), second.p(), c, n)
					reference.WidenPairs(want, m, row.p(), second.p(), c, n)
					got.check(t, what)
					if !slices.Equal(slice[int16](got), want) {
						t.Fatalf("%s: pairs %v, want %v", what, slice[int16](got), want)
					}
					for k, q := range kernel.Bytes(m, row.p(), c, n) {
						if int16(q) != want[2*k] {
							t.Fatalf("%s: byte %d is %d, want %d", what, k, q, want[2*k])
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
				v.Tile(slice[float32](c), w.p(), rowStep, colStep, slice[float32](x))
				what := fmt.Sprintf("k=%d column-major=%v", k, columnMajor)
				c.check(t, what)
				near(t, what, weights.SliceAt[float32](c.p(), size), want, terms, 1e-6)
			}
		}
	})
}

func TestTranspose(t *testing.T) {
	assemblies(t, func(t *testing.T, v *Variant, r *rand.Rand) {
		for range 20 {
			n := v.square
			srcStep, dstStep := n+r.IntN(9), n+r.IntN(9)
			in := randoms(r, (n-1)*srcStep+n)
			src, dst := fencedValues(in, 4*r.IntN(16)), newFenced(4*((n-1)*dstStep+n), 4*r.IntN(16))
			v.transpose(slice[float32](dst), slice[float32](src), dstStep, srcStep)
			dst.check(t, "transpose")
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
					v.TilePairs(slice[float32](c), w.p(), 2*n, 4, slice[int16](x), slice[float32](factors), groups, groups)
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
	88, -88, 89, -89, 1e4, -1e4, 15, -15, 0.5, -0.5, 1.5, -1.5, math32.Inf(1), math32.Inf(-1), math32.NaN(),
}

func TestElementwise(t *testing.T) {
	assemblies(t, func(t *testing.T, v *Variant, r *rand.Rand) {
		for n := range 70 {
			x := randoms(r, n)
			if n >= 40 {
				copy(x, strange)
			}
			a, b := fencedValues(x, 4*r.IntN(16)), fencedValues(randoms(r, n), 4*r.IntN(16))
			in, second := slice[float32](a), slice[float32](b)
			for _, op := range []struct {
				name    string
				epsilon float64 // relative
				run     func(v *Variant, y []float32)
			}{
				{"silu", 3e-6, func(v *Variant, y []float32) { v.Activate[activation.SiLU](y, in) }},
				{"gelu", 0, func(v *Variant, y []float32) { v.Activate[activation.GELU](y, in) }},
				{"gelu_tanh", 6e-6, func(v *Variant, y []float32) { v.Activate[activation.GELUTanh](y, in) }},
				{"relu", 0, func(v *Variant, y []float32) { v.Activate[activation.ReLU](y, in) }},
				{"mul", 0, func(v *Variant, y []float32) { v.Mul(y, in, second) }},
				{"add", 0, func(v *Variant, y []float32) { v.Add(y, in, second) }},
				{"norm", 0, func(v *Variant, y []float32) { v.Norm(y, in, second, 0.37) }},
				{"scale", 0, func(v *Variant, y []float32) {
					copy(y, x)
					v.Scale(y, -0.37)
				}},
			} {
				got, want := newFenced(4*n, 4*r.IntN(16)), make([]float32, n)
				op.run(v, slice[float32](got))
				op.run(&generic, want)
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
			got, sum := v.expSum(slice[float32](y), slice[float32](x), 1.5), generic.expSum(want, slice[float32](x), 1.5)
			y.check(t, "expSum")
			if math.Abs(float64(got-sum)) > 2e-6*float64(sum) {
				t.Fatalf("expSum n=%d: %v, want %v", n, got, sum)
			}
			for k, g := range weights.SliceAt[float32](y.p(), n) {
				if math.Abs(float64(g-want[k])) > 2e-6*float64(want[k]) {
					t.Fatalf("expSum n=%d: element %d is %v, want %v", n, k, g, want[k])
				}
			}
			a, b := v.SumSquares(slice[float32](x)), generic.SumSquares(slice[float32](x))
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
				got, want := new(Operand), new(Operand)
				v.Rows[d].Prepare(got, in)
				generic.Rows[d].Prepare(want, in)
				what := fmt.Sprintf("%v n=%d", d, n)
				if d == weights.Int8 {
					equal(t, what, []float32{got.scale}, []float32{want.scale})
					if got.scale != 0 && !slices.Equal(got.q16, want.q16) {
						t.Fatalf("%s: quants are %v, want %v", what, got.q16, want.q16)
					}
				} else {
					if !slices.Equal(got.d, want.d) || !slices.Equal(got.s, want.s) {
						t.Fatalf("%s: scales %v and sums %v, want %v and %v", what, got.d, got.s, want.d, want.s)
					}
					for k, q := range got.q {
						if q != want.q[k] && got.d[k/weights.Group] != 0 {
							t.Fatalf("%s: quant %d is %d, want %d", what, k, q, want.q[k])
						}
					}
				}
				for _, bad := range strange[len(strange)-3:] {
					at := r.IntN(n)
					in[at] = bad
					v.Rows[d].Prepare(got, in)
					scale := got.scale
					if d.Grouped() {
						scale = got.d[at/weights.Group]
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
			v.PackPairs(slice[int16](got), slice[float32](x), slice[float32](scales), factors, 1)
			got.check(t, "pairs")
			scales.check(t, "scales")
			for j, s := range weights.SliceAt[float32](scales.p(), width) {
				var largest float32
				for k := range n {
					largest = max(largest, math32.Abs(in[k*width+j]*factors[k]))
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
			v.PackPairs(slice[int16](got), in, slice[float32](scales), factors, 1)
			for j, s := range weights.SliceAt[float32](scales.p(), width) {
				if bad := n > 1 && j == width/2; (s != s) != bad {
					t.Fatalf("n=%d: an infinity in column %d made scale %d %v", n, width/2, j, s)
				}
			}
		}
	})
}
