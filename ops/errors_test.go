package ops

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/sparsegonia/sparsegonia/ops/weights"
)

func TestWeightErrors(t *testing.T) {
	column, err := tensor.New(tensor.WithShape(3, 4), tensor.Of(tensor.Float32)).Slice(nil, tensor.S(1))
	require.NoError(t, err)
	for name, c := range map[string]struct {
		t    tensor.Tensor
		want string
	}{
		"nil":          {nil, "want a *tensor.Dense"},
		"nil dense":    {(*tensor.Dense)(nil), "want a *tensor.Dense"},
		"vector":       {input(1, weights.F32, 0, 4), "want a matrix"},
		"a column":     {column, "want a matrix"},
		"bools":        {bools(2, true, false), "dtype bool"},
		"rank 3":       {tensor.New(tensor.WithShape(1, 2, 3), tensor.Of(tensor.Float32)), "want a matrix"},
		"masked":       {tensor.New(tensor.WithShape(1, 2), tensor.WithBacking([]float32{1, 2}, []bool{true, false})), "masked"},
		"sparse":       {tensor.CSRFromCoord(tensor.Shape{2, 2}, []int{0}, []int{1}, []float32{1}), "want a *tensor.Dense"},
		"small floats": {tensor.New(tensor.WithShape(1, 2), tensor.Of(tensor.Complex64)), "dtype complex64"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := TensorWeight(c.t, false)
			assert.ErrorContains(t, err, c.want)
		})
	}
}

func TestNeuronsOfErrors(t *testing.T) {
	w := func(d weights.Dtype, outputs, inputs int) Weight {
		return Weight{Matrix: matrix(1, d, outputs, inputs)}
	}
	for name, c := range map[string]struct {
		gate, up, down Weight
		want           string
	}{
		"no up":         {w(weights.F32, 5, 8), Weight{}, w(weights.F32, 8, 5), "up or down has no matrix"},
		"no down":       {w(weights.F32, 5, 8), w(weights.F32, 5, 8), Weight{}, "up or down has no matrix"},
		"down sideways": {Weight{}, w(weights.F32, 5, 8), w(weights.F32, 5, 8), "down a f32 map from 8 to 5"},
		"down dtype":    {Weight{}, w(weights.F32, 5, 8), w(weights.F16, 8, 5), "down a f16 map"},
		"gate shape":    {w(weights.F32, 6, 8), w(weights.F32, 5, 8), w(weights.F32, 8, 5), "gate a f32 map from 8 to 6"},
		"gate dtype":    {w(weights.BF16, 5, 8), w(weights.F32, 5, 8), w(weights.F32, 8, 5), "gate a bf16 map"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := NeuronsOf(c.gate, c.up, c.down)
			assert.ErrorContains(t, err, c.want)
		})
	}
}
