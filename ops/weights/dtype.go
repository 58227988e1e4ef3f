package weights

import (
	"fmt"
	"math"
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

var dtypeNames = [Dtypes]string{"f32", "f64", "f16", "bf16", "int32", "int64", "int8", "int8g", "int4", "int4m"}

// String returns the name that ParseDtype reads, such as "bf16".
func (d Dtype) String() string {
	if int(d) < Dtypes {
		return dtypeNames[d]
	}
	return fmt.Sprintf("dtype(%d)", uint8(d))
}

// ParseDtype returns the dtype of a name that String gives.
func ParseDtype(s string) (Dtype, error) {
	for d, name := range dtypeNames {
		if s == name {
			return Dtype(d), nil
		}
	}
	return 0, fmt.Errorf("weights: unknown dtype %q, want one of %v", s, dtypeNames)
}

// Compute returns the type of the activations that weights of d multiply.
func (d Dtype) Compute() Dtype {
	switch d {
	case F64, Int32, Int64:
		return d
	}
	return F32
}

// RowBytes returns the bytes of a row of cols numbers.
func (d Dtype) RowBytes(cols int) int {
	switch d {
	case Int8:
		return Int8Scale(cols) + 4
	case Int8G, Int4, Int4M:
		return Groups(cols) * groupBytes[d]
	}
	return cols * d.Size()
}

// MaxCols keeps every size that is computed from a column count far from overflow.
const MaxCols = math.MaxInt32

// groupBytes are the bytes of a group with its scale and minimum.
var groupBytes = [Dtypes]int{Int8G: 34, Int4: 18, Int4M: 20}

// QuantBytes are the bytes of the quants of a group.
var QuantBytes = [Dtypes]int{Int8G: 32, Int4: 16, Int4M: 16}

// Groups returns the number of groups of a row.
func Groups(cols int) int { return (cols + Group - 1) / Group }

// Int8Scale returns the offset of the scale in an Int8 row.
func Int8Scale(cols int) int { return (cols + 3) &^ 3 }

// Grouped reports whether groups of weights share a scale.
func (d Dtype) Grouped() bool { return groupBytes[d] != 0 }

// Size returns the bytes of one number, 0 for the grouped dtypes.
func (d Dtype) Size() int {
	switch d {
	case F32, Int32:
		return 4
	case F64, Int64:
		return 8
	case F16, BF16:
		return 2
	case Int8:
		return 1
	}
	return 0
}

// Align returns the alignment that a row needs, in bytes.
func (d Dtype) Align() int {
	switch {
	case d == Int8:
		return 4
	case d.Grouped():
		return 2
	}
	return d.Size()
}

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
