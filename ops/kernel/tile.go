package kernel

// packedLen is the length of inputs as the tiles read them:
// [⌈T/tileCols⌉][rows][tileCols], zeros beyond T and K.
func (v *variant) packedLen(tokens, rows int) int {
	return (tokens + v.tileCols - 1) / v.tileCols * v.tileCols * rows
}

// wholeTiles is n rounded up to rows of whole tiles.
func (v *variant) wholeTiles(n int) int { return (n + v.tileRows - 1) / v.tileRows * v.tileRows }

// turned writes dst[j·dstStep+i] = src[i·srcStep+j] for i < rows and j < cols.
func (v *variant) turned(dst []float32, dstStep int, src []float32, srcStep, rows, cols int) {
	n := v.turnSize
	for i := range rows {
		raceRead(address(src[i*srcStep:]), 4*cols)
	}
	for j := range cols {
		raceWrite(address(dst[j*dstStep:]), 4*rows)
	}
	wholeRows, wholeCols := rows-rows%n, cols-cols%n
	for i := 0; i < wholeRows; i += n {
		for j := 0; j < wholeCols; j += n {
			v.turn(address(dst[j*dstStep+i:]), address(src[i*srcStep+j:]), 4*dstStep, 4*srcStep)
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
