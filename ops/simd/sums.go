package simd

// paddedCols is the length of a row of partial sums: whole blocks of every sumOrder.
func PaddedCols(cols int) int { return (cols + SumBlock - 1) / SumBlock * SumBlock }

const SumBlock = 128

func (v *Variant) AddTo(y, x []float32) {
	RaceRead(Address(x), 4*len(x))
	RaceWrite(Address(y), 4*len(y))
	v.Add(Address(y), Address(y), Address(x), len(y))
}

// inOrder writes the sums that stand in a sumOrder, whole blocks of them, to y as far as it goes; last is scratch for the
// last block.
func (v *Variant) InOrder(y, sums []float32, order int, last []float32) {
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
			v.straighten(Address(out[h:]), Address(sums[c+4*h:]), 4*order)
		}
		if len(y)-c < block {
			copy(y[c:], last)
		}
	}
}
