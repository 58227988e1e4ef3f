package kernel

// Sums over many weight rows are taken in chunks of rows, whose partial sums
// are then added in order: workers need not wait for each other, and the bits
// do not depend on how many there are, since the chunks depend on the number of rows alone.

// chunkRows returns how many of n rows make a chunk, a multiple of 8. A chunk starts with rows that nobody has asked for
// ahead, so that short ones are slow, but 16 should be there to share; and the partial sums of more than 64 would be too
// much beside the weights.
func chunkRows(n int) int {
	const (
		least, long  = 32, 128 // rows
		enough, most = 16, 64  // chunks
	)
	return (max(least, min(n/enough, long), (n+most-1)/most) + 7) &^ 7
}

// paddedCols is the length of a row of partial sums: whole groups.
func paddedCols(cols int) int { return groups(cols) * group }

// partialSums returns room for the partial sums of n rows: chunks × T × padded columns.
func (p *Pool) partialSums(n, tokens, cols int) []float32 {
	c := chunkRows(n)
	p.tasks.partial = resize(p.tasks.partial, (n+c-1)/c*tokens*paddedCols(cols))
	return p.tasks.partial
}

// addPartialSums writes y T×cols, the sum of all chunks of n rows plus bias.
func (p *Pool) addPartialSums(y []float32, n, tokens, cols int, bias []float32) {
	c := chunkRows(n)
	t := &p.tasks.reduce
	*t = reduceTask{pool: p, y: y, sums: p.tasks.partial, bias: bias, tokens: tokens, width: cols, chunks: (n + c - 1) / c}
	t.cols = cols
	if t.chunks*tokens*cols > 4*elementsPerPiece {
		t.cols = min(256, cols)
	}
	p.do((cols+t.cols-1)/t.cols, t)
	*t = reduceTask{}
}

// reduceTask adds partial sums. A piece is a range of columns.
type reduceTask struct {
	pool                  *Pool
	y, sums, bias         []float32
	tokens, width, chunks int
	cols                  int // in a piece
}

func (t *reduceTask) piece(_ *worker, i int) {
	v, padded := t.pool.variant, paddedCols(t.width)
	c := i * t.cols
	n := min(t.cols, t.width-c)
	for token := range t.tokens {
		y := t.y[token*t.width+c:][:n]
		raceWrite(address(y), 4*n)
		if t.chunks == 0 {
			clear(y)
		}
		for chunk := range t.chunks {
			s := t.sums[(chunk*t.tokens+token)*padded+c:][:n]
			raceRead(address(s), 4*n)
			if chunk == 0 {
				copy(y, s)
			} else {
				v.add(address(y), address(y), address(s), n)
			}
		}
		if t.bias != nil {
			v.add(address(y), address(y), address(t.bias[c:]), n)
		}
	}
}
