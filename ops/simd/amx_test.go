package simd

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/chewxy/math32"

	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// onAMX runs f for the variants that have AMX.
func onAMX(t *testing.T, f func(t *testing.T, v *Variant, r *rand.Rand)) {
	t.Helper()
	found := false
	for _, v := range All() {
		if v.AMX != nil {
			found = true
			t.Run(v.Name, func(t *testing.T) { f(t, v, rand.New(rand.NewPCG(71, 72))) })
		}
	}
	if !found {
		t.Skip("this CPU has no AMX")
	}
}

// halfOf is x rounded to bfloat16 as AVX512_BF16 does it, and what that leaves.
func halfOf(x float32) (high uint16, rest float32) {
	if math32.Abs(x) < 0x1p-126 {
		x = 0
	}
	high = weights.ToBF16(x)
	return high, x - weights.FromBF16(high)
}

func TestSplits(t *testing.T) {
	onAMX(t, func(t *testing.T, v *Variant, r *rand.Rand) {
		for n := weights.Group; n <= 9*weights.Group; n += weights.Group {
			for _, both := range []bool{true, false} {
				a, b := randoms(r, n), randoms(r, n)
				copy(a, []float32{0, 1e-45, -1e-40, 0x1p-126, 1 + 0x1p-9, -1 - 3*0x1p-8, math.MaxFloat32 / 2})
				x, y := fencedValues(a, 4*r.IntN(16)), fencedValues(b, 4*r.IntN(16))
				what := fmt.Sprintf("n=%d both=%v", n, both)
				check := func(f *fenced, at int, want uint16) {
					t.Helper()
					if got := weights.SliceAt[uint16](f.p(), at+1)[at]; got != want && weights.FromBF16(got) != weights.FromBF16(want) {
						t.Fatalf("%s: number %d is %#04x, want %#04x", what, at, got, want)
					}
				}
				compare := func(high, low *fenced, at int, x float32) {
					t.Helper()
					h, rest := halfOf(x)
					check(high, at, h)
					if both {
						l, _ := halfOf(rest)
						check(low, at, l)
					}
				}
				two := func(n int) (high, low *fenced, p []byte) {
					high, low = newFenced(n, 2*r.IntN(32)), newFenced(n, 2*r.IntN(32))
					if both {
						p = slice[byte](low)
					}
					return high, low, p
				}
				high, low, p := two(2 * n)
				v.AMX.SplitRow(slice[byte](high), p, slice[float32](x))
				for k := range n {
					compare(high, low, k, a[k])
				}
				high.check(t, what)
				low.check(t, what)

				high, low, p = two(4 * n)
				v.AMX.SplitPairs(slice[byte](high), p, slice[float32](x), slice[float32](y))
				for k := range n {
					compare(high, low, 2*k, a[k])
					compare(high, low, 2*k+1, b[k])
				}
				high.check(t, what)
				low.check(t, what)

				panel, step := randoms(r, 16*TileAMX), 32+2*r.IntN(20)
				z := fencedValues(panel, 4*r.IntN(16))
				high, low, p = two(31*step + 32)
				v.AMX.SplitColumns(slice[byte](high), p, slice[float32](z), step)
				for i, x := range panel {
					compare(high, low, i%TileAMX*step/2+i/TileAMX, x)
				}
				high.check(t, what)
				low.check(t, what)
			}
		}
	})
}

func TestTileSplit(t *testing.T) {
	onAMX(t, func(t *testing.T, v *Variant, r *rand.Rand) {
		for _, k := range []int{32, 64, 96, 256} {
			for _, lows := range []int{0, 1, 2, 3} {
				aStep, bStep, cStep := 2*k+2*r.IntN(40), 128+4*r.IntN(20), 128+4*r.IntN(20)
				bf16s := func(bytes int) (*fenced, func(at int) float64) {
					f := fencedValues(numbers(bytes/2, func(int) uint16 { return weights.ToBF16(float32(r.NormFloat64())) }), 2*r.IntN(32))
					all := weights.SliceAt[uint16](f.p(), bytes/2)
					return f, func(at int) float64 { return float64(weights.FromBF16(all[at/2])) }
				}
				a, aAt := bf16s(31*aStep + 2*k)
				aLow, aLowAt := bf16s(31*aStep + 2*k)
				b, bAt := bf16s((k/2-1)*bStep + 128)
				bLow, bLowAt := bf16s((k/2-1)*bStep + 128)
				al, bl := slice[byte](aLow), slice[byte](bLow)
				if lows&1 == 0 {
					al = nil
				}
				if lows&2 == 0 {
					bl = nil
				}
				c := fencedValues(randoms(r, (31*cStep+128)/4), 4*r.IntN(16))
				sums := weights.SliceAt[float32](c.p(), c.n/4)
				want, terms := make([]float64, len(sums)), make([]float64, len(sums))
				for i, s := range sums {
					want[i], terms[i] = float64(s), math.Abs(float64(s))
				}
				for i := range TileAMX {
					for j := range TileAMX {
						at := (i*cStep + 4*j) / 4
						for n := range k {
							ai, bi := i*aStep+2*n, n/2*bStep+4*j+n%2*2
							products := []float64{aAt(ai) * bAt(bi), 0, 0}
							if al != nil {
								products[1] = aLowAt(ai) * bAt(bi)
							}
							if bl != nil {
								products[2] = aAt(ai) * bLowAt(bi)
							}
							for _, p := range products {
								want[at] += p
								terms[at] += math.Abs(p)
							}
						}
					}
				}
				v.AMX.TileSplit(sums, cStep/4, Split{slice[byte](a), al, aStep}, Split{slice[byte](b), bl, bStep}, 2*k)
				what := fmt.Sprintf("k=%d low halves %02b", k, lows)
				c.check(t, what)
				near(t, what, sums, want, terms, 1e-6)
			}
		}
	})
}

// The bytes of int16 and their quads, and that high·256 + low is the number again.
func TestBytes(t *testing.T) {
	onAMX(t, func(t *testing.T, v *Variant, r *rand.Rand) {
		integers := func(n int) []int16 {
			x := numbers(n, func(int) int16 { return int16(r.Uint32()) / 2 })
			copy(x, []int16{0, 127, 128, -128, -129, 255, 256, Int16Limit, -Int16Limit})
			return x
		}
		for n := 32; n <= 160; n += 32 {
			what := fmt.Sprintf("n=%d", n)
			high, low := newFenced(4*n, r.IntN(64)), newFenced(4*n, r.IntN(64))
			check := func(at int, want int16) {
				t.Helper()
				h, l := weights.SliceAt[int8](high.p(), at+1)[at], weights.SliceAt[int8](low.p(), at+1)[at]
				if int(h)*256+int(l) != int(want) {
					t.Fatalf("%s: number %d is %d·256 + %d, want %d", what, at, h, l, want)
				}
			}
			a, b := integers(2*n), integers(2*n)
			x, y := fencedValues(a, 2*r.IntN(32)), fencedValues(b, 2*r.IntN(32))
			v.AMX.BytesOfRow(slice[byte](high), slice[byte](low), slice[int16](x))
			for k, want := range a {
				check(k, want)
			}
			v.AMX.BytesOfPairs(slice[byte](high), slice[byte](low), slice[int16](x), slice[int16](y))
			for k := range a {
				check(k/2*4+k%2, a[k])
				check(k/2*4+2+k%2, b[k])
			}
			high.check(t, what)
			low.check(t, what)

			panel, step := integers(16*2*TileAMX), 32+r.IntN(40)
			z := fencedValues(panel, 2*r.IntN(32))
			high, low = newFenced(31*step+32, r.IntN(64)), newFenced(31*step+32, r.IntN(64))
			v.AMX.BytesOfColumns(slice[byte](high), slice[byte](low), slice[int16](z), step)
			for i, want := range panel {
				row, at := i/2/TileAMX, i/2%TileAMX
				check(at*step+2*row+i%2, want)
			}
			high.check(t, what)
			low.check(t, what)

			var rows [4]*fenced
			for i := range rows {
				rows[i] = fencedValues(numbers(n, func(int) int8 { return int8(r.Uint32()) }), r.IntN(64))
			}
			quads := newFenced(4*n, r.IntN(64))
			v.AMX.Quads(slice[byte](quads), slice[int8](rows[0]), slice[int8](rows[1]), slice[int8](rows[2]), slice[int8](rows[3]))
			quads.check(t, what)
			for i, got := range weights.SliceAt[int8](quads.p(), 4*n) {
				if want := weights.SliceAt[int8](rows[i%4].p(), n)[i/4]; got != want {
					t.Fatalf("%s: byte %d of the quads is %d, want %d", what, i, got, want)
				}
			}

			word := func(int) int32 { return int32(r.IntN(1<<20)) - 1<<19 }
			h, l, factor := fencedValues(numbers(n, word), 4*r.IntN(16)), fencedValues(numbers(n, word), 4*r.IntN(16)), r.Float32()
			joined := newFenced(4*n, 4*r.IntN(16))
			v.AMX.JoinBytes(slice[float32](joined), slice[float32](h), slice[float32](l), factor)
			joined.check(t, what)
			for i, got := range weights.SliceAt[float32](joined.p(), n) {
				want := (float64(weights.SliceAt[int32](h.p(), n)[i])*256 + float64(weights.SliceAt[int32](l.p(), n)[i])) * float64(factor)
				if math.Abs(float64(got)-want) > 2e-7*math.Abs(want) {
					t.Fatalf("%s: number %d joined is %v, want %v", what, i, got, want)
				}
			}
		}
	})
}

func TestTileBytes(t *testing.T) {
	onAMX(t, func(t *testing.T, v *Variant, r *rand.Rand) {
		for _, k := range []int{64, 128, 512} {
			aStep, bStep, cStep := k+r.IntN(70), 128+4*r.IntN(20), 128+4*r.IntN(20)
			bytes := func(n int) *fenced {
				return fencedValues(numbers(n, func(int) int8 { return int8(r.Uint32()) }), r.IntN(64))
			}
			a, b := bytes(31*aStep+k), bytes((k/4-1)*bStep+128)
			before := numbers((31*cStep+128)/4, func(int) int32 { return int32(r.IntN(1000)) })
			c := fencedValues(before, 4*r.IntN(16))
			v.AMX.TileBytes(slice[float32](c), cStep/4, Split{High: slice[byte](a), Step: aStep}, Split{High: slice[byte](b), Step: bStep}, k)
			c.check(t, fmt.Sprint("k=", k))
			for at, got := range weights.SliceAt[int32](c.p(), len(before)) {
				want := before[at]
				if i, j := 4*at/cStep, 4*at%cStep/4; j < TileAMX {
					for n := range k {
						want += int32(weights.SliceAt[int8](a.p(), a.n)[i*aStep+n]) * int32(weights.SliceAt[int8](b.p(), b.n)[n/4*bStep+4*j+n%4])
					}
				}
				if got != want {
					t.Fatalf("k=%d: number %d is %d, want %d", k, at, got, want)
				}
			}
		}
	})
}
