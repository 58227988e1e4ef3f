package simd

import (
	"slices"
	"sync"
	"unsafe"

	"github.com/sparsegonia/sparsegonia/ops/activation"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// variant is one implementation of the primitives below, all for float32
// activations. The generic one is the reference that defines what each does.
// Pointers may have any alignment. Sums of floats may be taken in any order
// that depends only on n.
type Variant struct {
	Name string

	// dot2 returns x·a and x·b. Rows a and b of F32, F16 or BF16 have n numbers, a multiple of 32, and x is float32; of
	// Int8 too, without the scale, and x is int16: the sum fits an int32. Rows of a grouped dtype have n whole groups
	// and x is an *operand. The rows at nextA and nextB are asked for meanwhile: they are read soon, or are any address.
	dot2 [weights.Dtypes]func(x, a, b unsafe.Pointer, n int, nextA, nextB uintptr) (xa, xb float32)

	// dot4, if a dtype has it, writes to r.sum the products of x with four rows as dot2 has them. It asks for r.next
	// meanwhile. There is no dot2 then.
	dot4      [weights.Dtypes]func(x unsafe.Pointer, r *DotRows, n int)
	Streaming streaming

	// axpy4 adds the n numbers of four rows, times a coefficient each, to y, in
	// the order of the rows; axpy1 does it for the first row. n is a multiple of 32.
	// axpy4 asks for the next rows meanwhile: of streamed dtypes for some of each, else for one after the other.
	// It may round the coefficients of Int8 and, times the scales of a group of columns, of Int8G to multiples of a
	// 16383rd of the largest. Dtypes of 4 bits need neither where axpy8 takes any number of groups.
	axpy4, axpy1 [weights.Dtypes]func(y unsafe.Pointer, r *AxpyRows, n int)

	// sumOrder tells of a dtype whether its axpy4 or axpy8 finds the sums in y in an order of its own; it is the number s
	// of columns from one lane of a vector to the next, or 0. In blocks of 4s columns, column s·l + 16·h + 4·k + i, l, k
	// and i < 4, then stands at 64·h + 16·k + 4·l + i. y has whole blocks, and n is any number. straighten puts the 64
	// sums of an h in order: those of each l in a row of 16, step bytes apart.
	SumOrder   [weights.Dtypes]int
	straighten func(dst, src unsafe.Pointer, step int)

	// axpy8 adds eight rows of 4 bits to y, n groups of each, n a multiple of axpy8Step and at least axpy8Least. In
	// each group of columns the products of coefficients and scales are rounded to whole multiples, up to ±127, of a
	// 127th of the largest; they multiply the nibbles less 8.
	axpy8                 [weights.Dtypes]func(y unsafe.Pointer, r *AxpyRows, n int)
	axpy8Least, axpy8Step int

	// rowDots adds to count numbers of y the products of x with one row each, and rowSum adds to the n numbers of y all
	// count rows, times one number of coef each. Rows are n numbers of F32 or F16, n a multiple of 32, stride bytes apart.
	rowDots [weights.Dtypes]func(y, x, rows unsafe.Pointer, stride, n, count int)
	rowSum  [weights.Dtypes]func(y, coef, rows unsafe.Pointer, stride, n, count int)

	// widen writes n numbers (without the scale of an Int8 row) as float32, n a multiple of 32.
	widen [weights.Dtypes]func(dst, src unsafe.Pointer, n int)

	// widenGroups writes n whole groups as float32.
	widenGroups [weights.Dtypes]func(dst unsafe.Pointer, row weights.GroupRow, n int)

	// tile adds to c, tileRows × tileCols, the products of k columns: element
	// (i, j) gets Σ w(i,k)·x(k,j), w(i,k) at byte i·rowStep + k·colStep, x k × tileCols.
	Tile               func(c, w unsafe.Pointer, rowStep, colStep int, x unsafe.Pointer, k int)
	TileRows, TileCols int

	// turn writes the columns of a square of turnSize × turnSize numbers as rows; steps are the bytes from row to row.
	turn     func(dst, src unsafe.Pointer, dstStep, srcStep int)
	turnSize int

	// tilePairs is tile for int16, two columns at a time: w(i,k) and x(k,j) are then pairs, and element (i, j) gets, for each
	// of some groups of pairs, their exact sum times the float32 at i·factorStep behind the group's place in factors.
	// pairs is a multiple of 4; a group of more than 256 columns overflows.
	TilePairs func(c, w unsafe.Pointer, rowStep, colStep int, x, factors unsafe.Pointer, factorStep, pairs, groups int)

	// packPairs turns a panel of n × tileCols inputs, n even, into pairs of int16, row k times the float32 at
	// k·factorStep, and writes the scale of each column.
	PackPairs func(dst, src, scales, factors unsafe.Pointer, factorStep, n int)

	// widen16 writes n groups of quants, those of Int4 less 8, as int16.
	widen16 [weights.Dtypes]func(dst, src unsafe.Pointer, n int)

	// widenPairs writes n numbers of two rows of Int8 as pairs of int16, n a multiple of 32.
	widenPairs func(dst, a, b unsafe.Pointer, n int)

	// unit is nil where there is no matrix unit.
	Unit *matrixUnit

	// prefetch asks for n bytes at any address.
	prefetch func(p uintptr, n int)

	// activate writes a(x) for n numbers; y may be x.
	Activate [activation.ReLU + 1]func(y, x unsafe.Pointer, n int)

	// mul writes a⊙b and add writes a+b for n numbers.
	Mul, Add func(y, a, b unsafe.Pointer, n int)

	// scale multiplies n numbers by a factor in place.
	Scale func(y unsafe.Pointer, factor float32, n int)

	// expSum writes exp(x−shift) and returns the sum, for n numbers.
	expSum func(y, x unsafe.Pointer, shift float32, n int) float32

	// maxColumns raises numbers to the largest of their columns in x rows × tileCols; expColumns writes exp(x−shift), a
	// shift for each column, and adds to their sums. There is a row at least.
	MaxColumns func(largest, x unsafe.Pointer, rows int)
	ExpColumns func(x, shifts, sums unsafe.Pointer, rows int)

	// norm writes x·scale⊙w for n numbers; sumSquares returns Σx².
	Norm       func(y, x, w unsafe.Pointer, scale float32, n int)
	SumSquares func(x unsafe.Pointer, n int) float64

	// read reads n bytes, a multiple of 256, of each of 1, 2 or 4 streams that
	// start step bytes apart, and returns something that depends on them.
	Read [5]func(p unsafe.Pointer, step, n int) float32

	// quantize16 and quantizeGroups fill an operand from its float32 input.
	Quantize16     func(o *Operand, x []float32)
	quantizeGroups func(o *Operand, x []float32)
}

// axpyRows are up to eight rows (the quants, if the dtype is grouped), their
// coefficients, and the scales and minima of grouped rows.
type AxpyRows struct {
	Row, scales, mins [8]unsafe.Pointer
	Next              [8]uintptr // rows that come next
	bytes             int        // of each of them
	Coef              [8]float32
}

// fill makes of count rows as many as there should be, with coefficients of 0.
func (r *AxpyRows) fill(count, rows int) {
	for i := count; i < rows; i++ {
		r.Row[i], r.scales[i], r.mins[i], r.Next[i], r.Coef[i] = r.Row[0], r.scales[0], r.mins[0], r.Next[0], 0
	}
}

// variants lists what this CPU can run, best first; generic is always last.
var All = sync.OnceValue(func() []*Variant { return append(archVariants(), &generic) })

// Variants returns the names of the kernel variants that this CPU can run, best first.
func Variants() []string {
	var names []string
	for _, v := range All() {
		names = append(names, v.Name)
	}
	return names
}

func Find(name string) *Variant {
	all := All()
	if i := slices.IndexFunc(all, func(v *Variant) bool { return v.Name == name }); i >= 0 {
		return all[i]
	}
	return nil
}
