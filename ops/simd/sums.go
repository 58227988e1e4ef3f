package simd

// Some kernels of wide vectors leave the sums of columns in an order of their own, which costs them
// no shuffles. It has a step s, 16 or 32. In each block of 4s columns, column s·l + 16·h + 4·k + i
// (l, k, i < 4) stands at 64·h + 16·k + 4·l + i.

// SumBlock is a multiple of the blocks of every order.
const SumBlock = 128

// PaddedCols returns cols rounded up to whole blocks of sums.
func PaddedCols(cols int) int { return (cols + SumBlock - 1) / SumBlock * SumBlock }

// copySums is InOrder of sums that are in order.
func copySums(y, sums, _ []float32) { copy(y, sums) }

// inOrder returns InOrder of the order with a step. reorder puts the 64 sums of one h in order:
// those of each l as a row of 16, step numbers apart.
func inOrder(step int, reorder func(dst, src []float32, step int)) func(y, sums, scratch []float32) {
	return func(y, sums, scratch []float32) {
		block := 4 * step
		for c := 0; c < len(y); c += block {
			out := y[c:]
			if len(out) < block {
				out = scratch
			}
			for h := 0; h < step; h += 16 {
				reorder(out[h:], sums[c+4*h:][:64], step)
			}
			if len(y)-c < block {
				copy(y[c:], scratch)
			}
		}
	}
}
