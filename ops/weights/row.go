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
	row, n, quants := m.Row(i), Groups(m.cols), QuantBytes[d]
	scales := row[n*quants:]
	for j := range n {
		block := blocks[j*groupBytes[d]:][:groupBytes[d]]
		copy(scales[2*j:][:2], block)
		if d == Int4M {
			copy(scales[2*(n+j):][:2], block[2:])
		}
		copy(row[j*quants:][:quants], block[groupBytes[d]-quants:])
	}
	return nil
}

// Decode computes the n numbers of a row.
func Decode(d Dtype, dst []float32, row unsafe.Pointer, n int) {
	switch d {
	case F32:
		copy(dst, SliceAt[float32](row, n))
	case F16:
		for k, h := range SliceAt[uint16](row, n) {
			dst[k] = FromF16(h)
		}
	case BF16:
		for k, h := range SliceAt[uint16](row, n) {
			dst[k] = FromBF16(h)
		}
	case Int8:
		s := *(*float32)(unsafe.Add(row, Int8Scale(n)))
		for k, q := range SliceAt[int8](row, n) {
			dst[k] = float32(q) * s
		}
	default:
		DecodeGroups(d, dst, GroupedRow(d, row, n), 0, n)
	}
}

// GroupRow is the parts of a row of a grouped dtype. Mins is nil if it has no minima.
type GroupRow struct {
	Quants, Scales, Mins unsafe.Pointer
}

// GroupedRow returns the parts of a row.
func GroupedRow(d Dtype, row unsafe.Pointer, cols int) GroupRow {
	n := Groups(cols)
	s := unsafe.Add(row, n*QuantBytes[d])
	if d != Int4M {
		return GroupRow{row, s, nil}
	}
	return GroupRow{row, s, unsafe.Add(s, 2*n)}
}

// From returns the row from a group on.
func (r GroupRow) From(d Dtype, group int) GroupRow {
	r.Quants, r.Scales = unsafe.Add(r.Quants, group*QuantBytes[d]), unsafe.Add(r.Scales, 2*group)
	if d == Int4M {
		r.Mins = unsafe.Add(r.Mins, 2*group)
	}
	return r
}

// DecodeGroups computes the n numbers from column c on, a multiple of 32.
func DecodeGroups(d Dtype, dst []float32, r GroupRow, c, n int) {
	for k := 0; k < n; k += Group {
		g := (c + k) / Group
		out := dst[k:min(k+Group, n)]
		s := FromF16(*(*uint16)(unsafe.Add(r.Scales, 2*g)))
		if d == Int8G {
			q := SliceAt[int8](unsafe.Add(r.Quants, 32*g), Group)
			for i := range out {
				out[i] = float32(q[i]) * s
			}
			continue
		}
		offset := -8 * s
		if d == Int4M {
			offset = FromF16(*(*uint16)(unsafe.Add(r.Mins, 2*g)))
		}
		q := SliceAt[byte](unsafe.Add(r.Quants, 16*g), 16)
		for i := range out {
			out[i] = float32(float32(Nibble(q, i))*s) + offset
		}
	}
}

// Nibble returns quant i of a group.
func Nibble(q []byte, i int) byte { return q[i&15] >> (i >> 4 << 2) & 15 }

// Encode sets a row to src, rounded or quantised.
func Encode(d Dtype, row []byte, src []float32) {
	n := len(src)
	p := unsafe.Pointer(&row[0])
	switch d {
	case F32:
		copy(SliceAt[float32](p, n), src)
	case F16:
		out := SliceAt[uint16](p, n)
		for k, v := range src {
			out[k] = toF16(v)
		}
	case BF16:
		out := SliceAt[uint16](p, n)
		for k, v := range src {
			out[k] = ToBF16(v)
		}
	case Int8:
		s := Largest(src) / 127
		out := SliceAt[int8](p, n)
		for k, v := range src {
			out[k] = int8(Quantum(v, s, 127))
		}
		binary.LittleEndian.PutUint32(row[Int8Scale(n):], math.Float32bits(s))
	default:
		encodeGroups(d, row, src)
	}
}

func encodeGroups(d Dtype, row []byte, src []float32) {
	quants := QuantBytes[d]
	scales := row[Groups(len(src))*quants:]
	for g := range Groups(len(src)) {
		in := src[g*Group : min((g+1)*Group, len(src))]
		q := row[g*quants:][:quants]
		clear(q)
		var h uint16
		switch d {
		case Int8G:
			h = toF16(Largest(in) / 127)
			s := FromF16(h)
			for i, v := range in {
				q[i] = byte(int8(Quantum(v, s, 127)))
			}
		case Int4:
			h = nibbleScale(in)
			s := FromF16(h)
			for i, v := range in {
				q[i&15] |= byte(min(Quantum(v, s, 8)+8, 15)) << (i >> 4 << 2)
			}
			for i := len(in); i < Group; i++ {
				q[i&15] |= 8 << (i >> 4 << 2)
			}
		case Int4M:
			var m uint16
			h, m = nibbleScaleMin(in)
			s, base := FromF16(h), FromF16(m)
			for i, v := range in {
				q[i&15] |= byte(min(max(Quantum(v-base, s, 15), 0), 15)) << (i >> 4 << 2)
			}
			binary.LittleEndian.PutUint16(scales[2*(Groups(len(src))+g):], m)
		}
		binary.LittleEndian.PutUint16(scales[2*g:], h)
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
