package kernel

import "unsafe"

// Where a variant has dot4 for a dtype, the rows of a piece are read as four streams, one from each quarter of the piece:
// a core then reads as fast as memory goes, and with two streams up to a fifth less. Where the rows of a neuron lie side
// by side, as in a neuron store, each stream goes on from the gate row of a neuron to its up and down rows and to the next
// neuron.

const streams = 4

// streamed tells whether rows of d are read as streams.
func (v *variant) streamed(d Dtype) bool { return v.dot4[d] != nil }

// lookahead is how many bytes behind where it is read a stream is asked for, by dot4, by axpy4, and by axpy4 of Int8, which
// has so much work with a row that much more can be fetched meanwhile. AVX2 was measured on Zen 3, a core of which drops
// what it is asked for when its misses are many; AVX-512 on Emerald Rapids.
type lookahead struct{ dot, axpy, axpyInt8 int }

func (a lookahead) ofAxpy(d Dtype) int {
	if d == Int8 {
		return a.axpyInt8
	}
	return a.axpy
}

// asked is what to ask for while a row of size bytes is read: what lies ahead of it or, if the row that follows in its
// stream does not lie behind it, that row.
func asked(ahead int, row unsafe.Pointer, size int, follows unsafe.Pointer) uintptr {
	if gap := uintptr(follows) - uintptr(row) - uintptr(size); gap < rowAlign {
		return uintptr(row) + uintptr(ahead)
	}
	return uintptr(follows)
}

// dotRows are a row of each stream, which may be the same, what comes behind them, and their products.
type dotRows struct {
	row  [streams]unsafe.Pointer
	next [streams]uintptr // asked for as far as row is read
	sum  [streams]float32
}

// dots writes to r.sum the products of x with the rows of r, which are rows of m.
func (v *variant) dots(x *operand, m *Matrix, r *dotRows) {
	for _, row := range r.row {
		raceRead(row, m.rowBytes)
	}
	switch {
	case m.dtype.grouped():
		v.dot4[m.dtype](unsafe.Pointer(x), r, groups(m.cols))
		return
	case m.dtype != Int8:
		v.dots4(m.dtype, x.q, r, m.cols)
		return
	}
	if m.cols <= int16Cols {
		v.dots4(Int8, x.q, r, m.cols)
	} else {
		v.longDots(x.q, r, m.cols)
	}
	scale := int8Scale(m.cols)
	for i, row := range r.row {
		r.sum[i] *= x.scale * *(*float32)(unsafe.Add(row, scale))
	}
}

// longDots is dots4 of Int8 for more columns than an int32 holds the sums of.
func (v *variant) longDots(x unsafe.Pointer, r *dotRows, cols int) {
	row, sum := r.row, [streams]float32{}
	for c := 0; c < cols; c += int16Cols {
		n := min(cols-c, int16Cols)
		v.dots4(Int8, unsafe.Add(x, 2*c), r, n)
		for i, s := range r.sum {
			sum[i] += s
			r.row[i] = unsafe.Add(r.row[i], n)
			r.next[i] += uintptr(n)
		}
	}
	r.row, r.sum = row, sum
}

// dots4 is dot4 of any number of columns.
func (v *variant) dots4(d Dtype, x unsafe.Pointer, r *dotRows, n int) {
	whole := n &^ (group - 1)
	r.sum = [streams]float32{}
	if whole > 0 {
		v.dot4[d](x, r, whole)
	}
	if whole == n {
		return
	}
	xs := 4
	if d == Int8 {
		xs = 2
	}
	rest := func(i int) unsafe.Pointer { return unsafe.Add(r.row[i], whole*d.size()) }
	for i := 0; i < streams; i += 2 {
		a, b := generic.dot2[d](unsafe.Add(x, whole*xs), rest(i), rest(i+1), n-whole, 0, 0)
		r.sum[i], r.sum[i+1] = r.sum[i]+a, r.sum[i+1]+b
	}
}

// linearStreams is a linearTask in streams.
type linearStreams linearTask

func (t *linearStreams) piece(w *worker, i int) {
	v, m, r := t.pool.variant, t.w, &w.dots
	first := i * t.rows
	n := min(t.rows, m.rows-first)
	length := (n + streams - 1) / streams
	var at [streams]int
	for j := range length {
		for s := range at {
			k := first + min(s*length+j, n-1)
			at[s], r.row[s] = k, m.row(k)
			r.next[s] = asked(v.lookahead.dot, r.row[s], m.rowBytes, m.row(min(k+1, first+n-1)))
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

// rowsOfBlock are the rows of a chunk of n that are added together, and the row that follows each in its stream: one or
// two of each stream, from its row j on.
type rowsOfBlock struct {
	count         int
	row, followed [blockNeurons]int
}

func blockOf(d Dtype, n, j int) (b rowsOfBlock) {
	length, depth := streamLength(n), streamDepth(d)
	for i := j; i < min(j+depth, length); i++ {
		for k := i; k < n; k += length {
			b.row[b.count], b.followed[b.count] = k, min(k+depth, n-1)
			b.count++
		}
	}
	return b
}

// streamLength is the number of rows of n in the longest stream, and streamDepth how many rows of d in one are added
// together.
func streamLength(n int) int  { return (n + streams - 1) / streams }
func streamDepth(d Dtype) int { return rowsPerAxpy(d) / streams }

// downStreams is a downTask in streams.
type downStreams downTask

func (t *downStreams) piece(w *worker, i int) {
	m, r, v := t.w, &w.rows, t.pool.variant
	width := paddedCols(m.cols)
	acc := t.sums[i*t.tokens*width:][:t.tokens*width]
	clear(acc)
	first := i * t.chunk
	n := min(t.chunk, m.rows-first)
	for j := 0; j < streamLength(n); j += streamDepth(m.dtype) {
		b := blockOf(m.dtype, n, j)
		for token := range t.tokens {
			for s := range b.count {
				k := first + b.row[s]
				r.row[s], r.coef[s] = m.row(k), t.h[token*m.rows+k]
				r.next[s] = asked(v.lookahead.ofAxpy(m.dtype), r.row[s], m.rowBytes, m.row(first+b.followed[s]))
			}
			v.axpy(r, acc[token*width:][:width], m, b.count)
		}
	}
}

// neuronStreams is a neuronTask in streams. Its pieces are the same chunks.
type neuronStreams neuronTask

func (t *neuronStreams) piece(w *worker, i int) {
	width := paddedCols(t.down.cols)
	sums := t.sums[i*t.tokens*width:][:t.tokens*width]
	clear(sums)
	first := i * t.chunk
	n := min(t.chunk, len(t.slots)-first)
	b := streamBlock{neuronTask: (*neuronTask)(t), w: w}
	for j := 0; j < streamLength(n); j += streamDepth(t.down.dtype) {
		rows := blockOf(t.down.dtype, n, j)
		b.count = rows.count
		for s := range b.count {
			k := first + rows.row[s]
			b.neuron[s], b.slot[s], b.following[s] = t.neurons[k], int(t.slots[k]), int(t.slots[first+rows.followed[s]])
		}
		b.add(sums)
	}
}

// streamBlock is one or two active neurons of each stream.
type streamBlock struct {
	*neuronTask
	w      *worker
	count  int
	neuron [blockNeurons]int32

	slot, following [blockNeurons]int // of the neurons and of those that follow
}

// add adds what the neurons contribute to sums T×O.
func (b *streamBlock) add(sums []float32) {
	const size = blockNeurons * smallT
	buf := b.w.scratch(3 * size)
	gates, ups, hidden := buf[:size], buf[size:2*size], buf[2*size:]
	first := b.down // matrix that is read of a neuron
	if !b.known {
		first = b.up
		if b.gate != nil {
			first = b.gate
		}
		for i := 0; i < b.count; i += streams {
			if b.gate != nil {
				b.dots(gates, b.gate, b.up, i)
			}
			b.dots(ups, b.up, b.down, i)
		}
	}
	v, r, m, width := b.pool.variant, &b.w.rows, b.down, paddedCols(b.down.cols)
	for token := range b.tokens {
		i := token * blockNeurons
		b.finish(hidden[i:][:b.count], gates[i:], ups[i:], b.neuron[:b.count], token)
		for s := range b.count {
			r.row[s], r.coef[s] = m.row(b.slot[s]), hidden[i+s]
			r.next[s] = asked(v.lookahead.ofAxpy(m.dtype), r.row[s], m.rowBytes, first.row(b.following[s]))
		}
		v.axpy(r, sums[token*width:][:width], m, b.count)
	}
}

// dots writes to out the products of all tokens with the rows in m of the neurons from first on, one of each stream, behind
// which those in next are read.
func (b *streamBlock) dots(out []float32, m, next *Matrix, first int) {
	v, r := b.pool.variant, &b.w.dots
	for s := range r.row {
		slot := b.slot[min(first+s, b.count-1)]
		r.row[s] = m.row(slot)
		r.next[s] = asked(v.lookahead.dot, r.row[s], m.rowBytes, next.row(slot))
	}
	for token := range b.tokens {
		v.dots(&b.pool.tasks.operands[token], m, r)
		copy(out[token*blockNeurons+first:][:streams], r.sum[:])
	}
}
