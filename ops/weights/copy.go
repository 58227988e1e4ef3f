package weights

import (
	"fmt"

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
			Decode(src.dtype, tmp, src.RowAt(i), src.cols)
			setRow(dst, i, tmp)
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
		part := make([]float32, width)
		for i := range src.rows {
			decodePart(src.dtype, part, src.RowAt(i), src.cols, r0)
			for c, x := range part {
				tile[c*src.rows+i] = x
			}
		}
		for c := range width {
			setRow(dst, r0+c, tile[c*src.rows:][:src.rows])
		}
	})
	return nil
}

func convertible(dst, src Dtype) error {
	integer := func(d Dtype) bool { return d.traits().decode == nil && !d.Grouped() }
	if dst != src && (integer(dst) || integer(src)) {
		return fmt.Errorf("weights: cannot convert %v to %v", src, dst)
	}
	return nil
}

// setRow encodes src into row i, which may be empty.
func setRow(m *Matrix, i int, src []float32) {
	if len(src) > 0 {
		Encode(m.dtype, m.Row(i), src)
	}
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
