package ops

import "gorgonia.org/tensor"

// RowMajor reports whether the elements of d are its memory, in order.
func RowMajor(d *tensor.Dense) bool {
	shape, strides := d.Shape(), d.Strides()
	if len(strides) != len(shape) {
		return false
	}
	size := 1
	for i := len(shape) - 1; i >= 0; i-- {
		if shape[i] != 1 && strides[i] != size {
			return false
		}
		size *= shape[i]
	}
	return uintptr(size)*d.Dtype().Size() == d.MemSize()
}

// RowMajorCopy returns a tensor with the elements of d, in row-major order.
func RowMajorCopy(d *tensor.Dense) *tensor.Dense {
	c := tensor.New(tensor.Of(d.Dtype()), tensor.WithShape(d.Shape().Clone()...))
	Gather(c, d)
	return c
}

// Gather copies the elements of d to the memory of to, a tensor in row-major order with the shape
// and dtype of d.
func Gather(to, d *tensor.Dense) {
	gather(to.Raw, d.Raw, d.Shape(), d.Strides(), int(d.Dtype().Size()))
}

// gather copies elements of the given size and returns what is left of to.
func gather(to, from []byte, shape, strides []int, size int) []byte {
	if len(shape) == 0 {
		return to[copy(to, from[:size]):]
	}
	for i := range shape[0] {
		to = gather(to, from[i*strides[0]*size:], shape[1:], strides[1:], size)
	}
	return to
}

// Overlap reports whether a and b share memory.
func Overlap(a, b *tensor.Dense) bool {
	a0, b0 := a.Uintptr(), b.Uintptr()
	return a0 < b0+b.MemSize() && b0 < a0+a.MemSize()
}
