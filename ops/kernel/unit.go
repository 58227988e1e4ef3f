package kernel

import (
	"unsafe"

	"github.com/sparsegonia/sparsegonia/ops/parallel"
	"github.com/sparsegonia/sparsegonia/ops/simd"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

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
func lowInputs(d weights.Dtype) bool  { return d == weights.F16 || d == weights.BF16 }
func lowWeights(d weights.Dtype) bool { return d == weights.F16 }

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
	padded := (g.tokens + simd.UnitTile - 1) / simd.UnitTile * simd.UnitTile
	size := 2 // bytes of an input
	if g.product == onBytes {
		size = 1
	}
	step := 4 * simd.UnitTile
	if g.transposed {
		step = size*g.panelRows + weights.RowAlign // rows that do not all start in one cache set
	}
	bytes := padded * (size*g.panelRows + weights.RowAlign)
	high := simd.Address(resizeTo(&gemmScratch.of(cpu).halves, 2*bytes/4))
	g.halves = newHalves(high, unsafe.Add(high, bytes), step, g.product == onBytes || lowInputs(g.w.Dtype()))
	g.raw = x
	pieces := padded / simd.UnitTile * packParts
	if x != nil {
		pieces = g.tokens
	}
	cpu.do(pieces, (*unitTask)(g))
	g.raw = nil
}

// unitTask makes inputs for the unit. A piece is a token or, of packed inputs, a part of the rows of a panel.
type unitTask gemmTask

func (u *unitTask) Piece(thread *parallel.Worker, i int) {
	w := u.cpu.on(thread)
	if u.raw != nil {
		u.token(w, i)
		return
	}
	part := weights.Groups((u.panelRows+packParts-1)/packParts) * weights.Group
	panel, first := i/packParts, min(i%packParts*part, u.panelRows)
	last := min(first+part, u.panelRows)
	unit := u.cpu.variant.Unit
	switch rows := u.panelRows * simd.UnitTile; {
	case u.product == onBytes && u.transposed:
		x, to := u.pairs[panel*rows/2:], u.halves.at(panel*simd.UnitTile*u.halves.step)
		for k := first; k < last; k += 32 {
			h := to.at(k)
			unit.BytesOfColumns(h.high, h.low, simd.Address(x[k/2*simd.UnitTile:]), h.step)
		}
	case u.product == onBytes:
		x, to := u.pairs[panel*rows/2:], u.halves.at(panel*u.panelRows/4*u.halves.step)
		for k := first; k < last; k += 4 {
			h := to.at(k / 4 * u.halves.step)
			unit.BytesOfPairs(h.high, h.low, simd.Address(x[k/2*simd.UnitTile:]), simd.Address(x[(k/2+1)*simd.UnitTile:]), simd.UnitTile)
		}
	case u.transposed:
		x, to := u.x[panel*rows:], u.halves.at(panel*simd.UnitTile*u.halves.step)
		for k := first; k < last; k += 16 {
			h := to.at(2 * k)
			unit.SplitColumns(h.high, h.low, simd.Address(x[k*simd.UnitTile:]), h.step)
		}
	default:
		x, to := u.x[panel*rows:], u.halves.at(panel*u.panelRows/2*u.halves.step)
		for k := first; k < last; k += 2 {
			h := to.at(k / 2 * u.halves.step)
			unit.SplitPairs(h.high, h.low, simd.Address(x[k*simd.UnitTile:]), simd.Address(x[(k+1)*simd.UnitTile:]), simd.UnitTile)
		}
	}
}

// token makes a row of the inputs of a token.
func (u *unitTask) token(w *worker, i int) {
	v := u.cpu.variant
	x := u.raw[i*u.k:][:u.k]
	simd.RaceRead(simd.Address(x), 4*len(x))
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
		v.Unit.SplitRow(h.high, h.low, simd.Address(x), u.panelRows)
		return
	}
	v.Mul(simd.Address(x), simd.Address(x), simd.Address(u.factors), u.panelRows)
	w.operand.Q = simd.Address(buf[u.panelRows:])
	v.Quantize16(&w.operand, x)
	u.scales[i] = w.operand.Scale
	v.Unit.BytesOfRow(h.high, h.low, w.operand.Q, u.panelRows)
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
	w := unitWeights{halves: newHalves(simd.Address(scratch), simd.Address(scratch[half:]), step, both)}
	for i := range w.rows {
		w.rows[i] = scratch[2*half+i*blockCols:][:blockCols]
	}
	return w
}

// rowsOnUnit is gemmTask.rows of weights of bfloat16.
func (g *gemmTask) rowsOnUnit(v *simd.Variant, c, scratch []float32, m *weights.Matrix, first, n int) {
	w := newUnitWeights(scratch, unitStep, lowWeights(m.Dtype()))
	for k := 0; k < g.k; k += blockCols {
		width := min(blockCols, g.k-k)
		padded := weights.Groups(width) * weights.Group
		for i := range n {
			g.askFor(v, m, first, i, n, k)
			v.WidenPart(w.rows[0], m, g.rowOf(m, first+i), k, width)
			clear(w.rows[0][width:padded])
			h := w.at(i * w.step)
			v.Unit.SplitRow(h.high, h.low, simd.Address(w.rows[0]), padded)
		}
		for t := 0; t*simd.UnitTile < g.tokens; t++ {
			x := g.halves.at((t*g.panelRows + k) / 2 * g.halves.step)
			for i := 0; i < n; i += simd.UnitTile {
				a := w.at(i * w.step)
				v.Unit.TileSplit(simd.Address(c[(t*blockRows+i)*simd.UnitTile:]), 4*simd.UnitTile, a.high, a.low, a.step, x.high, x.low, x.step, 2*padded)
			}
		}
	}
}

// columnsOnUnit is gemmTask.columns of weights of bfloat16. It leaves a row of blockRows outputs of each token in c.
func (g *gemmTask) columnsOnUnit(v *simd.Variant, c, scratch []float32, first, n int) {
	w := newUnitWeights(scratch, 4*blockRows, lowWeights(g.w.Dtype()))
	clear(c)
	padded := weights.Groups(n) * weights.Group
	for k := 0; k < g.k; k += blockCols {
		width := min(blockCols, g.k-k)
		for i := 0; i < width; i += 2 {
			for j, row := range w.rows[:2] {
				if i+j == width {
					clear(row[:padded])
					continue
				}
				v.PrefetchPart(g.w, g.row(min(k+i+j+rowsAhead, g.k-1)), first, n)
				v.WidenPart(row, g.w, g.row(k+i+j), first, n)
			}
			h := w.at(i / 2 * w.step)
			v.Unit.SplitPairs(h.high, h.low, simd.Address(w.rows[0]), simd.Address(w.rows[1]), padded)
		}
		w.clear((width+1)/2, weights.Groups(width)*weights.Group/2)
		for t := 0; t < g.tokens; t += simd.UnitTile {
			x := g.halves.at(t*g.halves.step + 2*k)
			for i := 0; i < n; i += simd.UnitTile {
				b := w.at(4 * i)
				v.Unit.TileSplit(simd.Address(c[t*blockRows+i:]), 4*blockRows, x.high, x.low, x.step, b.high, b.low, b.step, 2*weights.Groups(width)*weights.Group)
			}
		}
	}
}

// clear clears rows first to last−1.
func (w *unitWeights) clear(first, last int) {
	for _, p := range []unsafe.Pointer{w.high, w.low} {
		if p != nil {
			clear(weights.SliceAt[byte](unsafe.Add(p, first*w.step), (last-first)*w.step))
		}
	}
}

// rowsOfBytes is gemmTask.rows of weights of Int8. low is as long as c.
func (g *gemmTask) rowsOfBytes(v *simd.Variant, c, low, scratch []float32, m *weights.Matrix, first, n int) {
	w := newUnitWeights(scratch, unitStep, false)
	clear(low)
	for k := 0; k < g.k; k += unitBytes {
		width := min(unitBytes, g.k-k)
		padded := (width + 63) &^ 63
		for i := range n {
			g.askFor(v, m, first, i, n, k)
			src, dst := unsafe.Add(g.rowOf(m, first+i), k), unsafe.Add(w.high, i*w.step)
			simd.RaceRead(src, width)
			copy(weights.SliceAt[byte](dst, width), weights.SliceAt[byte](src, width)) // behind them the inputs are 0
		}
		for t := 0; t*simd.UnitTile < g.tokens; t++ {
			x := g.halves.at((t*g.panelRows + k) / 4 * g.halves.step)
			for i := 0; i < n; i += simd.UnitTile {
				a, at := unsafe.Add(w.high, i*w.step), (t*blockRows+i)*simd.UnitTile
				v.Unit.TileBytes(simd.Address(c[at:]), 4*simd.UnitTile, a, nil, w.step, x.high, nil, x.step, padded)
				v.Unit.TileBytes(simd.Address(low[at:]), 4*simd.UnitTile, a, nil, w.step, x.low, nil, x.step, padded)
			}
		}
	}
	for i := range n {
		scale := simd.RowScale(m, g.rowOf(m, first+i))
		for t := 0; t*simd.UnitTile < g.tokens; t++ {
			at := (t*blockRows + i) * simd.UnitTile
			v.Unit.JoinBytes(simd.Address(c[at:]), simd.Address(c[at:]), simd.Address(low[at:]), scale, simd.UnitTile)
		}
	}
	g.scaleTokens(v, c, n)
}

// columnsOfBytes is gemmTask.columns of weights of Int8. It leaves a row of blockRows outputs of each token in c.
func (g *gemmTask) columnsOfBytes(v *simd.Variant, c, low, scratch []float32, first, n int) {
	w := newUnitWeights(scratch, 4*blockRows, false)
	clear(c)
	clear(low)
	padded := weights.Groups(n) * weights.Group
	for k := 0; k < g.k; k += unitBytes {
		width := min(unitBytes, g.k-k)
		for i := 0; i < width; i += 4 {
			var rows [4]unsafe.Pointer
			for j := range rows {
				buf := weights.SliceAt[byte](simd.Address(w.rows[j]), padded)
				rows[j] = simd.Address(w.rows[j])
				if i+j >= width {
					clear(buf)
					continue
				}
				v.PrefetchPart(g.w, g.row(min(k+i+j+rowsAhead, g.k-1)), first, n)
				rows[j] = unsafe.Add(g.row(k+i+j), first)
				simd.RaceRead(rows[j], n)
				if n < padded {
					copy(buf, weights.SliceAt[byte](rows[j], n))
					rows[j] = simd.Address(w.rows[j])
				}
			}
			v.Unit.Quads(unsafe.Add(w.high, i/4*w.step), rows[0], rows[1], rows[2], rows[3], padded)
		}
		for t := 0; t < g.tokens; t += simd.UnitTile {
			x := g.halves.at(t*g.halves.step + k)
			for i := 0; i < n; i += simd.UnitTile {
				b, at := unsafe.Add(w.high, 4*i), t*blockRows+i
				v.Unit.TileBytes(simd.Address(c[at:]), 4*blockRows, x.high, nil, x.step, b, nil, w.step, (width+63)&^63)
				v.Unit.TileBytes(simd.Address(low[at:]), 4*blockRows, x.low, nil, x.step, b, nil, w.step, (width+63)&^63)
			}
		}
	}
	for t := range g.tokens {
		row := simd.Address(c[t*blockRows:])
		v.Unit.JoinBytes(row, row, simd.Address(low[t*blockRows:]), g.scales[t], padded)
	}
}
