package ops

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/sparsegonia/sparsegonia/cache"
	"github.com/sparsegonia/sparsegonia/ops/activation"
	"github.com/sparsegonia/sparsegonia/ops/optest"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

func init() {
	registerTest("DenseMLP", opTest{
		cases:  denseMLPCases,
		sample: func(f *fixtures) (*gorgonia.Node, error) { return DenseMLP(f.x, f.mlp) },
		random: func(r *randomInputs) (*gorgonia.Node, error) { return DenseMLP(r.node(), r.mlp()) },
		errors: func(f *fixtures) (fs []failure) {
			number := f.number.Rows()
			of := func(name string, x *gorgonia.Node, m MLP, want string) {
				fs = append(fs, failure{name, func() (*gorgonia.Node, error) { return DenseMLP(x, m) }, want})
			}
			of("no source", f.x, MLP{}, "the source is a <nil>")
			of("a cache", f.x, MLP{Cache: f.gated}, "the source is a <nil>")
			of("nil neurons", f.x, MLP{Source: (*weights.Neurons)(nil)}, "want a pointer that is not nil")
			of("zero neurons", f.x, MLP{Source: new(weights.Neurons)}, "need an up and a down matrix")
			of("zero layer", f.x, MLP{Source: new(cache.StreamLayer)}, "need an up and a down")
			of("planes", f.x, MLP{Source: f.planes.Rows()}, "need an up and a down")
			of("mixed dtypes", f.x, MLP{Source: f.mixed.Rows()}, "down is f16, up is f32")
			of("integers", f.xi, MLP{Source: number, Act: activation.SiLU}, "no meaning for int32")
			of("plain bias", f.x, MLP{Source: f.plainStore, GateBias: matrix(1, weights.F32, 1, 5)}, "no gate matrix")
			for name, source := range map[string]weights.Source{"memory": f.store, "file": f.layer} {
				m := MLP{Source: source}
				of(name+": x", f.gate, m, "x has rows of length 5, want 8")
				of(name+": x dtype", f.x64, m, "x has dtype float64")
				of(name+": rank 3", f.cube, m, "want a vector or a matrix")
				of(name+": activation", f.x, MLP{Source: source, Act: 77}, "unknown activation 77")
				of(name+": gate bias", f.x, MLP{Source: source, GateBias: matrix(1, weights.F32, 1, 8)}, "gate bias is f32 1×8")
				of(name+": up bias", f.x, MLP{Source: source, UpBias: matrix(1, weights.F64, 1, 5)}, "up bias is f64")
				of(name+": down bias", f.x, MLP{Source: source, DownBias: matrix(1, weights.F32, 1, 5)}, "down bias is f32 1×5, want f32 1×8")
				of(name+": gate copy", f.x, MLP{Source: source, GateCopy: matrix(1, weights.F32, 4, 8)}, "the copy of the gate is f32 4×8")
			}
			return fs
		},
	})
}

// Neurons in memory, and the same from a file in blocks of various sizes.
func denseMLPCases(t *testing.T, run func(string, optest.Case)) {
	build := func(m MLP) optest.Builder {
		return unary(func(x *gorgonia.Node) (*gorgonia.Node, error) { return DenseMLP(x, m) })
	}
	const hidden, intermediate, outputs = 33, 70, 14
	all := activeNeurons(slotsOf(slices.Repeat([]bool{true}, intermediate)))
	check := func(name string, m MLP, n *weights.Neurons, rows int) {
		d := n.Dtype()
		down := m
		down.DownBias = matrix(15, d.Compute(), 1, n.Outputs())
		run(fmt.Sprintf("%v/gated=%t/%s/%d rows", d, n.Gated(), name, rows), optest.Case{
			Build:     build(m),
			Inputs:    []*tensor.Dense{input(3, d, rows, hidden)},
			Reference: perRow(func(x []float64) []float64 { return mlpReference(m, n, x, all, nil) }),
			Tolerance: tolerance(d),
			Allocates: exact(d),
			Variants:  []optest.Builder{build(MLP{Source: again(n), Act: m.Act}), build(down)},
		})
	}
	for _, d := range allDtypes {
		for _, gated := range []bool{true, false} {
			store := neurons(t, 1, d, intermediate, hidden, gated)
			other, err := weights.NewNeurons(store.Gate(), store.Up(), matrix(21, d, intermediate, outputs))
			if err != nil {
				t.Fatal(err)
			}
			act := func(i int) activation.Func { return activationsOf(d)[i%len(activationsOf(d))] }
			biased := func(source weights.Source, i int) MLP {
				m := MLP{Source: source, Act: act(i), UpBias: matrix(11, d.Compute(), 1, intermediate)}
				m.DownBias = matrix(12, d.Compute(), 1, source.Shape().Outputs())
				if gated {
					m.GateBias = matrix(13, d.Compute(), 1, intermediate)
				}
				return m
			}
			for i, rows := range []int{0, 3, 20} {
				check("memory", MLP{Source: store, Act: act(i)}, store, rows)
				check("memory, biased", biased(other, i+1), other, rows)
			}
			for i, block := range []int{1, 16, 1000} {
				layer := stream(t, block, store)[0]
				check(fmt.Sprintf("blocks of %d", block), MLP{Source: layer, Act: act(i)}, store, 0)
				check(fmt.Sprintf("blocks of %d, biased", block), biased(layer, i), store, 20)
			}
		}
	}
}

// again returns another view of n.
func again(n *weights.Neurons) *weights.Neurons {
	other := *n
	return &other
}

// A source of other blocks than its shape says is an error when the op runs, and so is its own error.
func TestDenseMLPChecksBlocks(t *testing.T) {
	n := neurons(t, 1, weights.F32, 8, 10, true)
	x := input(7, weights.F32, 3, 10)
	half := n.Slice(0, 4)
	failed := errors.New("no disk")
	for name, c := range map[string]struct {
		blocks func(do func(int, *weights.Neurons) error) error
		want   string
	}{
		"none":   {func(func(int, *weights.Neurons) error) error { return nil }, "0 of 8 neurons"},
		"half":   {func(do func(int, *weights.Neurons) error) error { return do(0, half) }, "4 of 8 neurons"},
		"second": {func(do func(int, *weights.Neurons) error) error { return do(4, half) }, "from 4 on"},
		"other": {func(do func(int, *weights.Neurons) error) error {
			return do(0, neurons(t, 1, weights.F32, 8, 9, true))
		}, "a block of 8 neurons"},
		"error": {func(func(int, *weights.Neurons) error) error { return failed }, "no disk"},
	} {
		y, err := DenseMLP(newInput(gorgonia.NewGraph(), x), MLP{Source: &source{n, c.blocks}})
		if err != nil {
			t.Fatal(err)
		}
		_, err = y.Op().Do(x)
		if err == nil || !strings.Contains(err.Error(), "ops: DenseMLP: ") || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", name, err, c.want)
		}
		if name == "error" && !errors.Is(err, failed) {
			t.Errorf("the error of the source is lost in %v", err)
		}
	}
}

// source is Neurons in other blocks.
type source struct {
	*weights.Neurons
	blocks func(do func(first int, n *weights.Neurons) error) error
}

func (s *source) Blocks(do func(first int, n *weights.Neurons) error) error { return s.blocks(do) }
