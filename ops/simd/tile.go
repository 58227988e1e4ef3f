package simd

// PackedLen returns the length of T×K inputs as tiles read them: [⌈T/TileCols⌉][K][TileCols].
func (v *Variant) PackedLen(tokens, rows int) int {
	return (tokens + v.TileCols - 1) / v.TileCols * v.TileCols * rows
}

// WholeTiles returns n rounded up to rows of whole tiles.
func (v *Variant) WholeTiles(n int) int { return (n + v.TileRows - 1) / v.TileRows * v.TileRows }

// Transpose computes dst[j·dstStep+i] = src[i·srcStep+j] for i < rows and j < cols.
func (v *Variant) Transpose(dst []float32, dstStep int, src []float32, srcStep, rows, cols int) {
	n := v.square
	wholeRows, wholeCols := rows-rows%n, cols-cols%n
	for i := 0; i < wholeRows; i += n {
		for j := 0; j < wholeCols; j += n {
			v.transpose(dst[j*dstStep+i:], src[i*srcStep+j:], dstStep, srcStep)
		}
	}
	for i := range rows {
		j := wholeCols
		if i >= wholeRows {
			j = 0
		}
		for ; j < cols; j++ {
			dst[j*dstStep+i] = src[i*srcStep+j]
		}
	}
}
