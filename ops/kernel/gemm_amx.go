package kernel

import (
	"github.com/sparsegonia/sparsegonia/ops/parallel"
	"github.com/sparsegonia/sparsegonia/ops/simd"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// AMX multiplies matrices of bfloat16, which it adds in float32, or of int8, which it adds in
// int32. It takes the products of many tokens with weights that are not F32.
//
// OnSplit: a bfloat16 has 8 of the 24 bits of a float32. Inputs of F16 and BF16 weights are split
// into a high and a low one, and F16 weights, which have 11 bits, too: 16 bits of the inputs count.
// Grouped weights, times their scales, and their inputs are rounded to one.
//
// OnBytes: Int8 weights meet inputs of int16, as in OnPairs, which are split into two int8. Those
// products are exact.
//
// One factor is rows, and the other rows that hold 4 bytes of each column. Weights whose rows run
// along k are the first factor; if transposed they are the second, and tiles hold a row per token.

const (
	amxBytes = 2 * panelCols // of a row of weights that are read at a time
	amxStep  = amxBytes + 64 // bytes from row to row of them, which then do not all start in one cache set
)

// newSplit returns a matrix over two buffers, step bytes from row to row. Without both it has no
// low part.
func newSplit(high, low []byte, step int, both bool) simd.Split {
	if !both {
		low = nil
	}
	return simd.Split{High: high, Low: low, Step: step}
}

// splitInputs sets g.split from the inputs x T×K or, if x is nil, from packed panels of them.
func (g *gemmTask) splitInputs(x []float32) {
	cpu := g.cpu
	padded := (g.tokens + simd.TileAMX - 1) / simd.TileAMX * simd.TileAMX
	size := 2 // bytes of an input
	if g.product == simd.OnBytes {
		size = 1
	}
	step := 4 * simd.TileAMX
	if g.transposed {
		step = size*g.panelRows + weights.RowAlign // rows that do not all start in one cache set
	}
	bytes := padded * (size*g.panelRows + weights.RowAlign)
	buf := resizeTo(&gemmScratch.of(cpu).split, 2*bytes)
	g.split = newSplit(buf[:bytes], buf[bytes:], step, g.product == simd.OnBytes || g.kernel.SplitInputs)
	g.raw = x
	pieces := padded / simd.TileAMX * packParts
	if x != nil {
		pieces = g.tokens
	}
	cpu.do(pieces, (*splitTask)(g))
	g.raw = nil
}

// splitTask splits inputs. A piece is a token or, of packed inputs, a part of the rows of a panel.
type splitTask gemmTask

func (u *splitTask) Piece(thread *parallel.Worker, i int) {
	w := u.cpu.on(thread)
	if u.raw != nil {
		u.token(w, i)
		return
	}
	const tile = simd.TileAMX
	part := weights.Groups((u.panelRows+packParts-1)/packParts) * weights.Group
	panel, first := i/packParts, min(i%packParts*part, u.panelRows)
	last := min(first+part, u.panelRows)
	amx, rows := u.cpu.variant.AMX, u.panelRows*tile
	switch {
	case u.product == simd.OnBytes && u.transposed:
		x := u.pairs[panel*rows:][:rows]
		for k := first; k < last; k += 32 {
			to := u.split.At(panel*tile*u.split.Step + k)
			amx.BytesOfColumns(to.High, to.Low, x[k*tile:], to.Step)
		}
	case u.product == simd.OnBytes:
		x := u.pairs[panel*rows:][:rows]
		for k := first; k < last; k += 4 {
			to := u.split.At((panel*u.panelRows + k) / 4 * u.split.Step)
			amx.BytesOfPairs(to.High, to.Low, x[k*tile:][:2*tile], x[(k+2)*tile:][:2*tile])
		}
	case u.transposed:
		x := u.x[panel*rows:][:rows]
		for k := first; k < last; k += 16 {
			to := u.split.At(panel*tile*u.split.Step + 2*k)
			amx.SplitColumns(to.High, to.Low, x[k*tile:], to.Step)
		}
	default:
		x := u.x[panel*rows:][:rows]
		for k := first; k < last; k += 2 {
			to := u.split.At((panel*u.panelRows + k) / 2 * u.split.Step)
			amx.SplitPairs(to.High, to.Low, x[k*tile:][:tile], x[(k+1)*tile:][:tile])
		}
	}
}

// token splits the inputs of a token.
func (u *splitTask) token(w *worker, i int) {
	v, n := u.cpu.variant, u.panelRows
	if n == 0 {
		return
	}
	x := u.raw[i*u.k:][:u.k]
	buf := w.scratch(n + n/2)
	if u.product == simd.OnBytes || u.k < n {
		copy(buf, x)
		clear(buf[u.k:n])
		x = buf[:n]
	}
	to := u.split.At(i * u.split.Step)
	if u.product != simd.OnBytes {
		v.AMX.SplitRow(to.High, to.Low, x)
		return
	}
	v.Mul(x, x, u.factors)
	q := as[int16](buf[n:])
	u.scales[i] = v.Quantize16(q, x)
	v.AMX.BytesOfRow(to.High, to.Low, q)
}

// splitWeights is room for a block of weights in either orientation.
type splitWeights struct {
	simd.Split
	rows [4][]float32 // of them as they are or as float32
}

// splitScratch is the length of that room.
const splitScratch = 2*panelOutputs*amxStep/4 + 4*panelCols

func newSplitWeights(scratch []float32, step int, both bool) splitWeights {
	const part = panelOutputs * amxStep / 4
	w := splitWeights{Split: newSplit(as[byte](scratch[:part]), as[byte](scratch[part:2*part]), step, both)}
	for i := range w.rows {
		w.rows[i] = scratch[2*part+i*panelCols:][:panelCols]
	}
	return w
}

// rowSplits is gemmTask.rows of bfloat16.
func (g *gemmTask) rowSplits(v *simd.Variant, c, scratch []float32, m *weights.Matrix, first, n int) {
	const tile = simd.TileAMX
	w := newSplitWeights(scratch, amxStep, g.kernel.SplitWeights)
	for k := 0; k < g.k; k += panelCols {
		width := min(panelCols, g.k-k)
		padded := weights.Groups(width) * weights.Group
		row := w.rows[0][:padded]
		for i := range n {
			g.prefetch(m, first, i, n, k)
			g.kernel.Widen(row, m, g.rowOf(m, first+i), k, width)
			clear(row[width:])
			to := w.At(i * w.Step)
			v.AMX.SplitRow(to.High, to.Low, row)
		}
		for t := 0; t*tile < g.tokens; t++ {
			x := g.split.At((t*g.panelRows + k) / 2 * g.split.Step)
			for i := 0; i < n; i += tile {
				v.AMX.TileSplit(c[(t*panelOutputs+i)*tile:], tile, w.At(i*w.Step), x, 2*padded)
			}
		}
	}
}

// columnSplits is gemmTask.columns of bfloat16.
func (g *gemmTask) columnSplits(v *simd.Variant, c, scratch []float32, first, n int) {
	w := newSplitWeights(scratch, 4*panelOutputs, g.kernel.SplitWeights)
	padded := weights.Groups(n) * weights.Group
	for k := 0; k < g.k; k += panelCols {
		width := min(panelCols, g.k-k)
		for i := 0; i < width; i += 2 {
			for j, row := range w.rows[:2] {
				if i+j == width {
					clear(row[:padded])
					continue
				}
				g.prefetchColumns(k+i+j, first, n)
				g.kernel.Widen(row, g.w, g.row(k+i+j), first, n)
			}
			to := w.At(i / 2 * w.Step)
			v.AMX.SplitPairs(to.High, to.Low, w.rows[0][:padded], w.rows[1][:padded])
		}
		columns := weights.Groups(width) * weights.Group
		w.clear((width+1)/2, columns/2)
		for t := 0; t < g.tokens; t += simd.TileAMX {
			x := g.split.At(t*g.split.Step + 2*k)
			for i := 0; i < n; i += simd.TileAMX {
				v.AMX.TileSplit(c[t*panelOutputs+i:], panelOutputs, x, w.At(4*i), 2*columns)
			}
		}
	}
}

// clear clears rows first to last−1.
func (w *splitWeights) clear(first, last int) {
	clear(w.High[first*w.Step : last*w.Step])
	if w.Low != nil {
		clear(w.Low[first*w.Step : last*w.Step])
	}
}

// rowBytes is gemmTask.rows of int8.
func (g *gemmTask) rowBytes(v *simd.Variant, c, low, scratch []float32, m *weights.Matrix, first, n int) {
	const tile = simd.TileAMX
	w := newSplitWeights(scratch, amxStep, false)
	clear(low)
	for k := 0; k < g.k; k += amxBytes {
		width := min(amxBytes, g.k-k)
		padded := (width + 63) &^ 63
		for i := range n {
			g.prefetch(m, first, i, n, k)
			row := g.kernel.Bytes(m, g.rowOf(m, first+i), k, width)
			copy(weights.SliceAt[int8](simd.Address(w.High[i*w.Step:]), width), row) // behind them the inputs are 0
		}
		for t := 0; t*tile < g.tokens; t++ {
			x := g.split.At((t*g.panelRows + k) / 4 * g.split.Step)
			for i := 0; i < n; i += tile {
				at := (t*panelOutputs + i) * tile
				a := w.At(i * w.Step)
				v.AMX.TileBytes(c[at:], tile, a, simd.Split{High: x.High, Step: x.Step}, padded)
				v.AMX.TileBytes(low[at:], tile, a, simd.Split{High: x.Low, Step: x.Step}, padded)
			}
		}
	}
	for i := range n {
		scale := g.kernel.Scale(m, g.rowOf(m, first+i))
		for t := 0; t*tile < g.tokens; t++ {
			at := (t*panelOutputs + i) * tile
			v.AMX.JoinBytes(c[at:][:tile], c[at:], low[at:], scale)
		}
	}
	g.scaleTokens(v, c, n)
}

// columnBytes is gemmTask.columns of int8.
func (g *gemmTask) columnBytes(v *simd.Variant, c, low, scratch []float32, first, n int) {
	w := newSplitWeights(scratch, 4*panelOutputs, false)
	clear(low)
	padded := weights.Groups(n) * weights.Group
	for k := 0; k < g.k; k += amxBytes {
		width := min(amxBytes, g.k-k)
		for i := 0; i < width; i += 4 {
			var rows [4][]int8
			for j := range rows {
				rows[j] = as[int8](w.rows[j])[:padded]
				if i+j >= width {
					clear(rows[j])
					continue
				}
				g.prefetchColumns(k+i+j, first, n)
				row := g.kernel.Bytes(g.w, g.row(k+i+j), first, n)
				if n < padded {
					copy(rows[j], row)
				} else {
					rows[j] = row
				}
			}
			v.AMX.Quads(w.High[i/4*w.Step:], rows[0], rows[1], rows[2], rows[3])
		}
		for t := 0; t < g.tokens; t += simd.TileAMX {
			x := g.split.At(t*g.split.Step + k)
			for i := 0; i < n; i += simd.TileAMX {
				at := t*panelOutputs + i
				bytes := (width + 63) &^ 63
				b := w.At(4 * i)
				v.AMX.TileBytes(c[at:], panelOutputs, simd.Split{High: x.High, Step: x.Step}, b, bytes)
				v.AMX.TileBytes(low[at:], panelOutputs, simd.Split{High: x.Low, Step: x.Step}, b, bytes)
			}
		}
	}
	for t := range g.tokens {
		row := c[t*panelOutputs:][:padded]
		v.AMX.JoinBytes(row, row, low[t*panelOutputs:], g.scales[t])
	}
}
