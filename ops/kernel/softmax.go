package kernel

func (v *variant) softmax(y, x []float32) {
	raceRead(address(x), 4*len(x))
	raceWrite(address(y), 4*len(y))
	largest := x[0]
	for _, s := range x {
		if s > largest { // a NaN makes the sum one anyway
			largest = s
		}
	}
	v.scale(address(y), 1/v.expSum(address(y), address(x), largest, len(x)), len(y))
}
