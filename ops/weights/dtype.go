package weights

import (
	"fmt"
	"math"
	"unsafe"
)

// Dtype is the storage of a Matrix. Every row is self-contained: the scales of
// a quantised row lie behind its quants, so that a cache or a file moves rows
// as plain bytes.
//
//	F32 F64 F16 BF16 Int32 Int64   the numbers, little-endian
//	Int8    cols int8, padded to 4 bytes, then one float32 scale
//	Int8G   groups of 32 int8, then one float16 scale a group (GGUF Q8_0's density)
//	Int4    groups of 32 nibbles, then one float16 scale d a group; value d·(q−8) (Q4_0)
//	Int4M   groups of 32 nibbles, then the float16 scales d, then the float16 minima m; value d·q+m (Q4_1)
//
// The last group of a row is whole even if cols is not a multiple of 32. In a
// group of nibbles, byte j holds element j in its low and element j+16 in its
// high half, as GGUF blocks do.
type Dtype uint8

// The storage types. Their zero value is F32.
const (
	F32 Dtype = iota
	F64
	F16
	BF16
	Int32
	Int64
	Int8
	Int8G
	Int4
	Int4M
	Dtypes int = iota
)

// Elem is a type of activations: float32 for F32, F16, BF16 and the quantised
// weights, float64 for F64, int32 for Int32 and int64 for Int64.
type Elem interface {
	float32 | float64 | int32 | int64
}

// Group is the number of weights of a grouped dtype that share a scale.
const Group = 32

// traits is all that this package knows of a dtype. Kernels of an instruction set know the rest.
type traits struct {
	name    string
	compute Dtype // of the activations that meet it
	float   bool  // rows are floating-point numbers
	size    int   // bytes of a number, 0 if it is grouped
	align   int   // of a row, in bytes
	scaled  bool  // a float32 scale lies behind the row, at a multiple of 4 bytes

	// decode computes columns c to c+len(dst)−1 of a row of cols. encode sets a row. Integers have
	// none.
	decode func(dst []float32, row unsafe.Pointer, cols, c int)
	encode func(row []byte, src []float32)

	// Of grouped dtypes: the bytes of the quants of a group, 32 bytes or nibbles; what a nibble that is
	// zero is less than 0, unless groups have a minimum; and how a group of at most 32 numbers gets
	// quants, scale s and minimum m.
	quants      int
	zero        float32
	minima      bool
	encodeGroup func(quants []byte, src []float32) (s, m uint16)
}

var table = [Dtypes]traits{
	F32:   {name: "f32", float: true, size: 4, align: 4, decode: decodeF32, encode: encodeF32},
	F64:   {name: "f64", compute: F64, float: true, size: 8, align: 8, decode: decodeF64, encode: encodeF64},
	F16:   {name: "f16", float: true, size: 2, align: 2, decode: decodeF16, encode: encodeF16},
	BF16:  {name: "bf16", float: true, size: 2, align: 2, decode: decodeBF16, encode: encodeBF16},
	Int32: {name: "int32", compute: Int32, size: 4, align: 4},
	Int64: {name: "int64", compute: Int64, size: 8, align: 8},
	Int8:  {name: "int8", size: 1, align: 4, scaled: true, decode: decodeInt8, encode: encodeInt8},
	Int8G: {name: "int8g", align: 2, quants: 32, encodeGroup: encodeInt8Group},
	Int4:  {name: "int4", align: 2, quants: 16, zero: 8, encodeGroup: encodeInt4Group},
	Int4M: {name: "int4m", align: 2, quants: 16, minima: true, encodeGroup: encodeInt4MGroup},
}

var noTraits traits

// traits returns the row of d. That of a number that is no dtype is empty.
func (d Dtype) traits() *traits {
	if int(d) < Dtypes {
		return &table[d]
	}
	return &noTraits
}

// String returns the name that ParseDtype reads, such as "bf16".
func (d Dtype) String() string {
	if name := d.traits().name; name != "" {
		return name
	}
	return fmt.Sprintf("dtype(%d)", uint8(d))
}

// ParseDtype returns the dtype of a name that String gives.
func ParseDtype(s string) (Dtype, error) {
	var names [Dtypes]string
	for d := range table {
		if names[d] = table[d].name; s == names[d] {
			return Dtype(d), nil
		}
	}
	return 0, fmt.Errorf("weights: unknown dtype %q, want one of %v", s, names)
}

// Compute returns the type of the activations that weights of d multiply.
func (d Dtype) Compute() Dtype { return d.traits().compute }

// Float reports whether rows of d are floating-point numbers: neither integers nor quantised.
func (d Dtype) Float() bool { return d.traits().float }

// RowBytes returns the bytes of a row of cols numbers.
func (d Dtype) RowBytes(cols int) int {
	switch t := d.traits(); {
	case t.quants > 0:
		return Groups(cols) * t.groupBytes()
	case t.scaled:
		return Int8Scale(cols) + 4
	default:
		return cols * t.size
	}
}

// MaxCols keeps every size that is computed from a column count far from overflow.
const MaxCols = math.MaxInt32

// Groups returns the number of groups of a row.
func Groups(cols int) int { return (cols + Group - 1) / Group }

// Int8Scale returns the offset of the scale in an Int8 row.
func Int8Scale(cols int) int { return (cols + 3) &^ 3 }

// Grouped reports whether groups of weights share a scale.
func (d Dtype) Grouped() bool { return d.traits().quants > 0 }

// QuantBytes returns the bytes of the quants of a group.
func (d Dtype) QuantBytes() int { return d.traits().quants }

// Minima reports whether groups have a minimum.
func (d Dtype) Minima() bool { return d.traits().minima }

// groupBytes returns the bytes of a group with its scale and minimum.
func (t *traits) groupBytes() int {
	if t.minima {
		return t.quants + 4
	}
	return t.quants + 2
}

// Size returns the bytes of one number, 0 for the grouped dtypes.
func (d Dtype) Size() int { return d.traits().size }

// Align returns the alignment that a row needs, in bytes.
func (d Dtype) Align() int { return d.traits().align }

// DtypeOf returns the dtype of a type of activations.
func DtypeOf[E Elem]() Dtype {
	var e E
	switch any(e).(type) {
	case float32:
		return F32
	case float64:
		return F64
	case int32:
		return Int32
	}
	return Int64
}
