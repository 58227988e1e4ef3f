package kernel

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// sums are Add and Mul beside what they are in plain Go, which they equal to the bit.
func sums[E weights.Elem]() map[string]struct {
	kernel func(p *CPU, y, a, b []E)
	plain  func(a, b E) E
} {
	return map[string]struct {
		kernel func(p *CPU, y, a, b []E)
		plain  func(a, b E) E
	}{
		"Add": {Add[E], func(a, b E) E { return a + b }},
		"Mul": {Mul[E], func(a, b E) E { return a * b }},
	}
}

// Every length up to three vectors and around the ends of pieces, at every alignment, with guards
// round the output; y may be a or b.
func TestAddMul(t *testing.T) {
	everywhere(t, func(t *testing.T, p *CPU) {
		r := rand.New(rand.NewPCG(11, 12))
		lengths := []int{elementsPerPiece - 1, elementsPerPiece, 2*elementsPerPiece + 7}
		for n := range 52 {
			lengths = append(lengths, n)
		}
		for name, s := range sums[float32]() {
			for _, n := range lengths {
				shift := n % 5
				a, b := randoms(r, n+shift)[shift:], randoms(r, n+2*shift)[2*shift:]
				if n > 3 {
					a[0], b[1], a[2], b[2] = float32(math.Inf(1)), float32(math.NaN()), math.MaxFloat32, math.MaxFloat32
				}
				want := make([]float32, n)
				for i := range want {
					want[i] = s.plain(a[i], b[i])
				}
				guarded := slices.Repeat([]float32{-7}, n+shift+2)
				s.kernel(p, guarded[shift+1:][:n], a, b)
				if !sameBits(guarded[shift+1:][:n], want) {
					t.Fatalf("%s of %d: %v, want %v", name, n, guarded[shift+1:][:n], want)
				}
				for i, g := range guarded {
					if (i < shift+1 || i > shift+n) && g != -7 {
						t.Fatalf("%s of %d wrote at %d", name, n, i-shift-1)
					}
				}
				y := slices.Clone(a)
				if s.kernel(p, y, y, b); !sameBits(y, want) {
					t.Fatalf("%s of %d into a: %v, want %v", name, n, y, want)
				}
				y = slices.Clone(b)
				if s.kernel(p, y, a, y); !sameBits(y, want) {
					t.Fatalf("%s of %d into b: %v, want %v", name, n, y, want)
				}
			}
		}
	})
}

// sameBits takes any NaN for any other.
func sameBits(a, b []float32) bool {
	return slices.EqualFunc(a, b, func(x, y float32) bool {
		return math.Float32bits(x) == math.Float32bits(y) || x != x && y != y
	})
}

func TestAddMulOfOtherTypes(t *testing.T) {
	testSums(t, []float64{1.5, -2, math.MaxFloat64}, []float64{0.25, 3, math.MaxFloat64})
	testSums(t, []int32{7, -2, math.MaxInt32}, []int32{-3, 5, 2})
	testSums(t, []int64{7, -2, math.MaxInt64}, []int64{-3, 5, 2})
}

func testSums[E weights.Elem](t *testing.T, a, b []E) {
	t.Helper()
	for name, s := range sums[E]() {
		y := make([]E, len(a))
		s.kernel(nil, y, a, b)
		for i := range y {
			if y[i] != s.plain(a[i], b[i]) {
				t.Errorf("%s(%v, %v) = %v", name, a[i], b[i], y[i])
			}
		}
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s of slices of different lengths does not panic", name)
				}
			}()
			s.kernel(nil, y, a, b[1:])
		}()
	}
}
