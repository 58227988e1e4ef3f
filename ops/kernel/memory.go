package kernel

import "unsafe"

// resize returns s with n elements of unspecified content, allocating only to grow.
func resize(s []float32, n int) []float32 {
	if cap(s) < n {
		return floats(n + n/4)[:n]
	}
	return s[:n]
}

func address[E any](s []E) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(s)) }
