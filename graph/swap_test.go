package graph

import (
	"fmt"
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/sparsegonia/sparsegonia/ops"
	"github.com/sparsegonia/sparsegonia/ops/kernel"
	"github.com/sparsegonia/sparsegonia/ops/optest"
)

func newLeaf(g *gorgonia.ExprGraph, name string, v *tensor.Dense) *gorgonia.Node {
	return gorgonia.NewTensor(g, v.Dtype(), v.Dims(), gorgonia.WithName(name), gorgonia.WithShape(v.Shape()...), gorgonia.WithValue(v))
}

// small are normally distributed numbers of which a sum of n products is about 1.
func small(seed uint64, dtype tensor.Dtype, n int, shape ...int) *tensor.Dense {
	d := optest.Normal(seed, dtype, shape...)
	scale := 1 / math.Sqrt(float64(n))
	switch dtype {
	case tensor.Float32:
		for i := range d.Float32s() {
			d.Float32s()[i] *= float32(scale)
		}
	case tensor.Float64:
		for i := range d.Float64s() {
			d.Float64s()[i] *= scale
		}
	}
	return d
}

// run gives the values of outputs on the tape machine.
func run(t require.TestingT, g *gorgonia.ExprGraph, outputs ...*gorgonia.Node) []*tensor.Dense {
	m := gorgonia.NewTapeMachine(g)
	defer m.Close()
	require.NoError(t, m.RunAll())
	values := make([]*tensor.Dense, len(outputs))
	for i, n := range outputs {
		values[i] = n.Value().(*tensor.Dense).Clone().(*tensor.Dense)
	}
	return values
}

func floats(d *tensor.Dense) []float64 {
	c := rowMajorCopy(d)
	if c.Dtype() == tensor.Float64 {
		return c.Float64s()
	}
	out := make([]float64, len(c.Float32s()))
	for i, x := range c.Float32s() {
		out[i] = float64(x)
	}
	return out
}

// assertClose compares relative to the largest magnitude.
func assertClose(t assert.TestingT, want, got *tensor.Dense, tolerance float64, what ...any) {
	assert.Equal(t, want.Shape(), got.Shape(), what...)
	w, g := floats(want), floats(got)
	largest := 0.0
	for _, x := range w {
		largest = max(largest, math.Abs(x))
	}
	assert.Greater(t, largest, 0.0, what...)
	assert.InDeltaSlice(t, w, g, tolerance*largest, what...)
}

// always is the selector for all neurons, by way of their scores.
func always(int, *MLP) (Selector, error) { return Gate{Threshold: []float64{0}}, nil }

// decoder is a graph like that of two layers of a Llama, written with this module's ops or with stock ones.
type decoder struct {
	graph          *gorgonia.ExprGraph
	tokens, output *gorgonia.Node
	norms          gorgonia.Nodes
}

func newDecoder(t require.TestingT, act kernel.Activation, stock, biases bool) decoder {
	const tokens, hidden, intermediate, layers = 3, 12, 40, 2
	g := gorgonia.NewGraph()
	node := must
	linear := func(x *gorgonia.Node, name string, outputs, inputs int, inputMajor bool) *gorgonia.Node {
		seed := uint64(len(g.AllNodes()))
		rows, cols := outputs, inputs
		if inputMajor && !stock {
			rows, cols = inputs, outputs
		}
		values, bias := small(seed, tensor.Float32, inputs, rows, cols), small(seed+1, tensor.Float32, 4, outputs)
		if stock {
			require.NoError(t, values.T())
			y := node(gorgonia.Mul(x, newLeaf(g, name+".weight", values)))
			if biases {
				y = node(gorgonia.BroadcastAdd(y, newLeaf(g, name+".bias", bias), nil, []byte{0}))
			}
			gorgonia.WithName(name)(y)
			return y
		}
		w, err := ops.TensorWeight(values, inputMajor)
		require.NoError(t, err)
		if biases {
			w.Bias, err = kernel.MatrixOf(1, outputs, bias.Float32s())
			require.NoError(t, err)
		}
		y := node(ops.Linear(x, w))
		gorgonia.WithName(name)(y)
		return y
	}
	activate := func(x *gorgonia.Node) *gorgonia.Node {
		switch {
		case stock && act == kernel.SiLU:
			return node(gorgonia.HadamardProd(x, node(gorgonia.Sigmoid(x))))
		case stock && act == kernel.ReLU:
			return node(gorgonia.Rectify(x))
		}
		return node(ops.Activate(x, act))
	}
	norm := func(x *gorgonia.Node, name string) *gorgonia.Node {
		ones := make([]float32, hidden)
		for i := range ones {
			ones[i] = 1 + float32(i)/10
		}
		y := node(ops.RMSNorm(x, ones, 1e-5))
		gorgonia.WithName(name)(y)
		return y
	}
	d := decoder{graph: g, tokens: newLeaf(g, "x", small(1, tensor.Float32, 1, tokens, hidden))}
	x := d.tokens
	for i := range layers {
		layer := fmt.Sprintf("layers.%d.", i)
		h := norm(x, layer+"input_layernorm")
		d.norms = append(d.norms, h)
		x = node(gorgonia.Add(x, linear(h, layer+"self_attn.o_proj", hidden, hidden, false)))
		h = norm(x, layer+"post_attention_layernorm")
		gate := linear(h, layer+"mlp.gate_proj", intermediate, hidden, false)
		up := linear(h, layer+"mlp.up_proj", intermediate, hidden, false)
		y := linear(node(gorgonia.HadamardProd(activate(gate), up)), layer+"mlp.down_proj", hidden, intermediate, true)
		x = node(gorgonia.Add(x, y))
	}
	d.output = linear(norm(x, "norm"), "lm_head", 20, hidden, false)
	return d
}

func forDecoders(t *testing.T, f func(t *testing.T, d decoder)) {
	for _, stock := range []bool{false, true} {
		for _, biases := range []bool{false, true} {
			for _, act := range []kernel.Activation{kernel.SiLU, kernel.ReLU, kernel.GELU, kernel.GELUTanh} {
				t.Run(fmt.Sprintf("stock=%t,biases=%t,%v", stock, biases, act), func(t *testing.T) {
					f(t, newDecoder(t, act, stock, biases))
				})
			}
		}
	}
}

// With every neuron active the swapped graph computes what the dense one does, which still runs.
func TestSwapDecoder(t *testing.T) {
	forDecoders(t, func(t *testing.T, d decoder) {
		want := run(t, d.graph, d.output)[0]
		s, err := Swap(d.graph, gorgonia.Nodes{d.output}, always)
		require.NoError(t, err)
		assert.Empty(t, s.Skipped)
		require.Len(t, s.MLPs, 2)
		for i, m := range s.MLPs {
			assert.Equal(t, fmt.Sprintf("layers.%d.mlp.down_proj", i), m.MLP.Name)
			assert.Equal(t, m.MLP.Name, m.Output.Name())
		}
		assert.NotSame(t, s.MLPs[0].Output, s.MLPs[1].Output)
		assert.NotEqual(t, s.MLPs[0].Output.Hashcode(), s.MLPs[1].Output.Hashcode())
		assertClose(t, want, run(t, s.Graph, s.Outputs[0])[0], 1e-5)
		assertClose(t, want, run(t, d.graph, d.output)[0], 0)
		for i, m := range s.MLPs {
			assert.Equal(t, 40, int(m.Cache.Stats().Hits+m.Cache.Stats().Misses), "layer %d", i)
		}

		// Other inputs, on both.
		x := small(99, tensor.Float32, 1, 3, 12)
		require.NoError(t, gorgonia.Let(d.tokens, x))
		require.NoError(t, gorgonia.Let(s.Node(d.tokens), x))
		assertClose(t, run(t, d.graph, d.output)[0], run(t, s.Graph, s.Outputs[0])[0], 1e-5)
	})
}
