package kernel

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
	if m.dtype.Compute() != dtypeOf[E]() {
		panic(panicType)
	}
	b := m.Row(i)
	if len(b) == 0 {
		return
	}
	p := unsafe.Pointer(&b[0])
	if d, ok := any(dst).([]float32); ok {
		decode(m.dtype, d, p, m.cols)
		return
	}
	copy(dst, values[E](p, m.cols))
}

// SetRow encodes src, m.Cols() elements of the compute type of m, into row i:
// rounded to nearest even, or quantised with the scales that fit this row. A
// group (or Int8 row) that holds a NaN or an infinity decodes to NaN.
func SetRow[E Elem](m *Matrix, i int, src []E) {
	if len(src) != m.cols {
		panic(panicLength)
	}
	if m.dtype.Compute() != dtypeOf[E]() {
		panic(panicType)
	}
	b := m.Row(i)
	if len(b) == 0 {
		return
	}
	if s, ok := any(src).([]float32); ok {
		encode(m.dtype, b, s)
		return
	}
	copy(values[E](unsafe.Pointer(&b[0]), m.cols), src)
}

// SetRowBlocks sets row i of an Int8G, Int4 or Int4M matrix from the GGUF
// blocks Q8_0, Q4_0 or Q4_1 of a whole row, without going through floats.
// The columns of m must be a multiple of 32.
func SetRowBlocks(m *Matrix, i int, blocks []byte) error {
	d := m.dtype
	if !d.grouped() {
		return fmt.Errorf("weights: %v has no GGUF blocks", d)
	}
	if m.cols%group != 0 || len(blocks) != m.rowBytes {
		return fmt.Errorf("weights: %d bytes of blocks do not make a row of %d columns of %v", len(blocks), m.cols, d)
	}
	row, n, quants := m.Row(i), groups(m.cols), quantBytes[d]
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

// decode writes the n numbers of a row to dst.
func decode(d Dtype, dst []float32, row unsafe.Pointer, n int) {
	switch d {
	case F32:
		copy(dst, values[float32](row, n))
	case F16:
		for k, h := range values[uint16](row, n) {
			dst[k] = fromF16(h)
		}
	case BF16:
		for k, h := range values[uint16](row, n) {
			dst[k] = fromBF16(h)
		}
	case Int8:
		s := *(*float32)(unsafe.Add(row, int8Scale(n)))
		for k, q := range values[int8](row, n) {
			dst[k] = float32(q) * s
		}
	default:
		decodeGroups(d, dst, groupedRow(d, row, n), 0, n)
	}
}

// groupRow are the parts of a row of a grouped dtype.
type groupRow struct {
	quants, scales, mins unsafe.Pointer
}

func groupedRow(d Dtype, row unsafe.Pointer, cols int) groupRow {
	n := groups(cols)
	s := unsafe.Add(row, n*quantBytes[d])
	if d != Int4M {
		return groupRow{row, s, nil}
	}
	return groupRow{row, s, unsafe.Add(s, 2*n)}
}

// decodeGroups writes n numbers from column c on, a multiple of 32, to dst.
func decodeGroups(d Dtype, dst []float32, r groupRow, c, n int) {
	for k := 0; k < n; k += group {
		g := (c + k) / group
		out := dst[k:min(k+group, n)]
		s := fromF16(*(*uint16)(unsafe.Add(r.scales, 2*g)))
		if d == Int8G {
			q := values[int8](unsafe.Add(r.quants, 32*g), group)
			for i := range out {
				out[i] = float32(q[i]) * s
			}
			continue
		}
		offset := -8 * s
		if d == Int4M {
			offset = fromF16(*(*uint16)(unsafe.Add(r.mins, 2*g)))
		}
		q := values[byte](unsafe.Add(r.quants, 16*g), 16)
		for i := range out {
			out[i] = float32(float32(nibble(q, i))*s) + offset
		}
	}
}

func nibble(q []byte, i int) byte { return q[i&15] >> (i >> 4 << 2) & 15 }

func encode(d Dtype, row []byte, src []float32) {
	n := len(src)
	p := unsafe.Pointer(&row[0])
	switch d {
	case F32:
		copy(values[float32](p, n), src)
	case F16:
		out := values[uint16](p, n)
		for k, v := range src {
			out[k] = toF16(v)
		}
	case BF16:
		out := values[uint16](p, n)
		for k, v := range src {
			out[k] = toBF16(v)
		}
	case Int8:
		s := largest(src) / 127
		out := values[int8](p, n)
		for k, v := range src {
			out[k] = int8(quantum(v, s, 127))
		}
		binary.LittleEndian.PutUint32(row[int8Scale(n):], math.Float32bits(s))
	default:
		encodeGroups(d, row, src)
	}
}

func encodeGroups(d Dtype, row []byte, src []float32) {
	quants := quantBytes[d]
	scales := row[groups(len(src))*quants:]
	for g := range groups(len(src)) {
		in := src[g*group : min((g+1)*group, len(src))]
		q := row[g*quants:][:quants]
		clear(q)
		var h uint16
		switch d {
		case Int8G:
			h = toF16(largest(in) / 127)
			s := fromF16(h)
			for i, v := range in {
				q[i] = byte(int8(quantum(v, s, 127)))
			}
		case Int4:
			h = nibbleScale(in)
			s := fromF16(h)
			for i, v := range in {
				q[i&15] |= byte(min(quantum(v, s, 8)+8, 15)) << (i >> 4 << 2)
			}
			for i := len(in); i < group; i++ {
				q[i&15] |= 8 << (i >> 4 << 2)
			}
		case Int4M:
			var m uint16
			h, m = nibbleScaleMin(in)
			s, base := fromF16(h), fromF16(m)
			for i, v := range in {
				q[i&15] |= byte(min(max(quantum(v-base, s, 15), 0), 15)) << (i >> 4 << 2)
			}
			binary.LittleEndian.PutUint16(scales[2*(groups(len(src))+g):], m)
		}
		binary.LittleEndian.PutUint16(scales[2*g:], h)
	}
}

// quantum is the float32 v/s rounded to nearest even and clamped to ±limit; 0 if the scale is 0 or NaN.
func quantum(v, s, limit float32) int {
	q := math.RoundToEven(float64(v / s))
	if s == 0 || q != q {
		return 0
	}
	return int(min(max(q, float64(-limit)), float64(limit)))
}

// largest is the largest magnitude in x, NaN if one is NaN or infinite.
func largest(x []float32) float32 {
	var m uint32
	for _, v := range x {
		m = max(m, math.Float32bits(v)&0x7fffffff)
	}
	return finite(m)
}

// finite is the float32 of bits, NaN for an infinity. As integers, the bits of
// magnitudes are ordered, and NaN is the largest.
func finite(bits uint32) float32 {
	if bits > 0x7f7fffff {
		return float32(math.NaN())
	}
	return math.Float32frombits(bits)
}

func abs(x float32) float32 { return math.Float32frombits(math.Float32bits(x) &^ (1 << 31)) }
