package simd

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/sparsegonia/sparsegonia/ops/weights"
)

var floatDtypes = []weights.Dtype{
	weights.F32, weights.F16, weights.BF16, weights.Int8, weights.Int8G, weights.Int4, weights.Int4M,
}

func randoms(r *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
	return x
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
