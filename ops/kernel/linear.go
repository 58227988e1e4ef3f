package kernel

import (
	"unsafe"

	"github.com/sparsegonia/sparsegonia/ops/parallel"
	"github.com/sparsegonia/sparsegonia/ops/simd"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

const (
	// TileTokens is the number of tokens from which on a matrix product goes
	// through the GEMM tiles instead of token by token over a row in the cache.
	TileTokens = 16

	// A product is cut into piecesPerThread for each thread. Of weights, a piece
	// has between leastPiece bytes, since with less sharing them costs more than it
	// brings, and mostPiece, so that the last pieces end together. A product of
	// fewer than alone is not worth waking anybody for.
	piecesPerThread = 4
	leastPiece      = 64 << 10
	mostPiece       = 1 << 20
	alone           = 48 << 10

	// readAhead is how many bytes ahead grouped weights are asked for, in whole rows.
	readAhead = 3 << 10
)

// Linear writes y = x·wᵀ + bias: x T×K, w O×K (a row per output), y T×O. bias
// has O numbers or is nil.
func Linear[E weights.Elem](cpu *CPU, y, x []E, w *weights.Matrix, bias []E) {
	tokens := checkLinear(y, x, w.Cols(), w.Rows(), w, bias)
	if tokens == 0 || w.Rows() == 0 {
		return
	}
	cpu = orDefault(cpu)
	if w.Dtype().Compute() != weights.F32 {
		linearExact(cpu, y, x, w, bias)
		return
	}
	cpu.mu.Lock()
	defer cpu.mu.Unlock()
	if tokens >= TileTokens {
		cpu.gemm(float32s(y), float32s(x), w, float32s(bias), tokens, false)
		return
	}
	t := linearTasks.of(cpu)
	*t = linearTask{cpu: cpu, y: float32s(y), w: w, bias: float32s(bias), tokens: tokens}
	t.operands = cpu.prepare(w.Dtype(), float32s(x), tokens)
	t.rows = w.Rows() + w.Rows()&1
	if bytes := w.Rows() * w.RowBytes(); bytes > alone {
		piece := min(max(bytes/(piecesPerThread*cpu.pool.Threads()), leastPiece), mostPiece)
		t.rows = max(piece/w.RowBytes()&^1, 2)
	}
	var pieces parallel.Section = t
	if cpu.variant.Streamed(w.Dtype()) {
		pieces = (*linearStreams)(t)
	}
	cpu.do((w.Rows()+t.rows-1)/t.rows, pieces)
	*t = linearTask{}
}

// LinearT writes y = x·w + bias: x T×K, w K×O (a row per input, as down of a
// neuron-major MLP), y T×O.
func LinearT[E weights.Elem](cpu *CPU, y, x []E, w *weights.Matrix, bias []E) {
	tokens := checkLinear(y, x, w.Rows(), w.Cols(), w, bias)
	if tokens == 0 || w.Cols() == 0 {
		return
	}
	cpu = orDefault(cpu)
	if w.Dtype().Compute() != weights.F32 {
		linearTExact(cpu, y, x, w, nil, bias, tokens)
		return
	}
	cpu.mu.Lock()
	defer cpu.mu.Unlock()
	if tokens >= TileTokens {
		cpu.gemm(float32s(y), float32s(x), w, float32s(bias), tokens, true)
		return
	}
	cpu.down(float32s(y), float32s(x), w, float32s(bias), tokens)
}

// checkLinear returns the number of tokens of x T×in and y T×out.
func checkLinear[E weights.Elem](y, x []E, in, out int, w *weights.Matrix, bias []E) int {
	if w.Dtype().Compute() != weights.DtypeOf[E]() {
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
func float32s[E weights.Elem](s []E) []float32 {
	if s == nil {
		return nil
	}
	return unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(s))), len(s))
}

var operands = newPerCPU[[TileTokens]simd.Operand]()

// prepare returns x T×K in the form that rows of d multiply, an operand for each token.
func (cpu *CPU) prepare(d weights.Dtype, x []float32, tokens int) []simd.Operand {
	o, k := operands.of(cpu)[:tokens], len(x)/tokens
	for t := range o {
		cpu.variant.Prepare(&o[t], d, x[t*k:][:k:k])
	}
	return o
}

var (
	linearTasks = newPerCPU[linearTask]()
	downTasks   = newPerCPU[downTask]()
)

// linearTask is a Linear of few tokens. A piece is a range of outputs.
type linearTask struct {
	cpu    *CPU
	y      []float32
	w      *weights.Matrix
	bias   []float32
	tokens int
	rows   int // in a piece, even

	operands []simd.Operand // the inputs of the tokens
}

// piece takes a row of each half of its range at a time: memory is read fastest as a few long streams.
func (t *linearTask) Piece(_ *parallel.Worker, i int) {
	v, m := t.cpu.variant, t.w
	first := i * t.rows
	n := min(t.rows, m.Rows()-first)
	half := (n + 1) / 2
	rowsAhead := (readAhead + m.RowBytes() - 1) / max(m.RowBytes(), 1)
	for j := range half {
		r, s := first+j, first+min(half+j, n-1)
		a, b := m.RowAt(r), m.RowAt(s)
		ahead := uintptr(min(rowsAhead, half-1-j) * m.Stride())
		for k := range t.tokens {
			ya, yb := v.DotPair(&t.operands[k], m, a, b, uintptr(a)+ahead, uintptr(b)+ahead)
			if t.bias != nil {
				ya, yb = ya+t.bias[r], yb+t.bias[s]
			}
			out := t.y[k*m.Rows():]
			out[r], out[s] = ya, yb
		}
	}
}

// down writes y = h·w + bias for few tokens, h T×n.
func (cpu *CPU) down(y, h []float32, w *weights.Matrix, bias []float32, tokens int) {
	n := w.Rows()
	t := downTasks.of(cpu)
	*t = downTask{cpu: cpu, h: h, w: w, tokens: tokens, chunk: chunkRows(n)}
	t.sums = cpu.partialSums(n, tokens, w.Cols())
	var pieces parallel.Section = t
	if cpu.variant.Streamed(w.Dtype()) {
		pieces = (*downStreams)(t)
	}
	cpu.do((n+t.chunk-1)/t.chunk, pieces)
	*t = downTask{}
	cpu.addPartialSums(y, n, tokens, w, bias)
}

// downTask adds up rows times coefficients. A piece is a chunk of rows.
type downTask struct {
	cpu    *CPU
	h      []float32
	w      *weights.Matrix
	tokens int
	chunk  int
	sums   []float32
}

func (t *downTask) Piece(thread *parallel.Worker, i int) {
	w := t.cpu.on(thread)
	m, r, v := t.w, &w.rows, t.cpu.variant
	width := simd.PaddedCols(m.Cols())
	acc := t.sums[i*t.tokens*width:][:t.tokens*width]
	clear(acc)
	first := i * t.chunk
	end := min(first+t.chunk, m.Rows())
	step := simd.RowsPerAxpy(m.Dtype())
	for k := first; k < end; k += step {
		count := min(step, end-k)
		for token := range t.tokens {
			copy(r.Coef[:count], t.h[token*m.Rows()+k:][:count])
			for j := range count {
				r.Row[j] = m.RowAt(k + j)
				r.Next[j] = uintptr(m.RowAt(min(k+j+step, end-1)))
			}
			v.Axpy(r, acc[token*width:][:width], m, count)
		}
	}
}
