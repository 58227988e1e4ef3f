package weights

import (
	"math"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var dtypes = []Dtype{
	F32, F64, F16, BF16, Int32, Int64,
	Int8, Int8G, Int4, Int4M,
}

func address(row []byte) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(row))) }

// The rows of a neuron follow each other, each on a cache line of its own, and no two rows overlap.
func TestAllocateLayout(t *testing.T) {
	for _, d := range dtypes {
		for _, gated := range []bool{true, false} {
			for _, hidden := range []int{1, 31, 33, 100} {
				const intermediate = 5
				n, err := AllocateNeurons(d, intermediate, hidden, gated)
				require.NoError(t, err)
				assert.Equal(t, intermediate, n.Intermediate())
				assert.Equal(t, hidden, n.Hidden())
				assert.Equal(t, d, n.Dtype())
				assert.Equal(t, gated, n.Gated())

				parts := []*Matrix{n.Up(), n.Down()}
				if gated {
					parts = []*Matrix{n.Gate(), n.Up(), n.Down()}
				}
				assert.EqualValues(t, len(parts)*intermediate*d.RowBytes(hidden), n.Bytes())
				var before uintptr
				for i := range intermediate {
					for _, m := range parts {
						row := m.Row(i)
						require.Len(t, row, d.RowBytes(hidden))
						at := address(row)
						require.Zero(t, at%RowAlign, "%v: row %d", d, i)
						if before != 0 {
							step := (d.RowBytes(hidden) + RowAlign - 1) / RowAlign * RowAlign
							require.EqualValues(t, step, at-before, "%v: row %d", d, i)
						}
						before = at
					}
				}
			}
		}
	}
}

func TestAllocateZeroes(t *testing.T) {
	n, err := AllocateNeurons(F32, 3, 4, true)
	require.NoError(t, err)
	row := make([]float32, 4)
	for i := range 3 {
		for _, m := range []*Matrix{n.Gate(), n.Up(), n.Down()} {
			Row(m, i, row)
			assert.Equal(t, make([]float32, 4), row)
		}
	}
}

func TestAllocateErrors(t *testing.T) {
	for name, c := range map[string]struct {
		dtype                Dtype
		intermediate, hidden int
		want                 string
	}{
		"no neurons":           {F32, 0, 4, "intermediate 0"},
		"negative neurons":     {F32, -1, 4, "intermediate -1"},
		"no hidden":            {F32, 4, 0, "0 columns"},
		"negative hidden":      {F32, 4, math.MinInt, "-9"},
		"unknown dtype":        {Dtype(200), 4, 4, "dtype(200)"},
		"huge hidden":          {F32, 1, 1 << 60, "too few or too many"},
		"huge intermediate":    {F32, 1 << 60, 1, "too many"},
		"huge product":         {F64, 1 << 31, 1 << 20, "too many"},
		"overflowing product":  {F64, math.MaxInt, 4, "too many"},
		"just above the bound": {F32, 1 << 20, 1 << 10, "too many"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := AllocateNeurons(c.dtype, c.intermediate, c.hidden, true)
			assert.ErrorContains(t, err, c.want)
		})
	}
}

func TestNewNeuronsIsAView(t *testing.T) {
	up, down := NewMatrix(F16, 3, 2), NewMatrix(F16, 3, 2)
	n, err := NewNeurons(nil, up, down)
	require.NoError(t, err)
	assert.Same(t, up, n.Up())
	assert.Same(t, down, n.Down())
	assert.False(t, n.Gated())
}

// The down rows may have a length of their own.
func TestNeuronsOfOtherOutputs(t *testing.T) {
	n, err := NewNeurons(nil, NewMatrix(F32, 3, 2), NewMatrix(F32, 3, 5))
	require.NoError(t, err)
	assert.Equal(t, 2, n.Hidden())
	assert.Equal(t, 5, n.Outputs())
	assert.EqualValues(t, 3*(2+5)*4, n.Bytes())
}

func TestNewNeuronsErrors(t *testing.T) {
	m := func(rows, cols int) *Matrix { return NewMatrix(F32, rows, cols) }
	half := NewMatrix(F16, 3, 2)
	for name, c := range map[string]struct {
		gate, up, down *Matrix
		want           string
	}{
		"no up":            {m(3, 2), nil, m(3, 2), "need an up"},
		"no down":          {m(3, 2), m(3, 2), nil, "need an up"},
		"empty":            {nil, m(0, 2), m(0, 2), "up is 0×2"},
		"no columns":       {nil, m(3, 0), m(3, 0), "up is 3×0"},
		"gate rows":        {m(4, 2), m(3, 2), m(3, 2), "gate is 4×2"},
		"gate columns":     {m(3, 1), m(3, 2), m(3, 2), "gate is 3×1"},
		"down rows":        {nil, m(3, 2), m(2, 2), "down is 2×2"},
		"down transposed":  {m(3, 2), m(3, 2), m(2, 3), "down is 2×3"},
		"dtype of down":    {m(3, 2), m(3, 2), half, "down is f16"},
		"dtype of gate":    {half, m(3, 2), m(3, 2), "gate is f16"},
		"down of no shape": {nil, m(3, 2), m(0, 0), "down 0×0"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := NewNeurons(c.gate, c.up, c.down)
			assert.ErrorContains(t, err, c.want)
		})
	}
}
