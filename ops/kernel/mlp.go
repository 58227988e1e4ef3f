package kernel

// MLP is a gated or plain multilayer perceptron, stored neuron-major: row i of
// Gate and Up, I×H, and of Down, I×O, belongs to neuron i (or, if a cache moves
// the rows, to the neuron that slot i holds). Without Gate it is plain: act(up).
type MLP[E Elem] struct {
	Gate, Up, Down             *Matrix
	GateBias, UpBias, DownBias []E // I, I and O numbers, or nil
	Act                        Activation
}

// SparseMLP writes y T×O from x T×H over the active neurons only:
//
//	y = Σ_k act(x·Gate[slots[k]])·(x·Up[slots[k]])·Down[slots[k]] + DownBias
//
// slots are the rows to use and neurons the neurons they hold, which index
// biases and gate (nil: neurons = slots). gate, if not nil, has T×I values
// act(x·gateᵀ + bias) computed before; the rows of Gate are then not read. In a
// plain MLP they are act(x·upᵀ + bias), and the rows of Up are not read.
func SparseMLP[E Elem](p *Pool, y, x []E, m *MLP[E], slots, neurons []int32, gate []E) {
	tokens := checkMLP(y, x, m, slots, neurons, gate)
	if tokens == 0 || m.Up.cols == 0 {
		return
	}
	if neurons == nil {
		neurons = slots
	}
	p = orDefault(p)
	if m.Up.dtype.Compute() != F32 {
		sparseExact(p, y, x, m, slots, neurons, gate, tokens)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	t := &p.tasks.neurons
	*t = neuronTask{
		pool: p, gate: m.Gate, up: m.Up, down: m.Down, act: m.Act, slots: slots, neurons: neurons,
		gateBias: float32s(m.GateBias), upBias: float32s(m.UpBias), gates: float32s(gate), tokens: tokens,
	}
	if gate != nil {
		t.gate, t.known = nil, m.Gate == nil
	}
	if tokens >= smallT {
		p.sparseGEMM(t, float32s(y), float32s(x), float32s(m.DownBias))
	} else {
		p.sparse(t, float32s(y), float32s(x), float32s(m.DownBias))
	}
	*t = neuronTask{}
}

func checkMLP[E Elem](y, x []E, m *MLP[E], slots, neurons []int32, gate []E) int {
	checkActivation[E](m.Act)
	hidden := m.Up.cols
	tokens := 0
	if hidden > 0 {
		tokens = len(x) / hidden
	}
	outputs := m.Down.cols
	same := func(w *Matrix, cols int) bool {
		return w.cols == cols && w.rows == m.Up.rows && w.dtype.Compute() == dtypeOf[E]()
	}
	if !same(m.Up, hidden) || !same(m.Down, outputs) ||
		m.Gate != nil && (!same(m.Gate, hidden) || m.Gate.dtype != m.Up.dtype) {
		panic(panicDtype)
	}
	if len(x) != tokens*hidden || len(y) != tokens*outputs || neurons != nil && len(neurons) != len(slots) ||
		m.DownBias != nil && len(m.DownBias) != outputs || gate != nil && tokens > 0 && len(gate)%tokens != 0 {
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
		if uint(s) >= uint(m.Up.rows) {
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
	return tokens
}

// blockNeurons is the most neurons that are computed together.
const blockNeurons = 8

// neuronTask is the sparse MLP of few tokens, in one pass over the rows of the
// active neurons. A piece is a chunk of active neurons, of which it takes one of each
// quarter (or eighth) at a time: where the rows of a neuron lie side by side, as in a
// neuron store, memory is then read as so many streams.
type neuronTask struct {
	pool             *Pool
	gate, up, down   *Matrix
	act              Activation
	slots, neurons   []int32
	gateBias, upBias []float32
	gates            []float32 // T×I gate values, or nil
	known            bool      // gates are the hidden activations of a plain MLP
	tokens           int
	chunk            int
	sums             []float32 // chunks × T × padded O

	hidden    []float32 // packed hidden activations of many tokens
	panelRows int
}

func (p *Pool) sparse(t *neuronTask, y, x, bias []float32) {
	n, cols := len(t.slots), t.down.cols
	t.chunk = chunkRows(n)
	t.sums = p.partialSums(n, t.tokens, cols)
	if !t.known {
		p.prepare(t.up.dtype, x, t.tokens)
	}
	p.do((n+t.chunk-1)/t.chunk, t)
	p.addPartialSums(y, n, t.tokens, cols, bias)
}

func (t *neuronTask) piece(w *worker, i int) {
	width := paddedCols(t.down.cols)
	sums := t.sums[i*t.tokens*width:][:t.tokens*width]
	clear(sums)
	first := i * t.chunk
	n := min(t.chunk, len(t.slots)-first)
	streams := rowsPerAxpy(t.down.dtype)
	length := (n + streams - 1) / streams
	b := neuronBlock{neuronTask: t, w: w}
	for j := range length {
		b.count = (n - j + length - 1) / length
		for s := range b.count {
			k := first + s*length + j
			b.slot[s], b.neuron[s] = t.slots[k], t.neurons[k]
			b.following[s] = t.slots[min(k+1, first+n-1)]
		}
		b.add(sums)
	}
}

// neuronBlock are active neurons that are computed together.
type neuronBlock struct {
	*neuronTask
	w                       *worker
	count                   int
	slot, neuron, following [blockNeurons]int32
}

// add adds what the neurons contribute to sums T×O. Their gate rows are read, then the up rows and the down rows.
func (b *neuronBlock) add(sums []float32) {
	const size = blockNeurons * smallT
	buf := b.w.scratch(3 * size)
	gates, ups, hidden := buf[:size], buf[size:2*size], buf[2*size:3*size]
	first := b.down // matrix that is read
	if !b.known {
		if first = b.up; b.gate != nil {
			first = b.gate
			b.dots(gates, b.gate, b.up)
		}
		b.dots(ups, b.up, b.down)
	}
	v, r, m, width := b.pool.variant, &b.w.rows, b.down, paddedCols(b.down.cols)
	for token := range b.tokens {
		i := token * blockNeurons
		b.finish(hidden[i:][:b.count], gates[i:], ups[i:], token)
		for s := range b.count {
			row, follows := m.row(int(b.slot[s])), first.row(int(b.following[s]))
			r.row[s], r.next[s], r.then[s] = row, v.askedByAxpy(row, m.rowBytes, follows), uintptr(follows)
		}
		copy(r.coef[:], hidden[i:][:b.count])
		v.axpy(r, sums[token*width:][:width], m, b.count)
	}
}

// dots writes the products of all tokens with the rows of the neurons in m, behind which their rows in next are read.
func (b *neuronBlock) dots(out []float32, m, next *Matrix) {
	v, r := b.pool.variant, &b.w.dots
	for c := 0; c < b.count; c += len(r.row) {
		for s := range r.row {
			k := min(c+s, b.count-1)
			row, follows := m.row(int(b.slot[k])), next.row(int(b.slot[k]))
			r.row[s], r.next[s], r.then[s] = row, v.asked(row, m.rowBytes, follows), uintptr(follows)
		}
		for token := range b.tokens {
			v.dots(&b.pool.tasks.operands[token], m, r)
			copy(out[token*blockNeurons+c:][:len(r.sum)], r.sum[:])
		}
	}
}

// finish writes the activations of the neurons from the dots of their rows.
func (b *neuronBlock) finish(h, gates, ups []float32, token int) {
	v, count := b.pool.variant, b.count
	gates, ups = gates[:count], ups[:count]
	neurons := b.neuron[:count]
	if b.upBias != nil && !b.known {
		for j, i := range neurons {
			ups[j] += b.upBias[i]
		}
	}
	switch {
	case b.gates != nil:
		width := len(b.gates) / b.tokens
		row := b.gates[token*width:][:width]
		for j, i := range neurons {
			h[j] = row[i]
		}
		if !b.known {
			v.mul(address(h), address(h), address(ups), count)
			raceWrite(address(h), 4*count)
		}
	case b.gate != nil:
		if b.gateBias != nil {
			for j, i := range neurons {
				gates[j] += b.gateBias[i]
			}
		}
		v.activate[b.act](address(gates), address(gates), count)
		v.mul(address(h), address(gates), address(ups), count)
		raceWrite(address(h), 4*count)
	default:
		v.activate[b.act](address(h), address(ups), count)
		raceWrite(address(h), 4*count)
	}
}

// sparseGEMM is the sparse MLP of many tokens: the hidden activations come out
// as the panels that the product with the down rows reads.
func (p *Pool) sparseGEMM(t *neuronTask, y, x, bias []float32) {
	v, n, hidden, outputs := p.variant, len(t.slots), t.up.cols, t.down.cols
	t.panelRows = panelRows(t.down.dtype, n, true)
	p.tasks.hidden = resize(p.tasks.hidden, v.packedLen(t.tokens, t.panelRows))
	t.hidden = p.tasks.hidden
	g := &p.tasks.gemm
	*g = gemmTask{pool: p, w: t.up, slots: t.slots, k: hidden, out: n, tokens: t.tokens}
	if !t.known {
		g.panelRows = panelRows(t.up.dtype, hidden, false)
		p.tasks.packed = resize(p.tasks.packed, v.packedLen(t.tokens, g.panelRows))
		g.x = p.tasks.packed
		p.pack(g.x, x, t.tokens, hidden, g.panelRows)
		g.quantize()
	}
	p.do((n+blockRows-1)/blockRows, (*neuronGEMM)(t))
	*g = gemmTask{
		pool: p, w: t.down, slots: t.slots, transposed: true, x: t.hidden, panelRows: t.panelRows,
		k: n, out: outputs, tokens: t.tokens, y: y, bias: bias,
	}
	g.quantize()
	p.do((outputs+blockRows-1)/blockRows, g)
	*g = gemmTask{}
}

// neuronGEMM is a neuronTask of many tokens. A piece is a block of active neurons.
type neuronGEMM neuronTask

func (t *neuronGEMM) piece(w *worker, i int) {
	g, v := &t.pool.tasks.gemm, t.pool.variant
	first := i * blockRows
	n := min(blockRows, g.out-first)
	width := v.tileCols
	padded := (g.tokens + width - 1) / width * width
	size := blockRows * padded
	buf := w.scratch(2*size + blockScratch + 2*blockRows)
	gates, ups, scratch := buf[:size], buf[size:2*size], buf[2*size:]
	if !t.known {
		g.rows(v, ups, scratch, t.up, first, n)
	}
	if t.gate != nil {
		g.rows(v, gates, scratch, t.gate, first, n)
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
					v.mul(address(out), address(out), address(up), width)
				}
			case t.gate != nil:
				gate := gates[o:][:width]
				shift(gate, at(t.gateBias, neuron))
				v.activate[t.act](address(gate), address(gate), width)
				v.mul(address(out), address(gate), address(up), width)
			default:
				v.activate[t.act](address(out), address(up), width)
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
