package weights

import (
	"fmt"
	"unsafe"
)

// Matrix is rows × cols numbers of one dtype; row i starts at byte i·Stride.
// The geometry never changes. The bytes may be a view of memory of others,
// which must then outlive the Matrix.
type Matrix struct {
	dtype      Dtype
	rows, cols int
	stride     int
	rowBytes   int
	data       []byte
}

const (
	panicLength = "weights: wrong length of a slice for the columns of the matrix"
	panicType   = "weights: element type is not the compute type of the matrix"
	panicRange  = "weights: row out of range"

	// RowAlign is the alignment of rows in bytes: a cache line.
	RowAlign = 64
)

// NewMatrix returns a zeroed matrix (every number is 0, also of quantised
// dtypes) whose rows start at multiples of 64 bytes, in huge pages when it is large.
// It panics if a size is negative or more than memory can be addressed.
func NewMatrix(d Dtype, rows, cols int) *Matrix {
	if int(d) >= Dtypes || rows < 0 || cols < 0 || cols > MaxCols {
		panic("weights: bad dtype or size for NewMatrix")
	}
	rowBytes := d.RowBytes(cols)
	stride := (rowBytes + RowAlign - 1) &^ (RowAlign - 1)
	return &Matrix{d, rows, cols, stride, rowBytes, AlignedBytes(rows * stride)}
}

// NewContiguous returns a zeroed matrix whose rows follow each other without gaps.
func NewContiguous(d Dtype, rows, cols int) *Matrix {
	rowBytes := d.RowBytes(cols)
	return &Matrix{d, rows, cols, rowBytes, rowBytes, AlignedBytes(rows * rowBytes)}
}

// MatrixView returns a matrix over data without copying: row i is
// data[i·stride : i·stride+RowBytes(cols)]. Rows must start at a multiple of
// the element size.
func MatrixView(d Dtype, rows, cols, stride int, data []byte) (*Matrix, error) {
	if int(d) >= Dtypes {
		return nil, fmt.Errorf("weights: matrix view: unknown dtype %d", d)
	}
	if rows < 0 || cols < 0 || cols > MaxCols {
		return nil, fmt.Errorf("weights: matrix view: bad shape %d×%d", rows, cols)
	}
	rowBytes := d.RowBytes(cols)
	if stride < rowBytes {
		return nil, fmt.Errorf("weights: matrix view: stride %d is less than the %d bytes of a row", stride, rowBytes)
	}
	if rows > 0 && rowBytes > 0 {
		if rowBytes > len(data) || rows-1 > (len(data)-rowBytes)/stride {
			return nil, fmt.Errorf("weights: matrix view: %d rows of stride %d do not fit in %d bytes", rows, stride, len(data))
		}
		if a := d.Align(); int(uintptr(unsafe.Pointer(&data[0])))%a != 0 || rows > 1 && stride%a != 0 {
			return nil, fmt.Errorf("weights: matrix view: rows of %v must start at multiples of %d bytes", d, a)
		}
	}
	return &Matrix{d, rows, cols, stride, rowBytes, data}, nil
}

// MatrixOf returns a rows × cols view of data without copying.
func MatrixOf[E Elem](rows, cols int, data []E) (*Matrix, error) {
	d := DtypeOf[E]()
	bytes := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(data))), len(data)*d.Size())
	return MatrixView(d, rows, cols, d.RowBytes(max(cols, 0)), bytes)
}

// Dtype returns the storage type.
func (m *Matrix) Dtype() Dtype { return m.dtype }

// Rows returns the number of rows.
func (m *Matrix) Rows() int { return m.rows }

// Cols returns the numbers in a row.
func (m *Matrix) Cols() int { return m.cols }

// Stride returns the bytes from one row to the next.
func (m *Matrix) Stride() int { return m.stride }

// RowBytes returns the bytes of a row.
func (m *Matrix) RowBytes() int { return m.rowBytes }

// Bytes returns the bytes of all rows without the gaps between them.
func (m *Matrix) Bytes() int { return m.rows * m.rowBytes }

// Memory returns the bytes from the beginning of the first row to the end of the last one.
func (m *Matrix) Memory() []byte { return m.data }

// Row returns the bytes of row i.
func (m *Matrix) Row(i int) []byte {
	if uint(i) >= uint(m.rows) {
		panic(panicRange)
	}
	return m.data[i*m.stride:][:m.rowBytes:m.rowBytes]
}

// Slice returns a view of rows r0 to r1−1.
func (m *Matrix) Slice(r0, r1 int) *Matrix {
	if r0 < 0 || r1 < r0 || r1 > m.rows {
		panic(panicRange)
	}
	s := *m
	s.rows, s.data = r1-r0, nil
	if s.rows > 0 {
		s.data = m.data[r0*m.stride : (r1-1)*m.stride+m.rowBytes]
	}
	return &s
}

// Values returns the numbers of m without copying if they lie one after the
// other and are of type E.
func Values[E Elem](m *Matrix) ([]E, bool) {
	if m.dtype != DtypeOf[E]() || m.stride != m.rowBytes && m.rows > 1 {
		return nil, false
	}
	if m.rows == 0 || m.cols == 0 {
		return []E{}, true
	}
	return unsafe.Slice((*E)(unsafe.Pointer(&m.data[0])), m.rows*m.cols), true
}

// RowAt returns the address of row i. The caller has checked i.
func (m *Matrix) RowAt(i int) unsafe.Pointer {
	return unsafe.Add(unsafe.Pointer(unsafe.SliceData(m.data)), i*m.stride)
}

// SliceAt returns the n numbers at p.
func SliceAt[E any](p unsafe.Pointer, n int) []E { return unsafe.Slice((*E)(p), n) }

// AlignedBytes returns n zeroed bytes that start at a multiple of RowAlign, or of a huge page if
// they are many.
func AlignedBytes(n int) []byte {
	const huge = 2 << 20
	align := RowAlign
	if n >= 2*huge {
		align = huge
	}
	b := make([]byte, n+align)
	o := int(-uintptr(unsafe.Pointer(&b[0]))) & (align - 1)
	b = b[o : o+n : o+n]
	if align == huge {
		adviseHuge(b)
	}
	return b
}

// Floats returns n zeroed float32 that start at a multiple of RowAlign bytes.
func Floats(n int) []float32 {
	b := AlignedBytes(4*n + RowAlign)
	return SliceAt[float32](unsafe.Pointer(&b[0]), n)
}
