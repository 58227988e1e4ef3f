package kernel

import "unsafe"

// Where a variant has tileSplit, products of many tokens run on a unit that multiplies matrices of bfloat16 and adds in
// float32 (AMX). A bfloat16 has 8 of the 24 bits of a float32. Of weights that are finer than their inputs may be, F16 and
// BF16, inputs are split into a high and a low one, and those of F16, which has 11 bits, too: so 16 bits of the inputs
// count. Quantised weights and their inputs are rounded to one bfloat16, which costs less than quantising did, and less
// than rounding the inputs of few tokens to int8 by groups. Weights of F32 stay with the tiles of float32.
//
// The unit wants one factor as rows and the other as pairs of rows. Weights whose rows run along k are read as rows, and
// the inputs as pairs; of a transposed product it is the other way round, and tiles hold a row per token.

// splitTile is the number of rows and of columns of a tile.
const splitTile = 32

// split tells whether products with weights of d run on bfloat16.
func (v *variant) split(d Dtype) bool { return v.tileSplit != nil && d != F32 && d.Compute() == F32 }

// lowInputs and lowWeights tell whether low halves count of the inputs and of weights of d.
func lowInputs(d Dtype) bool  { return d == F16 || d == BF16 }
func lowWeights(d Dtype) bool { return d == F16 }

// halves are two matrices of bfloat16, step bytes from row to row, or, without low, one.
type halves struct {
	high, low unsafe.Pointer
	step      int
}

func newHalves(high, low unsafe.Pointer, step int, both bool) halves {
	if !both {
		low = nil
	}
	return halves{high, low, step}
}

func (h halves) at(offset int) halves {
	h.high = unsafe.Add(h.high, offset)
	if h.low != nil {
		h.low = unsafe.Add(h.low, offset)
	}
	return h
}

// splitInputs fills g.halves from the inputs x T×K or, if x is nil, from the packed panels, which it may change.
func (g *gemmTask) splitInputs(x []float32) {
	p := g.pool
	padded := (g.tokens + splitTile - 1) / splitTile * splitTile
	rows := groups(g.k) * group
	s := (*splitTask)(g)
	g.factors = nil
	if g.w.dtype == Int8 && g.transposed {
		p.tasks.factors = resize(p.tasks.factors, rows)
		g.factors = p.tasks.factors
		clear(g.factors[g.k:])
		for k := range g.k {
			g.factors[k] = rowScale(g.w, g.row(k))
		}
	}
	step := 4 * splitTile
	if g.transposed {
		step = 2*rows + rowAlign // rows that do not start in one cache set
	}
	size := padded * (2*rows + rowAlign)
	p.tasks.halves = resize(p.tasks.halves, 2*size/4)
	high := address(p.tasks.halves)
	g.halves = newHalves(high, unsafe.Add(high, size), step, lowInputs(g.w.dtype))
	g.raw = x
	pieces := padded / splitTile * packParts
	if x != nil {
		pieces = g.tokens
	}
	p.do(pieces, s)
	g.raw = nil
}

// splitTask splits inputs. A piece is a token or, of packed inputs, a part of the rows of a panel.
type splitTask gemmTask

func (s *splitTask) piece(w *worker, i int) {
	if s.raw != nil {
		s.token(w, i)
		return
	}
	rows := groups(s.k) * group
	part := groups((rows+packParts-1)/packParts) * group
	panel, first := i/packParts, min(i%packParts*part, rows)
	last := min(first+part, rows)
	x := s.x[panel*rows*splitTile:][:rows*splitTile]
	if s.transposed {
		s.columns(x, panel, first, last)
		return
	}
	v := s.pool.variant
	to := s.halves.at(panel * rows / 2 * s.halves.step)
	for k := first; k < last; k += 2 {
		h := to.at(k / 2 * s.halves.step)
		v.splitPairs(h.high, h.low, address(x[k*splitTile:]), address(x[(k+1)*splitTile:]), splitTile)
	}
}

// token splits the inputs of a token, which become a row.
func (s *splitTask) token(w *worker, i int) {
	v, rows := s.pool.variant, groups(s.k)*group
	x := s.raw[i*s.k:][:s.k]
	raceRead(address(x), 4*len(x))
	if s.factors != nil || s.k < rows {
		buf := w.scratch(rows)
		copy(buf, x)
		clear(buf[s.k:])
		if s.factors != nil {
			v.mul(address(buf), address(buf), address(s.factors), s.k)
		}
		x = buf
	}
	if rows > 0 {
		h := s.halves.at(i * s.halves.step)
		v.splitRow(h.high, h.low, address(x), rows)
	}
}

// columns splits rows first to last−1 of a panel, whose columns become rows.
func (s *splitTask) columns(x []float32, panel, first, last int) {
	v := s.pool.variant
	to := s.halves.at(panel * splitTile * s.halves.step)
	for k := first; k < last; k += 16 {
		if s.factors != nil {
			for j := k; j < k+16; j++ {
				v.scale(address(x[j*splitTile:]), s.factors[j], splitTile)
			}
		}
		h := to.at(2 * k)
		v.splitColumns(h.high, h.low, address(x[k*splitTile:]), s.halves.step)
	}
}

// splitWeights is room for a block of weights in either orientation and, one or two rows of them, as float32.
type splitWeights struct {
	halves
	rows [2][]float32
}

func newSplitWeights(d Dtype, scratch []float32, step int) splitWeights {
	const half = blockRows * splitStep / 4
	rest := scratch[2*half:]
	return splitWeights{
		newHalves(address(scratch), address(scratch[half:]), step, lowWeights(d)),
		[2][]float32{rest[:blockCols], rest[blockCols:][:blockCols]},
	}
}

const splitStep = 2*blockCols + rowAlign // bytes of a row of a block

// splitRows is gemmTask.rows on bfloat16.
func (g *gemmTask) splitRows(v *variant, c, scratch []float32, m *Matrix, first, n int) {
	w := newSplitWeights(m.dtype, scratch, splitStep)
	rows := groups(g.k) * group
	for k := 0; k < g.k; k += blockCols {
		width := min(blockCols, g.k-k)
		padded := groups(width) * group
		for i := range n {
			g.askFor(v, m, first, i, n, k)
			v.widenPart(w.rows[0], m, g.rowOf(m, first+i), k, width)
			clear(w.rows[0][width:padded])
			h := w.at(i * w.step)
			v.splitRow(h.high, h.low, address(w.rows[0]), padded)
		}
		for t := 0; t*splitTile < g.tokens; t++ {
			x := g.halves.at((t*rows + k) / 2 * g.halves.step)
			for i := 0; i < n; i += splitTile {
				a := w.at(i * w.step)
				v.tileSplit(address(c[(t*blockRows+i)*splitTile:]), 4*splitTile, a.high, a.low, a.step, x.high, x.low, x.step, padded)
			}
		}
	}
	if m.dtype != Int8 {
		return
	}
	for i := range n {
		scale := rowScale(m, g.rowOf(m, first+i))
		for t := 0; t*splitTile < g.tokens; t++ {
			v.scale(address(c[(t*blockRows+i)*splitTile:]), scale, splitTile)
		}
	}
}

// splitColumns is gemmTask.columns on bfloat16. It leaves a row of blockRows outputs of each token in c.
func (g *gemmTask) splitColumns(v *variant, c, scratch []float32, first, n int) {
	w := newSplitWeights(g.w.dtype, scratch, 4*blockRows)
	clear(c)
	padded := groups(n) * group
	for k := 0; k < g.k; k += blockCols {
		width := min(blockCols, g.k-k)
		for i := 0; i < width; i += 2 {
			for j, row := range w.rows {
				if i+j == width {
					clear(row[:padded])
					continue
				}
				v.prefetchPart(g.w, g.row(min(k+i+j+rowsAhead, g.k-1)), first, n)
				v.widenPart(row, g.w, g.row(k+i+j), first, n)
			}
			h := w.at(i / 2 * w.step)
			v.splitPairs(h.high, h.low, address(w.rows[0]), address(w.rows[1]), padded)
		}
		w.clearPairs((width+1)/2, groups(width)*group/2)
		for t := 0; t < g.tokens; t += splitTile {
			x := g.halves.at(t*g.halves.step + 2*k)
			for i := 0; i < n; i += splitTile {
				b := w.at(4 * i)
				v.tileSplit(address(c[t*blockRows+i:]), 4*blockRows, x.high, x.low, x.step, b.high, b.low, b.step, groups(width)*group)
			}
		}
	}
}

// clearPairs clears pairs of rows first to last−1.
func (w *splitWeights) clearPairs(first, last int) {
	for _, p := range []unsafe.Pointer{w.high, w.low} {
		if p != nil {
			clear(values[byte](unsafe.Add(p, first*w.step), (last-first)*w.step))
		}
	}
}
