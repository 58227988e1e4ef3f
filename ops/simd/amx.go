package simd

// AMX are the primitives of products on AMX, which multiplies matrices of bfloat16 into float32 or
// of int8 into int32. Low parts (…Low, low) may be nil: they are then left out.
type AMX struct {
	// TileSplit computes c += a·b + aLow·b + a·bLow for TileAMX × TileAMX numbers of c, rows cStep
	// numbers apart.
	//
	//	a  TileAMX rows of that many bytes of bfloat16, a multiple of 64, from byte aAt on
	//	b  a row of TileAMX pairs for each pair of columns of a, from byte bAt on
	TileSplit func(c []float32, cStep int, a *Split, aAt int, b *Split, bAt, bytes int)

	// TileBytes computes c += a.High·b.High: int8, quads instead of pairs, and int32 in the memory
	// of c. There are no low parts.
	TileBytes func(c []float32, cStep int, a *Split, aAt int, b *Split, bAt, bytes int)

	// SplitRow sets the row of dst from byte at on: high = bfloat16(src), low = bfloat16(src−high).
	// len(src) is a multiple of 32.
	SplitRow func(dst *Split, at int, src []float32)

	// SplitPairs is SplitRow of two rows, of which it makes pairs.
	SplitPairs func(dst *Split, at int, a, b []float32)

	// SplitColumns is SplitRow of the TileAMX columns of 16 rows of src, which become rows of dst.
	SplitColumns func(dst *Split, at int, src []float32)

	// BytesOfRow sets the row of dst from byte at on: src = 256·high + low, both int8. len(src) is a
	// multiple of 32.
	BytesOfRow func(dst *Split, at int, src []int16)

	// BytesOfPairs is BytesOfRow of two rows of pairs, of which it makes quads.
	BytesOfPairs func(dst *Split, at int, a, b []int16)

	// BytesOfColumns is BytesOfRow of the TileAMX columns of 16 rows of pairs, which become rows of
	// dst.
	BytesOfColumns func(dst *Split, at int, src []int16)

	// Quads computes dst[4k+i] = rows[i][k]; the length of the rows is a multiple of 32.
	Quads func(dst []byte, rows *[4][]int8)

	// JoinBytes computes dst = (256·high + low)·factor of the int32 in the memory of high and low;
	// len(dst) is a multiple of 16.
	JoinBytes func(dst, high, low []float32, factor float32)
}

// TileAMX is the number of rows and columns of a tile of AMX.
const TileAMX = 32

// Split is a matrix of numbers in two parts, Step bytes from row to row. Low may be nil: it is then
// left out.
type Split struct {
	High, Low []byte
	Step      int
}
