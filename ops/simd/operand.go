package simd

import (
	"unsafe"

	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// Operand is one input vector in the form that a Dot reads. Its memory is reused by the next
// Prepare.
//
//	rows     form                                why
//	floats   the numbers themselves
//	Int8     int16 and one scale                 a few large channels do not cost the others their bits
//	grouped  int8 and a scale for each group
//
// An input that holds a NaN or an infinity has a NaN scale and so gives NaN.
type Operand struct {
	q []int8    // quants of grouped rows
	d []float32 // scale of each group
	s []float32 // d·ΣQ of each group

	x     []float32
	q16   []int16
	scale float32 // of q16
}

const (
	// Int16Limit is the largest int16 quant: an int32 lane of eight holds the sum of int16Cols
	// columns, 8192/16 steps of two products up to 128·16383.
	Int16Limit = 16383
	int16Cols  = 8192
)

// prepareFloats is Prepare of rows of floats.
func prepareFloats(o *Operand, x []float32) { o.x = x }

// prepare16 returns Prepare of rows of Int8.
func prepare16(quantize func(q []int16, x []float32) float32) func(o *Operand, x []float32) {
	return func(o *Operand, x []float32) {
		o.q16 = Resize(o.q16, len(x))
		o.scale = quantize(o.q16, x)
	}
}

// prepareGroups returns Prepare of grouped rows.
func prepareGroups(quantize func(q []int8, d, s, x []float32)) func(o *Operand, x []float32) {
	return func(o *Operand, x []float32) {
		n := weights.Groups(len(x))
		o.q, o.d, o.s = Resize(o.q, n*weights.Group), Resize(o.d, n), Resize(o.s, n)
		quantize(o.q, o.d, o.s, x)
	}
}

// quantize16 computes scale = max|x|/Int16Limit and q[k] = x[k]/scale, rounded to nearest even.
func quantize16(q []int16, x []float32) (scale float32) {
	scale = weights.Largest(x) / Int16Limit
	for k, v := range x {
		q[k] = int16(weights.Quantum(v, scale, Int16Limit))
	}
	return scale
}

// quantizeGroups computes, for each group g, d[g] = max|x|/127, q = x/d[g], rounded to nearest
// even, and s[g] = d[g]·Σq. q is zero behind the end of x.
func quantizeGroups(q []int8, d, s, x []float32) {
	for g := range weights.Groups(len(x)) {
		in, out := x[g*weights.Group:min((g+1)*weights.Group, len(x))], q[g*weights.Group:][:weights.Group]
		clear(out)
		d[g] = weights.Largest(in) / 127
		sum := 0
		for k, v := range in {
			r := weights.Quantum(v, d[g], 127)
			out[k] = int8(r)
			sum += r
		}
		s[g] = d[g] * float32(sum)
	}
}

// Resize returns s with n elements of unspecified content that start at a multiple of 64 bytes. It
// allocates only to grow.
func Resize[E any](s []E, n int) []E {
	if cap(s) < n {
		var e E
		room := n + n/4
		b := weights.AlignedBytes(room * int(unsafe.Sizeof(e)))
		return weights.SliceAt[E](unsafe.Pointer(unsafe.SliceData(b)), room)[:n]
	}
	return s[:n]
}
