//go:build !noasm

package simd

import (
	"unsafe"

	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// The functions of this file make primitives on slices of assembly, which takes addresses. They
// check lengths and announce to the race detector, which does not see assembly, what it reads and
// writes.

// read announces that s is read and returns its address.
func read[E any](s []E) unsafe.Pointer {
	var e E
	raceRead(Address(s), len(s)*int(unsafe.Sizeof(e)))
	return Address(s)
}

// write announces that s is written and returns its address.
func write[E any](s []E) unsafe.Pointer {
	var e E
	raceWrite(Address(s), len(s)*int(unsafe.Sizeof(e)))
	return Address(s)
}

// readRows announces that n bytes of each row are read.
func readRows(rows []unsafe.Pointer, n int) {
	if RaceEnabled {
		for _, row := range rows {
			raceRead(row, n)
		}
	}
}

// writeSteps and readSteps announce rows of n numbers, step numbers apart.
func writeSteps(s []float32, rows, step, n int) {
	if RaceEnabled {
		for i := range rows {
			write(s[i*step:][:n])
		}
	}
}

func readSteps(s []float32, rows, step, n int) {
	if RaceEnabled {
		for i := range rows {
			read(s[i*step:][:n])
		}
	}
}

func unary(f func(y, x unsafe.Pointer, n int)) func(y, x []float32) {
	return func(y, x []float32) { f(write(y), read(x[:len(y)]), len(y)) }
}

func binary(f func(y, a, b unsafe.Pointer, n int)) func(y, a, b []float32) {
	return func(y, a, b []float32) { f(write(y), read(a[:len(y)]), read(b[:len(y)]), len(y)) }
}

func scaled(f func(y unsafe.Pointer, factor float32, n int)) func(y []float32, factor float32) {
	return func(y []float32, factor float32) { f(write(y), factor, len(y)) }
}

func normed(f func(y, x, w unsafe.Pointer, scale float32, n int)) func(y, x, w []float32, scale float32) {
	return func(y, x, w []float32, scale float32) {
		f(write(y), read(x[:len(y)]), read(w[:len(y)]), scale, len(y))
	}
}

func summed(f func(x unsafe.Pointer, n int) float64) func(x []float32) float64 {
	return func(x []float32) float64 { return f(read(x), len(x)) }
}

func expSummed(f func(y, x unsafe.Pointer, shift float32, n int) float32) func(y, x []float32, shift float32) float32 {
	return func(y, x []float32, shift float32) float32 { return f(write(y), read(x[:len(y)]), shift, len(y)) }
}

func maxColumnsOf(cols int, f func(largest, x unsafe.Pointer, rows int)) func(largest, x []float32) {
	return func(largest, x []float32) { f(write(largest[:cols]), read(x), len(x)/cols) }
}

func expColumnsOf(cols int, f func(x, shifts, sums unsafe.Pointer, rows int)) func(x, shifts, sums []float32) {
	return func(x, shifts, sums []float32) {
		f(write(x), read(shifts[:cols]), write(sums[:cols]), len(x)/cols)
	}
}

func tiles(rows, cols int, f func(c, w unsafe.Pointer, rowStep, colStep int, x unsafe.Pointer, k int)) func(c []float32, w unsafe.Pointer, rowStep, colStep int, x []float32) {
	return func(c []float32, w unsafe.Pointer, rowStep, colStep int, x []float32) {
		k := len(x) / cols
		if RaceEnabled {
			for i := range rows {
				if colStep == 4 {
					raceRead(unsafe.Add(w, i*rowStep), 4*k)
				}
			}
			for j := range k {
				if rowStep == 4 {
					raceRead(unsafe.Add(w, j*colStep), 4*rows)
				}
			}
		}
		f(write(c[:rows*cols]), w, rowStep, colStep, read(x), k)
	}
}

func pairTiles(rows, cols int, f func(c, w unsafe.Pointer, rowStep, colStep int, x, factors unsafe.Pointer, factorStep, pairs, groups int)) func(c []float32, w unsafe.Pointer, rowStep, colStep int, x []int16, factors []float32, factorStep, groups int) {
	return func(c []float32, w unsafe.Pointer, rowStep, colStep int, x []int16, factors []float32, factorStep, groups int) {
		pairs := len(x) / (2 * cols * groups)
		f(write(c[:rows*cols]), w, rowStep, colStep, read(x), read(factors[:(rows-1)*factorStep+groups]), 4*factorStep, pairs, groups)
	}
}

func packed(cols int, f func(dst, src, scales, factors unsafe.Pointer, factorStep, n int)) func(dst []int16, src, scales, factors []float32, factorStep int) {
	return func(dst []int16, src, scales, factors []float32, factorStep int) {
		n := len(src) / cols
		f(write(dst[:len(src)]), read(src), write(scales[:cols]), read(factors[:(n-1)*factorStep+1]), 4*factorStep, n)
	}
}

func transposed(n int, f func(dst, src unsafe.Pointer, dstStep, srcStep int)) func(dst, src []float32, dstStep, srcStep int) {
	return func(dst, src []float32, dstStep, srcStep int) {
		_, _ = dst[(n-1)*dstStep+n-1], src[(n-1)*srcStep+n-1]
		writeSteps(dst, n, dstStep, n)
		readSteps(src, n, srcStep, n)
		f(Address(dst), Address(src), 4*dstStep, 4*srcStep)
	}
}

func reordered(f func(dst, src unsafe.Pointer, step int)) func(dst, src []float32, step int) {
	return func(dst, src []float32, step int) {
		_ = dst[3*step+15]
		writeSteps(dst, 4, step, 16)
		f(Address(dst), read(src[:64]), 4*step)
	}
}

func streams(n int, f func(p unsafe.Pointer, step, n int) float32) func(data []byte) float32 {
	return func(data []byte) float32 { return f(read(data), len(data)/n, len(data)/n) }
}

// dots4 makes a dot of rows of numbers of that many bytes.
func dots4[X float32 | int16](size int, f func(x unsafe.Pointer, r *DotRows, n int)) func(x []X, r *DotRows) {
	return func(x []X, r *DotRows) {
		readRows(r.Row[:], size*len(x))
		f(read(x), r, len(x))
	}
}

// groupDots makes a dot of grouped rows of that many bytes a group, groupDots2 of assembly that
// takes two rows.
func groupDots(bytes int, f func(x unsafe.Pointer, r *DotRows, n int)) func(x *Operand, r *DotRows, groups int) {
	return func(x *Operand, r *DotRows, groups int) {
		readRows(r.Row[:], bytes*groups)
		f(unsafe.Pointer(x), r, groups)
	}
}

func groupDots2(bytes int, f func(x, a, b unsafe.Pointer, n int, nextA, nextB uintptr) (xa, xb float32)) func(x *Operand, r *DotRows, groups int) {
	return func(x *Operand, r *DotRows, groups int) {
		readRows(r.Row[:], bytes*groups)
		r.Sum[0], r.Sum[1] = f(unsafe.Pointer(x), r.Row[0], r.Row[1], groups, r.Next[0], r.Next[1])
		r.Sum[2], r.Sum[3] = f(unsafe.Pointer(x), r.Row[2], r.Row[3], groups, r.Next[2], r.Next[3])
	}
}

// adds makes a sum of count rows of numbers of that many bytes.
func adds(count, size int, f func(y unsafe.Pointer, r *AxpyRows, n int)) func(y []float32, r *AxpyRows) {
	return func(y []float32, r *AxpyRows) {
		readRows(r.Row[:count], size*len(y))
		f(write(y), r, len(y))
	}
}

// groupAdds makes a sum of count grouped rows. per is the columns for which the assembly counts
// one.
func groupAdds(count, quantBytes, per int, f func(y unsafe.Pointer, r *AxpyRows, n int)) func(y []float32, r *AxpyRows) {
	return func(y []float32, r *AxpyRows) {
		readRows(r.Row[:count], len(y)/weights.Group*quantBytes)
		readRows(r.scales[:count], len(y)/weights.Group*2)
		f(write(y), r, len(y)/per)
	}
}

func widens(size int, f func(dst, src unsafe.Pointer, n int)) func(dst []float32, row unsafe.Pointer) {
	return func(dst []float32, row unsafe.Pointer) {
		raceRead(row, size*len(dst))
		f(write(dst), row, len(dst))
	}
}

func groupWidens(quantBytes int, f func(dst unsafe.Pointer, row weights.GroupRow, n int)) func(dst []float32, row weights.GroupRow) {
	return func(dst []float32, row weights.GroupRow) {
		n := len(dst) / weights.Group
		raceRead(row.Quants, n*quantBytes)
		raceRead(row.Scales, 2*n)
		f(write(dst), row, n)
	}
}

// widens16 makes a Widen16 of whole groups of that many bytes of quants.
func widens16(quantBytes int, f func(dst, src unsafe.Pointer, n int)) func(dst []int16, src unsafe.Pointer) {
	return func(dst []int16, src unsafe.Pointer) {
		n := len(dst) / weights.Group
		raceRead(src, n*quantBytes)
		f(write(dst), src, n)
	}
}

func attentionRows(size int, dots, sum func(y, x, rows unsafe.Pointer, stride, n, count int)) attention {
	return attention{
		func(y, x []float32, rows unsafe.Pointer, stride int) {
			raceRead(rows, (len(y)-1)*stride+size*len(x))
			dots(write(y), read(x), rows, stride, len(x), len(y))
		},
		func(y, coef []float32, rows unsafe.Pointer, stride int) {
			raceRead(rows, (len(coef)-1)*stride+size*len(y))
			sum(write(y), read(coef), rows, stride, len(y), len(coef))
		},
	}
}

// vectors are the primitives that are written once, with AVX2.
var vectors = &shared{
	prefetch:       prefetchAVX2,
	quantize16:     quantize16Vectors,
	quantizeGroups: quantizeGroupsVectors,
	widen16:        widens16(weights.Group, widen16Int8GAVX2),
	widenPairs: func(dst []int16, a, b unsafe.Pointer) {
		raceRead(a, len(dst)/2)
		raceRead(b, len(dst)/2)
		widenPairsAVX2(write(dst), a, b, len(dst)/2)
	},
}

func quantize16Vectors(q []int16, x []float32) (scale float32) {
	scale = weights.Finite(absMaxAVX2(read(x), len(x))) / Int16Limit
	whole := len(x) &^ 15
	if whole > 0 {
		quantize16AVX2(write(q[:whole]), Address(x), scale, whole)
	}
	for k := whole; k < len(x); k++ {
		q[k] = int16(weights.Quantum(x[k], scale, Int16Limit))
	}
	return scale
}

func quantizeGroupsVectors(q []int8, d, s, x []float32) {
	n := len(x) / weights.Group
	if n > 0 {
		quantizeGroupsAVX2(write(q[:n*weights.Group]), write(d[:n]), write(s[:n]), read(x[:n*weights.Group]), n)
	}
	quantizeGroups(q[n*weights.Group:], d[n:], s[n:], x[n*weights.Group:])
}

// some returns the first n numbers of s, if it is not nil.
func some[E any](s []E, n int) []E {
	if s == nil {
		return nil
	}
	return s[:n]
}

func splitTiles(f func(c unsafe.Pointer, cStep int, a, aLow unsafe.Pointer, aStep int, b, bLow unsafe.Pointer, bStep, bytes int)) func(c []float32, cStep int, a, b Split, bytes int) {
	return func(c []float32, cStep int, a, b Split, bytes int) {
		_, _, _ = c[(TileAMX-1)*(cStep+1)], a.High[(TileAMX-1)*a.Step+bytes-1], b.High[(bytes/4-1)*b.Step+4*TileAMX-1]
		writeSteps(c, TileAMX, cStep, TileAMX)
		f(Address(c), 4*cStep, Address(a.High), Address(a.Low), a.Step, Address(b.High), Address(b.Low), b.Step, bytes)
	}
}

// splitRows makes a function of rows of numbers of that many bytes, which become parts of half as
// many.
func splitRows[E float32 | int16](f func(high, low, src unsafe.Pointer, n int)) func(high, low []byte, src []E) {
	return func(high, low []byte, src []E) {
		n := len(src) * int(unsafe.Sizeof(src[0])) / 2
		f(write(high[:n]), write(some(low, n)), read(src), len(src))
	}
}

// splitPairs makes a function of two rows, of whose numbers, per at a time, it makes pairs.
func splitPairs[E float32 | int16](per int, f func(high, low, a, b unsafe.Pointer, n int)) func(high, low []byte, a, b []E) {
	return func(high, low []byte, a, b []E) {
		n := len(a) * int(unsafe.Sizeof(a[0]))
		f(write(high[:n]), write(some(low, n)), read(a), read(b[:len(a)]), len(a)/per)
	}
}

func splitColumns[E float32 | int16](f func(high, low, src unsafe.Pointer, step int)) func(high, low []byte, src []E, step int) {
	return func(high, low []byte, src []E, step int) {
		_ = high[(TileAMX-1)*step+31]
		if RaceEnabled {
			for i := range TileAMX {
				write(high[i*step:][:32])
				if low != nil {
					write(low[i*step:][:32])
				}
			}
		}
		f(Address(high), Address(low), read(src[:16*TileAMX*4/int(unsafe.Sizeof(src[0]))]), step)
	}
}
