package weights

import (
	"encoding/binary"
	"fmt"
	"math"
	"unsafe"
)

// Row decodes row i of m into dst, which has m.Cols() elements of the compute
// type of m.
func Row[E Elem](m *Matrix, i int, dst []E) {
	if len(dst) != m.cols {
		panic(panicLength)
	}
	if m.dtype.Compute() != DtypeOf[E]() {
		panic(panicType)
	}
	b := m.Row(i)
	if len(b) == 0 {
		return
	}
	p := unsafe.Pointer(&b[0])
	if d, ok := any(dst).([]float32); ok {
		Decode(m.dtype, d, p, m.cols)
		return
	}
	copy(dst, SliceAt[E](p, m.cols))
}

// SetRow encodes src, m.Cols() elements of the compute type of m, into row i:
// rounded to nearest even, or quantised with the scales that fit this row. A
// group (or Int8 row) that holds a NaN or an infinity decodes to NaN.
func SetRow[E Elem](m *Matrix, i int, src []E) {
	if len(src) != m.cols {
		panic(panicLength)
	}
	if m.dtype.Compute() != DtypeOf[E]() {
		panic(panicType)
	}
	b := m.Row(i)
	if len(b) == 0 {
		return
	}
	if s, ok := any(src).([]float32); ok {
		Encode(m.dtype, b, s)
		return
	}
	copy(SliceAt[E](unsafe.Pointer(&b[0]), m.cols), src)
}

// SetRowBlocks sets row i of an Int8G, Int4 or Int4M matrix from the GGUF
// blocks Q8_0, Q4_0 or Q4_1 of a whole row, without going through floats.
// The columns of m must be a multiple of 32.
func SetRowBlocks(m *Matrix, i int, blocks []byte) error {
	d := m.dtype
	if !d.Grouped() {
		return fmt.Errorf("weights: %v has no GGUF blocks", d)
	}
	if m.cols%Group != 0 || len(blocks) != m.rowBytes {
		return fmt.Errorf("weights: %d bytes of blocks do not make a row of %d columns of %v", len(blocks), m.cols, d)
	}
	t := d.traits()
	row, n, size := m.Row(i), Groups(m.cols), t.groupBytes()
	scales := row[n*t.quants:]
	for j := range n {
		block := blocks[j*size:][:size]
		copy(scales[2*j:][:2], block)
		if t.minima {
			copy(scales[2*(n+j):][:2], block[2:])
		}
		copy(row[j*t.quants:][:t.quants], block[size-t.quants:])
	}
	return nil
}

// Decode computes the n numbers of a row.
func Decode(d Dtype, dst []float32, row unsafe.Pointer, n int) { decodePart(d, dst[:n], row, n, 0) }

// decodePart computes columns c to c+len(dst)−1 of a row of cols; c is a multiple of 32.
func decodePart(d Dtype, dst []float32, row unsafe.Pointer, cols, c int) {
	if t := d.traits(); t.quants == 0 {
		t.decode(dst, row, cols, c)
		return
	}
	DecodeGroups(d, dst, GroupedRow(d, row, cols), c, len(dst))
}

// GroupRow is the parts of a row of a grouped dtype. Mins is nil if it has no minima.
type GroupRow struct {
	Quants, Scales, Mins unsafe.Pointer
}

// GroupedRow returns the parts of a row.
func GroupedRow(d Dtype, row unsafe.Pointer, cols int) GroupRow {
	t, n := d.traits(), Groups(cols)
	s := unsafe.Add(row, n*t.quants)
	if !t.minima {
		return GroupRow{row, s, nil}
	}
	return GroupRow{row, s, unsafe.Add(s, 2*n)}
}

// From returns the row from a group on.
func (r GroupRow) From(d Dtype, group int) GroupRow {
	r.Quants, r.Scales = unsafe.Add(r.Quants, group*d.traits().quants), unsafe.Add(r.Scales, 2*group)
	if r.Mins != nil {
		r.Mins = unsafe.Add(r.Mins, 2*group)
	}
	return r
}

// DecodeGroups computes the n numbers from column c on, a multiple of 32: s·q of bytes, and of
// nibbles s·q + m, where m is the minimum or −zero·s.
func DecodeGroups(d Dtype, dst []float32, r GroupRow, c, n int) {
	t := d.traits()
	for k := 0; k < n; k += Group {
		g := (c + k) / Group
		out := dst[k:min(k+Group, n)]
		s := FromF16(*(*uint16)(unsafe.Add(r.Scales, 2*g)))
		if t.quants == Group {
			for i, q := range SliceAt[int8](unsafe.Add(r.Quants, Group*g), len(out)) {
				out[i] = float32(q) * s
			}
			continue
		}
		m := -t.zero * s
		if t.minima {
			m = FromF16(*(*uint16)(unsafe.Add(r.Mins, 2*g)))
		}
		q := SliceAt[byte](unsafe.Add(r.Quants, t.quants*g), t.quants)
		for i := range out {
			out[i] = float32(float32(Nibble(q, i))*s) + m
		}
	}
}

// Nibble returns quant i of a group.
func Nibble(q []byte, i int) byte { return q[i&15] >> (i >> 4 << 2) & 15 }

// Encode sets a row to src, rounded or quantised.
func Encode(d Dtype, row []byte, src []float32) {
	t := d.traits()
	if t.quants == 0 {
		t.encode(row, src)
		return
	}
	n := Groups(len(src))
	scales := row[n*t.quants:]
	for g := range n {
		q := row[g*t.quants:][:t.quants]
		clear(q)
		s, m := t.encodeGroup(q, src[g*Group:min((g+1)*Group, len(src))])
		binary.LittleEndian.PutUint16(scales[2*g:], s)
		if t.minima {
			binary.LittleEndian.PutUint16(scales[2*(n+g):], m)
		}
	}
}

// Quantum returns the float32 v/s rounded to nearest even and clamped to ±limit, 0 if s is 0 or
// NaN.
func Quantum(v, s, limit float32) int {
	q := math.RoundToEven(float64(v / s))
	if s == 0 || q != q {
		return 0
	}
	return int(min(max(q, float64(-limit)), float64(limit)))
}

// Largest returns the largest magnitude in x, NaN if one is NaN or infinite.
func Largest(x []float32) float32 {
	var m uint32
	for _, v := range x {
		m = max(m, math.Float32bits(v)&0x7fffffff)
	}
	return Finite(m)
}

// Finite returns the float32 of bits, NaN for an infinity. As integers, the bits of magnitudes are
// ordered, and NaN is the largest.
func Finite(bits uint32) float32 {
	if bits > 0x7f7fffff {
		return float32(math.NaN())
	}
	return math.Float32frombits(bits)
}
