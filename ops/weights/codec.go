package weights

import (
	"encoding/binary"
	"math"
	"unsafe"
)

// How rows of each dtype are decoded and encoded: the functions of its traits.

// at views n numbers of a row from column c on.
func at[E any](row unsafe.Pointer, c, n int) []E {
	var e E
	return SliceAt[E](unsafe.Add(row, c*int(unsafe.Sizeof(e))), n)
}

// of views the numbers of a row that is not empty.
func of[E any](row []byte, n int) []E { return SliceAt[E](unsafe.Pointer(unsafe.SliceData(row)), n) }

func decodeF32(dst []float32, row unsafe.Pointer, _, c int) { copy(dst, at[float32](row, c, len(dst))) }

func encodeF32(row []byte, src []float32) { copy(of[float32](row, len(src)), src) }

func decodeF64(dst []float32, row unsafe.Pointer, _, c int) {
	for k, v := range at[float64](row, c, len(dst)) {
		dst[k] = float32(v)
	}
}

func encodeF64(row []byte, src []float32) {
	out := of[float64](row, len(src))
	for k, v := range src {
		out[k] = float64(v)
	}
}

func decodeF16(dst []float32, row unsafe.Pointer, _, c int) {
	for k, h := range at[uint16](row, c, len(dst)) {
		dst[k] = FromF16(h)
	}
}

func encodeF16(row []byte, src []float32) {
	out := of[uint16](row, len(src))
	for k, v := range src {
		out[k] = toF16(v)
	}
}

func decodeBF16(dst []float32, row unsafe.Pointer, _, c int) {
	for k, h := range at[uint16](row, c, len(dst)) {
		dst[k] = FromBF16(h)
	}
}

func encodeBF16(row []byte, src []float32) {
	out := of[uint16](row, len(src))
	for k, v := range src {
		out[k] = ToBF16(v)
	}
}

func decodeInt8(dst []float32, row unsafe.Pointer, cols, c int) {
	s := *(*float32)(unsafe.Add(row, Int8Scale(cols)))
	for k, q := range at[int8](row, c, len(dst)) {
		dst[k] = float32(q) * s
	}
}

func encodeInt8(row []byte, src []float32) {
	s := Largest(src) / 127
	out := of[int8](row, len(src))
	for k, v := range src {
		out[k] = int8(Quantum(v, s, 127))
	}
	binary.LittleEndian.PutUint32(row[Int8Scale(len(src)):], math.Float32bits(s))
}

func encodeInt8Group(quants []byte, src []float32) (s, m uint16) {
	h := toF16(Largest(src) / 127)
	scale := FromF16(h)
	for i, v := range src {
		quants[i] = byte(int8(Quantum(v, scale, 127)))
	}
	return h, 0
}

func encodeInt4Group(quants []byte, src []float32) (s, m uint16) {
	h := nibbleScale(src)
	scale := FromF16(h)
	for i, v := range src {
		quants[i&15] |= byte(min(Quantum(v, scale, 8)+8, 15)) << (i >> 4 << 2)
	}
	for i := len(src); i < Group; i++ {
		quants[i&15] |= 8 << (i >> 4 << 2)
	}
	return h, 0
}

func encodeInt4MGroup(quants []byte, src []float32) (s, m uint16) {
	h, m := nibbleScaleMin(src)
	scale, base := FromF16(h), FromF16(m)
	for i, v := range src {
		quants[i&15] |= byte(min(max(Quantum(v-base, scale, 15), 0), 15)) << (i >> 4 << 2)
	}
	return h, m
}
