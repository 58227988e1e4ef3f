package ops

import (
	"testing"

	"gorgonia.org/tensor"

	"github.com/sparsegonia/sparsegonia/ops/weights"
)

func TestTensorIsAView(t *testing.T) {
	for d, dtype := range map[weights.Dtype]tensor.Dtype{
		weights.F32: tensor.Float32, weights.F64: tensor.Float64, weights.Int32: tensor.Int32, weights.Int64: tensor.Int64,
	} {
		m := weights.NewContiguous(d, 3, 5).Slice(1, 3)
		got, err := Tensor(m)
		if err != nil {
			t.Fatal(err)
		}
		if got.Dtype() != dtype || !got.Shape().Eq(tensor.Shape{2, 5}) {
			t.Errorf("%v: a tensor of %v %v", d, got.Dtype(), got.Shape())
		}
		m.Row(0)[0] = 1
		if got.Raw[0] != 1 {
			t.Errorf("%v: a copy", d)
		}
	}
}

func TestTensorErrors(t *testing.T) {
	for name, m := range map[string]*weights.Matrix{
		"nil":     nil,
		"empty":   weights.NewMatrix(weights.F32, 0, 4),
		"strided": weights.NewMatrix(weights.F32, 2, 3),
		"half":    weights.NewContiguous(weights.F16, 2, 3),
	} {
		if _, err := Tensor(m); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
