package checkpoint

import (
	"fmt"
	"math"
	"math/bits"

	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// A Type is how the numbers of a tensor are stored. The quantised types are
// ggml's: blocks of 32 or 256 numbers along a row, little-endian.
type Type uint8

const (
	F32 Type = iota + 1
	F16
	BF16
	F64
	Q4_0
	Q4_1
	Q5_0
	Q5_1
	Q8_0
	Q2_K
	Q3_K
	Q4_K
	Q5_K
	Q6_K
)

// layouts are indexed by Type.
var layouts = [...]struct {
	name         string
	block, bytes int                               // numbers of a block and what they take
	decode       func(dst []float32, block []byte) // one block; any number of them where block is 1
	dtype        weights.Dtype                     // that keeps the same numbers in as many bytes
}{
	F32:  {"F32", 1, 4, decodeF32, weights.F32},
	F16:  {"F16", 1, 2, decodeF16, weights.F16},
	BF16: {"BF16", 1, 2, decodeBF16, weights.BF16},
	F64:  {"F64", 1, 8, decodeF64, weights.F64},
	Q4_0: {"Q4_0", 32, 18, decodeQ4_0, weights.Int4},
	Q4_1: {"Q4_1", 32, 20, decodeQ4_1, weights.Int4M},
	Q5_0: {"Q5_0", 32, 22, decodeQ5_0, none},
	Q5_1: {"Q5_1", 32, 24, decodeQ5_1, none},
	Q8_0: {"Q8_0", 32, 34, decodeQ8_0, weights.Int8G},
	Q2_K: {"Q2_K", 256, 84, decodeQ2_K, none},
	Q3_K: {"Q3_K", 256, 110, decodeQ3_K, none},
	Q4_K: {"Q4_K", 256, 144, decodeQ4_K, none},
	Q5_K: {"Q5_K", 256, 176, decodeQ5_K, none},
	Q6_K: {"Q6_K", 256, 210, decodeQ6_K, none},
}

const none = ^weights.Dtype(0)

// Dtype returns the dtype that keeps numbers of type t without rounding in as many bytes: of F32,
// F16, BF16 and F64 in the same order, of Q8_0, Q4_0 and Q4_1 by row. False for other types.
func (t Type) Dtype() (weights.Dtype, bool) {
	if !t.valid() || layouts[t].dtype == none {
		return 0, false
	}
	return layouts[t].dtype, true
}

// String returns the name that safetensors and ggml have for t.
func (t Type) String() string {
	if !t.valid() {
		return fmt.Sprintf("Type(%d)", uint8(t))
	}
	return layouts[t].name
}

func (t Type) valid() bool { return t > 0 && int(t) < len(layouts) }

// A storage is any type that a file can name: a Type, or one that is only known well enough to
// check its extent.
type storage struct {
	name         string
	block, bytes uint64 // bytes is 0 if the extent is not known
	kind         Type   // 0 if there is none
}

func stored(t Type) storage {
	l := layouts[t]
	return storage{l.name, uint64(l.block), uint64(l.bytes), t}
}

func other(name string, block, bytes uint64) storage {
	return storage{name: name, block: block, bytes: bytes}
}

// size checks a shape, outermost first, and returns what a tensor of that shape takes.
func (s storage) size(dims []uint64) (shape []int, bytes uint64, err error) {
	shape = make([]int, len(dims))
	elements, product := uint64(1), uint64(1) // product takes zeros as ones, so that no part of the shape overflows
	for i, n := range dims {
		hi, lo := bits.Mul64(product, max(n, 1))
		if n > math.MaxInt || hi > 0 || lo > math.MaxInt {
			return nil, 0, fmt.Errorf("shape: the product of its first %d sizes overflows, size %d is %d", i+1, i, n)
		}
		shape[i], elements, product = int(n), elements*n, lo
	}
	if s.bytes == 0 {
		return shape, 0, nil
	}
	if row := rowLength(shape); uint64(row)%s.block != 0 {
		return nil, 0, fmt.Errorf("shape %v: rows of %d are not whole blocks of %s, which have %d numbers", shape, row, s.name, s.block)
	}
	hi, bytes := bits.Mul64(elements/s.block, s.bytes)
	if hi > 0 {
		return nil, 0, fmt.Errorf("shape %v: the size in bytes overflows", shape)
	}
	return shape, bytes, nil
}

// rowLength returns the size of the innermost dimension; a scalar is a row of one.
func rowLength(shape []int) int {
	if len(shape) == 0 {
		return 1
	}
	return shape[len(shape)-1]
}
