package simd

import (
	"unsafe"

	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// resize returns s with n elements of unspecified content, allocating only to grow.
func Resize(s []float32, n int) []float32 {
	if cap(s) < n {
		return weights.Floats(n + n/4)[:n]
	}
	return s[:n]
}

func Address[E any](s []E) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(s)) }
