package kernel

import (
	"unsafe"

	"github.com/sparsegonia/sparsegonia/ops/parallel"
	"github.com/sparsegonia/sparsegonia/ops/simd"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

const (
	blockRows = 96  // outputs of a piece: a multiple of every tile's rows
	blockCols = 256 // columns that are widened at a time: the block stays in L2
)

// gemm writes y = x·wᵀ + bias, or y = x·w + bias if transposed, for many tokens.
func (cpu *CPU) gemm(y, x []float32, w *weights.Matrix, bias []float32, tokens int, transposed bool) {
	k, out := w.Cols(), w.Rows()
	if transposed {
		k, out = out, k
	}
	g := gemmTasks.of(cpu)
	*g = gemmTask{cpu: cpu, w: w, bias: bias, transposed: transposed, y: y, k: k, out: out, tokens: tokens}
	g.pack(x)
	cpu.do((out+blockRows-1)/blockRows, g)
	*g = gemmTask{}
}

// product is what a matrix product of many tokens runs on.
type product int

const (
	onFloats product = iota // tiles of float32
	onPairs                 // tiles of int16, two columns at a time, the inputs with one scale a token
	onHalves                // bfloat16 on a matrix unit
	onBytes                 // int8 on a matrix unit, for inputs as onPairs has them
)

// productOf is what products of k inputs with weights of d run on. Where scales of groups run along the outputs, integers
// are not possible.
func productOf(v *simd.Variant, d weights.Dtype, k int, transposed bool) product {
	switch {
	case v.Unit != nil && d == weights.Int8 && k <= mostBytes:
		return onBytes
	case v.Unit != nil && d != weights.F32 && d != weights.Int8:
		return onHalves
	case d == weights.Int8 || d.Grouped() && !transposed:
		return onPairs
	}
	return onFloats
}

func (how product) onUnit() bool { return how == onHalves || how == onBytes }

// panelRows is the number of rows of a packed panel of k inputs.
func (how product) panelRows(k int) int {
	switch how {
	case onFloats:
		return k
	case onBytes:
		return (k + 63) &^ 63
	}
	return weights.Groups(k) * weights.Group
}

// pack makes of the inputs x T×K what the tiles read.
func (g *gemmTask) pack(x []float32) {
	cpu, v := g.cpu, g.cpu.variant
	g.product = productOf(v, g.w.Dtype(), g.k, g.transposed)
	g.panelRows = g.product.panelRows(g.k)
	if g.transposed && g.product.onUnit() {
		if g.product == onBytes {
			g.scaleInputs()
		}
		g.unitInputs(x)
		return
	}
	g.x = resizeTo(&gemmScratch.of(cpu).packed, v.PackedLen(g.tokens, g.panelRows))
	cpu.pack(g.x, x, g.tokens, g.k, g.panelRows)
	g.convert()
}

// convert makes of packed inputs what the tiles read.
func (g *gemmTask) convert() {
	if g.product == onPairs || g.product == onBytes {
		g.scaleInputs()
		g.quantize()
	}
	if g.product.onUnit() {
		g.unitInputs(nil)
	}
}

func (cpu *CPU) pack(dst, x []float32, tokens, k, rows int) {
	t := packTasks.of(cpu)
	*t = packTask{cpu.variant, dst, x, tokens, k, rows, cpu.variant.TileCols}
	cpu.do((tokens+t.width-1)/t.width*packParts, t)
	*t = packTask{}
}

// packParts is how many pieces a panel is packed in.
const packParts = 4

var packTasks = newPerCPU[packTask]()

// packTask packs inputs. A piece is a part of the rows of one panel of tileCols tokens.
type packTask struct {
	variant                *simd.Variant
	dst, x                 []float32
	tokens, k, rows, width int
}

func (t *packTask) Piece(_ *parallel.Worker, i int) {
	panel := t.dst[i/packParts*t.rows*t.width:][:t.rows*t.width]
	part := (t.rows + packParts - 1) / packParts
	first := min(i%packParts*part, t.rows)
	last := min(first+part, t.rows)
	tokens := min(t.width, t.tokens-i/packParts*t.width)
	if tokens < t.width || last > t.k {
		clear(panel[first*t.width : last*t.width])
	}
	first, last = min(first, t.k), min(last, t.k)
	if first < last {
		t.variant.Transpose(panel[first*t.width:], t.width, t.x[i/packParts*t.width*t.k+first:], t.k, tokens, last-first)
	}
}

var (
	gemmTasks   = newPerCPU[gemmTask]()
	gemmScratch = newPerCPU[gemmBuffers]()
)

// gemmBuffers are the inputs of a gemmTask in the forms that tiles read.
type gemmBuffers struct {
	packed                            []float32 // as tiles of float32 read them
	pairs, tokenScales, sums, factors []float32 // of products on integers
	halves                            []float32 // of products on a matrix unit
}

// gemmTask is a matrix product of many tokens. A piece is a block of outputs.
type gemmTask struct {
	cpu            *CPU
	w              *weights.Matrix
	slots          []int32 // rows of w to use, nil: all
	transposed     bool
	product        product
	x              []float32 // packed
	panelRows      int
	k, out, tokens int
	y, bias        []float32

	// of products on integers
	pairs   []float32 // packed, two int16 each
	scales  []float32 // of the tokens
	sums    []float32 // of the int16 of a group: [⌈T/tileCols⌉][groups][tileCols]
	factors []float32 // of the inputs: the scales of Int8 rows, if they run along k

	// of products on a matrix unit
	raw    []float32 // inputs that are not packed
	halves halves    // [⌈T/32⌉][k/2] rows of 32 pairs, [⌈T/32⌉][k/4] of quads or, of a transposed product, T rows of k
}

// scaleInputs makes room for the scales of the tokens of a product on integers and gathers those of its rows, if they run
// along k.
func (g *gemmTask) scaleInputs() {
	cpu, width := g.cpu, g.cpu.variant.TileCols
	g.scales = resizeTo(&gemmScratch.of(cpu).tokenScales, (g.tokens+width-1)/width*width)
	clear(g.scales) // which stay 0 where there are no inputs
	if !g.transposed || g.w.Dtype() != weights.Int8 {
		return
	}
	g.factors = resizeTo(&gemmScratch.of(cpu).factors, g.panelRows)
	clear(g.factors[g.k:])
	for k := range g.k {
		g.factors[k] = simd.RowScale(g.w, g.row(k))
	}
}

// quantize packs the inputs of a product on integers.
func (g *gemmTask) quantize() {
	cpu, width := g.cpu, g.cpu.variant.TileCols
	panels := (g.tokens + width - 1) / width
	g.pairs = resizeTo(&gemmScratch.of(cpu).pairs, len(g.x)/2)
	if g.w.Dtype() == weights.Int4M {
		g.sums = resizeTo(&gemmScratch.of(cpu).sums, len(g.x)/weights.Group)
	}
	cpu.do(panels, (*quantizeTask)(g))
}

// quantizeTask packs the pairs of a gemmTask. A piece is a panel.
type quantizeTask gemmTask

var (
	one  float32 = 1
	ones         = [2]int16{1, 1}
)

func (g *quantizeTask) Piece(thread *parallel.Worker, i int) {
	w := g.cpu.on(thread)
	v, n := g.cpu.variant, g.panelRows
	width := v.TileCols
	x := g.x[i*n*width:][:n*width]
	scales := g.scales[i*width:][:width]
	if n == 0 {
		return
	}
	factors, step := unsafe.Pointer(&one), 0
	if g.factors != nil {
		factors, step = simd.Address(g.factors), 4
	}
	v.PackPairs(simd.Address(g.pairs[i*n*width/2:]), simd.Address(x), simd.Address(scales), factors, step, n)
	if g.sums == nil {
		return
	}
	// The sums are a product too, with weights that are all 1; every row of the tile is the same.
	tile := w.scratch(v.TileRows * width)
	for j := range weights.Groups(n) {
		clear(tile)
		in := simd.Address(g.pairs[(i*n+j*weights.Group)*width/2:])
		v.TilePairs(simd.Address(tile), unsafe.Pointer(&ones), 0, 0, in, unsafe.Pointer(&one), 0, weights.Group/2, 1)
		copy(g.sums[(i*weights.Groups(n)+j)*width:][:width], tile)
	}
}

func (g *gemmTask) row(k int) unsafe.Pointer { return g.rowOf(g.w, k) }

// rowOf is row k of those of m that are used.
func (g *gemmTask) rowOf(m *weights.Matrix, k int) unsafe.Pointer {
	if g.slots != nil {
		k = int(g.slots[k])
	}
	return m.RowAt(k)
}

func (g *gemmTask) Piece(thread *parallel.Worker, i int) {
	w := g.cpu.on(thread)
	v := g.cpu.variant
	first := i * blockRows
	n := min(blockRows, g.out-first)
	padded := (g.tokens + v.TileCols - 1) / v.TileCols * v.TileCols
	size := blockRows * padded
	buf := w.scratch(2*size + blockScratch)
	c, low, scratch := buf[:size], buf[size:2*size], buf[2*size:]
	switch {
	case !g.transposed:
		g.rows(v, c, low, scratch, g.w, first, n)
	case g.product == onHalves:
		g.columnsOnUnit(v, c, scratch, first, n)
	case g.product == onBytes:
		g.columnsOfBytes(v, c, low, scratch, first, n)
	case g.product == onPairs:
		g.columnPairs(v, c, scratch, first, n)
	default:
		g.columns(v, c, scratch, first, n)
	}
	g.unpack(v, c, first, n)
	if g.bias == nil {
		return
	}
	for t := range g.tokens {
		out := simd.Address(g.y[t*g.out+first:])
		v.Add(out, out, simd.Address(g.bias[first:]), n)
	}
}

// blockScratch is room for a block of widened weights in either orientation.
// The rows are padded so that they do not all fall into the same cache sets.
const (
	blockStride  = blockCols + 16
	blockScratch = max(blockRows*blockStride, unitScratch)
)

// rows computes the block of outputs first to first+n−1: c holds
// [T/tileCols][blockRows/tileRows] tiles of tileRows × tileCols. low is as long as c.
func (g *gemmTask) rows(v *simd.Variant, c, low, scratch []float32, m *weights.Matrix, first, n int) {
	clear(c)
	switch g.product {
	case onHalves:
		g.rowsOnUnit(v, c, scratch, m, first, n)
		return
	case onBytes:
		g.rowsOfBytes(v, c, low, scratch, m, first, n)
		return
	case onPairs:
		g.rowPairs(v, c, scratch, m, first, n)
		return
	}
	for k := 0; k < g.k; k += blockCols {
		width := min(blockCols, g.k-k)
		direct := 0 // rows that the tiles read in place
		if m.Dtype() == weights.F32 && g.slots == nil {
			direct = n / v.TileRows * v.TileRows
			for i := range direct {
				simd.RaceRead(unsafe.Add(m.RowAt(first+i), 4*k), 4*width)
			}
		}
		for i := direct; i < n; i++ {
			g.askFor(v, m, first, i, n, k)
			v.WidenPart(scratch[i*blockStride:][:blockStride], m, g.rowOf(m, first+i), k, width)
		}
		for t := 0; t*v.TileCols < g.tokens; t++ {
			x := simd.Address(g.x[(t*g.k+k)*v.TileCols:])
			for i := 0; i < n; i += v.TileRows {
				p, step := simd.Address(scratch[i*blockStride:]), 4*blockStride
				if i < direct {
					p, step = unsafe.Add(m.RowAt(first+i), 4*k), m.Stride()
				}
				v.Tile(simd.Address(c[(t*blockRows+i)*v.TileCols:]), p, step, 4, x, width)
			}
		}
	}
}

// rowsAhead is how many rows before it is read a part of a row is asked for.
const rowsAhead = 8

// askFor asks for the part of a row of a block of n that is widened rowsAhead rows after row i at column k.
func (g *gemmTask) askFor(v *simd.Variant, m *weights.Matrix, first, i, n, k int) {
	i += rowsAhead
	if i >= n {
		i, k = i-n, k+blockCols
	}
	if i >= n || k >= g.k {
		return
	}
	v.PrefetchPart(m, g.rowOf(m, first+i), k, min(blockCols, g.k-k))
}

// columns computes the block of outputs first to first+n−1 of a product whose
// weight rows run along k.
func (g *gemmTask) columns(v *simd.Variant, c, scratch []float32, first, n int) {
	clear(c)
	for k := 0; k < g.k; k += blockCols {
		width := min(blockCols, g.k-k)
		for i := range width {
			v.PrefetchPart(g.w, g.row(min(k+i+rowsAhead, g.k-1)), first, n)
			v.WidenPart(scratch[i*blockRows:][:blockRows], g.w, g.row(k+i), first, n)
		}
		for t := 0; t*v.TileCols < g.tokens; t++ {
			x := simd.Address(g.x[(t*g.k+k)*v.TileCols:])
			for i := 0; i < n; i += v.TileRows {
				v.Tile(simd.Address(c[(t*blockRows+i)*v.TileCols:]), simd.Address(scratch[i:]), 4, 4*blockRows, x, width)
			}
		}
	}
}

// rowPairs is rows on integers.
func (g *gemmTask) rowPairs(v *simd.Variant, c, scratch []float32, m *weights.Matrix, first, n int) {
	const (
		stride    = 2 * (blockCols + weights.Group) // bytes of a row of weights
		perBlock  = blockCols / weights.Group
		weightLen = blockRows * stride / 4
	)
	block := simd.Address(scratch)
	factors := scratch[weightLen:][: blockRows*perBlock : blockRows*perBlock]
	mins := scratch[weightLen+blockRows*perBlock:][: blockRows*perBlock : blockRows*perBlock]
	for k := 0; k < g.k; k += blockCols {
		width := min(blockCols, g.k-k)
		n32 := weights.Groups(width)
		columns, perRow := n32, weights.Group/2 // factors of a row, pairs that share one
		if m.Dtype() == weights.Int8 {
			columns, perRow = 1, n32*weights.Group/2
		}
		for i := range n {
			g.askFor(v, m, first, i, n, k)
			v.Widen16Part(unsafe.Add(block, i*stride), factors[i*perBlock:], mins[i*perBlock:], m, g.rowOf(m, first+i), k, width)
		}
		for t := 0; t*v.TileCols < g.tokens; t++ {
			x := simd.Address(g.pairs[(t*g.panelRows+k)*v.TileCols/2:])
			for i := 0; i < n; i += v.TileRows {
				out := simd.Address(c[(t*blockRows+i)*v.TileCols:])
				v.TilePairs(out, unsafe.Add(block, i*stride), stride, 4, x, simd.Address(factors[i*perBlock:]), 4*perBlock, perRow, columns)
				if m.Dtype() == weights.Int4M {
					sums := simd.Address(g.sums[(t*g.panelRows+k)/weights.Group*v.TileCols:])
					v.Tile(out, simd.Address(mins[i*perBlock:]), 4*perBlock, 4, sums, n32)
				}
			}
		}
	}
	g.scaleTokens(v, c, n)
}

// scaleTokens multiplies a block of sums by the scales of the inputs.
func (g *gemmTask) scaleTokens(v *simd.Variant, c []float32, n int) {
	for t := 0; t*v.TileCols < g.tokens; t++ {
		scales := simd.Address(g.scales[t*v.TileCols:])
		for i := range n {
			out := simd.Address(c[(t*blockRows+i)*v.TileCols:])
			v.Mul(out, out, scales, v.TileCols)
		}
	}
}

// columnPairs is columns on integers, for Int8 weights.
func (g *gemmTask) columnPairs(v *simd.Variant, c, scratch []float32, first, n int) {
	clear(c)
	block := simd.Address(scratch)
	for k := 0; k < g.k; k += blockCols {
		width := min(blockCols, g.k-k)
		for i := 0; i < width; i += 2 {
			a, b := g.row(k+i), g.row(k+min(i+1, width-1))
			v.PrefetchPart(g.w, g.row(min(k+i+rowsAhead, g.k-1)), first, n)
			v.PrefetchPart(g.w, g.row(min(k+i+rowsAhead+1, g.k-1)), first, n)
			v.WidenPairsPart(unsafe.Add(block, i/2*4*blockRows), unsafe.Add(a, first), unsafe.Add(b, first), n)
		}
		for t := 0; t*v.TileCols < g.tokens; t++ {
			x := simd.Address(g.pairs[(t*g.panelRows+k)*v.TileCols/2:])
			for i := 0; i < n; i += v.TileRows {
				out := simd.Address(c[(t*blockRows+i)*v.TileCols:])
				v.TilePairs(out, unsafe.Add(block, 4*i), 4, 4*blockRows, x, unsafe.Pointer(&one), 0, weights.Groups(width)*weights.Group/2, 1)
			}
		}
	}
	g.scaleTokens(v, c, n)
}

// unpack writes the outputs first to first+n−1 from a block of tiles.
func (g *gemmTask) unpack(v *simd.Variant, c []float32, first, n int) {
	if g.transposed && g.product.onUnit() {
		for t := range g.tokens {
			copy(g.y[t*g.out+first:][:n], c[t*blockRows:])
		}
		return
	}
	width := v.TileCols
	for t := 0; t < g.tokens; t += width {
		v.Transpose(g.y[t*g.out+first:], g.out, c[t*blockRows:], width, n, min(width, g.tokens-t))
	}
}
