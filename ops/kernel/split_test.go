package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"unsafe"
)

// splitters runs f for the variants that have products on bfloat16.
func splitters(t *testing.T, f func(t *testing.T, v *variant, r *rand.Rand)) {
	t.Helper()
	found := false
	for _, v := range variants() {
		if v.tileSplit != nil {
			found = true
			t.Run(v.name, func(t *testing.T) { f(t, v, rand.New(rand.NewPCG(71, 72))) })
		}
	}
	if !found {
		t.Skip("this CPU has no AMX")
	}
}

// halfOf is x rounded to bfloat16 as AVX512_BF16 does it, and what that leaves.
func halfOf(x float32) (high uint16, rest float32) {
	if abs(x) < 0x1p-126 {
		x = 0
	}
	high = toBF16(x)
	return high, x - fromBF16(high)
}

func TestSplits(t *testing.T) {
	splitters(t, func(t *testing.T, v *variant, r *rand.Rand) {
		for n := group; n <= 9*group; n += group {
			for _, both := range []bool{true, false} {
				a, b := randoms(r, n), randoms(r, n)
				copy(a, []float32{0, 1e-45, -1e-40, 0x1p-126, 1 + 0x1p-9, -1 - 3*0x1p-8, math.MaxFloat32 / 2})
				x, y := fencedValues(a, 4*r.IntN(16)), fencedValues(b, 4*r.IntN(16))
				what := fmt.Sprintf("n=%d both=%v", n, both)
				check := func(f *fenced, at int, want uint16) {
					t.Helper()
					if got := values[uint16](f.p(), at+1)[at]; got != want && fromBF16(got) != fromBF16(want) {
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
				two := func(n int) (high, low *fenced, p unsafe.Pointer) {
					high, low = newFenced(n, 2*r.IntN(32)), newFenced(n, 2*r.IntN(32))
					if both {
						p = low.p()
					}
					return high, low, p
				}
				high, low, p := two(2 * n)
				v.splitRow(high.p(), p, x.p(), n)
				for k := range n {
					compare(high, low, k, a[k])
				}
				high.check(t, what)
				low.check(t, what)

				high, low, p = two(4 * n)
				v.splitPairs(high.p(), p, x.p(), y.p(), n)
				for k := range n {
					compare(high, low, 2*k, a[k])
					compare(high, low, 2*k+1, b[k])
				}
				high.check(t, what)
				low.check(t, what)

				panel, step := randoms(r, 16*splitTile), 32+2*r.IntN(20)
				z := fencedValues(panel, 4*r.IntN(16))
				high, low, p = two(31*step + 32)
				v.splitColumns(high.p(), p, z.p(), step)
				for i, x := range panel {
					compare(high, low, i%splitTile*step/2+i/splitTile, x)
				}
				high.check(t, what)
				low.check(t, what)
			}
		}
	})
}

func TestTileSplit(t *testing.T) {
	splitters(t, func(t *testing.T, v *variant, r *rand.Rand) {
		for _, k := range []int{32, 64, 96, 256} {
			for _, lows := range []int{0, 1, 2, 3} {
				aStep, bStep, cStep := 2*k+2*r.IntN(40), 128+4*r.IntN(20), 128+4*r.IntN(20)
				bf16s := func(bytes int) (*fenced, func(at int) float64) {
					f := fencedValues(numbers(bytes/2, func(int) uint16 { return toBF16(float32(r.NormFloat64())) }), 2*r.IntN(32))
					all := values[uint16](f.p(), bytes/2)
					return f, func(at int) float64 { return float64(fromBF16(all[at/2])) }
				}
				a, aAt := bf16s(31*aStep + 2*k)
				aLow, aLowAt := bf16s(31*aStep + 2*k)
				b, bAt := bf16s((k/2-1)*bStep + 128)
				bLow, bLowAt := bf16s((k/2-1)*bStep + 128)
				al, bl := aLow.p(), bLow.p()
				if lows&1 == 0 {
					al = nil
				}
				if lows&2 == 0 {
					bl = nil
				}
				c := fencedValues(randoms(r, (31*cStep+128)/4), 4*r.IntN(16))
				sums := values[float32](c.p(), c.n/4)
				want, terms := make([]float64, len(sums)), make([]float64, len(sums))
				for i, s := range sums {
					want[i], terms[i] = float64(s), math.Abs(float64(s))
				}
				for i := range splitTile {
					for j := range splitTile {
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
				v.tileSplit(c.p(), cStep, a.p(), al, aStep, b.p(), bl, bStep, k)
				what := fmt.Sprintf("k=%d low halves %02b", k, lows)
				c.check(t, what)
				near(t, what, sums, want, terms, 1e-6)
			}
		}
	})
}

// An input that is not finite, in the one token that has it, whatever meets it.
func TestSplitHugeInputs(t *testing.T) {
	splitters(t, func(t *testing.T, v *variant, r *rand.Rand) {
		p := NewPool(2, WithVariant(v.name))
		defer p.Close()
		const T, K, O = 20, 64, 40
		for _, d := range []Dtype{F16, BF16, Int8, Int8G, Int4, Int4M} {
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
