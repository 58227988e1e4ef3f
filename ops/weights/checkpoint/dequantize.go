package checkpoint

import (
	"encoding/binary"
	"math"

	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// The decoders follow dequantize_row_* of ggml's ggml-quants.c. Products that
// a sum follows are converted to float32, which keeps the compiler from fusing
// the two into one rounding.

func decodeF32(dst []float32, src []byte) {
	for i := range dst {
		dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(src[4*i:]))
	}
}

func decodeF16(dst []float32, src []byte) {
	for i := range dst {
		dst[i] = half(src[2*i:])
	}
}

func decodeBF16(dst []float32, src []byte) {
	for i := range dst {
		dst[i] = weights.FromBF16(binary.LittleEndian.Uint16(src[2*i:]))
	}
}

func decodeF64(dst []float32, src []byte) {
	for i := range dst {
		dst[i] = float32(math.Float64frombits(binary.LittleEndian.Uint64(src[8*i:])))
	}
}

// decodeQ4_0 reads d: f16, q: 16 bytes of two nibbles, which are 16 numbers apart. d·(q−8).
func decodeQ4_0(dst []float32, b []byte) {
	d, q := half(b), b[2:18]
	for i, v := range q {
		dst[i] = d * float32(int(v&15)-8)
		dst[i+16] = d * float32(int(v>>4)-8)
	}
}

// decodeQ4_1 reads d, m: f16, q: as in Q4_0. d·q + m.
func decodeQ4_1(dst []float32, b []byte) {
	d, m, q := half(b), half(b[2:]), b[4:20]
	for i, v := range q {
		dst[i] = float32(d*float32(v&15)) + m
		dst[i+16] = float32(d*float32(v>>4)) + m
	}
}

// decodeQ5_0 reads d: f16, high: u32 with the fifth bit of every number, q: as in Q4_0. d·(q−16).
func decodeQ5_0(dst []float32, b []byte) {
	d, high, q := half(b), binary.LittleEndian.Uint32(b[2:]), b[6:22]
	for i, v := range q {
		dst[i] = d * float32(int(v&15|uint8(high>>i&1)<<4)-16)
		dst[i+16] = d * float32(int(v>>4|uint8(high>>(i+16)&1)<<4)-16)
	}
}

// decodeQ5_1 reads d, m: f16, high, q: as in Q5_0. d·q + m.
func decodeQ5_1(dst []float32, b []byte) {
	d, m, high, q := half(b), half(b[2:]), binary.LittleEndian.Uint32(b[4:]), b[8:24]
	for i, v := range q {
		dst[i] = float32(d*float32(v&15|uint8(high>>i&1)<<4)) + m
		dst[i+16] = float32(d*float32(v>>4|uint8(high>>(i+16)&1)<<4)) + m
	}
}

// decodeQ8_0 reads d: f16, q: 32 × i8. d·q.
func decodeQ8_0(dst []float32, b []byte) {
	d, q := half(b), b[2:34]
	for i, v := range q {
		dst[i] = d * float32(int8(v))
	}
}

// decodeQ2_K reads 16 groups of 16 numbers. scales: 16 bytes, scale and minimum
// of a group in a nibble each; q: 64 bytes; d, dmin: f16. (d·scale)·q − dmin·minimum.
//
// A byte of q has number l of four runs of 32 numbers, 2 bits each.
func decodeQ2_K(dst []float32, b []byte) {
	scales, q, d, dmin := b[:16], b[16:80], half(b[80:]), half(b[82:])
	for g, s := range scales {
		scale, minimum := d*float32(s&15), dmin*float32(s>>4)
		run := q[g/8*32+g%2*16:][:16]
		shift := g / 2 % 4 * 2
		y := dst[g*16:][:16]
		for l, v := range run {
			y[l] = float32(scale*float32(v>>shift&3)) - minimum
		}
	}
}

// decodeQ3_K reads 16 groups of 16 numbers. high: 32 bytes, bit r of byte l for
// number l of run r of 32; q: as in Q2_K; scales: 6 bits a group, low nibbles in
// 8 bytes, then high pairs in 4; d: f16. (d·(scale−32))·(q − 4, or q where high is set).
func decodeQ3_K(dst []float32, b []byte) {
	high, q, scales, d := b[:32], b[32:96], b[96:108], half(b[108:])
	for g := range 16 {
		low, top := scales[g%8]>>(g/8*4)&15, scales[8+g%4]>>(g/4*2)&3
		scale := d * float32(int(low|top<<4)-32)
		run, bit := q[g/8*32+g%2*16:][:16], high[g%2*16:][:16]
		shift := g / 2 % 4 * 2
		y := dst[g*16:][:16]
		for l, v := range run {
			y[l] = scale * float32(int(v>>shift&3|bit[l]>>(g/2)&1<<2)-4)
		}
	}
}

// decodeQ4_K reads 8 runs of 32 numbers. d, dmin: f16; scales: see scaleMin;
// q: 128 bytes, the nibbles of 32 bytes are two runs. (d·scale)·q − dmin·minimum.
func decodeQ4_K(dst []float32, b []byte) {
	d, dmin, scales, q := half(b), half(b[2:]), b[4:16], b[16:144]
	for r := range 8 {
		s, m := scaleMin(scales, r)
		scale, minimum := d*s, dmin*m
		y := dst[r*32:][:32]
		for l, v := range q[r/2*32:][:32] {
			y[l] = float32(scale*float32(v>>(r%2*4)&15)) - minimum
		}
	}
}

// decodeQ5_K reads d, dmin, scales as in Q4_K, high: 32 bytes, bit r of byte l
// for the fifth bit of number l of run r, q: as in Q4_K.
func decodeQ5_K(dst []float32, b []byte) {
	d, dmin, scales, high, q := half(b), half(b[2:]), b[4:16], b[16:48], b[48:176]
	for r := range 8 {
		s, m := scaleMin(scales, r)
		scale, minimum := d*s, dmin*m
		y := dst[r*32:][:32]
		for l, v := range q[r/2*32:][:32] {
			y[l] = float32(scale*float32(v>>(r%2*4)&15|high[l]>>r&1<<4)) - minimum
		}
	}
}

// decodeQ6_K reads 16 groups of 16 numbers. low: 128 bytes, the nibbles of 64
// bytes are two runs of 64; high: 64 bytes, 2 bits as in Q2_K; scales: 16 × i8;
// d: f16. (d·scale)·(q−32).
func decodeQ6_K(dst []float32, b []byte) {
	low, high, scales, d := b[:128], b[128:192], b[192:208], half(b[208:])
	for g, s := range scales {
		scale := d * float32(int8(s))
		nibbles, pairs := low[g/8*64+g%4*16:][:16], high[g/8*32+g%2*16:][:16]
		nibble, pair := g/4%2*4, g/2%4*2
		y := dst[g*16:][:16]
		for l, v := range nibbles {
			y[l] = scale * float32(int(v>>nibble&15|pairs[l]>>pair&3<<4)-32)
		}
	}
}

// scaleMin unpacks scale and minimum r of 8, 6 bits each, of Q4_K and Q5_K. The
// first four have the low bits of bytes 0–3 and 4–7. Of the others, the nibbles
// are in bytes 8–11 and the top bits above those of the first four.
func scaleMin(b []byte, r int) (scale, minimum float32) {
	if r < 4 {
		return float32(b[r] & 63), float32(b[r+4] & 63)
	}
	return float32(b[r+4]&15 | b[r-4]>>6<<4), float32(b[r+4]>>4 | b[r]>>6<<4)
}

// half reads an IEEE 754 half.
func half(b []byte) float32 { return weights.FromF16(binary.LittleEndian.Uint16(b)) }
