package simd

// packedLen is the length of inputs as the tiles read them:
// [⌈T/tileCols⌉][rows][tileCols], zeros beyond T and K.
func (v *Variant) PackedLen(tokens, rows int) int {
	return (tokens + v.TileCols - 1) / v.TileCols * v.TileCols * rows
}

// wholeTiles is n rounded up to rows of whole tiles.
func (v *Variant) WholeTiles(n int) int { return (n + v.TileRows - 1) / v.TileRows * v.TileRows }

// turned writes dst[j·dstStep+i] = src[i·srcStep+j] for i < rows and j < cols.
func (v *Variant) Transpose(dst []float32, dstStep int, src []float32, srcStep, rows, cols int) {
	n := v.turnSize
	for i := range rows {
		RaceRead(Address(src[i*srcStep:]), 4*cols)
	}
	for j := range cols {
		RaceWrite(Address(dst[j*dstStep:]), 4*rows)
	}
	wholeRows, wholeCols := rows-rows%n, cols-cols%n
	for i := 0; i < wholeRows; i += n {
		for j := 0; j < wholeCols; j += n {
			v.turn(Address(dst[j*dstStep+i:]), Address(src[i*srcStep+j:]), 4*dstStep, 4*srcStep)
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
