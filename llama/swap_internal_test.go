package llama

import (
	"context"
	"testing"
	"unsafe"

	"github.com/sparsegonia/sparsegonia/graph/calibrate"
	"github.com/sparsegonia/sparsegonia/ops/kernel"
	"github.com/sparsegonia/sparsegonia/testdata/tinysilu"
)

// Sparse graphs read the rows of the model's own neuron stores: there is no second copy of the weights.
func TestSparseGraphsShareTheNeurons(t *testing.T) {
	for _, d := range []kernel.Dtype{kernel.F32, kernel.F16, kernel.Int8, kernel.Int4} {
		m, err := OpenFS(tinysilu.FS, Options{Dtype: &d})
		if err != nil {
			t.Fatal(err)
		}
		gate := calibrate.Layer{Selector: calibrate.Gate, Threshold: []float64{0}}
		s, err := m.NewSession(SessionOptions{Plan: &calibrate.Plan{Layers: []calibrate.Layer{gate, gate, gate, gate}}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Decode(context.Background(), []int32{1}); err != nil {
			t.Fatal(err)
		}
		found := 0
		for _, p := range s.programs {
			for i, mlp := range p.sparse.MLPs {
				got, want := mlp.Cache.Rows(), m.Neurons(i)
				for _, pair := range [][2]*kernel.Matrix{{got.Gate, want.Gate}, {got.Up, want.Up}, {got.Down, want.Down}} {
					if unsafe.SliceData(pair[0].Row(1)) != unsafe.SliceData(pair[1].Row(1)) {
						t.Errorf("%v: layer %d: a copy of the weights", d, i)
					}
				}
				found++
			}
		}
		if found != 4 {
			t.Errorf("%v: %d sparse MLPs, want 4", d, found)
		}
		s.Close()
		m.Close()
	}
}
