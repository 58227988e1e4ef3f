package kernel

import "unsafe"

const (
	// smallT is the number of tokens from which on a matrix product goes
	// through the GEMM tiles instead of token by token over a row in the cache.
	smallT = 8

	// pieceBytes of weights are worth a step of the shared counter; a product
	// of fewer is not worth waking anybody for.
	pieceBytes = 64 << 10
)

// Linear writes y = x·wᵀ + bias: x T×K, w O×K (a row per output), y T×O. bias
// has O numbers or is nil.
func Linear[E Elem](p *Pool, y, x []E, w *Matrix, bias []E) {
	tokens := checkLinear(y, x, w.cols, w.rows, w, bias)
	if tokens == 0 || w.rows == 0 {
		return
	}
	p = orDefault(p)
	if w.dtype.Compute() != F32 {
		linearExact(p, y, x, w, bias)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if tokens >= smallT {
		p.gemm(float32s(y), float32s(x), w, float32s(bias), tokens, false)
		return
	}
	t := &p.tasks.linear
	*t = linearTask{pool: p, y: float32s(y), w: w, bias: float32s(bias), tokens: tokens}
	p.prepare(w.dtype, float32s(x), tokens)
	t.rows = max(pieceBytes/max(w.rowBytes, 1)&^1, 2)
	p.do((w.rows+t.rows-1)/t.rows, t)
	*t = linearTask{}
}

// LinearT writes y = x·w + bias: x T×K, w K×O (a row per input, as down of a
// neuron-major MLP), y T×O.
func LinearT[E Elem](p *Pool, y, x []E, w *Matrix, bias []E) {
	tokens := checkLinear(y, x, w.rows, w.cols, w, bias)
	if tokens == 0 || w.cols == 0 {
		return
	}
	p = orDefault(p)
	if w.dtype.Compute() != F32 {
		linearTExact(p, y, x, w, nil, bias, tokens)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if tokens >= smallT {
		p.gemm(float32s(y), float32s(x), w, float32s(bias), tokens, true)
		return
	}
	p.down(float32s(y), float32s(x), w.rows, w, nil, float32s(bias), tokens)
}

// checkLinear returns the number of tokens of x T×in and y T×out.
func checkLinear[E Elem](y, x []E, in, out int, w *Matrix, bias []E) int {
	if w.dtype.Compute() != dtypeOf[E]() {
		panic(panicDtype)
	}
	tokens := 0
	switch {
	case out > 0:
		tokens = len(y) / out
	case in > 0:
		tokens = len(x) / in
	}
	if len(x) != tokens*in || len(y) != tokens*out || bias != nil && len(bias) != out {
		panic(panicShape)
	}
	return tokens
}

// float32s is s itself, whose type is known to be float32.
func float32s[E Elem](s []E) []float32 {
	if s == nil {
		return nil
	}
	return unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(s))), len(s))
}

// prepare fills the first operands of the pool from x T×K.
func (p *Pool) prepare(d Dtype, x []float32, tokens int) {
	k := len(x) / tokens
	for t := range tokens {
		p.variant.prepare(&p.tasks.operands[t], d, x[t*k:][:k:k])
	}
}

// linearTask is a Linear of few tokens. A piece is a range of outputs.
type linearTask struct {
	pool   *Pool
	y      []float32
	w      *Matrix
	bias   []float32
	tokens int
	rows   int // in a piece, even
}

func (t *linearTask) piece(_ *worker, i int) {
	v, m := t.pool.variant, t.w
	for r, end := i*t.rows, min((i+1)*t.rows, m.rows); r < end; r += 2 {
		last := min(r+1, end-1)
		a, b := m.row(r), m.row(last)
		for k := range t.tokens {
			ya, yb := v.dotPair(&t.pool.tasks.operands[k], m, a, b)
			if t.bias != nil {
				ya, yb = ya+t.bias[r], yb+t.bias[last]
			}
			out := t.y[k*m.rows:]
			out[r], out[last] = ya, yb
		}
	}
}

// down writes y = h·w[slots] + bias for few tokens, h T×n; slots nil means all
// rows. Workers share the columns, so the sum over the rows has one order.
func (p *Pool) down(y, h []float32, n int, w *Matrix, slots []int32, bias []float32, tokens int) {
	t := &p.tasks.down
	*t = downTask{pool: p, y: y, h: h, n: n, w: w, slots: slots, bias: bias, tokens: tokens}
	pieces := 1
	if n*w.rowBytes > pieceBytes/2 {
		pieces = p.threads
	}
	t.cols = (w.cols + pieces - 1) / pieces
	t.cols = max((t.cols+2*group-1)&^(2*group-1), 2*group)
	p.do((w.cols+t.cols-1)/t.cols, t)
	*t = downTask{}
}

type downTask struct {
	pool   *Pool
	y, h   []float32
	n      int
	w      *Matrix
	slots  []int32
	bias   []float32
	tokens int
	cols   int // in a piece, a multiple of 64
}

func (t *downTask) piece(w *worker, i int) {
	m := t.w
	c := i * t.cols
	n := min(t.cols, m.cols-c)
	width := groups(n) * group
	acc := w.scratch(t.tokens * width)
	clear(acc)
	var rows [4]int32
	var coef [4]float32
	for k := 0; k < t.n; k += 4 {
		count := min(4, t.n-k)
		for j := range count {
			rows[j] = int32(k + j)
			if t.slots != nil {
				rows[j] = t.slots[k+j]
			}
		}
		for token := range t.tokens {
			copy(coef[:count], t.h[token*t.n+k:][:count])
			t.pool.variant.axpy(w, acc[token*width:][:width], m, &rows, &coef, count, c, n)
		}
	}
	for token := range t.tokens {
		out := t.y[token*m.cols+c:][:n]
		copy(out, acc[token*width:])
		if t.bias != nil {
			for j, b := range t.bias[c : c+n] {
				out[j] += b
			}
		}
	}
}
