package kernel

import (
	"unsafe"

	"github.com/sparsegonia/sparsegonia/ops/parallel"
	"github.com/sparsegonia/sparsegonia/ops/simd"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// Where a variant has dot4 for a dtype, the rows of a piece are read as several streams, one from each part of the piece: a
// core then reads as fast as memory goes. Where the rows of a neuron lie side by side, as in a neuron store, each stream
// goes on from the gate row of a neuron to its up and down rows and to the next neuron.

// block is the rows of a piece that are read together, one of each stream.
type block struct {
	count     int
	row       [blockNeurons]int
	following [blockNeurons]int // what is read behind them in their streams
}

// blocks is how many blocks there are in n rows.
func blocks(streams, n int) int { return (n + streams - 1) / streams }

// fill takes row j of each stream of the n rows from first on.
func (b *block) fill(streams, first, n, j int) {
	length := blocks(streams, n)
	b.count = 0
	for k := j; k < n; k += length {
		b.row[b.count], b.following[b.count] = first+k, first+min(k+1, n-1)
		b.count++
	}
}

// goOn lets the last block of a piece be followed by the first one of the next piece of w. A piece has rows of all.
func (b *block) goOn(w *worker, streams, rows, all int) {
	first := w.Claim() * rows
	if first >= all {
		return
	}
	var next block
	next.fill(streams, first, min(rows, all-first), 0)
	for i := range b.count {
		b.following[i] = next.row[min(i, next.count-1)]
	}
}

// linearStreams is a linearTask in streams.
type linearStreams linearTask

func (t *linearStreams) Piece(thread *parallel.Worker, i int) {
	w := t.cpu.on(thread)
	v, m, r := t.cpu.variant, t.w, &w.dots
	first := i * t.rows
	n := min(t.rows, m.Rows()-first)
	var b block
	for j := range blocks(simd.RowsPerDot, n) {
		b.fill(simd.RowsPerDot, first, n, j)
		if j+1 == blocks(simd.RowsPerDot, n) {
			b.goOn(w, simd.RowsPerDot, t.rows, m.Rows())
		}
		for s := range r.Row {
			k := min(s, b.count-1)
			r.Row[s] = m.RowAt(b.row[k])
			r.Next[s] = simd.Asked(v.Streaming.Dot, r.Row[s], m.RowBytes(), m.RowAt(b.following[k]))
		}
		for token := range t.tokens {
			v.Dots(&t.operands[token], m, r)
			out := t.y[token*m.Rows():]
			for s, k := range b.row[:b.count] {
				out[k] = r.Sum[s]
				if t.bias != nil {
					out[k] += t.bias[k]
				}
			}
		}
	}
}

// downStreams is a downTask in streams.
type downStreams downTask

func (t *downStreams) Piece(thread *parallel.Worker, i int) {
	w := t.cpu.on(thread)
	m, r, v := t.w, &w.rows, t.cpu.variant
	width, streams, step := simd.PaddedCols(m.Cols()), v.Streaming.Streams, simd.RowsPerAxpy(m.Dtype())
	acc := t.sums[i*t.tokens*width:][:t.tokens*width]
	clear(acc)
	first := i * t.chunk
	n := min(t.chunk, m.Rows()-first)
	var b block
	for j := range blocks(streams, n) {
		b.fill(streams, first, n, j)
		if j+1 == blocks(streams, n) {
			b.goOn(w, streams, t.chunk, m.Rows())
		}
		for from := 0; from < b.count; from += step {
			to := min(from+step, b.count)
			for token := range t.tokens {
				for s, k := range b.row[from:to] {
					r.Row[s], r.Coef[s] = m.RowAt(k), t.h[token*m.Rows()+k]
					r.Next[s] = simd.Asked(v.Streaming.OfAxpy(m.Dtype()), r.Row[s], m.RowBytes(), m.RowAt(b.following[from+s]))
				}
				v.Axpy(r, acc[token*width:][:width], m, to-from)
			}
		}
	}
}

// neuronStreams is a neuronTask in streams. Its pieces are the same chunks.
type neuronStreams neuronTask

func (t *neuronStreams) Piece(thread *parallel.Worker, i int) {
	w := t.cpu.on(thread)
	v, width := t.cpu.variant, simd.PaddedCols(t.down.Cols())
	streams := v.Streaming.Streams
	sums := t.sums[i*t.tokens*width:][:t.tokens*width]
	clear(sums)
	first := i * t.chunk
	n := min(t.chunk, len(t.slots)-first)
	short := max(t.up.RowBytes(), t.down.RowBytes()) <= simd.ShortRow
	b := neuronBlock{neuronTask: (*neuronTask)(t), w: w}
	for j := range blocks(streams, n) {
		b.fill(streams, first, n, j)
		if j+1 == blocks(streams, n) {
			b.goOn(w, streams, t.chunk, len(t.slots))
		}
		for s := range b.count {
			k, row, following := b.row[s], int(t.slots[b.row[s]]), int(t.slots[b.following[s]])
			b.neuron[s], b.row[s], b.following[s] = t.neurons[k], row, following
			b.byRow[s] = v.Streaming.ByRow && (short || following != row+1)
		}
		b.add(sums)
	}
}

// neuronBlock is a block of active neurons: its rows are their slots.
type neuronBlock struct {
	*neuronTask
	block
	w      *worker
	neuron [blockNeurons]int32
	byRow  [blockNeurons]bool // as in streaming
}

// add adds what the neurons contribute to sums T×O.
func (b *neuronBlock) add(sums []float32) {
	const size = blockNeurons * TileTokens
	buf := b.w.scratch(3 * size)
	gates, ups, hidden := buf[:size], buf[size:2*size], buf[2*size:]
	begin := b.down // matrix that is read of a neuron first
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
	v, r, m, width := b.cpu.variant, &b.w.rows, b.down, simd.PaddedCols(b.down.Cols())
	step := simd.RowsPerAxpy(m.Dtype())
	for token := range b.tokens {
		h := hidden[token*blockNeurons:][:b.count]
		b.finish(h, gates[token*blockNeurons:], ups[token*blockNeurons:], b.neuron[:b.count], token)
		for from := 0; from < b.count; from += step {
			to := min(from+step, b.count)
			for s, row := range b.row[from:to] {
				r.Row[s], r.Coef[s] = m.RowAt(row), h[from+s]
				r.Next[s] = b.asked(v.Streaming.OfAxpy(m.Dtype()), from+s, m, begin.RowAt(b.following[from+s]))
			}
			v.Axpy(r, sums[token*width:][:width], m, to-from)
		}
	}
}

// dots writes to out the products of all tokens with the rows in m of a few neurons of the block, behind which those in next
// are read.
func (b *neuronBlock) dots(out []float32, m, next *weights.Matrix, from int) {
	v, r := b.cpu.variant, &b.w.dots
	for s := range r.Row {
		i := min(from+s, b.count-1)
		r.Row[s] = m.RowAt(b.row[i])
		r.Next[s] = b.asked(v.Streaming.Dot, i, m, next.RowAt(b.row[i]))
	}
	for token := range b.tokens {
		v.Dots(&b.operands[token], m, r)
		copy(out[token*blockNeurons+from:][:simd.RowsPerDot], r.Sum[:])
	}
}

// asked is what to ask for while the row in m of neuron i of the block is read, behind which follows is.
func (b *neuronBlock) asked(ahead, i int, m *weights.Matrix, follows unsafe.Pointer) uintptr {
	if b.byRow[i] {
		return uintptr(follows)
	}
	return simd.Asked(ahead, m.RowAt(b.row[i]), m.RowBytes(), follows)
}
