package kernel

// paddedCols is the length of a row of partial sums: whole blocks of every sumOrder.
func paddedCols(cols int) int { return (cols + sumBlock - 1) / sumBlock * sumBlock }

const sumBlock = 128

func (v *variant) addTo(y, x []float32) {
	raceRead(address(x), 4*len(x))
	raceWrite(address(y), 4*len(y))
	v.add(address(y), address(y), address(x), len(y))
}

// inOrder writes the sums that stand in a sumOrder, whole blocks of them, to y as far as it goes; last is scratch for the
// last block.
func (v *variant) inOrder(y, sums []float32, order int, last []float32) {
	if order == 0 {
		copy(y, sums)
		return
	}
	block := 4 * order
	for c := 0; c < len(y); c += block {
		out := y[c:]
		if len(out) < block {
			out = last
		}
		for h := 0; h < order; h += 16 {
			v.straighten(address(out[h:]), address(sums[c+4*h:]), 4*order)
		}
		if len(y)-c < block {
			copy(y[c:], last)
		}
	}
}
