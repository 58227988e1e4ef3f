package kernel

import (
	"github.com/sparsegonia/sparsegonia/ops/parallel"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// Embed copies row ids[t] of w to row t of y T×cols. An id of −1 gives zeros.
func Embed(cpu *CPU, y []float32, w *weights.Matrix, ids []int32) {
	if w.Dtype().Compute() != weights.F32 {
		panic(panicDtype)
	}
	if len(y) != len(ids)*w.Cols() {
		panic(panicShape)
	}
	for _, id := range ids {
		if id < -1 || int(id) >= w.Rows() {
			panic(panicBounds)
		}
	}
	cpu = orDefault(cpu)
	cpu.mu.Lock()
	defer cpu.mu.Unlock()
	t := embedTasks.of(cpu)
	*t = embedTask{y, w, ids}
	cpu.do((len(ids)+embedRows-1)/embedRows, t)
	*t = embedTask{}
}

const embedRows = 8

var embedTasks = newPerCPU[embedTask]()

type embedTask struct {
	y   []float32
	w   *weights.Matrix
	ids []int32
}

func (t *embedTask) Piece(_ *parallel.Worker, i int) {
	for r := i * embedRows; r < min((i+1)*embedRows, len(t.ids)); r++ {
		out := t.y[r*t.w.Cols():][:t.w.Cols()]
		if t.ids[r] < 0 {
			clear(out)
			continue
		}
		weights.Row(t.w, int(t.ids[r]), out)
	}
}
