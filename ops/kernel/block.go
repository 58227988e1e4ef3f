package kernel

// blockNeurons is the most rows of a block. It divides the rows of a chunk.
const blockNeurons = 8

// block is the rows of a piece that are computed together. As simd.Reading says, they are one of each of several streams,
// which start in equal parts of the piece, or the next blockNeurons rows:
//
//	4 streams of 16 rows   rows 0 4 8 12, then 1 5 9 13, …
//	1 stream of 16 rows    rows 0…7, then 8…15
type block struct {
	count     int
	row       [blockNeurons]int
	following [blockNeurons]int // what is read next in the stream of the row

	w                       *worker
	streams                 int
	first, n, rows, all, at int // the n rows from first on, of pieces of that many, of all rows; the next block
}

// begin sets b to the blocks of the piece of at most rows that starts at first, of all rows.
func (b *block) begin(w *worker, streams, first, rows, all int) {
	b.w, b.streams, b.first, b.n, b.rows, b.all, b.at = w, streams, first, min(rows, all-first), rows, all, 0
}

// blocks returns the number of blocks.
func (b *block) blocks() int {
	if b.streams == 1 {
		return (b.n + blockNeurons - 1) / blockNeurons
	}
	return (b.n + b.streams - 1) / b.streams
}

// next sets count, row and following to the next block. It reports whether there is one.
func (b *block) next() bool {
	if b.at == b.blocks() {
		return false
	}
	b.fill()
	b.at++
	if b.at < b.blocks() {
		return true
	}
	// The next piece of w follows.
	var next block
	next.begin(b.w, b.streams, b.w.Claim()*b.rows, b.rows, b.all)
	if next.n > 0 {
		next.fill()
		for i := range b.count {
			b.following[i] = next.row[min(i, next.count-1)]
		}
	}
	return true
}

func (b *block) fill() {
	k, end, step, ahead := b.at, b.n, b.blocks(), 1
	if b.streams == 1 {
		k, step, ahead = b.at*blockNeurons, 1, blockNeurons
		end = min(k+blockNeurons, b.n)
	}
	for b.count = 0; k < end; k += step {
		b.row[b.count], b.following[b.count] = b.first+k, b.first+min(k+ahead, b.n-1)
		b.count++
	}
}
