package weights

import (
	"fmt"
	"unsafe"

	"github.com/sparsegonia/sparsegonia/ops/parallel"
)

// Copy converts every row of src into dst, which has the same shape. Rows of
// the same dtype are copied as bytes. Floats and quantised numbers convert
// through float32 (float64 for F64); a conversion to or from an integer dtype
// is an error, as is one from F64 other than to float and quantised types by way of float32.
func Copy(p *parallel.Pool, dst, src *Matrix) error {
	if dst.rows != src.rows || dst.cols != src.cols {
		return fmt.Errorf("weights: copy: %d×%d to %d×%d", src.rows, src.cols, dst.rows, dst.cols)
	}
	if err := convertible(dst.dtype, src.dtype); err != nil {
		return err
	}
	p.Ranges(dst.rows, 16, func(r0, r1 int) {
		tmp := make([]float32, src.cols)
		for i := r0; i < r1; i++ {
			if dst.dtype == src.dtype {
				copy(dst.Row(i), src.Row(i))
				continue
			}
			rowFloats(src, i, tmp)
			setRowFloats(dst, i, tmp)
		}
	})
	return nil
}

// Transpose writes srcᵀ to dst, converting as Copy does.
func Transpose(p *parallel.Pool, dst, src *Matrix) error {
	if dst.rows != src.cols || dst.cols != src.rows {
		return fmt.Errorf("weights: transpose: %d×%d to %d×%d", src.rows, src.cols, dst.rows, dst.cols)
	}
	if err := convertible(dst.dtype, src.dtype); err != nil {
		return err
	}
	if dst.dtype == src.dtype && dst.dtype.Compute() != F32 {
		transposeExact(p, dst, src)
		return nil
	}
	// A band of source columns at a time, so that every source row is decoded
	// once per band and the band stays in the cache.
	const band = 64
	p.Ranges(dst.rows, band, func(r0, r1 int) {
		tile := make([]float32, (r1-r0)*src.rows)
		width := r1 - r0
		part := make([]float32, width+Group)
		for i := range src.rows {
			v := rowPart(src, i, r0, width, part)
			for c, x := range v {
				tile[c*src.rows+i] = x
			}
		}
		for c := range width {
			setRowFloats(dst, r0+c, tile[c*src.rows:][:src.rows])
		}
	})
	return nil
}

func convertible(dst, src Dtype) error {
	integer := func(d Dtype) bool { return d == Int32 || d == Int64 }
	if dst != src && (integer(dst) || integer(src)) {
		return fmt.Errorf("weights: cannot convert %v to %v", src, dst)
	}
	return nil
}

func rowFloats(m *Matrix, i int, dst []float32) {
	if m.dtype == F64 {
		for k, v := range SliceAt[float64](m.RowAt(i), m.cols) {
			dst[k] = float32(v)
		}
		return
	}
	Row(m, i, dst)
}

func setRowFloats(m *Matrix, i int, src []float32) {
	if m.dtype == F64 {
		out := SliceAt[float64](m.RowAt(i), m.cols)
		for k, v := range src {
			out[k] = float64(v)
		}
		return
	}
	SetRow(m, i, src)
}

// rowPart decodes columns c to c+n−1 of row i; buf has room for n+32 numbers.
func rowPart(m *Matrix, i, c, n int, buf []float32) []float32 {
	row := m.RowAt(i)
	switch {
	case m.dtype == F64:
		for k, v := range SliceAt[float64](unsafe.Add(row, 8*c), n) {
			buf[k] = float32(v)
		}
	case m.dtype == Int8:
		s := *(*float32)(unsafe.Add(row, Int8Scale(m.cols)))
		for k, q := range SliceAt[int8](unsafe.Add(row, c), n) {
			buf[k] = float32(q) * s
		}
	case m.dtype.Grouped():
		first := c &^ (Group - 1)
		DecodeGroups(m.dtype, buf, GroupedRow(m.dtype, row, m.cols), first, c-first+n)
		return buf[c-first:][:n]
	default:
		Decode(m.dtype, buf, unsafe.Add(row, c*m.dtype.Size()), n)
	}
	return buf[:n]
}

func transposeExact(p *parallel.Pool, dst, src *Matrix) {
	if dst.dtype.Size() == 8 {
		transposeWords[int64](p, dst, src)
		return
	}
	transposeWords[int32](p, dst, src)
}

func transposeWords[E int32 | int64](p *parallel.Pool, dst, src *Matrix) {
	p.Ranges(dst.rows, 16, func(r0, r1 int) {
		for i := range src.rows {
			row := SliceAt[E](src.RowAt(i), src.cols)
			for c := r0; c < r1; c++ {
				SliceAt[E](dst.RowAt(c), dst.cols)[i] = row[c]
			}
		}
	})
}
