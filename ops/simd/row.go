package simd

import (
	"unsafe"

	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// RowKernel is all there is to know about rows of one dtype under one instruction set.
// Columns may be any number; a row is the address of a row of m.
type RowKernel struct {
	// Prepare sets x to the form of v that rows of the dtype multiply. v must not change while x is
	// used.
	Prepare func(x *Operand, v []float32)

	// Dot computes r.Sum[i] = x·r.Row[i] for i < RowsPerDot and prefetches r.Next.
	Dot func(x *Operand, r *DotRows, m *weights.Matrix)

	// Add computes y[c] += Σᵢ r.Coef[i]·r.Row[i][c] for i < count and prefetches r.Next.
	//
	//	count ≤ PerAdd rows; what r holds afterwards is unspecified
	//	y     PaddedCols(m.Cols()) sums in the order that InOrder undoes
	//
	// It may round the coefficients, times the scales of their rows; see package kernel.
	Add    func(y []float32, r *AxpyRows, m *weights.Matrix, count int)
	PerAdd int

	// InOrder copies the sums of len(y) columns from y of Add. scratch has SumBlock numbers.
	InOrder func(y, sums, scratch []float32)

	Reading

	// Widen computes dst[j] = row[c+j] / Scale(row) for j < n; c is a multiple of 32.
	// dst has room for whole groups.
	Widen func(dst []float32, m *weights.Matrix, row unsafe.Pointer, c, n int)

	// Scale returns the factor of the row that Widen leaves out. nil means 1.
	Scale func(m *weights.Matrix, row unsafe.Pointer) float32

	// Prefetch prefetches columns c to c+n−1.
	Prefetch func(m *weights.Matrix, row unsafe.Pointer, c, n int)

	Integers
	Tiles

	// RowDots computes y[i] += x·row first+i, and RowSum y += Σᵢ coef[i]·row first+i.
	// They are nil if attention cannot use the dtype.
	RowDots, RowSum func(y, x []float32, m *weights.Matrix, first int)
}

// Reading is how rows are read fastest from memory.
type Reading struct {
	// DotStreams is the number of parts of a piece, 2 or 4, of which a Dot has equally many rows.
	DotStreams int

	// Streams is the number of parts of a piece, at most 8, of which Run rows each are added
	// together. 1 means that rows are added in the order in which they are stored; Run is then 8.
	Streams, Run int

	// DotAhead and AddAhead are the bytes between what Dot and Add read and what they prefetch.
	DotAhead, AddAhead int

	// ByRow means that rows of a neuron are prefetched whole while the row before them is read,
	// if they are short or if the next neuron is not adjacent.
	ByRow bool
}

// Integers are the kernels of quantised rows for Product OnPairs and OnBytes.
type Integers struct {
	// Widen16 computes dst[j] = the quant of column c+j for j < n; c is a multiple of 32.
	// It sets factors to the scales and mins to the minima of these columns.
	// dst has room for whole groups.
	Widen16 func(dst []int16, factors, mins []float32, m *weights.Matrix, row unsafe.Pointer, c, n int)

	// PerScale is the number of columns that share a scale of Widen16. 0 means all.
	PerScale int

	// Minima means that Widen16 sets mins.
	Minima bool

	// WidenPairs computes dst[2j] = a[c+j] and dst[2j+1] = b[c+j] for j < n, two rows of bytes.
	WidenPairs func(dst []int16, m *weights.Matrix, a, b unsafe.Pointer, c, n int)

	// Bytes returns the n quants of a row of bytes from column c on.
	Bytes func(m *weights.Matrix, row unsafe.Pointer, c, n int) []int8
}

// Tiles is how products of many tokens run.
type Tiles struct {
	products [2]Product

	// Direct means that tiles of float32 read rows where they are.
	Direct bool

	// SplitInputs and SplitWeights mean that OnSplit keeps the low part of inputs and of weights.
	SplitInputs, SplitWeights bool
}

// Product is what products of many tokens run on.
type Product int

// The ways of a product of many tokens.
const (
	OnFloats Product = iota // tiles of float32
	OnPairs                 // tiles of int16, two columns at a time; inputs have one scale a token
	OnSplit                 // AMX on bfloat16
	OnBytes                 // AMX on int8; inputs as OnPairs has them, split into two bytes
)

// mostBytes is the number of columns whose products of int8 fit an int32.
const mostBytes = 1<<17 - 1

// Product returns how a product of k inputs runs: with rows along k or, if transposed, along the
// outputs.
func (t *Tiles) Product(k int, transposed bool) Product {
	p := t.products[0]
	if transposed {
		p = t.products[1]
	}
	if p == OnBytes && k > mostBytes {
		return OnPairs
	}
	return p
}

// RowsOf returns the kernels of the dtype of m.
func (v *Variant) RowsOf(m *weights.Matrix) *RowKernel { return &v.Rows[m.Dtype()] }

// Attends reports whether attention can use keys and values of d.
func Attends(d weights.Dtype) bool { return int(d) < weights.Dtypes && generic.Rows[d].RowDots != nil }

// RowsPerDot is the number of rows of a Dot.
const RowsPerDot = 4

// DotRows are rows, which may be the same, and their products.
type DotRows struct {
	Row  [RowsPerDot]unsafe.Pointer
	Next [RowsPerDot]uintptr // prefetched as far as Row is read; any addresses
	Sum  [RowsPerDot]float32
}

// AxpyRows are rows and their coefficients. The scales and minima are those of grouped rows.
type AxpyRows struct {
	Row, scales, mins [8]unsafe.Pointer // of grouped rows the quants
	Next              [8]uintptr        // prefetched; any addresses
	bytes             int               // of a row
	Coef              [8]float32
}

// fill adds rows with coefficients of 0 to the first count.
func (r *AxpyRows) fill(count, rows int) {
	for i := count; i < rows; i++ {
		r.Row[i], r.scales[i], r.mins[i], r.Next[i], r.Coef[i] = r.Row[0], r.scales[0], r.mins[0], r.Next[0], 0
	}
}

// Ahead returns the address to prefetch while a row of size bytes is read: ahead bytes further in
// its stream or, if the next row of the stream is not adjacent, that row.
func Ahead(ahead int, row unsafe.Pointer, size int, next unsafe.Pointer) uintptr {
	if gap := uintptr(next) - uintptr(row) - uintptr(size); gap < weights.RowAlign {
		return uintptr(row) + uintptr(ahead)
	}
	return uintptr(next)
}
