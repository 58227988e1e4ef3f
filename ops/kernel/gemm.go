package kernel

import (
	"unsafe"

	"github.com/sparsegonia/sparsegonia/ops/parallel"
	"github.com/sparsegonia/sparsegonia/ops/simd"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// Products of many tokens run on tiles of outputs × tokens that stay in registers. Inputs are
// packed into panels of as many tokens as a tile has columns, and weights are widened, a block of
// panelOutputs × panelCols at a time that stays in the L2 cache:
//
//	x T×K  ──► panels [⌈T/TileCols⌉][K][TileCols] ──┐
//	w O×K  ──► block  panelOutputs × panelCols    ──┴► tiles ──► y T×O

const (
	panelOutputs = 96  // outputs of a piece: a multiple of the rows of every tile
	panelCols    = 256 // columns that are widened at a time
)

// gemm computes y = x·wᵀ + bias, or y = x·w + bias if transposed, for many tokens.
func (cpu *CPU) gemm(y, x []float32, w *weights.Matrix, bias []float32, tokens int, transposed bool) {
	k, out := w.Cols(), w.Rows()
	if transposed {
		k, out = out, k
	}
	g := gemmTasks.of(cpu)
	*g = gemmTask{
		cpu: cpu, w: w, kernel: cpu.variant.RowsOf(w), bias: bias, transposed: transposed, y: y, k: k, out: out, tokens: tokens,
	}
	g.pack(x)
	cpu.do((out+panelOutputs-1)/panelOutputs, g)
	*g = gemmTask{}
}

// onAMX reports whether a product runs on AMX, onIntegers whether it rounds inputs to int16.
func onAMX(p simd.Product) bool      { return p == simd.OnSplit || p == simd.OnBytes }
func onIntegers(p simd.Product) bool { return p == simd.OnPairs || p == simd.OnBytes }

// panelRows returns the rows of a packed panel of k inputs.
func panelRows(p simd.Product, k int) int {
	switch p {
	case simd.OnFloats:
		return k
	case simd.OnBytes:
		return (k + 63) &^ 63
	}
	return weights.Groups(k) * weights.Group
}

// pack makes of the inputs x T×K what the tiles read.
func (g *gemmTask) pack(x []float32) {
	cpu, v := g.cpu, g.cpu.variant
	g.product = g.kernel.Product(g.k, g.transposed)
	g.panelRows = panelRows(g.product, g.k)
	if g.transposed && onAMX(g.product) {
		if g.product == simd.OnBytes {
			g.scaleInputs()
		}
		g.splitInputs(x)
		return
	}
	g.x = resizeTo(&gemmScratch.of(cpu).packed, v.PackedLen(g.tokens, g.panelRows))
	cpu.pack(g.x, x, g.tokens, g.k, g.panelRows)
	g.convert()
}

// convert makes of packed inputs what the tiles read.
func (g *gemmTask) convert() {
	if onIntegers(g.product) {
		g.scaleInputs()
		g.quantize()
	}
	if onAMX(g.product) {
		g.splitInputs(nil)
	}
}

func (cpu *CPU) pack(dst, x []float32, tokens, k, rows int) {
	t := packTasks.of(cpu)
	*t = packTask{cpu.variant, dst, x, tokens, k, rows, cpu.variant.TileCols}
	cpu.do((tokens+t.width-1)/t.width*packParts, t)
	*t = packTask{}
}

// packParts is the number of pieces that a panel is packed in.
const packParts = 4

var packTasks = newPerCPU[packTask]()

// packTask packs inputs. A piece is a part of the rows of one panel of TileCols tokens.
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
	packed                     []float32 // OnFloats
	pairs                      []int16   // OnPairs, OnBytes
	tokenScales, sums, factors []float32
	split                      []byte // OnSplit, OnBytes
}

// gemmTask is a matrix product of many tokens. A piece is panelOutputs outputs.
type gemmTask struct {
	cpu            *CPU
	w              *weights.Matrix
	kernel         *simd.RowKernel // of w
	slots          []int32         // rows of w to use, nil: all
	transposed     bool
	product        simd.Product
	x              []float32 // packed
	panelRows      int
	k, out, tokens int
	y, bias        []float32

	// OnPairs and OnBytes
	pairs   []int16   // packed, two of a token together
	scales  []float32 // of the tokens
	sums    []float32 // of the int16 of a group: [⌈T/TileCols⌉][groups][TileCols]
	factors []float32 // of the inputs: the scales of rows, if they run along k

	// OnSplit and OnBytes
	raw   []float32  // inputs that are not packed
	split simd.Split // [⌈T/32⌉][k/2] rows of 32 pairs, [⌈T/32⌉][k/4] of quads or, if transposed, T rows of k
}

// scaleInputs makes room for the scales of the tokens, and gathers those of the rows if they run
// along k.
func (g *gemmTask) scaleInputs() {
	cpu, width := g.cpu, g.cpu.variant.TileCols
	g.scales = resizeTo(&gemmScratch.of(cpu).tokenScales, (g.tokens+width-1)/width*width)
	clear(g.scales) // which stay 0 where there are no inputs
	if !g.transposed || g.kernel.Scale == nil {
		return
	}
	g.factors = resizeTo(&gemmScratch.of(cpu).factors, g.panelRows)
	clear(g.factors[g.k:])
	for k := range g.k {
		g.factors[k] = g.kernel.Scale(g.w, g.row(k))
	}
}

// quantize packs the inputs as int16.
func (g *gemmTask) quantize() {
	cpu, width := g.cpu, g.cpu.variant.TileCols
	panels := (g.tokens + width - 1) / width
	g.pairs = resizeTo(&gemmScratch.of(cpu).pairs, len(g.x))
	if g.kernel.Minima {
		g.sums = resizeTo(&gemmScratch.of(cpu).sums, len(g.x)/weights.Group)
	}
	cpu.do(panels, (*quantizeTask)(g))
}

// quantizeTask packs the pairs of a gemmTask. A piece is a panel.
type quantizeTask gemmTask

var (
	one  = []float32{1}
	ones = []int16{1, 1}
)

func (g *quantizeTask) Piece(thread *parallel.Worker, i int) {
	w := g.cpu.on(thread)
	v, n := g.cpu.variant, g.panelRows
	width := v.TileCols
	x, pairs := g.x[i*n*width:][:n*width], g.pairs[i*n*width:][:n*width]
	scales := g.scales[i*width:][:width]
	if n == 0 {
		return
	}
	factors, step := one, 0
	if g.factors != nil {
		factors, step = g.factors, 1
	}
	v.PackPairs(pairs, x, scales, factors, step)
	if g.sums == nil {
		return
	}
	// The sums are a product too, with weights that are all 1; every row of the tile is the same.
	tile := w.scratch(v.TileRows * width)
	for j := range weights.Groups(n) {
		clear(tile)
		v.TilePairs(tile, simd.Address(ones), 0, 0, pairs[j*weights.Group*width:][:weights.Group*width], one, 0, 1)
		copy(g.sums[(i*weights.Groups(n)+j)*width:][:width], tile)
	}
}

func (g *gemmTask) row(k int) unsafe.Pointer { return g.rowOf(g.w, k) }

// rowOf returns row k of those of m that are used.
func (g *gemmTask) rowOf(m *weights.Matrix, k int) unsafe.Pointer {
	if g.slots != nil {
		k = int(g.slots[k])
	}
	return m.RowAt(k)
}

func (g *gemmTask) Piece(thread *parallel.Worker, i int) {
	w := g.cpu.on(thread)
	v := g.cpu.variant
	first := i * panelOutputs
	n := min(panelOutputs, g.out-first)
	padded := (g.tokens + v.TileCols - 1) / v.TileCols * v.TileCols
	size := panelOutputs * padded
	buf := w.scratch(2*size + tileScratch)
	c, low, scratch := buf[:size], buf[size:2*size], buf[2*size:]
	if g.transposed {
		g.columns(v, c, low, scratch, first, n)
	} else {
		g.rows(v, c, low, scratch, g.w, first, n)
	}
	g.unpack(v, c, first, n)
	if g.bias == nil {
		return
	}
	for t := range g.tokens {
		y := g.y[t*g.out+first:][:n]
		v.Add(y, y, g.bias[first:][:n])
	}
}

// tileScratch is room for a block of widened weights in either orientation. The rows are padded so
// that they do not all fall into the same cache sets.
const (
	floatStride = panelCols + 16
	tileScratch = max(panelOutputs*floatStride, splitScratch)
)

// rows computes outputs first to first+n−1 of a product whose weight rows run along k.
//
//	c    [T/TileCols][panelOutputs/TileRows] tiles of TileRows × TileCols
//	low  as long as c
func (g *gemmTask) rows(v *simd.Variant, c, low, scratch []float32, m *weights.Matrix, first, n int) {
	clear(c)
	switch g.product {
	case simd.OnFloats:
		g.rowFloats(v, c, scratch, m, first, n)
	case simd.OnPairs:
		g.rowPairs(v, c, scratch, m, first, n)
	case simd.OnSplit:
		g.rowSplits(v, c, scratch, m, first, n)
	case simd.OnBytes:
		g.rowBytes(v, c, low, scratch, m, first, n)
	}
}

// columns is rows of a product whose weight rows run along the outputs. On AMX it leaves a row of
// panelOutputs outputs of each token in c.
func (g *gemmTask) columns(v *simd.Variant, c, low, scratch []float32, first, n int) {
	clear(c)
	switch g.product {
	case simd.OnFloats:
		g.columnFloats(v, c, scratch, first, n)
	case simd.OnPairs:
		g.columnPairs(v, c, scratch, first, n)
	case simd.OnSplit:
		g.columnSplits(v, c, scratch, first, n)
	case simd.OnBytes:
		g.columnBytes(v, c, low, scratch, first, n)
	}
}

// unpack writes the outputs first to first+n−1 from c.
func (g *gemmTask) unpack(v *simd.Variant, c []float32, first, n int) {
	if g.transposed && onAMX(g.product) {
		for t := range g.tokens {
			copy(g.y[t*g.out+first:][:n], c[t*panelOutputs:])
		}
		return
	}
	width := v.TileCols
	for t := 0; t < g.tokens; t += width {
		v.Transpose(g.y[t*g.out+first:], g.out, c[t*panelOutputs:], width, n, min(width, g.tokens-t))
	}
}
