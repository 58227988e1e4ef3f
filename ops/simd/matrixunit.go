package simd

import "unsafe"

// matrixUnit are the primitives of a matrix unit.
type matrixUnit struct {
	// tileSplit adds to c, 32 × 32 with rows cStep bytes apart, a·b + aLow·b + a·bLow in float32: a is 32 rows of bfloat16,
	// that many bytes of each, a multiple of 64, b a row of 32 pairs for each pair of columns of a. Without aLow or bLow
	// (nil) their products are left out. tileBytes is the same for int8, quads and int32.
	TileSplit, TileBytes func(c unsafe.Pointer, cStep int, a, aLow unsafe.Pointer, aStep int, b, bLow unsafe.Pointer, bStep, bytes int)

	// splitRow writes n numbers, a multiple of 32, as bfloat16 and, if low is not nil, what that leaves of them as another.
	// splitPairs does it for two rows of n, as pairs, and splitColumns for the 32 columns of 16 rows of float32, which
	// become rows step bytes apart.
	SplitRow     func(high, low, src unsafe.Pointer, n int)
	SplitPairs   func(high, low, a, b unsafe.Pointer, n int)
	SplitColumns func(high, low, src unsafe.Pointer, step int)

	// bytesOfRow writes n int16, a multiple of 32, as int8, of which high·256 + low is the number. bytesOfPairs does it for
	// two rows of n pairs, as quads, and bytesOfColumns for the 32 columns of 16 rows of pairs.
	BytesOfRow     func(high, low, src unsafe.Pointer, n int)
	BytesOfPairs   func(high, low, a, b unsafe.Pointer, n int)
	BytesOfColumns func(high, low, src unsafe.Pointer, step int)

	// quads writes quads of the bytes of four rows of n, a multiple of 32.
	Quads func(dst, a, b, c, d unsafe.Pointer, n int)

	// joinBytes writes (high·256 + low)·factor of n int32, a multiple of 16, as float32.
	JoinBytes func(dst, high, low unsafe.Pointer, factor float32, n int)
}

// unitTile is the number of rows and columns of a tile of a matrix unit.
const UnitTile = 32
