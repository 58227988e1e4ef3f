package kernel

import "unsafe"

const (
	// smallT is the number of tokens from which on a matrix product goes
	// through the GEMM tiles instead of token by token over a row in the cache.
	smallT = 16

	// A product is cut into piecesPerThread for each thread. Of weights, a piece
	// has between leastPiece bytes, for less of which the first rows of a piece,
	// which nobody has asked for ahead, cost too much, and mostPiece, so that the
	// last pieces end together. A product of fewer than alone is not worth waking
	// anybody for.
	piecesPerThread = 4
	leastPiece      = 64 << 10
	mostPiece       = 1 << 20
	alone           = 48 << 10
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
	t.rows = (w.rows + 3) &^ 3
	if bytes := w.rows * w.rowBytes; bytes > alone {
		piece := min(max(bytes/(piecesPerThread*p.threads), leastPiece), mostPiece)
		t.rows = max(piece/w.rowBytes&^3, 4)
	}
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
	p.down(float32s(y), float32s(x), w, float32s(bias), tokens)
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
	rows   int // in a piece, a multiple of four
}

// piece takes a row of each quarter of its range at a time: memory is read fastest as a few long streams.
func (t *linearTask) piece(w *worker, i int) {
	v, m, r := t.pool.variant, t.w, &w.dots
	first := i * t.rows
	n := min(t.rows, m.rows-first)
	quarter := (n + 3) / 4
	var at [4]int
	for j := range quarter {
		for s := range at {
			k := first + min(s*quarter+j, n-1)
			follows := m.row(min(k+1, first+n-1))
			at[s], r.row[s] = k, m.row(k)
			r.next[s], r.then[s] = v.asked(r.row[s], m.rowBytes, follows), uintptr(follows)
		}
		for token := range t.tokens {
			v.dots(&t.pool.tasks.operands[token], m, r)
			out := t.y[token*m.rows:]
			for s, k := range at {
				out[k] = r.sum[s]
				if t.bias != nil {
					out[k] += t.bias[k]
				}
			}
		}
	}
}

// down writes y = h·w + bias for few tokens, h T×n.
func (p *Pool) down(y, h []float32, w *Matrix, bias []float32, tokens int) {
	n := w.rows
	t := &p.tasks.down
	*t = downTask{pool: p, h: h, w: w, tokens: tokens, chunk: chunkRows(n)}
	t.sums = p.partialSums(n, tokens, w.cols)
	p.do((n+t.chunk-1)/t.chunk, t)
	*t = downTask{}
	p.addPartialSums(y, n, tokens, w.cols, bias)
}

// downTask adds up rows times coefficients. A piece is a chunk of rows, of which it takes a row of each quarter, or
// eighth, at a time.
type downTask struct {
	pool   *Pool
	h      []float32
	w      *Matrix
	tokens int
	chunk  int
	sums   []float32
}

func (t *downTask) piece(w *worker, i int) {
	m, r, v := t.w, &w.rows, t.pool.variant
	width := paddedCols(m.cols)
	acc := t.sums[i*t.tokens*width:][:t.tokens*width]
	clear(acc)
	first := i * t.chunk
	n := min(t.chunk, m.rows-first)
	streams := rowsPerAxpy(m.dtype)
	length := (n + streams - 1) / streams
	for j := range length {
		count := (n - j + length - 1) / length
		for token := range t.tokens {
			for s := range count {
				k := s*length + j
				row, follows := m.row(first+k), m.row(first+min(k+1, n-1))
				r.row[s], r.next[s], r.then[s] = row, v.askedByAxpy(row, m.rowBytes, follows), uintptr(follows)
				r.coef[s] = t.h[token*m.rows+first+k]
			}
			v.axpy(r, acc[token*width:][:width], m, count)
		}
	}
}
