package kernel

import "slices"

// loans is memory for calls that run several kernels, or wait for a disk: other calls may run on
// the same CPU meanwhile.
var loans = newPerCPU[[]any]()

// borrow returns a T that no other call uses, as an earlier call left it. Give it back by giveBack.
func borrow[T any](cpu *CPU) *T {
	cpu.mu.Lock()
	defer cpu.mu.Unlock()
	free := loans.of(cpu)
	for i, f := range *free {
		if t, ok := f.(*T); ok {
			last := len(*free) - 1
			(*free)[i] = (*free)[last]
			*free = (*free)[:last]
			return t
		}
	}
	return new(T)
}

func giveBack[T any](cpu *CPU, t *T) {
	cpu.mu.Lock()
	defer cpu.mu.Unlock()
	free := loans.of(cpu)
	*free = append(*free, t)
}

// resized returns s with n elements of unspecified content. It allocates only to grow.
func resized[E any](s []E, n int) []E { return slices.Grow(s[:0], n)[:n] }
