package simd

// Softmax computes y = exp(x)/Σexp(x) of at least one number; y may be x. A NaN or +Inf in x, or
// −Inf alone, gives NaN.
func (v *Variant) Softmax(y, x []float32) {
	largest := x[0]
	for _, s := range x {
		if s > largest { // a NaN makes the sum one anyway
			largest = s
		}
	}
	v.Scale(y, 1/v.expSum(y, x, largest))
}
