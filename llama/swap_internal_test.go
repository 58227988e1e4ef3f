package llama

import (
	"context"
	"testing"
	"unsafe"

	"github.com/sparsegonia/sparsegonia/graph/calibrate"
	"github.com/sparsegonia/sparsegonia/ops"
	"github.com/sparsegonia/sparsegonia/ops/weights"
	"github.com/sparsegonia/sparsegonia/testdata/tinysilu"
)

// Sparse graphs read the rows of the model's own neuron stores: there is no second copy of the weights.
func TestSparseGraphsShareTheNeurons(t *testing.T) {
	for _, d := range []weights.Dtype{weights.F32, weights.F16, weights.Int8, weights.Int4} {
		m, err := OpenFS(tinysilu.FS, Options{Width: As(d)})
		if err != nil {
			t.Fatal(err)
		}
		gate := calibrate.Layer{Kind: calibrate.GateKind{Threshold: []float64{0}}}
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
				got, want := mlp.Cache.Rows(), m.Store(i)
				for _, pair := range [][2]*weights.Matrix{{got.Gate(), want.Gate()}, {got.Up(), want.Up()}, {got.Down(), want.Down()}} {
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

// In dense graphs of few tokens an MLP is one node, over the rows of the model's own neuron store.
func TestFewTokensAreFused(t *testing.T) {
	m, err := OpenFS(tinysilu.FS, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	gate := calibrate.Layer{Kind: calibrate.GateKind{Threshold: []float64{0}}}
	plan := &calibrate.Plan{Layers: []calibrate.Layer{gate, gate, gate, gate}}
	mixed := &calibrate.Plan{Layers: []calibrate.Layer{{Kind: calibrate.DenseKind{}}, gate, gate, gate}}
	for _, c := range []struct {
		name string
		o    SessionOptions
		key  programKey
		want int
	}{
		{"a token", SessionOptions{}, programKey{tokens: 1, rows: 1, decode: true}, 4},
		{"a token on the tape machine", SessionOptions{Machine: Tape}, programKey{tokens: 1, rows: 1, decode: true}, 4},
		{"a short prompt", SessionOptions{Plan: plan}, programKey{tokens: 8}, 4},
		{"fifteen sequences", SessionOptions{Sequences: 15}, programKey{tokens: 15, rows: 15, decode: true}, 4},
		{"sixteen sequences", SessionOptions{Sequences: 16}, programKey{tokens: 16, rows: 16, decode: true}, 0},
		{"a long prompt", SessionOptions{}, programKey{tokens: 32, rows: 1}, 0},
		{"stock", SessionOptions{Stock: true}, programKey{tokens: 1, rows: 1, decode: true}, 0},
		{"sparse", SessionOptions{Plan: plan}, programKey{tokens: 1, rows: 1, decode: true}, 0},
		{"sparse but for a layer", SessionOptions{Plan: mixed}, programKey{tokens: 1, rows: 1, decode: true}, 1},
		{"so for many", SessionOptions{Plan: mixed, Sequences: 16}, programKey{tokens: 16, rows: 16, decode: true}, 0},
	} {
		s, err := m.NewSession(c.o)
		if err != nil {
			t.Fatal(err)
		}
		p, err := s.program(c.key)
		if err != nil {
			t.Fatal(err)
		}
		found := 0
		for _, n := range p.output.Graph().AllNodes() {
			op, ok := n.Op().(ops.Fused)
			if !ok {
				continue
			}
			if op.MLP().Source != weights.Source(m.Store(found)) {
				t.Errorf("%s: layer %d: not the model's weights", c.name, found)
			}
			found++
		}
		if found != c.want {
			t.Errorf("%s: %d MLPs of one node, want %d", c.name, found, c.want)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
