package kernel

import (
	"github.com/chewxy/math32"

	"github.com/sparsegonia/sparsegonia/ops/parallel"
	"github.com/sparsegonia/sparsegonia/ops/simd"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// attentionTiles is the attention of many rows of one sequence, on the tiles of the matrix product.
// A piece is a panel of queries, as many as a tile has columns, of all heads that share a key-value
// head. A panel meets attentionBlock positions at a time; the sums so far are scaled to the largest
// score so far (FlashAttention, Dao et al. 2022). The last queries, which see the most positions,
// come first.
type attentionTiles attentionTask

// attentionBlock is the number of positions of a block: its scores, keys and values stay in the
// cache.
const attentionBlock = 128

// manyQueries reports whether the queries that share a key-value head fill tiles.
func (t *attentionTask) manyQueries() bool {
	if 2*len(t.positions)*t.share < t.cpu.variant.TileCols {
		return false
	}
	sequence := int32(-1)
	for i, pos := range t.positions {
		if pos < 0 {
			continue
		}
		if sequence >= 0 && t.sequences[i] != sequence {
			return false
		}
		sequence = t.sequences[i]
	}
	return sequence >= 0
}

func (t *attentionTiles) Piece(thread *parallel.Worker, i int) {
	w := t.cpu.on(thread)
	v, kv := t.cpu.variant, t.kv
	d, cols := kv.headDim, v.TileCols
	all := len(t.positions) * t.share
	head, panel := i%kv.heads, (all+cols-1)/cols-1-i/kv.heads
	first := panel * cols
	queries := min(cols, all-first)

	// The row of a query, and the position that it sees last.
	row := func(x []float32, query int) []float32 {
		u := first + query
		return x[(u/t.share*t.heads+head*t.share+u%t.share)*d:][:d]
	}
	position := func(query int) int { return int(t.positions[(first+query)/t.share]) }

	positions, sequence := 0, 0
	for q := range queries {
		if pos := position(q); pos >= 0 {
			positions, sequence = max(positions, pos+1), int(t.sequences[(first+q)/t.share])
		}
	}
	base := kv.row(sequence, head)

	buf := w.scratch((2*d+v.WholeTiles(attentionBlock)+v.WholeTiles(d)+4)*cols + v.WholeTiles(attentionBlock)*d + weights.Group)
	take := func(n int) []float32 {
		part := buf[:n]
		buf = buf[n:]
		return part
	}
	rows, packed := take(cols*d), take(cols*d) // of queries, and their transpose
	scores := take(v.WholeTiles(attentionBlock) * cols)
	sums := take(v.WholeTiles(d) * cols) // transposed
	largest, total, factors, unused := take(cols), take(cols), take(cols), take(cols)
	stored := buf // keys or values of a block

	clear(rows)
	for q := range queries {
		copy(rows[q*d:], row(t.q, q))
	}
	v.Scale(rows, t.scale)
	v.Transpose(packed, cols, rows, d, cols, d)
	clear(sums)
	clear(total)
	for q := range largest {
		largest[q] = math32.Inf(-1)
	}
	for j := 0; j < positions; j += attentionBlock {
		n := min(attentionBlock, positions-j)
		keys := t.asFloats(kv.keys, base+j, n, stored)
		clear(scores[:v.WholeTiles(n)*cols])
		for r := 0; r < n; r += v.TileRows {
			v.Tile(scores[r*cols:], simd.Address(keys[r*d:]), 4*d, 4, packed)
		}
		for q := range queries {
			for r := max(position(q)+1-j, 0); r < n; r++ {
				scores[r*cols+q] = math32.Inf(-1)
			}
		}
		copy(factors, largest)
		v.MaxColumns(largest, scores[:n*cols])
		if j > 0 {
			v.ExpColumns(factors, largest, unused)
			v.Mul(total, total, factors)
			for c := range d {
				sum := sums[c*cols:][:cols]
				v.Mul(sum, sum, factors)
			}
		}
		v.ExpColumns(scores[:n*cols], largest, total)
		values := t.asFloats(kv.values, base+j, n, stored)
		for c := 0; c < d; c += v.TileRows {
			v.Tile(sums[c*cols:], simd.Address(values[c:]), 4, 4*d, scores[:n*cols])
		}
	}

	v.Transpose(rows, d, sums, cols, d, cols)
	for q := range queries {
		y := row(t.y, q)
		if position(q) < 0 {
			clear(y)
			continue
		}
		v.Scale(rows[q*d:][:d], 1/total[q])
		copy(y, rows[q*d:][:d])
	}
}

// asFloats returns n rows of m as float32: where they lie, if tiles may read what is behind them,
// else in buf.
func (t *attentionTiles) asFloats(m *weights.Matrix, first, n int, buf []float32) []float32 {
	v, rows := t.cpu.variant, t.cpu.variant.RowsOf(m)
	if rows.Direct && first+v.WholeTiles(n)+v.TileRows <= m.Rows() {
		return weights.SliceAt[float32](m.RowAt(first), v.WholeTiles(n)*m.Cols())
	}
	for r := range n {
		rows.Widen(buf[r*m.Cols():], m, m.RowAt(first+r), 0, m.Cols())
	}
	return buf
}
