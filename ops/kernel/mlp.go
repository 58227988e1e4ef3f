package kernel

import (
	"github.com/sparsegonia/sparsegonia/ops/activation"
	"github.com/sparsegonia/sparsegonia/ops/parallel"
	"github.com/sparsegonia/sparsegonia/ops/simd"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// MLP is a gated or plain multilayer perceptron, stored neuron-major: row i of
// Gate and Up, I×H, and of Down, I×O, belongs to neuron i (or, if a cache moves
// the rows, to the neuron that slot i holds). Without Gate it is plain: act(up).
type MLP[E weights.Elem] struct {
	Gate, Up, Down             *weights.Matrix
	GateBias, UpBias, DownBias []E // I, I and O numbers, or nil
	Act                        activation.Func
}

// SparseMLP writes y T×O from x T×H over the active neurons only:
//
//	y = Σ_k act(x·Gate[slots[k]])·(x·Up[slots[k]])·Down[slots[k]] + DownBias
//
// slots are the rows to use and neurons the neurons they hold, which index
// biases and gate (nil: neurons = slots). gate, if not nil, has T×I values
// act(x·gateᵀ + bias) computed before; the rows of Gate are then not read. In a
// plain MLP they are act(x·upᵀ + bias), and the rows of Up are not read.
func SparseMLP[E weights.Elem](cpu *CPU, y, x []E, m *MLP[E], slots, neurons []int32, gate []E) {
	tokens := checkMLP(y, x, m)
	checkActive(m, slots, neurons, gate, tokens)
	if neurons == nil {
		neurons = slots
	}
	runMLP(orDefault(cpu), y, x, m, slots, neurons, gate, tokens)
}

// DenseMLP is SparseMLP over all neurons, slot i being neuron i: bit for bit the same. The biases have I numbers.
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

// slotsOf are the slots 0, 1, 2, …: the numbers never change, the slice grows.
var slotsOf = newPerCPU[[]int32]()

// firstSlots are the slots 0, 1, …, n−1.
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

// checkActive checks that the rows in slots are there, and the biases and gate values of the neurons.
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

// blockNeurons neurons are computed together: their gate and up rows are read,
// then their down rows. It divides the size of a chunk.
const blockNeurons = 8

const mostAhead = 8 // rows that axpy adds at once

var (
	neuronTasks  = newPerCPU[neuronTask]()
	hiddenPanels = newPerCPU[[]float32]() // packed hidden activations of many tokens
)

// neuronTask is the sparse MLP of few tokens, in one pass over the rows of the
// active neurons. A piece is a chunk of active neurons.
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

	hidden    []float32 // packed hidden activations of many tokens
	panelRows int
}

func (cpu *CPU) sparse(t *neuronTask, y, x, bias []float32) {
	n, cols := len(t.slots), t.down.Cols()
	t.chunk = chunkRows(n)
	t.sums = cpu.partialSums(n, t.tokens, cols)
	if !t.known {
		t.operands = cpu.prepare(t.up.Dtype(), x, t.tokens)
	}
	var pieces parallel.Section = t
	if cpu.variant.Streamed(t.up.Dtype()) && cpu.variant.Streamed(t.down.Dtype()) {
		pieces = (*neuronStreams)(t)
	}
	cpu.do((n+t.chunk-1)/t.chunk, pieces)
	cpu.addPartialSums(y, n, t.tokens, t.down, bias)
}

func (t *neuronTask) Piece(thread *parallel.Worker, i int) {
	w := t.cpu.on(thread)
	width := simd.PaddedCols(t.down.Cols())
	sums := t.sums[i*t.tokens*width:][:t.tokens*width]
	clear(sums)
	buf := w.scratch(3 * blockNeurons * TileTokens)
	first := i * t.chunk
	end := min(first+t.chunk, len(t.slots))
	for k := first; k < end; k += blockNeurons {
		t.block(w, sums, buf, k, min(blockNeurons, end-k), end)
	}
}

// block adds neurons k to k+count−1 of a chunk that ends before neuron end.
func (t *neuronTask) block(w *worker, sums, buf []float32, k, count, end int) {
	const size = blockNeurons * TileTokens
	gates, ups, hidden := buf[:size], buf[size:2*size], buf[2*size:3*size]
	v, operands := t.cpu.variant, t.operands
	t.order(w, k, count, end)
	o := w.order[:]
	ahead := simd.RowsPerAxpy(t.down.Dtype()) // a row is asked for so many rows before its use
	switch {
	case t.known:
	case t.gate != nil:
		for j := range count {
			for token := range t.tokens {
				i := token*blockNeurons + j
				gates[i], ups[i] = v.DotPair(&operands[token], t.up, o[0], o[1], uintptr(o[ahead]), uintptr(o[ahead+1]))
			}
			o = o[2:]
		}
	default:
		for j := 0; j < count; j += 2 {
			last := min(j+1, count-1)
			a, b := o[j], o[last]
			for token := range t.tokens {
				i := token * blockNeurons
				ups[i+j], ups[i+last] = v.DotPair(&operands[token], t.up, a, b, uintptr(o[j+ahead]), uintptr(o[last+ahead]))
			}
		}
		o = o[count:]
	}
	for token := range t.tokens {
		i := token * blockNeurons
		t.finish(hidden[i:][:count], gates[i:], ups[i:], t.neurons[k:][:count], token)
	}
	r, width := &w.rows, simd.PaddedCols(t.down.Cols())
	for j := 0; j < count; j += ahead {
		n := min(ahead, count-j)
		for token := range t.tokens {
			copy(r.Coef[:n], hidden[token*blockNeurons+j:])
			for i := range n {
				r.Row[i], r.Next[i] = o[j+i], uintptr(o[j+i+ahead])
			}
			v.Axpy(r, sums[token*width:][:width], t.down, n)
		}
	}
}

// order lists the rows of a block as it reads them, and up to mostAhead more.
func (t *neuronTask) order(w *worker, k, count, end int) {
	o := w.order[:0]
	read := func(first, last int) {
		if t.known {
			return
		}
		for _, s := range t.slots[first:last] {
			if t.gate != nil {
				o = append(o, t.gate.RowAt(int(s)))
			}
			o = append(o, t.up.RowAt(int(s)))
		}
	}
	read(k, k+count)
	for _, s := range t.slots[k:][:count] {
		o = append(o, t.down.RowAt(int(s)))
	}
	last := o[len(o)-1]
	following := mostAhead
	if t.gate != nil {
		following /= 2
	}
	read(k+count, min(k+count+following, end))
	for len(o) < len(w.order) {
		o = append(o, last)
	}
}

// finish writes the activations of neurons from the dots of their rows.
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
			v.Mul(simd.Address(h), simd.Address(h), simd.Address(ups), count)
			simd.RaceWrite(simd.Address(h), 4*count)
		}
	case t.gate != nil:
		if t.gateBias != nil {
			for j, i := range neurons {
				gates[j] += t.gateBias[i]
			}
		}
		v.Activate[t.act](simd.Address(gates), simd.Address(gates), count)
		v.Mul(simd.Address(h), simd.Address(gates), simd.Address(ups), count)
		simd.RaceWrite(simd.Address(h), 4*count)
	default:
		v.Activate[t.act](simd.Address(h), simd.Address(ups), count)
		simd.RaceWrite(simd.Address(h), 4*count)
	}
}

// sparseGEMM is the sparse MLP of many tokens: the hidden activations come out
// as the panels that the product with the down rows reads.
func (cpu *CPU) sparseGEMM(t *neuronTask, y, x, bias []float32) {
	v, n, hidden, outputs := cpu.variant, len(t.slots), t.up.Cols(), t.down.Cols()
	down := productOf(v, t.down.Dtype(), n, true)
	t.panelRows = down.panelRows(n)
	t.hidden = resizeTo(hiddenPanels.of(cpu), v.PackedLen(t.tokens, t.panelRows))
	g := gemmTasks.of(cpu)
	*g = gemmTask{cpu: cpu, w: t.up, slots: t.slots, k: hidden, out: n, tokens: t.tokens}
	if !t.known {
		g.pack(x)
	}
	cpu.do((n+blockRows-1)/blockRows, (*neuronGEMM)(t))
	*g = gemmTask{
		cpu: cpu, w: t.down, slots: t.slots, transposed: true, product: down, x: t.hidden, panelRows: t.panelRows,
		k: n, out: outputs, tokens: t.tokens, y: y, bias: bias,
	}
	g.convert()
	cpu.do((outputs+blockRows-1)/blockRows, g)
	*g = gemmTask{}
}

// neuronGEMM is a neuronTask of many tokens. A piece is a block of active neurons.
type neuronGEMM neuronTask

func (t *neuronGEMM) Piece(thread *parallel.Worker, i int) {
	w := t.cpu.on(thread)
	g, v := gemmTasks.of(t.cpu), t.cpu.variant
	first := i * blockRows
	n := min(blockRows, g.out-first)
	width := v.TileCols
	padded := (g.tokens + width - 1) / width * width
	size := blockRows * padded
	buf := w.scratch(3*size + blockScratch)
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
			o := (panel*blockRows + j) * width
			out := t.hidden[(panel*t.panelRows+k)*width:][:width]
			up := ups[o:][:width]
			if !t.known {
				shift(up, at(t.upBias, neuron))
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
					v.Mul(simd.Address(out), simd.Address(out), simd.Address(up), width)
				}
			case t.gate != nil:
				gate := gates[o:][:width]
				shift(gate, at(t.gateBias, neuron))
				v.Activate[t.act](simd.Address(gate), simd.Address(gate), width)
				v.Mul(simd.Address(out), simd.Address(gate), simd.Address(up), width)
			default:
				v.Activate[t.act](simd.Address(out), simd.Address(up), width)
			}
		}
	}
}

func shift(x []float32, by float32) {
	if by == 0 {
		return
	}
	for i := range x {
		x[i] += by
	}
}
