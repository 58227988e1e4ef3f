package simd

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/sparsegonia/sparsegonia/ops/weights"
)

func TestColumns(t *testing.T) {
	assemblies(t, func(t *testing.T, v *Variant, r *rand.Rand) {
		n := v.TileCols
		for rows := 1; rows <= 9; rows++ {
			start := numbers(rows*n, func(i int) float32 { return strange[r.IntN(len(strange))] })
			if rows > 3 {
				start = randoms(r, rows*n)
			}
			x := fencedValues(start, 4*r.IntN(16))
			largest, sums := fencedValues(randoms(r, n), 4*r.IntN(16)), fencedValues(randoms(r, n), 4*r.IntN(16))
			shifts := append([]float32(nil), weights.SliceAt[float32](largest.p(), n)...)
			before := append([]float32(nil), weights.SliceAt[float32](sums.p(), n)...)
			v.MaxColumns(slice[float32](largest), slice[float32](x))
			v.ExpColumns(slice[float32](x), shifts, slice[float32](sums))
			for _, f := range []*fenced{x, largest, sums} {
				f.check(t, fmt.Sprintf("rows=%d", rows))
			}
			for c := range n {
				most, sum, nan := shifts[c], float64(before[c]), false
				for i := range rows {
					s := start[i*n+c]
					nan = nan || s != s
					most = max(most, s)
					e := math.Exp(float64(s - shifts[c])) // the difference is rounded
					sum += e
					got := float64(weights.SliceAt[float32](x.p(), rows*n)[i*n+c])
					if !(math.Abs(got-e) <= 1e-6*e+1e-38) && (got == got || e == e) && !(math.IsInf(got, 1) && e > 1e38) {
						t.Fatalf("exp(%v − %v) is %v, want %v", s, shifts[c], got, e)
					}
				}
				if got := weights.SliceAt[float32](largest.p(), n)[c]; got != most && !nan {
					t.Fatalf("column %d: largest is %v, want %v", c, got, most)
				}
				if got := float64(weights.SliceAt[float32](sums.p(), n)[c]); !(math.Abs(got-sum) <= 1e-5*math.Abs(sum)) && (got == got || sum == sum) && !(math.IsInf(got, 1) && sum > 1e38) {
					t.Fatalf("column %d: sum is %v, want %v", c, got, sum)
				}
			}
		}
	})
}

// Rows at every alignment and distance, alone and by the dozen, against the generic kernels.
func TestRowsOfAttention(t *testing.T) {
	assemblies(t, func(t *testing.T, v *Variant, r *rand.Rand) {
		for _, d := range []weights.Dtype{weights.F32, weights.F16} {
			for n := 1; n <= 5*weights.Group; n += 1 + r.IntN(weights.Group/2) {
				for count := 1; count <= 13; count++ {
					what := fmt.Sprintf("%v n=%d count=%d", d, n, count)
					stride := d.RowBytes(n) + d.Size()*r.IntN(3)
					rows := newFenced((count-1)*stride+d.RowBytes(n), d.Size()*r.IntN(32))
					for i := range count {
						weights.Encode(d, rows.bytes[rows.first+i*stride:][:d.RowBytes(n)], randoms(r, n))
					}
					m, err := weights.MatrixView(d, count, n, stride, slice[byte](rows))
					if err != nil {
						t.Fatal(err)
					}
					for name, f := range map[string]struct {
						kernel, reference func(y, x []float32, m *weights.Matrix, first int)
						in, to            int
					}{
						"RowDots": {v.Rows[d].RowDots, generic.Rows[d].RowDots, n, count},
						"RowSum":  {v.Rows[d].RowSum, generic.Rows[d].RowSum, count, n},
					} {
						want := randoms(r, f.to)
						y, x := fencedValues(want, 4*r.IntN(16)), fencedValues(randoms(r, f.in), 4*r.IntN(16))
						f.kernel(slice[float32](y), slice[float32](x), m, 0)
						f.reference(want, slice[float32](x), m, 0)
						y.check(t, name+" "+what)
						for i, w := range want {
							if got := slice[float32](y)[i]; !(math.Abs(float64(got-w)) <= 1e-5*float64(f.in)) {
								t.Fatalf("%s %s: element %d is %v, want %v", name, what, i, got, w)
							}
						}
					}
				}
			}
		}
	})
}
