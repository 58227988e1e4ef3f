package simd

// AMX are the primitives of products on AMX, which multiplies matrices of bfloat16 into float32 or
// of int8 into int32. Low parts (…Low, low) may be nil: they are then left out.
type AMX struct {
	// TileSplit computes c += a·b + aLow·b + a·bLow for TileAMX × TileAMX numbers of c, rows cStep
	// numbers apart.
	//
	//	a  TileAMX rows of that many bytes of bfloat16, a multiple of 64
	//	b  a row of TileAMX pairs for each pair of columns of a
	TileSplit func(c []float32, cStep int, a, b Split, bytes int)

	// TileBytes computes c += a.High·b.High: int8, quads instead of pairs, and int32 in the memory
	// of c.
	TileBytes func(c []float32, cStep int, a, b Split, bytes int)

	// SplitRow computes high = bfloat16(src) and low = bfloat16(src−high); len(src) is a multiple
	// of 32.
	SplitRow func(high, low []byte, src []float32)

	// SplitPairs is SplitRow of two rows, of which it makes pairs.
	SplitPairs func(high, low []byte, a, b []float32)

	// SplitColumns is SplitRow of the TileAMX columns of 16 rows of src. They become rows, step
	// bytes apart.
	SplitColumns func(high, low []byte, src []float32, step int)

	// BytesOfRow computes src = 256·high + low, both int8; len(src) is a multiple of 32.
	BytesOfRow func(high, low []byte, src []int16)

	// BytesOfPairs is BytesOfRow of two rows of pairs, of which it makes quads.
	BytesOfPairs func(high, low []byte, a, b []int16)

	// BytesOfColumns is BytesOfRow of the TileAMX columns of 16 rows of pairs. They become rows,
	// step bytes apart.
	BytesOfColumns func(high, low []byte, src []int16, step int)

	// Quads computes dst[4k…4k+3] = a[k], b[k], c[k], d[k]; len(a) is a multiple of 32.
	Quads func(dst []byte, a, b, c, d []int8)

	// JoinBytes computes dst = (256·high + low)·factor of the int32 in the memory of high and low;
	// len(dst) is a multiple of 16.
	JoinBytes func(dst, high, low []float32, factor float32)
}

// TileAMX is the number of rows and columns of a tile of AMX.
const TileAMX = 32

// Split is a matrix of numbers in two parts, Step bytes from row to row. Low may be nil.
type Split struct {
	High, Low []byte
	Step      int
}

// At returns s from a byte on.
func (s Split) At(offset int) Split {
	s.High = s.High[offset:]
	if s.Low != nil {
		s.Low = s.Low[offset:]
	}
	return s
}
