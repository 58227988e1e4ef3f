package kernel

import "unsafe"

// A matrix unit (AMX) multiplies matrices of bfloat16, which it adds in float32, or of int8, which it adds in int32. It
// takes the products of many tokens with weights that are not F32, which stay with the exact tiles of float32.
//
// A bfloat16 has 8 of the 24 bits of a float32. Inputs of F16 and BF16 weights are split into a high and a low one, and
// F16 weights, which have 11 bits, too: 16 bits of the inputs count. Grouped weights, times their scales, and their inputs
// are rounded to one, which costs less than quantising did, and less than rounding the inputs of few tokens to int8.
//
// Int8 weights meet inputs of int16, as without the unit, which are split into two int8. Those products are exact.
//
// The unit wants one factor as rows and the other as rows that hold 4 bytes of each column. Weights whose rows run along k
// are read as rows, and inputs the other way; of a transposed product it is the reverse, and tiles hold a row per token.

const (
	unitBytes = 2 * blockCols  // of a row of weights that are read at a time
	unitStep  = unitBytes + 64 // bytes from row to row of them: they do not all start in one cache set
	mostBytes = 1<<17 - 1      // columns whose products of int8 an int32 holds
)

// lowInputs and lowWeights tell whether low halves count of the inputs and of weights of d.
func lowInputs(d Dtype) bool  { return d == F16 || d == BF16 }
func lowWeights(d Dtype) bool { return d == F16 }

// halves are two matrices of the high and the low parts of numbers, step bytes from row to row. low may be nil.
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

// unitInputs fills g.halves for the unit from the inputs x T×K or, if x is nil, from packed panels of them.
func (g *gemmTask) unitInputs(x []float32) {
	cpu := g.cpu
	padded := (g.tokens + unitTile - 1) / unitTile * unitTile
	size := 2 // bytes of an input
	if g.product == onBytes {
		size = 1
	}
	step := 4 * unitTile
	if g.transposed {
		step = size*g.panelRows + rowAlign // rows that do not all start in one cache set
	}
	bytes := padded * (size*g.panelRows + rowAlign)
	high := address(resizeTo(&gemmScratch.of(cpu).halves, 2*bytes/4))
	g.halves = newHalves(high, unsafe.Add(high, bytes), step, g.product == onBytes || lowInputs(g.w.dtype))
	g.raw = x
	pieces := padded / unitTile * packParts
	if x != nil {
		pieces = g.tokens
	}
	cpu.do(pieces, (*unitTask)(g))
	g.raw = nil
}

// unitTask makes inputs for the unit. A piece is a token or, of packed inputs, a part of the rows of a panel.
type unitTask gemmTask

func (u *unitTask) Piece(thread *Worker, i int) {
	w := u.cpu.on(thread)
	if u.raw != nil {
		u.token(w, i)
		return
	}
	part := groups((u.panelRows+packParts-1)/packParts) * group
	panel, first := i/packParts, min(i%packParts*part, u.panelRows)
	last := min(first+part, u.panelRows)
	unit := u.cpu.variant.unit
	switch rows := u.panelRows * unitTile; {
	case u.product == onBytes && u.transposed:
		x, to := u.pairs[panel*rows/2:], u.halves.at(panel*unitTile*u.halves.step)
		for k := first; k < last; k += 32 {
			h := to.at(k)
			unit.bytesOfColumns(h.high, h.low, address(x[k/2*unitTile:]), h.step)
		}
	case u.product == onBytes:
		x, to := u.pairs[panel*rows/2:], u.halves.at(panel*u.panelRows/4*u.halves.step)
		for k := first; k < last; k += 4 {
			h := to.at(k / 4 * u.halves.step)
			unit.bytesOfPairs(h.high, h.low, address(x[k/2*unitTile:]), address(x[(k/2+1)*unitTile:]), unitTile)
		}
	case u.transposed:
		x, to := u.x[panel*rows:], u.halves.at(panel*unitTile*u.halves.step)
		for k := first; k < last; k += 16 {
			h := to.at(2 * k)
			unit.splitColumns(h.high, h.low, address(x[k*unitTile:]), h.step)
		}
	default:
		x, to := u.x[panel*rows:], u.halves.at(panel*u.panelRows/2*u.halves.step)
		for k := first; k < last; k += 2 {
			h := to.at(k / 2 * u.halves.step)
			unit.splitPairs(h.high, h.low, address(x[k*unitTile:]), address(x[(k+1)*unitTile:]), unitTile)
		}
	}
}

// token makes a row of the inputs of a token.
func (u *unitTask) token(w *worker, i int) {
	v := u.cpu.variant
	x := u.raw[i*u.k:][:u.k]
	raceRead(address(x), 4*len(x))
	buf := w.scratch(u.panelRows + u.panelRows/2)
	if u.product == onBytes || u.k < u.panelRows {
		copy(buf, x)
		clear(buf[u.k:u.panelRows])
		x = buf[:u.panelRows]
	}
	if u.panelRows == 0 {
		return
	}
	h := u.halves.at(i * u.halves.step)
	if u.product != onBytes {
		v.unit.splitRow(h.high, h.low, address(x), u.panelRows)
		return
	}
	v.mul(address(x), address(x), address(u.factors), u.panelRows)
	w.operand.q = address(buf[u.panelRows:])
	v.quantize16(&w.operand, x)
	u.scales[i] = w.operand.scale
	v.unit.bytesOfRow(h.high, h.low, w.operand.q, u.panelRows)
}

// unitWeights is room for a block of weights in either orientation.
type unitWeights struct {
	halves
	rows [4][]float32 // of them as they are or as float32
}

// unitScratch is the length of that room.
const unitScratch = 2*blockRows*unitStep/4 + 4*blockCols

func newUnitWeights(scratch []float32, step int, both bool) unitWeights {
	const half = blockRows * unitStep / 4
	w := unitWeights{halves: newHalves(address(scratch), address(scratch[half:]), step, both)}
	for i := range w.rows {
		w.rows[i] = scratch[2*half+i*blockCols:][:blockCols]
	}
	return w
}

// rowsOnUnit is gemmTask.rows of weights of bfloat16.
func (g *gemmTask) rowsOnUnit(v *variant, c, scratch []float32, m *Matrix, first, n int) {
	w := newUnitWeights(scratch, unitStep, lowWeights(m.dtype))
	for k := 0; k < g.k; k += blockCols {
		width := min(blockCols, g.k-k)
		padded := groups(width) * group
		for i := range n {
			g.askFor(v, m, first, i, n, k)
			v.widenPart(w.rows[0], m, g.rowOf(m, first+i), k, width)
			clear(w.rows[0][width:padded])
			h := w.at(i * w.step)
			v.unit.splitRow(h.high, h.low, address(w.rows[0]), padded)
		}
		for t := 0; t*unitTile < g.tokens; t++ {
			x := g.halves.at((t*g.panelRows + k) / 2 * g.halves.step)
			for i := 0; i < n; i += unitTile {
				a := w.at(i * w.step)
				v.unit.tileSplit(address(c[(t*blockRows+i)*unitTile:]), 4*unitTile, a.high, a.low, a.step, x.high, x.low, x.step, 2*padded)
			}
		}
	}
}

// columnsOnUnit is gemmTask.columns of weights of bfloat16. It leaves a row of blockRows outputs of each token in c.
func (g *gemmTask) columnsOnUnit(v *variant, c, scratch []float32, first, n int) {
	w := newUnitWeights(scratch, 4*blockRows, lowWeights(g.w.dtype))
	clear(c)
	padded := groups(n) * group
	for k := 0; k < g.k; k += blockCols {
		width := min(blockCols, g.k-k)
		for i := 0; i < width; i += 2 {
			for j, row := range w.rows[:2] {
				if i+j == width {
					clear(row[:padded])
					continue
				}
				v.prefetchPart(g.w, g.row(min(k+i+j+rowsAhead, g.k-1)), first, n)
				v.widenPart(row, g.w, g.row(k+i+j), first, n)
			}
			h := w.at(i / 2 * w.step)
			v.unit.splitPairs(h.high, h.low, address(w.rows[0]), address(w.rows[1]), padded)
		}
		w.clear((width+1)/2, groups(width)*group/2)
		for t := 0; t < g.tokens; t += unitTile {
			x := g.halves.at(t*g.halves.step + 2*k)
			for i := 0; i < n; i += unitTile {
				b := w.at(4 * i)
				v.unit.tileSplit(address(c[t*blockRows+i:]), 4*blockRows, x.high, x.low, x.step, b.high, b.low, b.step, 2*groups(width)*group)
			}
		}
	}
}

// clear clears rows first to last−1.
func (w *unitWeights) clear(first, last int) {
	for _, p := range []unsafe.Pointer{w.high, w.low} {
		if p != nil {
			clear(values[byte](unsafe.Add(p, first*w.step), (last-first)*w.step))
		}
	}
}

// rowsOfBytes is gemmTask.rows of weights of Int8. low is as long as c.
func (g *gemmTask) rowsOfBytes(v *variant, c, low, scratch []float32, m *Matrix, first, n int) {
	w := newUnitWeights(scratch, unitStep, false)
	clear(low)
	for k := 0; k < g.k; k += unitBytes {
		width := min(unitBytes, g.k-k)
		padded := (width + 63) &^ 63
		for i := range n {
			g.askFor(v, m, first, i, n, k)
			src, dst := unsafe.Add(g.rowOf(m, first+i), k), unsafe.Add(w.high, i*w.step)
			raceRead(src, width)
			copy(values[byte](dst, width), values[byte](src, width)) // behind them the inputs are 0
		}
		for t := 0; t*unitTile < g.tokens; t++ {
			x := g.halves.at((t*g.panelRows + k) / 4 * g.halves.step)
			for i := 0; i < n; i += unitTile {
				a, at := unsafe.Add(w.high, i*w.step), (t*blockRows+i)*unitTile
				v.unit.tileBytes(address(c[at:]), 4*unitTile, a, nil, w.step, x.high, nil, x.step, padded)
				v.unit.tileBytes(address(low[at:]), 4*unitTile, a, nil, w.step, x.low, nil, x.step, padded)
			}
		}
	}
	for i := range n {
		scale := rowScale(m, g.rowOf(m, first+i))
		for t := 0; t*unitTile < g.tokens; t++ {
			at := (t*blockRows + i) * unitTile
			v.unit.joinBytes(address(c[at:]), address(c[at:]), address(low[at:]), scale, unitTile)
		}
	}
	g.scaleTokens(v, c, n)
}

// columnsOfBytes is gemmTask.columns of weights of Int8. It leaves a row of blockRows outputs of each token in c.
func (g *gemmTask) columnsOfBytes(v *variant, c, low, scratch []float32, first, n int) {
	w := newUnitWeights(scratch, 4*blockRows, false)
	clear(c)
	clear(low)
	padded := groups(n) * group
	for k := 0; k < g.k; k += unitBytes {
		width := min(unitBytes, g.k-k)
		for i := 0; i < width; i += 4 {
			var rows [4]unsafe.Pointer
			for j := range rows {
				buf := values[byte](address(w.rows[j]), padded)
				rows[j] = address(w.rows[j])
				if i+j >= width {
					clear(buf)
					continue
				}
				v.prefetchPart(g.w, g.row(min(k+i+j+rowsAhead, g.k-1)), first, n)
				rows[j] = unsafe.Add(g.row(k+i+j), first)
				raceRead(rows[j], n)
				if n < padded {
					copy(buf, values[byte](rows[j], n))
					rows[j] = address(w.rows[j])
				}
			}
			v.unit.quads(unsafe.Add(w.high, i/4*w.step), rows[0], rows[1], rows[2], rows[3], padded)
		}
		for t := 0; t < g.tokens; t += unitTile {
			x := g.halves.at(t*g.halves.step + k)
			for i := 0; i < n; i += unitTile {
				b, at := unsafe.Add(w.high, 4*i), t*blockRows+i
				v.unit.tileBytes(address(c[at:]), 4*blockRows, x.high, nil, x.step, b, nil, w.step, (width+63)&^63)
				v.unit.tileBytes(address(low[at:]), 4*blockRows, x.low, nil, x.step, b, nil, w.step, (width+63)&^63)
			}
		}
	}
	for t := range g.tokens {
		row := address(c[t*blockRows:])
		v.unit.joinBytes(row, row, address(low[t*blockRows:]), g.scales[t], padded)
	}
}
