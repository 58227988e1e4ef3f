package kernel

import (
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// LowRank writes y = (x·downᵀ)·upᵀ: x T×K, down r×K, up O×r, y T×O.
func LowRank[E weights.Elem](cpu *CPU, y, x []E, down, up *weights.Matrix) {
	tokens := 0
	if up.Rows() > 0 {
		tokens = len(y) / up.Rows()
	}
	cpu = orDefault(cpu)
	low := borrow[[]E](cpu)
	*low = resized(*low, tokens*down.Rows())
	Linear(cpu, *low, x, down, nil)
	Linear(cpu, y, *low, up, nil)
	giveBack(cpu, low)
}
