package kernel

import (
	"unsafe"

	"github.com/sparsegonia/sparsegonia/ops/simd"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// rowFloats is gemmTask.rows on tiles of float32.
func (g *gemmTask) rowFloats(v *simd.Variant, c, scratch []float32, m *weights.Matrix, first, n int) {
	direct := 0 // rows that the tiles read in place
	if g.kernel.Direct && g.slots == nil {
		direct = n / v.TileRows * v.TileRows
	}
	for k := 0; k < g.k; k += panelCols {
		width := min(panelCols, g.k-k)
		for i := direct; i < n; i++ {
			g.prefetch(m, first, i, n, k)
			g.kernel.Widen(scratch[i*floatStride:][:floatStride], m, g.rowOf(m, first+i), k, width)
		}
		for t := 0; t*v.TileCols < g.tokens; t++ {
			x := g.x[(t*g.k+k)*v.TileCols:][:width*v.TileCols]
			for i := 0; i < n; i += v.TileRows {
				p, step := simd.Address(scratch[i*floatStride:]), 4*floatStride
				if i < direct {
					p, step = unsafe.Add(m.RowAt(first+i), 4*k), m.Stride()
				}
				v.Tile(c[(t*panelOutputs+i)*v.TileCols:], p, step, 4, x)
			}
		}
	}
}

// rowsAhead is the number of rows between a row that is widened and one that is prefetched.
const rowsAhead = 8

// prefetch prefetches the part of a row of a block of n that is widened rowsAhead rows after row i
// at column k.
func (g *gemmTask) prefetch(m *weights.Matrix, first, i, n, k int) {
	i += rowsAhead
	if i >= n {
		i, k = i-n, k+panelCols
	}
	if i >= n || k >= g.k {
		return
	}
	g.kernel.Prefetch(m, g.rowOf(m, first+i), k, min(panelCols, g.k-k))
}

// prefetchColumns prefetches columns first to first+n−1 of the row that is read rowsAhead rows
// after row k.
func (g *gemmTask) prefetchColumns(k, first, n int) {
	g.kernel.Prefetch(g.w, g.row(min(k+rowsAhead, g.k-1)), first, n)
}

// columnFloats is gemmTask.columns on tiles of float32.
func (g *gemmTask) columnFloats(v *simd.Variant, c, scratch []float32, first, n int) {
	for k := 0; k < g.k; k += panelCols {
		width := min(panelCols, g.k-k)
		for i := range width {
			g.prefetchColumns(k+i, first, n)
			g.kernel.Widen(scratch[i*panelOutputs:][:panelOutputs], g.w, g.row(k+i), first, n)
		}
		for t := 0; t*v.TileCols < g.tokens; t++ {
			x := g.x[(t*g.k+k)*v.TileCols:][:width*v.TileCols]
			for i := 0; i < n; i += v.TileRows {
				v.Tile(c[(t*panelOutputs+i)*v.TileCols:], simd.Address(scratch[i:]), 4, 4*panelOutputs, x)
			}
		}
	}
}

// rowPairs is gemmTask.rows on tiles of int16.
func (g *gemmTask) rowPairs(v *simd.Variant, c, scratch []float32, m *weights.Matrix, first, n int) {
	const (
		stride    = panelCols + weights.Group // int16 of a row of weights
		perBlock  = panelCols / weights.Group // scales of it
		weightLen = panelOutputs * stride / 2
	)
	block := as[int16](scratch[:weightLen])
	factors := scratch[weightLen:][: panelOutputs*perBlock : panelOutputs*perBlock]
	mins := scratch[weightLen+panelOutputs*perBlock:][: panelOutputs*perBlock : panelOutputs*perBlock]
	for k := 0; k < g.k; k += panelCols {
		width := min(panelCols, g.k-k)
		groups := weights.Groups(width)
		scales := 1 // of a row
		if g.kernel.PerScale != 0 {
			scales = groups * weights.Group / g.kernel.PerScale
		}
		for i := range n {
			g.prefetch(m, first, i, n, k)
			g.kernel.Widen16(block[i*stride:][:stride], factors[i*perBlock:], mins[i*perBlock:], m, g.rowOf(m, first+i), k, width)
		}
		for t := 0; t*v.TileCols < g.tokens; t++ {
			x := g.pairs[(t*g.panelRows+k)*v.TileCols:][:groups*weights.Group*v.TileCols]
			for i := 0; i < n; i += v.TileRows {
				out := c[(t*panelOutputs+i)*v.TileCols:]
				v.TilePairs(out, simd.Address(block[i*stride:]), 2*stride, 4, x, factors[i*perBlock:], perBlock, scales)
				if g.kernel.Minima {
					sums := g.sums[(t*g.panelRows+k)/weights.Group*v.TileCols:][:groups*v.TileCols]
					v.Tile(out, simd.Address(mins[i*perBlock:]), 4*perBlock, 4, sums)
				}
			}
		}
	}
	g.scaleTokens(v, c, n)
}

// scaleTokens multiplies the sums of n outputs by the scales of the inputs.
func (g *gemmTask) scaleTokens(v *simd.Variant, c []float32, n int) {
	for t := 0; t*v.TileCols < g.tokens; t++ {
		scales := g.scales[t*v.TileCols:][:v.TileCols]
		for i := range n {
			out := c[(t*panelOutputs+i)*v.TileCols:][:v.TileCols]
			v.Mul(out, out, scales)
		}
	}
}

// columnPairs is gemmTask.columns on tiles of int16. The scales of the rows are part of the inputs.
func (g *gemmTask) columnPairs(v *simd.Variant, c, scratch []float32, first, n int) {
	block := as[int16](scratch)
	for k := 0; k < g.k; k += panelCols {
		width := min(panelCols, g.k-k)
		for i := 0; i < width; i += 2 {
			a, b := g.row(k+i), g.row(k+min(i+1, width-1))
			g.prefetchColumns(k+i, first, n)
			g.prefetchColumns(k+i+1, first, n)
			g.kernel.WidenPairs(block[i*panelOutputs:], g.w, a, b, first, n)
		}
		for t := 0; t*v.TileCols < g.tokens; t++ {
			x := g.pairs[(t*g.panelRows+k)*v.TileCols:][:weights.Groups(width)*weights.Group*v.TileCols]
			for i := 0; i < n; i += v.TileRows {
				v.TilePairs(c[(t*panelOutputs+i)*v.TileCols:], simd.Address(block[2*i:]), 4, 4*panelOutputs, x, one, 0, 1)
			}
		}
	}
	g.scaleTokens(v, c, n)
}

// as returns the memory of s as numbers of another type.
func as[E any](s []float32) []E {
	var e E
	return weights.SliceAt[E](simd.Address(s), 4*len(s)/int(unsafe.Sizeof(e)))
}
