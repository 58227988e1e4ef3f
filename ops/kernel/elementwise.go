package kernel

// elementsPerPiece is few enough to share and many enough to be worth a step of
// the counter; less than two pieces stay on the caller.
const elementsPerPiece = 8192

// Activate writes a(x) elementwise; y may be x.
func Activate[E Elem](cpu *CPU, y, x []E, a Activation) {
	checkActivation[E](a)
	if len(y) != len(x) {
		panic(panicShape)
	}
	if dtypeOf[E]() == F32 {
		orDefault(cpu).elementwise(elementTask{y: float32s(y), a: float32s(x), act: a, do: activateElements})
		return
	}
	for i, v := range x {
		y[i] = apply(a, v)
	}
}

// Gated writes a(gate)⊙up; y may be gate or up.
func Gated[E Elem](cpu *CPU, y, gate, up []E, a Activation) {
	checkActivation[E](a)
	if len(y) != len(gate) || len(y) != len(up) {
		panic(panicShape)
	}
	if dtypeOf[E]() == F32 {
		orDefault(cpu).elementwise(elementTask{y: float32s(y), a: float32s(gate), b: float32s(up), act: a, do: gateElements})
		return
	}
	for i, v := range gate {
		y[i] = apply(a, v) * up[i]
	}
}

// Add writes a + b; y may be a or b.
func Add[E Elem](cpu *CPU, y, a, b []E) {
	if len(y) != len(a) || len(y) != len(b) {
		panic(panicShape)
	}
	if dtypeOf[E]() == F32 {
		orDefault(cpu).elementwise(elementTask{y: float32s(y), a: float32s(a), b: float32s(b), do: addElements})
		return
	}
	for i, v := range a {
		y[i] = v + b[i]
	}
}

// Mul writes a⊙b; y may be a or b.
func Mul[E Elem](cpu *CPU, y, a, b []E) {
	if len(y) != len(a) || len(y) != len(b) {
		panic(panicShape)
	}
	if dtypeOf[E]() == F32 {
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
	act     Activation
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

func (t *elementTask) Piece(thread *Worker, i int) {
	w := t.cpu.on(thread)
	lo, hi := i*elementsPerPiece, min((i+1)*elementsPerPiece, len(t.y))
	y, a, b := t.y[lo:hi], t.a[lo:hi], t.b
	raceRead(address(a), 4*len(a))
	if b != nil {
		b = b[lo:hi]
		raceRead(address(b), 4*len(b))
	}
	raceWrite(address(y), 4*len(y))
	t.do(t, w, y, a, b)
}

func activateElements(t *elementTask, _ *worker, y, a, _ []float32) {
	t.cpu.variant.activate[t.act](address(y), address(a), len(y))
}

func addElements(t *elementTask, _ *worker, y, a, b []float32) {
	t.cpu.variant.add(address(y), address(a), address(b), len(y))
}

func mulElements(t *elementTask, _ *worker, y, a, b []float32) {
	t.cpu.variant.mul(address(y), address(a), address(b), len(y))
}

func gateElements(t *elementTask, w *worker, y, a, b []float32) {
	v := t.cpu.variant
	tmp := w.scratch(len(y)) // y may be b
	v.activate[t.act](address(tmp), address(a), len(y))
	v.mul(address(y), address(tmp), address(b), len(y))
}
