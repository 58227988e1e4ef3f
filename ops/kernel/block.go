package kernel

// blockNeurons is the most rows of a block. It divides the rows of a chunk.
const blockNeurons = 8

// block is the rows of a piece that are computed together: the next few of each of several streams,
// which start in equal parts of the piece.
//
//	4 streams, 1 row  rows 0 4 8 12, then 1 5 9 13, …   of 16 rows
//	2 streams, 2 rows rows 0 8 1 9, then 2 10 3 11, …
//	1 stream, 8 rows  rows 0…7, then 8…15
type block struct {
	count     int
	row       [blockNeurons]int
	following [blockNeurons]int // what is read next in the stream of the row

	w            *worker
	streams, run int // rows of a block are streams × run
	length       int // of a stream, a multiple of run
	first, n     int // the rows of the piece
	rows, all    int // of every piece, of all pieces
	at           int // in a stream
}

// begin sets b to the blocks of the piece that starts at row first. A piece has that many rows of
// all.
func (b *block) begin(w *worker, streams, run, first, rows, all int) {
	*b = block{w: w, streams: streams, run: run, first: first, n: min(rows, all-first), rows: rows, all: all}
	b.length = (b.n + streams*run - 1) / (streams * run) * run
}

// next sets count, row and following to the next block. It reports whether there is one.
func (b *block) next() bool {
	if b.at >= b.length {
		return false
	}
	if b.at > 0 && b.at+2*b.run <= b.n-(b.streams-1)*b.length {
		for i := range b.count {
			b.row[i] += b.run
			b.following[i] += b.run
		}
	} else {
		b.fill()
	}
	b.at += b.run
	if b.at < b.length {
		return true
	}
	// The next piece of w follows.
	var next block
	next.begin(b.w, b.streams, b.run, b.w.Claim()*b.rows, b.rows, b.all)
	if next.n > 0 {
		next.fill()
		for i := range b.count {
			b.following[i] = next.row[min(i, next.count-1)]
		}
	}
	return true
}

func (b *block) fill() {
	ahead := 1
	if b.streams == 1 {
		ahead = b.run
	}
	b.count = 0
	for i := range b.run {
		for s := range b.streams {
			k := b.at + i + s*b.length
			if k >= b.n {
				break
			}
			b.row[b.count], b.following[b.count] = b.first+k, b.first+min(k+ahead, b.n-1)
			b.count++
		}
	}
}
