package kernel

import (
	"github.com/sparsegonia/sparsegonia/ops/activation"
	"github.com/sparsegonia/sparsegonia/ops/parallel"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// elementsPerPiece is few enough to share and many enough to be worth a piece. Less than two pieces
// stay on the caller.
const elementsPerPiece = 8192

// Activate computes y = a(x); y may be x.
func Activate[E weights.Elem](cpu *CPU, y, x []E, a activation.Func) {
	checkActivation[E](a)
	if len(y) != len(x) {
		panic(panicShape)
	}
	if weights.DtypeOf[E]() == weights.F32 {
		orDefault(cpu).elementwise(elementTask{y: float32s(y), a: float32s(x), act: a, do: activateElements})
		return
	}
	for i, v := range x {
		y[i] = apply(a, v)
	}
}

// GLU computes y = a(gate)⊙up; y may be gate or up.
func GLU[E weights.Elem](cpu *CPU, y, gate, up []E, a activation.Func) {
	checkActivation[E](a)
	if len(y) != len(gate) || len(y) != len(up) {
		panic(panicShape)
	}
	if weights.DtypeOf[E]() == weights.F32 {
		orDefault(cpu).elementwise(elementTask{y: float32s(y), a: float32s(gate), b: float32s(up), act: a, do: gateElements})
		return
	}
	for i, v := range gate {
		y[i] = apply(a, v) * up[i]
	}
}

// Add computes y = a + b; y may be a or b.
func Add[E weights.Elem](cpu *CPU, y, a, b []E) {
	if len(y) != len(a) || len(y) != len(b) {
		panic(panicShape)
	}
	if weights.DtypeOf[E]() == weights.F32 {
		orDefault(cpu).elementwise(elementTask{y: float32s(y), a: float32s(a), b: float32s(b), do: addElements})
		return
	}
	for i, v := range a {
		y[i] = v + b[i]
	}
}

// Mul computes y = a⊙b; y may be a or b.
func Mul[E weights.Elem](cpu *CPU, y, a, b []E) {
	if len(y) != len(a) || len(y) != len(b) {
		panic(panicShape)
	}
	if weights.DtypeOf[E]() == weights.F32 {
		orDefault(cpu).elementwise(elementTask{y: float32s(y), a: float32s(a), b: float32s(b), do: mulElements})
		return
	}
	for i, v := range a {
		y[i] = v * b[i]
	}
}

var elementTasks = newPerCPU[elementTask]()

// elementTask applies do to ranges of its vectors.
type elementTask struct {
	cpu     *CPU
	y, a, b []float32
	act     activation.Func
	do      func(t *elementTask, w *worker, y, a, b []float32)
}

func (cpu *CPU) elementwise(t elementTask) {
	cpu.mu.Lock()
	defer cpu.mu.Unlock()
	t.cpu = cpu
	task := elementTasks.of(cpu)
	*task = t
	cpu.do((len(t.y)+elementsPerPiece-1)/elementsPerPiece, task)
	*task = elementTask{}
}

func (t *elementTask) Piece(thread *parallel.Worker, i int) {
	w := t.cpu.on(thread)
	lo, hi := i*elementsPerPiece, min((i+1)*elementsPerPiece, len(t.y))
	y, a, b := t.y[lo:hi], t.a[lo:hi], t.b
	if b != nil {
		b = b[lo:hi]
	}
	t.do(t, w, y, a, b)
}

func activateElements(t *elementTask, _ *worker, y, a, _ []float32) {
	t.cpu.variant.Activate[t.act](y, a)
}

func addElements(t *elementTask, _ *worker, y, a, b []float32) { t.cpu.variant.Add(y, a, b) }

func mulElements(t *elementTask, _ *worker, y, a, b []float32) { t.cpu.variant.Mul(y, a, b) }

func gateElements(t *elementTask, w *worker, y, a, b []float32) {
	v := t.cpu.variant
	tmp := w.scratch(len(y)) // y may be b
	v.Activate[t.act](tmp, a)
	v.Mul(y, tmp, b)
}
