package weights

import "math"

// FromF16 widens an IEEE 754 half.
func FromF16(h uint16) float32 {
	const infinity = 0x7c00 << 13
	b := uint32(h&0x7fff) << 13
	exponent := b & infinity
	b += (127 - 15) << 23
	switch exponent {
	case infinity:
		b += (128 - 16) << 23
	case 0:
		b += 1 << 23
		b = math.Float32bits(math.Float32frombits(b) - 0x1p-14)
	}
	return math.Float32frombits(b | uint32(h&0x8000)<<16)
}

// toF16 rounds to the nearest half, ties to even; too large is infinity, NaN
// keeps the top of its payload, as VCVTPS2PH does.
func toF16(f float32) uint16 {
	b := math.Float32bits(f)
	sign := uint16(b>>16) & 0x8000
	b &= 0x7fffffff
	switch {
	case b > 0x7f800000:
		return sign | 0x7e00 | uint16(b>>13)&0x3ff
	case b >= 0x47800000:
		return sign | 0x7c00
	case b < 0x38800000: // adding 1/2 puts a subnormal half into the low bits, rounded
		return sign | uint16(math.Float32bits(math.Float32frombits(b)+0.5)-0x3f000000)
	}
	b += 0xc8000fff + b>>13&1 // rebias by 15−127 and round
	return sign | uint16(b>>13)
}

// FromBF16 widens a bfloat16.
func FromBF16(h uint16) float32 { return math.Float32frombits(uint32(h) << 16) }

// ToBF16 rounds to the nearest bfloat16, ties to even; NaN stays NaN.
func ToBF16(f float32) uint16 {
	b := math.Float32bits(f)
	if b&0x7fffffff > 0x7f800000 {
		return uint16(b>>16) | 0x40
	}
	return uint16((b + 0x7fff + b>>16&1) >> 16)
}
