package kernel

import (
	"slices"
	"sync"
	"unsafe"
)

// variant is one implementation of the primitives below, all for float32
// activations. The generic one is the reference that defines what each does.
// Pointers may have any alignment. Sums of floats may be taken in any order
// that depends only on n.
type variant struct {
	name string

	// dot2 returns x·a and x·b. Rows a and b of F32, F16 or BF16 have n numbers, a multiple of 32, and x is float32; of
	// Int8 too, without the scale, and x is int16: the sum fits an int32. Rows of a grouped dtype have n whole groups
	// and x is an *operand. The rows at nextA and nextB are asked for meanwhile: they are read soon, or are any address.
	dot2 [dtypes]func(x, a, b unsafe.Pointer, n int, nextA, nextB uintptr) (xa, xb float32)

	// dot4, if a dtype has it, writes to r.sum the products of x with four rows as dot2 has them. It asks for r.next
	// meanwhile. There is no dot2 then.
	dot4      [dtypes]func(x unsafe.Pointer, r *dotRows, n int)
	streaming streaming

	// axpy4 adds the n numbers of four rows, times a coefficient each, to y, in
	// the order of the rows; axpy1 does it for the first row. n is a multiple of 32.
	// axpy4 asks for the next rows meanwhile: of streamed dtypes for some of each, else for one after the other.
	// It may round the coefficients of Int8 and, times the scales of a group of columns, of Int8G to multiples of a
	// 16383rd of the largest. Dtypes of 4 bits need neither where axpy8 takes any number of groups.
	axpy4, axpy1 [dtypes]func(y unsafe.Pointer, r *axpyRows, n int)

	// sumOrder tells of a dtype whether its axpy4 or axpy8 finds the sums in y in an order of its own; it is the number s
	// of columns from one lane of a vector to the next, or 0. In blocks of 4s columns, column s·l + 16·h + 4·k + i, l, k
	// and i < 4, then stands at 64·h + 16·k + 4·l + i. y has whole blocks, and n is any number. straighten puts the 64
	// sums of an h in order: those of each l in a row of 16, step bytes apart.
	sumOrder   [dtypes]int
	straighten func(dst, src unsafe.Pointer, step int)

	// axpy8 adds eight rows of 4 bits to y, n groups of each, n a multiple of axpy8Step and at least axpy8Least. In
	// each group of columns the products of coefficients and scales are rounded to whole multiples, up to ±127, of a
	// 127th of the largest; they multiply the nibbles less 8.
	axpy8                 [dtypes]func(y unsafe.Pointer, r *axpyRows, n int)
	axpy8Least, axpy8Step int

	// rowDots adds to count numbers of y the products of x with one row each, and rowSum adds to the n numbers of y all
	// count rows, times one number of coef each. Rows are n numbers of F32 or F16, n a multiple of 32, stride bytes apart.
	rowDots [dtypes]func(y, x, rows unsafe.Pointer, stride, n, count int)
	rowSum  [dtypes]func(y, coef, rows unsafe.Pointer, stride, n, count int)

	// widen writes n numbers (without the scale of an Int8 row) as float32, n a multiple of 32.
	widen [dtypes]func(dst, src unsafe.Pointer, n int)

	// widenGroups writes n whole groups as float32.
	widenGroups [dtypes]func(dst unsafe.Pointer, row groupRow, n int)

	// tile adds to c, tileRows × tileCols, the products of k columns: element
	// (i, j) gets Σ w(i,k)·x(k,j), w(i,k) at byte i·rowStep + k·colStep, x k × tileCols.
	tile               func(c, w unsafe.Pointer, rowStep, colStep int, x unsafe.Pointer, k int)
	tileRows, tileCols int

	// turn writes the columns of a square of turnSize × turnSize numbers as rows; steps are the bytes from row to row.
	turn     func(dst, src unsafe.Pointer, dstStep, srcStep int)
	turnSize int

	// tilePairs is tile for int16, two columns at a time: w(i,k) and x(k,j) are then pairs, and element (i, j) gets, for each
	// of some groups of pairs, their exact sum times the float32 at i·factorStep behind the group's place in factors.
	// pairs is a multiple of 4; a group of more than 256 columns overflows.
	tilePairs func(c, w unsafe.Pointer, rowStep, colStep int, x, factors unsafe.Pointer, factorStep, pairs, groups int)

	// packPairs turns a panel of n × tileCols inputs, n even, into pairs of int16, row k times the float32 at
	// k·factorStep, and writes the scale of each column.
	packPairs func(dst, src, scales, factors unsafe.Pointer, factorStep, n int)

	// widen16 writes n groups of quants, those of Int4 less 8, as int16.
	widen16 [dtypes]func(dst, src unsafe.Pointer, n int)

	// widenPairs writes n numbers of two rows of Int8 as pairs of int16, n a multiple of 32.
	widenPairs func(dst, a, b unsafe.Pointer, n int)

	// unit is nil where there is no matrix unit.
	unit *matrixUnit

	// prefetch asks for n bytes at any address.
	prefetch func(p uintptr, n int)

	// activate writes a(x) for n numbers; y may be x.
	activate [ReLU + 1]func(y, x unsafe.Pointer, n int)

	// mul writes a⊙b and add writes a+b for n numbers.
	mul, add func(y, a, b unsafe.Pointer, n int)

	// scale multiplies n numbers by a factor in place.
	scale func(y unsafe.Pointer, factor float32, n int)

	// expSum writes exp(x−shift) and returns the sum, for n numbers.
	expSum func(y, x unsafe.Pointer, shift float32, n int) float32

	// maxColumns raises numbers to the largest of their columns in x rows × tileCols; expColumns writes exp(x−shift), a
	// shift for each column, and adds to their sums. There is a row at least.
	maxColumns func(largest, x unsafe.Pointer, rows int)
	expColumns func(x, shifts, sums unsafe.Pointer, rows int)

	// norm writes x·scale⊙w for n numbers; sumSquares returns Σx².
	norm       func(y, x, w unsafe.Pointer, scale float32, n int)
	sumSquares func(x unsafe.Pointer, n int) float64

	// read reads n bytes, a multiple of 256, of each of 1, 2 or 4 streams that
	// start step bytes apart, and returns something that depends on them.
	read [5]func(p unsafe.Pointer, step, n int) float32

	// quantize16 and quantizeGroups fill an operand from its float32 input.
	quantize16     func(o *operand, x []float32)
	quantizeGroups func(o *operand, x []float32)
}

// axpyRows are up to eight rows (the quants, if the dtype is grouped), their
// coefficients, and the scales and minima of grouped rows.
type axpyRows struct {
	row, scales, mins [8]unsafe.Pointer
	next              [8]uintptr // rows that come next
	bytes             int        // of each of them
	coef              [8]float32
}

// fill makes of count rows as many as there should be, with coefficients of 0.
func (r *axpyRows) fill(count, rows int) {
	for i := count; i < rows; i++ {
		r.row[i], r.scales[i], r.mins[i], r.next[i], r.coef[i] = r.row[0], r.scales[0], r.mins[0], r.next[0], 0
	}
}

// variants lists what this CPU can run, best first; generic is always last.
var variants = sync.OnceValue(func() []*variant { return append(archVariants(), &generic) })

// Variants returns the names of the kernel variants that this CPU can run, best first.
func Variants() []string {
	var names []string
	for _, v := range variants() {
		names = append(names, v.name)
	}
	return names
}

func findVariant(name string) *variant {
	all := variants()
	if i := slices.IndexFunc(all, func(v *variant) bool { return v.name == name }); i >= 0 {
		return all[i]
	}
	return nil
}
