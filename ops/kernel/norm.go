package kernel

import (
	"math"

	"github.com/sparsegonia/sparsegonia/ops/parallel"
)

// RMSNorm computes y = x/√(mean(x²)+eps)⊙weight for every row of len(weight) numbers. The squares
// are summed in float64. y may be x.
func RMSNorm(cpu *CPU, y, x, weight []float32, eps float32) {
	n := len(weight)
	if len(y) != len(x) || n == 0 && len(x) != 0 || n > 0 && len(x)%n != 0 {
		panic(panicShape)
	}
	if len(x) == 0 {
		return
	}
	cpu = orDefault(cpu)
	cpu.mu.Lock()
	defer cpu.mu.Unlock()
	t := normTasks.of(cpu)
	*t = normTask{cpu: cpu, y: y, x: x, weight: weight, eps: eps}
	t.rows = max(elementsPerPiece/n, 1)
	cpu.do((len(x)/n+t.rows-1)/t.rows, t)
	*t = normTask{}
}

var normTasks = newPerCPU[normTask]()

type normTask struct {
	cpu          *CPU
	y, x, weight []float32
	eps          float32
	rows         int // in a piece
}

func (t *normTask) Piece(_ *parallel.Worker, i int) {
	v, n := t.cpu.variant, len(t.weight)
	for r := i * t.rows; r < min((i+1)*t.rows, len(t.x)/n); r++ {
		x, y := t.x[r*n:][:n], t.y[r*n:][:n]
		scale := 1 / math.Sqrt(v.SumSquares(x)/float64(n)+float64(t.eps))
		v.Norm(y, x, t.weight, float32(scale))
	}
}

// Argmax returns the index of the first largest number, −1 if x is empty. NaN is smaller than
// everything.
func Argmax(x []float32) int {
	best := -1
	var largest float32
	for i, v := range x {
		if v > largest || best < 0 && v == v {
			best, largest = i, v
		}
	}
	if best < 0 && len(x) > 0 {
		return 0
	}
	return best
}
