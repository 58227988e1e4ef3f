package kernel

import (
	"unsafe"

	"github.com/sparsegonia/sparsegonia/ops/activation"
	"github.com/sparsegonia/sparsegonia/ops/parallel"
	"github.com/sparsegonia/sparsegonia/ops/simd"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// MLP is a gated or plain multilayer perceptron, stored neuron-major: row i of Gate and Up, I×H,
// and of Down, I×O, belongs to neuron i or, if a cache moves rows, to the neuron in slot i. Without
// Gate it is plain: act(up).
type MLP[E weights.Elem] struct {
	Gate, Up, Down             *weights.Matrix
	GateBias, UpBias, DownBias []E // I, I and O numbers, or nil
	Act                        activation.Func
}

// SparseMLP computes y T×O from x T×H over the active neurons only:
//
//	y = Σₖ act(x·Gate[slots[k]])·(x·Up[slots[k]])·Down[slots[k]] + DownBias
//
//	slots    the rows to use
//	neurons  the neurons of these rows, which index biases and gate; nil means slots
//	gate     act(x·Gateᵀ + GateBias) T×I if it is known, else nil: the rows of Gate are then not read
//	         in a plain MLP act(x·Upᵀ + UpBias): the rows of Up are then not read
func SparseMLP[E weights.Elem](cpu *CPU, y, x []E, m *MLP[E], slots, neurons []int32, gate []E) {
	tokens := checkMLP(y, x, m)
	checkActive(m, slots, neurons, gate, tokens)
	if neurons == nil {
		neurons = slots
	}
	runMLP(orDefault(cpu), y, x, m, slots, neurons, gate, tokens)
}

// DenseMLP is SparseMLP over all neurons, slot i being neuron i, bit for bit. The biases have I
// numbers.
func DenseMLP[E weights.Elem](cpu *CPU, y, x []E, m *MLP[E]) {
	tokens := checkMLP(y, x, m)
	neurons := m.Up.Rows()
	if m.GateBias != nil && len(m.GateBias) != neurons || m.UpBias != nil && len(m.UpBias) != neurons {
		panic(panicShape)
	}
	cpu = orDefault(cpu)
	all := cpu.firstSlots(neurons)
	runMLP(cpu, y, x, m, all, all, nil, tokens)
}

// slotsOf holds the slots 0, 1, 2, …: the numbers never change, the slice grows.
var slotsOf = newPerCPU[[]int32]()

// firstSlots returns the slots 0, 1, …, n−1.
func (cpu *CPU) firstSlots(n int) []int32 {
	cpu.mu.Lock()
	defer cpu.mu.Unlock()
	slots := slotsOf.of(cpu)
	for i := len(*slots); i < n; i++ {
		*slots = append(*slots, int32(i))
	}
	return (*slots)[:n]
}

// runMLP is SparseMLP with all arguments, checked.
func runMLP[E weights.Elem](cpu *CPU, y, x []E, m *MLP[E], slots, neurons []int32, gate []E, tokens int) {
	if tokens == 0 || m.Up.Cols() == 0 {
		return
	}
	if m.Up.Dtype().Compute() != weights.F32 {
		sparseExact(cpu, y, x, *m, slots, neurons, gate, tokens)
		return
	}
	cpu.mu.Lock()
	defer cpu.mu.Unlock()
	t := neuronTasks.of(cpu)
	*t = neuronTask{
		cpu: cpu, gate: m.Gate, up: m.Up, down: m.Down, act: m.Act, slots: slots, neurons: neurons,
		gateBias: float32s(m.GateBias), upBias: float32s(m.UpBias), gates: float32s(gate), tokens: tokens,
	}
	t.ups, t.downs = cpu.variant.RowsOf(t.up), cpu.variant.RowsOf(t.down)
	if gate != nil {
		t.gate, t.known = nil, m.Gate == nil
	}
	if tokens >= TileTokens {
		cpu.sparseGEMM(t, float32s(y), float32s(x), float32s(m.DownBias))
	} else {
		cpu.sparse(t, float32s(y), float32s(x), float32s(m.DownBias))
	}
	*t = neuronTask{}
}

// checkMLP returns the number of tokens of x T×H and y T×O.
func checkMLP[E weights.Elem](y, x []E, m *MLP[E]) int {
	checkActivation[E](m.Act)
	hidden := m.Up.Cols()
	tokens := 0
	if hidden > 0 {
		tokens = len(x) / hidden
	}
	outputs := m.Down.Cols()
	same := func(w *weights.Matrix, cols int) bool {
		return w.Cols() == cols && w.Rows() == m.Up.Rows() && w.Dtype().Compute() == weights.DtypeOf[E]()
	}
	if !same(m.Up, hidden) || !same(m.Down, outputs) ||
		m.Gate != nil && (!same(m.Gate, hidden) || m.Gate.Dtype() != m.Up.Dtype()) {
		panic(panicDtype)
	}
	if len(x) != tokens*hidden || len(y) != tokens*outputs || m.DownBias != nil && len(m.DownBias) != outputs {
		panic(panicShape)
	}
	return tokens
}

// checkActive checks that the rows in slots are there, and the biases and gate values of the
// neurons.
func checkActive[E weights.Elem](m *MLP[E], slots, neurons []int32, gate []E, tokens int) {
	if neurons != nil && len(neurons) != len(slots) || gate != nil && tokens > 0 && len(gate)%tokens != 0 {
		panic(panicShape)
	}
	known := -1 // neurons that every bias and gate value exists for
	limit := func(present bool, n int) {
		if present && (known < 0 || n < known) {
			known = n
		}
	}
	limit(m.GateBias != nil, len(m.GateBias))
	limit(m.UpBias != nil, len(m.UpBias))
	limit(gate != nil && tokens > 0, len(gate)/max(tokens, 1))
	for _, s := range slots {
		if uint(s) >= uint(m.Up.Rows()) {
			panic(panicBounds)
		}
	}
	if neurons == nil {
		neurons = slots
	}
	for _, n := range neurons {
		if n < 0 || known >= 0 && int(n) >= known {
			panic(panicBounds)
		}
	}
}

var (
	neuronTasks  = newPerCPU[neuronTask]()
	hiddenPanels = newPerCPU[[]float32]() // packed hidden activations of many tokens
)

// neuronTask is the sparse MLP of few tokens, in one pass over the rows of the active neurons. A
// piece is a chunk of them.
type neuronTask struct {
	cpu              *CPU
	gate, up, down   *weights.Matrix
	act              activation.Func
	slots, neurons   []int32
	gateBias, upBias []float32
	gates            []float32 // T×I gate values, or nil
	known            bool      // gates are the hidden activations of a plain MLP
	tokens           int
	operands         []simd.Operand // the inputs of the tokens
	chunk            int
	sums             []float32 // chunks × T × padded O

	ups, downs *simd.RowKernel // of the dtypes of gate and up, and of down

	hidden    []float32 // packed hidden activations of many tokens
	panelRows int
}

// shortRow is the most bytes of a row that is prefetched whole where Reading.ByRow is set.
const shortRow = 4096

func (cpu *CPU) sparse(t *neuronTask, y, x, bias []float32) {
	n := len(t.slots)
	t.chunk = chunkRows(n)
	t.sums = cpu.partialSums(n, t.tokens, t.down.Cols())
	if !t.known {
		t.operands = cpu.prepare(t.ups, x, t.tokens)
	}
	cpu.do((n+t.chunk-1)/t.chunk, t)
	cpu.addPartialSums(y, n, t.tokens, t.down, bias)
}

func (t *neuronTask) Piece(thread *parallel.Worker, i int) {
	w := t.cpu.on(thread)
	width := simd.PaddedCols(t.down.Cols())
	sums := t.sums[i*t.tokens*width:][:t.tokens*width]
	clear(sums)
	short := max(t.up.RowBytes(), t.down.RowBytes()) <= shortRow
	b := neuronBlock{neuronTask: t, w: w, block: &w.block}
	reading := &t.ups.Reading
	if t.downs.Streams < reading.Streams {
		reading = &t.downs.Reading
	}
	for b.begin(w, reading.Streams, reading.Run, i*t.chunk, t.chunk, len(t.slots)); b.next(); {
		for s := range b.count {
			b.neuron[s] = t.neurons[b.row[s]]
			b.slot[s], b.after[s] = int(t.slots[b.row[s]]), int(t.slots[b.following[s]])
			b.byRow[s] = reading.ByRow && (short || b.after[s] != b.slot[s]+1)
		}
		b.add(sums)
	}
}

// neuronBlock is a block of active neurons.
type neuronBlock struct {
	*neuronTask
	*block
	w           *worker
	neuron      [blockNeurons]int32
	slot, after [blockNeurons]int  // of the neurons, of those that follow
	byRow       [blockNeurons]bool // as in simd.Reading
}

// add adds the contributions of the neurons to sums T×O.
func (b *neuronBlock) add(sums []float32) {
	const size = blockNeurons * TileTokens
	buf := b.w.scratch(3 * size)
	gates, ups, hidden := buf[:size], buf[size:2*size], buf[2*size:]
	begin := b.down // the matrix of a neuron that is read first
	if !b.known {
		begin = b.up
		if b.gate != nil {
			begin = b.gate
		}
		for from := 0; from < b.count; from += simd.RowsPerDot {
			if b.gate != nil {
				b.dots(gates, b.gate, b.up, from)
			}
			b.dots(ups, b.up, b.down, from)
		}
	}
	r, m, width, step := &b.w.rows, b.down, simd.PaddedCols(b.down.Cols()), b.downs.PerAdd
	for token := range b.tokens {
		h := hidden[token*blockNeurons:][:b.count]
		b.finish(h, gates[token*blockNeurons:], ups[token*blockNeurons:], b.neuron[:b.count], token)
		for from := 0; from < b.count; from += step {
			to := min(from+step, b.count)
			for s, slot := range b.slot[from:to] {
				r.Row[s], r.Coef[s] = m.RowAt(slot), h[from+s]
				r.Next[s] = b.ahead(b.downs.AddAhead, from+s, m, begin.RowAt(b.after[from+s]))
			}
			b.downs.Add(sums[token*width:][:width], r, m, to-from)
		}
	}
}

// dots writes to out the products of all tokens with the rows in m of a few neurons. Their rows in
// next are read after them.
func (b *neuronBlock) dots(out []float32, m, next *weights.Matrix, from int) {
	r := &b.w.dots
	for s := range r.Row {
		i := min(from+s, b.count-1)
		r.Row[s] = m.RowAt(b.slot[i])
		r.Next[s] = b.ahead(b.ups.DotAhead, i, m, next.RowAt(b.slot[i]))
	}
	for token := range b.tokens {
		b.ups.Dot(&b.operands[token], r, m)
		copy(out[token*blockNeurons+from:][:simd.RowsPerDot], r.Sum[:])
	}
}

// ahead returns the address to prefetch while the row in m of neuron i of the block is read, before
// the row at next.
func (b *neuronBlock) ahead(bytes, i int, m *weights.Matrix, next unsafe.Pointer) uintptr {
	if b.byRow[i] {
		return uintptr(next)
	}
	return simd.Ahead(bytes, m.RowAt(b.slot[i]), m.RowBytes(), next)
}

// finish computes the activations h of neurons from the dots of their rows.
func (t *neuronTask) finish(h, gates, ups []float32, neurons []int32, token int) {
	v, count := t.cpu.variant, len(h)
	gates, ups = gates[:count], ups[:count]
	if t.upBias != nil && !t.known {
		for j, i := range neurons {
			ups[j] += t.upBias[i]
		}
	}
	switch {
	case t.gates != nil:
		width := len(t.gates) / t.tokens
		row := t.gates[token*width:][:width]
		for j, i := range neurons {
			h[j] = row[i]
		}
		if !t.known {
			v.Mul(h, h, ups)
		}
	case t.gate != nil:
		if t.gateBias != nil {
			for j, i := range neurons {
				gates[j] += t.gateBias[i]
			}
		}
		v.Activate[t.act](gates, gates)
		v.Mul(h, gates, ups)
	default:
		v.Activate[t.act](h, ups)
	}
}

// sparseGEMM is the sparse MLP of many tokens: the hidden activations come out as the panels that
// the product with the down rows reads.
func (cpu *CPU) sparseGEMM(t *neuronTask, y, x, bias []float32) {
	v, n, hidden, outputs := cpu.variant, len(t.slots), t.up.Cols(), t.down.Cols()
	t.panelRows = panelRows(t.downs.Product(n, true), n)
	t.hidden = resizeTo(hiddenPanels.of(cpu), v.PackedLen(t.tokens, t.panelRows))
	g := gemmTasks.of(cpu)
	*g = gemmTask{cpu: cpu, w: t.up, kernel: t.ups, slots: t.slots, k: hidden, out: n, tokens: t.tokens}
	if !t.known {
		g.pack(x)
	}
	cpu.do((n+panelOutputs-1)/panelOutputs, (*neuronGEMM)(t))
	*g = gemmTask{
		cpu: cpu, w: t.down, kernel: t.downs, slots: t.slots, transposed: true, product: t.downs.Product(n, true),
		x: t.hidden, panelRows: t.panelRows, k: n, out: outputs, tokens: t.tokens, y: y, bias: bias,
	}
	g.convert()
	cpu.do((outputs+panelOutputs-1)/panelOutputs, g)
	*g = gemmTask{}
}

// neuronGEMM is a neuronTask of many tokens. A piece is a block of active neurons.
type neuronGEMM neuronTask

func (t *neuronGEMM) Piece(thread *parallel.Worker, i int) {
	w := t.cpu.on(thread)
	g, v := gemmTasks.of(t.cpu), t.cpu.variant
	first := i * panelOutputs
	n := min(panelOutputs, g.out-first)
	width := v.TileCols
	padded := (g.tokens + width - 1) / width * width
	size := panelOutputs * padded
	buf := w.scratch(3*size + tileScratch)
	gates, ups, low, scratch := buf[:size], buf[size:2*size], buf[2*size:3*size], buf[3*size:]
	if !t.known {
		g.rows(v, ups, low, scratch, t.up, first, n)
	}
	if t.gate != nil {
		g.rows(v, gates, low, scratch, t.gate, first, n)
	}
	for panel := 0; panel*width < g.tokens; panel++ {
		if first+n == g.out {
			clear(t.hidden[(panel*t.panelRows+g.out)*width : (panel+1)*t.panelRows*width])
		}
		for j := range n {
			k := first + j
			neuron := int(t.neurons[k])
			o := (panel*panelOutputs + j) * width
			out := t.hidden[(panel*t.panelRows+k)*width:][:width]
			up := ups[o:][:width]
			if !t.known {
				addToAll(up, at(t.upBias, neuron))
			}
			switch {
			case t.gates != nil:
				stride := len(t.gates) / t.tokens
				for c := range width {
					if token := panel*width + c; token < t.tokens {
						out[c] = t.gates[token*stride+neuron]
					} else {
						out[c] = 0
					}
				}
				if !t.known {
					v.Mul(out, out, up)
				}
			case t.gate != nil:
				gate := gates[o:][:width]
				addToAll(gate, at(t.gateBias, neuron))
				v.Activate[t.act](gate, gate)
				v.Mul(out, gate, up)
			default:
				v.Activate[t.act](out, up)
			}
		}
	}
}

func addToAll(x []float32, bias float32) {
	if bias == 0 {
		return
	}
	for i := range x {
		x[i] += bias
	}
}
