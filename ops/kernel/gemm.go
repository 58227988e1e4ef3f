package kernel

import "unsafe"

const (
	blockRows = 96  // outputs of a piece: a multiple of every tile's rows
	blockCols = 256 // columns that are widened at a time: the block stays in L2
)

// gemm writes y = x·wᵀ + bias, or y = x·w + bias if transposed, for many tokens.
func (p *Pool) gemm(y, x []float32, w *Matrix, bias []float32, tokens int, transposed bool) {
	k, out := w.cols, w.rows
	if transposed {
		k, out = out, k
	}
	g := &p.tasks.gemm
	*g = gemmTask{pool: p, w: w, bias: bias, transposed: transposed, y: y, k: k, out: out, tokens: tokens}
	p.tasks.packed = resize(p.tasks.packed, p.variant.packedLen(tokens, k))
	g.x = p.tasks.packed
	p.pack(g.x, x, tokens, k)
	if transposed {
		g.scaleInput()
	}
	p.do((out+blockRows-1)/blockRows, g)
	*g = gemmTask{}
}

// packedLen is the length of T×K inputs as the tiles read them:
// [⌈T/tileCols⌉][K][tileCols], zeros beyond T.
func (v *variant) packedLen(tokens, k int) int {
	return (tokens + v.tileCols - 1) / v.tileCols * v.tileCols * k
}

func (p *Pool) pack(dst, x []float32, tokens, k int) {
	t := &p.tasks.pack
	*t = packTask{dst, x, tokens, k, p.variant.tileCols}
	p.do((tokens+t.width-1)/t.width, t)
	*t = packTask{}
}

// packTask packs inputs. A piece is one panel of tileCols tokens.
type packTask struct {
	dst, x           []float32
	tokens, k, width int
}

func (t *packTask) piece(_ *worker, i int) {
	panel := t.dst[i*t.k*t.width:][:t.k*t.width]
	for j := range t.width {
		token := i*t.width + j
		if token >= t.tokens {
			for c := range t.k {
				panel[c*t.width+j] = 0
			}
			continue
		}
		for c, v := range t.x[token*t.k:][:t.k] {
			panel[c*t.width+j] = v
		}
	}
}

// gemmTask is a matrix product of many tokens. A piece is a block of outputs.
type gemmTask struct {
	pool           *Pool
	w              *Matrix
	slots          []int32 // rows of w to use, nil: all
	transposed     bool
	x              []float32 // packed
	k, out, tokens int
	y, bias        []float32
}

// scaleInput moves the scales of Int8 rows, which run along k, into the input.
func (g *gemmTask) scaleInput() {
	if g.w.dtype != Int8 {
		return
	}
	width := g.pool.variant.tileCols
	for k := range g.k {
		s := rowScale(g.w, g.row(k))
		for panel := 0; panel < len(g.x); panel += g.k * width {
			for j := range width {
				g.x[panel+k*width+j] *= s
			}
		}
	}
}

func (g *gemmTask) row(k int) unsafe.Pointer {
	if g.slots != nil {
		k = int(g.slots[k])
	}
	return g.w.row(k)
}

func (g *gemmTask) piece(w *worker, i int) {
	v := g.pool.variant
	first := i * blockRows
	n := min(blockRows, g.out-first)
	padded := (g.tokens + v.tileCols - 1) / v.tileCols * v.tileCols
	buf := w.scratch(blockRows*padded + blockScratch)
	c, scratch := buf[:blockRows*padded], buf[blockRows*padded:]
	if g.transposed {
		g.columns(v, c, scratch, first, n)
	} else {
		g.rows(v, c, scratch, g.w, first, n)
	}
	for t := range g.tokens {
		out := g.y[t*g.out+first:][:n]
		g.unpack(v, out, c, t)
		if !g.transposed && g.w.dtype == Int8 {
			for j := range out {
				out[j] *= rowScale(g.w, g.row(first+j))
			}
		}
		if g.bias != nil {
			for j, b := range g.bias[first : first+n] {
				out[j] += b
			}
		}
	}
}

// blockScratch is room for a block of widened weights in either orientation.
// The rows are padded so that they do not all fall into the same cache sets.
const (
	blockStride  = blockCols + 16
	blockScratch = blockRows * blockStride
)

// rows computes the block of outputs first to first+n−1: c holds
// [T/tileCols][blockRows/tileRows] tiles of tileRows × tileCols.
func (g *gemmTask) rows(v *variant, c, scratch []float32, m *Matrix, first, n int) {
	clear(c)
	for k := 0; k < g.k; k += blockCols {
		width := min(blockCols, g.k-k)
		direct := 0 // rows that the tiles read in place
		if m.dtype == F32 && g.slots == nil {
			direct = n / v.tileRows * v.tileRows
			for i := range direct {
				raceRead(unsafe.Add(m.row(first+i), 4*k), 4*width)
			}
		}
		for i := direct; i < n; i++ {
			row := first + i
			if g.slots != nil {
				row = int(g.slots[row])
			}
			v.widenPart(scratch[i*blockStride:][:blockStride], m, m.row(row), k, width)
		}
		for t := 0; t*v.tileCols < g.tokens; t++ {
			x := address(g.x[(t*g.k+k)*v.tileCols:])
			for i := 0; i < n; i += v.tileRows {
				p, step := address(scratch[i*blockStride:]), 4*blockStride
				if i < direct {
					p, step = unsafe.Add(m.row(first+i), 4*k), m.stride
				}
				v.tile(address(c[(t*blockRows+i)*v.tileCols:]), p, step, 4, x, width)
			}
		}
	}
}

// columns computes the block of outputs first to first+n−1 of a product whose
// weight rows run along k.
func (g *gemmTask) columns(v *variant, c, scratch []float32, first, n int) {
	clear(c)
	for k := 0; k < g.k; k += blockCols {
		width := min(blockCols, g.k-k)
		for i := range width {
			v.widenPart(scratch[i*blockRows:][:blockRows], g.w, g.row(k+i), first, n)
		}
		for t := 0; t*v.tileCols < g.tokens; t++ {
			x := address(g.x[(t*g.k+k)*v.tileCols:])
			for i := 0; i < n; i += v.tileRows {
				v.tile(address(c[(t*blockRows+i)*v.tileCols:]), address(scratch[i:]), 4, 4*blockRows, x, width)
			}
		}
	}
}

// unpack gathers the outputs of token t from a block of tiles.
func (g *gemmTask) unpack(v *variant, out, c []float32, t int) {
	c = c[t/v.tileCols*blockRows*v.tileCols+t%v.tileCols:]
	for j := range out {
		out[j] = c[j*v.tileCols]
	}
}
