package simd

func (v *Variant) Softmax(y, x []float32) {
	RaceRead(Address(x), 4*len(x))
	RaceWrite(Address(y), 4*len(y))
	largest := x[0]
	for _, s := range x {
		if s > largest { // a NaN makes the sum one anyway
			largest = s
		}
	}
	v.Scale(Address(y), 1/v.expSum(Address(y), Address(x), largest, len(x)), len(y))
}
