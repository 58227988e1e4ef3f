package kernel

import (
	"unsafe"

	"github.com/sparsegonia/sparsegonia/ops/parallel"
	"github.com/sparsegonia/sparsegonia/ops/simd"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

const (
	// TileTokens is the number of tokens from which on products run on tiles instead of token by
	// token.
	TileTokens = 16

	// A product of few tokens is cut into piecesPerThread for each thread, of leastPiece to
	// mostPiece bytes of weights: sharing fewer costs more than it brings, and with more the last
	// pieces end at different times. A product of at most alone bytes runs on the caller.
	piecesPerThread = 4
	leastPiece      = 64 << 10
	mostPiece       = 1 << 20
	alone           = 48 << 10
)

// Linear computes y = x·wᵀ + bias: x T×K, w O×K (a row per output), y T×O. bias has O numbers or is
// nil.
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
	*t = linearTask{cpu: cpu, y: float32s(y), w: w, bias: float32s(bias), tokens: tokens, kernel: cpu.variant.RowsOf(w)}
	t.operands = cpu.prepare(t.kernel, float32s(x), tokens)
	t.rows = w.Rows() + w.Rows()&1
	if bytes := w.Rows() * w.RowBytes(); bytes > alone {
		piece := min(max(bytes/(piecesPerThread*cpu.pool.Threads()), leastPiece), mostPiece)
		t.rows = max(piece/w.RowBytes()&^1, 2)
	}
	cpu.do((w.Rows()+t.rows-1)/t.rows, t)
	*t = linearTask{}
}

// LinearT computes y = x·w + bias: x T×K, w K×O (a row per input, as down of a neuron-major MLP), y
// T×O.
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
	n := w.Rows()
	t := downTasks.of(cpu)
	*t = downTask{cpu: cpu, h: float32s(x), w: w, tokens: tokens, chunk: chunkRows(n), kernel: cpu.variant.RowsOf(w)}
	t.sums = cpu.partialSums(n, tokens, w.Cols())
	cpu.do((n+t.chunk-1)/t.chunk, t)
	*t = downTask{}
	cpu.addPartialSums(float32s(y), n, tokens, w, float32s(bias))
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

// float32s returns s, whose type is known to be float32.
func float32s[E weights.Elem](s []E) []float32 {
	if s == nil {
		return nil
	}
	return unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(s))), len(s))
}

var operands = newPerCPU[[TileTokens]simd.Operand]()

// prepare returns an operand for each token of x T×K.
func (cpu *CPU) prepare(kernel *simd.RowKernel, x []float32, tokens int) []simd.Operand {
	o, k := operands.of(cpu)[:tokens], len(x)/tokens
	for t := range o {
		kernel.Prepare(&o[t], x[t*k:][:k:k])
	}
	return o
}

var (
	linearTasks = newPerCPU[linearTask]()
	downTasks   = newPerCPU[downTask]()
)

// linearTask is a Linear of few tokens. A piece is a range of outputs.
type linearTask struct {
	cpu      *CPU
	kernel   *simd.RowKernel
	y        []float32
	w        *weights.Matrix
	bias     []float32
	tokens   int
	rows     int // of a piece
	operands []simd.Operand
}

func (t *linearTask) Piece(thread *parallel.Worker, i int) {
	w := t.cpu.on(thread)
	m, r, b := t.w, &w.dots, &w.block
	size, ahead, streams := m.RowBytes(), t.kernel.DotAhead, t.kernel.DotStreams
	for b.begin(w, streams, simd.RowsPerDot/streams, i*t.rows, t.rows, m.Rows()); b.next(); {
		for s := range r.Row {
			k := min(s, b.count-1)
			row := m.RowAt(b.row[k])
			r.Row[s], r.Next[s] = row, simd.Ahead(ahead, row, size, m.RowAt(b.following[k]))
		}
		for token := range t.tokens {
			t.kernel.Dot(&t.operands[token], r, m)
			y := t.y[token*m.Rows():]
			for s, k := range b.row[:b.count] {
				y[k] = r.Sum[s]
				if t.bias != nil {
					y[k] += t.bias[k]
				}
			}
		}
	}
}

// downTask adds up rows times coefficients h T×K. A piece is a chunk of rows.
type downTask struct {
	cpu    *CPU
	kernel *simd.RowKernel
	h      []float32
	w      *weights.Matrix
	tokens int
	chunk  int       // rows
	sums   []float32 // chunks × T × padded O
}

func (t *downTask) Piece(thread *parallel.Worker, i int) {
	w := t.cpu.on(thread)
	m, r, b := t.w, &w.rows, &w.block
	width := simd.PaddedCols(m.Cols())
	sums := t.sums[i*t.tokens*width:][:t.tokens*width]
	clear(sums)
	for b.begin(w, t.kernel.Streams, t.kernel.Run, i*t.chunk, t.chunk, m.Rows()); b.next(); {
		for from := 0; from < b.count; from += t.kernel.PerAdd {
			to := min(from+t.kernel.PerAdd, b.count)
			for token := range t.tokens {
				for s, k := range b.row[from:to] {
					r.Row[s], r.Coef[s] = m.RowAt(k), t.h[token*m.Rows()+k]
					r.Next[s] = simd.Ahead(t.kernel.AddAhead, r.Row[s], m.RowBytes(), m.RowAt(b.following[from+s]))
				}
				t.kernel.Add(sums[token*width:][:width], r, m, to-from)
			}
		}
	}
}
