package graph

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/sparsegonia/sparsegonia/cache"
	"github.com/sparsegonia/sparsegonia/graph/vocabulary"
	"github.com/sparsegonia/sparsegonia/ops"
	"github.com/sparsegonia/sparsegonia/ops/activation"
	"github.com/sparsegonia/sparsegonia/ops/kernel"
	"github.com/sparsegonia/sparsegonia/ops/optest"
	"github.com/sparsegonia/sparsegonia/ops/weights"
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
	c := ops.RowMajorCopy(d)
	if c.Dtype() == tensor.Float64 {
		return c.Float64s()
	}
	out := make([]float64, len(c.Float32s()))
	for i, x := range c.Float32s() {
		out[i] = float64(x)
	}
	return out
}

// assertClose compares relative to the largest magnitude, of which there must be one.
func assertClose(t assert.TestingT, want, got *tensor.Dense, tolerance float64, what ...any) {
	assert.Greater(t, magnitude(want), 0.0, what...)
	assertNear(t, want, got, tolerance, what...)
}

// assertNear compares relative to the largest magnitude.
func assertNear(t assert.TestingT, want, got *tensor.Dense, tolerance float64, what ...any) {
	assert.Equal(t, want.Shape(), got.Shape(), what...)
	assert.InDeltaSlice(t, floats(want), floats(got), tolerance*magnitude(want)+math.SmallestNonzeroFloat64, what...)
}

func magnitude(d *tensor.Dense) (largest float64) {
	for _, x := range floats(d) {
		largest = max(largest, math.Abs(x))
	}
	return largest
}

// always is the selector for all neurons, by way of their scores.
func always(int, *MLP) (Selector, error) { return GateSelector{Threshold: []float64{0}}, nil }

// decoder is a graph like that of two layers of a Llama, written with this module's ops or with stock ones.
type decoder struct {
	graph          *gorgonia.ExprGraph
	tokens, output *gorgonia.Node
	norms          gorgonia.Nodes
}

func newDecoder(t require.TestingT, act activation.Func, stock, biases bool) decoder {
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
			w.Bias, err = weights.MatrixOf(1, outputs, bias.Float32s())
			require.NoError(t, err)
		}
		y := node(ops.Linear(x, w))
		gorgonia.WithName(name)(y)
		return y
	}
	activate := func(x *gorgonia.Node) *gorgonia.Node {
		switch {
		case stock && act == activation.SiLU:
			return node(gorgonia.HadamardProd(x, node(gorgonia.Sigmoid(x))))
		case stock && act == activation.ReLU:
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
			for _, act := range []activation.Func{activation.SiLU, activation.ReLU, activation.GELU, activation.GELUTanh} {
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
		s, err := Swap(d.graph, gorgonia.Nodes{d.output}, Choose{MLP: always})
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

// newMLP is x → gated MLP → y, with weights that Gorgonia multiplies from the right.
func newMLP(dtype tensor.Dtype) (k *draft, x, y *gorgonia.Node) {
	k = &draft{g: gorgonia.NewGraph(), dtype: dtype}
	x = k.x()
	gate, up, down := k.rowWeights()
	y = mul(times(silu(mul(x, gate)), mul(x, up)), down)
	gorgonia.WithName("mlp")(y)
	return k, x, y
}

// Leaves, constants, statements and names are what they were, and values are shared.
func TestSwapKeepsTheRest(t *testing.T) {
	k, x, y := newMLP(tensor.Float32)
	scale := gorgonia.NewScalar(k.g, tensor.Float32, gorgonia.WithName("scale"), gorgonia.WithValue(float32(3)))
	unbound := gorgonia.NewMatrix(k.g, tensor.Float32, gorgonia.WithName("unbound"), gorgonia.WithShape(tokens, hidden))
	state := k.leaf("state", tokens, hidden)
	sum := plus(plus(times(y, scale), unbound), times(state, k.number(0.5)))
	gorgonia.WithName("sum")(sum)
	out := must(gorgonia.Tanh(sum))
	var read gorgonia.Value
	gorgonia.Read(sum, &read)
	gorgonia.Set(state, sum)
	dead := must(gorgonia.Exp(gorgonia.NewMatrix(k.g, tensor.Float32, gorgonia.WithName("dead"), gorgonia.WithShape(2, 2))))

	s, err := Swap(k.g, gorgonia.Nodes{out, y}, Choose{MLP: always})
	require.NoError(t, err)
	require.Len(t, s.MLPs, 1)
	require.Len(t, s.Outputs, 2)
	assert.Same(t, s.Node(out), s.Outputs[0])
	assert.Same(t, s.Node(y), s.Outputs[1])
	assert.Same(t, s.MLPs[0].Output, s.Outputs[1])
	for _, n := range []*gorgonia.Node{x, scale, unbound, state, y, sum, out} {
		built := s.Node(n)
		require.NotNil(t, built, n.Name())
		assert.NotSame(t, n, built)
		assert.Same(t, s.Graph, built.Graph())
		assert.Equal(t, n.Shape(), built.Shape(), n.Name())
		assert.Equal(t, n.Type(), built.Type(), n.Name())
	}
	for _, n := range []*gorgonia.Node{x, scale, unbound, state, y, sum} {
		assert.Equal(t, n.Name(), s.Node(n).Name())
	}
	assert.Same(t, x.Value(), s.Node(x).Value(), "values are shared")
	assert.Same(t, state.Value(), s.Node(state).Value())
	assert.Nil(t, s.Node(unbound).Value())
	assert.Nil(t, s.Node(dead))
	assert.Empty(t, s.Graph.ByName("dead"))
	assert.Empty(t, s.Graph.ByName("gate"), "weights are not nodes of the new graph")

	values := k.values(tokens, hidden)
	for _, n := range []*gorgonia.Node{unbound, s.Node(unbound)} {
		require.NoError(t, gorgonia.Let(n, values))
	}
	m := gorgonia.NewTapeMachine(s.Graph)
	require.NoError(t, m.RunAll())
	require.NotNil(t, read, "the Read was not taken over")
	got := read.(*tensor.Dense).Clone().(*tensor.Dense)
	require.NoError(t, m.Close())
	sets := 0
	for _, n := range s.Graph.AllNodes() {
		if vocabulary.KindOf(n) == vocabulary.Set {
			sets++
			assert.Equal(t, gorgonia.Nodes{s.Node(state), s.Node(sum)}, children(s.Graph, n))
		}
	}
	assert.Equal(t, 1, sets, "the Set was not taken over")

	require.NoError(t, gorgonia.Let(k.g.ByName("dead")[0], k.values(2, 2))) // the old graph fails on inputs without values
	m = gorgonia.NewTapeMachine(k.g)
	require.NoError(t, m.RunAll())
	assertClose(t, read.(*tensor.Dense), got, 1e-5)
	require.NoError(t, m.Close())
}

// What is added to the output without a broadcast may be another input: it is not captured.
func TestSwapLeavesResidualInputs(t *testing.T) {
	k, _, y := newMLP(tensor.Float32)
	residual := k.leaf("residual", tokens, hidden)
	out := plus(y, residual)
	s, err := Swap(k.g, gorgonia.Nodes{out}, Choose{MLP: always})
	require.NoError(t, err)
	require.Len(t, s.MLPs, 1)
	require.NotNil(t, s.Node(residual))
	for _, n := range []*gorgonia.Node{residual, s.Node(residual)} {
		require.NoError(t, gorgonia.Let(n, k.values(tokens, hidden)))
		k.seed--
	}
	assertClose(t, run(t, k.g, out)[0], run(t, s.Graph, s.Outputs[0])[0], 1e-5)

	// So is a vector without a value that is added to the gate.
	k = &draft{g: gorgonia.NewGraph(), dtype: tensor.Float32}
	state := gorgonia.NewVector(k.g, k.dtype, gorgonia.WithName("state"), gorgonia.WithShape(intermediate))
	out = mul(k.leaf("down", hidden, intermediate), relu(plus(mul(k.leaf("up", intermediate, hidden), k.leaf("x", hidden)), state)))
	s, err = Swap(k.g, gorgonia.Nodes{out}, Choose{MLP: always})
	require.NoError(t, err)
	assert.Empty(t, s.MLPs)
	require.Len(t, s.Skipped, 1)
	assert.Contains(t, s.Skipped[0].Reason, `takes the elements of input "state"`)

	// A vector added to the output is as ambiguous.
	k = &draft{g: gorgonia.NewGraph(), dtype: tensor.Float32}
	gate, up, down := k.rowWeights()
	x := k.leaf("x", hidden)
	other := k.leaf("other", hidden)
	out = plus(mul(times(silu(mul(x, gate)), mul(x, up)), down), other)
	s, err = Swap(k.g, gorgonia.Nodes{out}, Choose{MLP: always})
	require.NoError(t, err)
	require.Len(t, s.MLPs, 1)
	assert.NotNil(t, s.Node(other))
}

// Nodes that have come to have the same name stay apart.
func TestSwapKeepsNamesakesApart(t *testing.T) {
	k, _, y := newMLP(tensor.Float32)
	a, b := k.leaf("a", tokens, hidden), k.leaf("b", tokens, hidden)
	gorgonia.WithName("a")(b)
	two, three := gorgonia.NewConstant(float32(2), gorgonia.WithName("two")), gorgonia.NewConstant(float32(3), gorgonia.WithName("three"))
	y = plus(y, minus(times(a, k.g.AddNode(two)), times(b, k.g.AddNode(three))))
	for _, n := range k.g.ByName("three") {
		gorgonia.WithName("two")(n)
	}
	want := run(t, k.g, y)[0]
	s, err := Swap(k.g, gorgonia.Nodes{y}, Choose{MLP: always})
	require.NoError(t, err)
	assert.NotSame(t, s.Node(a), s.Node(b))
	assert.Equal(t, "a", s.Node(a).Name())
	assert.Equal(t, "a", s.Node(b).Name())
	assertClose(t, want, run(t, s.Graph, s.Outputs[0])[0], 1e-5)
}

func TestSwapChooses(t *testing.T) {
	d := newDecoder(t, activation.SiLU, false, false)
	want := run(t, d.graph, d.output)[0]
	var asked []string
	s, err := Swap(d.graph, gorgonia.Nodes{d.output}, Choose{MLP: func(i int, m *MLP) (Selector, error) {
		asked = append(asked, fmt.Sprintf("%d %s", i, m.Name))
		if i == 0 {
			return nil, nil
		}
		return GateSelector{Threshold: []float64{0}}, nil
	}})
	require.NoError(t, err)
	assert.Equal(t, []string{"0 layers.0.mlp.down_proj", "1 layers.1.mlp.down_proj"}, asked)
	require.Len(t, s.MLPs, 1)
	assert.Equal(t, "layers.1.mlp.down_proj", s.MLPs[0].MLP.Name)
	assert.Len(t, s.Graph.ByName("layers.0.mlp.gate_proj"), 1, "layer 0 stays dense")
	assert.Empty(t, s.Graph.ByName("layers.1.mlp.gate_proj"))
	assertClose(t, want, run(t, s.Graph, s.Outputs[0])[0], 1e-5)
}

// The neuron-major weights of ops.Linear and of lazily transposed tensors are not copied, and MLPs with the same weights
// share their neurons, each with a cache of its own.
func TestSwapCopiesNoWeights(t *testing.T) {
	k := &draft{g: gorgonia.NewGraph(), dtype: tensor.Float32}
	weight := func(rows, cols int, inputMajor bool) ops.Weight {
		w, err := ops.TensorWeight(k.values(rows, cols), inputMajor)
		require.NoError(t, err)
		return w
	}
	gate, up, down := weight(intermediate, hidden, false), weight(intermediate, hidden, false), weight(intermediate, hidden, true)
	x := k.x()
	for range 2 {
		x = affine(times(silu(affine(x, gate)), affine(x, up)), down)
	}
	s, err := Swap(k.g, gorgonia.Nodes{x}, Choose{MLP: always})
	require.NoError(t, err)
	require.Len(t, s.MLPs, 2)
	first, second := s.MLPs[0].Cache, s.MLPs[1].Cache
	assert.NotSame(t, first, second)
	assert.Same(t, first.Rows(), second.Rows())
	assert.Same(t, gate.Matrix, first.Rows().Gate())
	assert.Same(t, up.Matrix, first.Rows().Up())
	assert.Same(t, down.Matrix, first.Rows().Down())
}

// halves makes every other neuron active.
type halves struct{}

func (halves) Select(s Site) (Selection, error) {
	i := s.MLP.Up.Outputs()
	w := make([]float32, i*s.Score.Shape()[1])
	down, err := weights.MatrixOf(1, s.Score.Shape()[1], w[:s.Score.Shape()[1]])
	if err != nil {
		return Selection{}, err
	}
	up, err := weights.MatrixOf(i, 1, w[:i])
	if err != nil {
		return Selection{}, err
	}
	tau := make([]float64, i) // all scores are 0
	for j := range tau {
		tau[j] = float64(j%2) - 0.5
	}
	return LowRank{Predictor: ops.Predictor{Down: down, Up: up}, Mask: ops.Threshold(tau...)}.Select(s)
}

// A sparse MLP computes its active neurons: the same as a dense one with the other weights zero.
func TestSwapHalf(t *testing.T) {
	d := newDecoder(t, activation.GELU, true, true)
	masked := newDecoder(t, activation.GELU, true, true)
	for i := range 2 {
		w := masked.graph.ByName(fmt.Sprintf("layers.%d.mlp.up_proj.weight", i))[0].Value().(*tensor.Dense)
		bias := masked.graph.ByName(fmt.Sprintf("layers.%d.mlp.up_proj.bias", i))[0].Value().(*tensor.Dense).Float32s()
		for neuron := 1; neuron < 40; neuron += 2 {
			clear(w.Float32s()[neuron*12:][:12]) // a row for every neuron, seen through a transpose
			bias[neuron] = 0
		}
	}
	want := run(t, masked.graph, masked.output)[0]
	s, err := Swap(d.graph, gorgonia.Nodes{d.output}, Choose{MLP: func(int, *MLP) (Selector, error) { return halves{}, nil }})
	require.NoError(t, err)
	got := run(t, s.Graph, s.Outputs[0], s.MLPs[0].Slots)
	assertClose(t, want, got[0], 1e-5)
	assert.EqualValues(t, 20, s.MLPs[1].Cache.Stats().Misses)
}

// Look-ahead: the predictor sees the node that WithScoreInput names.
func TestSwapScoreInput(t *testing.T) {
	d := newDecoder(t, activation.SiLU, false, false)
	var seen gorgonia.Nodes
	s, err := Swap(d.graph, gorgonia.Nodes{d.output}, Choose{MLP: func(int, *MLP) (Selector, error) {
		return selectorFunc(func(s Site) (Selection, error) {
			assert.NotSame(t, s.X, s.Score)
			seen = append(seen, s.Score)
			return halves{}.Select(s)
		}), nil
	}},
		WithScoreInput(func(m *MLP) *gorgonia.Node {
			if m.Name == "layers.0.mlp.down_proj" {
				return d.norms[0]
			}
			return d.norms[1]
		}))
	require.NoError(t, err)
	assert.Equal(t, gorgonia.Nodes{s.Node(d.norms[0]), s.Node(d.norms[1])}, seen)
	run(t, s.Graph, s.Outputs[0])
}

type selectorFunc func(s Site) (Selection, error)

func (f selectorFunc) Select(s Site) (Selection, error) { return f(s) }

// Rows that WithLive marks as padding make no neuron active.
func TestSwapLive(t *testing.T) {
	const tau = 0.4
	k, _, y := newMLP(tensor.Float32)
	alone := &draft{g: gorgonia.NewGraph(), dtype: tensor.Float32}
	values := floats(run(t, alone.g, silu(mul(alone.x(), alone.leaf("gate", hidden, intermediate))))[0])
	live := newLeaf(k.g, "live", tensor.New(tensor.WithShape(tokens), tensor.WithBacking(make([]int32, tokens))))
	s, err := Swap(k.g, gorgonia.Nodes{y}, Choose{MLP: func(int, *MLP) (Selector, error) {
		return GateSelector{Threshold: []float64{tau}}, nil
	}},
		WithLive(live))
	require.NoError(t, err)
	counts := map[int]bool{}
	for _, rows := range [][]int32{{0, -1, -1, -1, -1, -1}, {-1, 3, -1, -1, 2, -5}, {-1, -1, -1, -1, -1, -1}, make([]int32, tokens)} {
		want := 0
		for i := range intermediate {
			active := false
			for row, l := range rows {
				active = active || l >= 0 && math.Abs(values[row*intermediate+i]) >= tau
			}
			if active {
				want++
			}
		}
		counts[want] = true
		require.NoError(t, gorgonia.Let(s.Node(live), tensor.New(tensor.WithShape(tokens), tensor.WithBacking(rows))))
		s.MLPs[0].Cache.Reset()
		run(t, s.Graph, s.Outputs[0])
		assert.EqualValues(t, want, s.MLPs[0].Cache.Stats().Misses)
	}
	assert.Greater(t, len(counts), 2, "the case tells nothing apart")
}

func TestSwapCache(t *testing.T) {
	d := newDecoder(t, activation.SiLU, false, false)
	want := run(t, d.graph, d.output)[0]
	var made []cache.Cache
	cpu := kernel.NewCPU(1)
	defer cpu.Close()
	s, err := Swap(d.graph, gorgonia.Nodes{d.output}, Choose{MLP: always},
		WithCache(func(i int, n weights.Source) (cache.Cache, error) {
			assert.Equal(t, len(made), i)
			c, err := cache.NewPacked(n.(*weights.Neurons), cpu.Pool())
			made = append(made, c)
			return c, err
		}))
	require.NoError(t, err)
	for i, m := range s.MLPs {
		assert.Same(t, made[i], m.Cache)
	}
	assertClose(t, want, run(t, s.Graph, s.Outputs[0])[0], 1e-5)
}

// The lean machine runs swapped graphs too.
func TestSwapOnMachine(t *testing.T) {
	forDecoders(t, func(t *testing.T, d decoder) {
		want := run(t, d.graph, d.output)[0]
		s, err := Swap(d.graph, gorgonia.Nodes{d.output}, Choose{MLP: always})
		require.NoError(t, err)
		m, err := NewMachine(s.Graph, s.Outputs)
		require.NoError(t, err)
		defer m.Close()
		for range 2 {
			require.NoError(t, m.RunAll())
			assertClose(t, want, s.Outputs[0].Value().(*tensor.Dense), 1e-5)
			m.Reset()
		}
	})
}

func TestSwapErrors(t *testing.T) {
	broken := errors.New("broken")
	give := func(s Selector) func(int, *MLP) (Selector, error) {
		return func(int, *MLP) (Selector, error) { return s, nil }
	}
	for _, c := range []struct {
		name   string
		build  func(k *draft) *gorgonia.Node // nil: newMLP
		change func(k *draft, x, y *gorgonia.Node)
		choose func(int, *MLP) (Selector, error)
		opts   func(k *draft, x, y *gorgonia.Node) []Option
		want   string
	}{
		{
			name: "a weight without a value", choose: always, want: `graph: MLP "mlp": weight "up" has no value`,
			build: func(k *draft) *gorgonia.Node {
				up := gorgonia.NewMatrix(k.g, k.dtype, gorgonia.WithName("up"), gorgonia.WithShape(hidden, intermediate))
				return mul(relu(mul(k.x(), up)), k.leaf("down", intermediate, hidden))
			},
		},
		{
			name: "gradients", choose: always, want: `graph: MLP "mlp": there are gradients through`,
			change: func(k *draft, x, y *gorgonia.Node) {
				if _, err := gorgonia.Grad(must(gorgonia.Sum(y)), x); err != nil {
					panic(err)
				}
			},
		},
		{name: "a failing choice", choose: func(int, *MLP) (Selector, error) { return nil, broken }, want: `graph: MLP "mlp": broken`},
		{
			name: "a failing selector", want: `graph: MLP "mlp": broken`,
			choose: give(selectorFunc(func(Site) (Selection, error) { return Selection{}, broken })),
		},
		{
			name: "a mask of numbers", want: "ops: Union: mask has dtype float32",
			choose: give(selectorFunc(func(s Site) (Selection, error) { return Selection{Mask: s.X}, nil })),
		},
		{name: "thresholds of another MLP", choose: give(GateSelector{Threshold: []float64{1, 2}}), want: "2 thresholds, want 1 or one for each of 10 neurons"},
		{name: "no predictor", choose: give(LowRank{}), want: "the predictor lacks a matrix"},
		{
			name: "a score input behind the MLP", choose: always, want: "depends on itself by way of a sparse MLP's inputs",
			opts: func(_ *draft, _, y *gorgonia.Node) []Option {
				return []Option{WithScoreInput(func(*MLP) *gorgonia.Node { return y })}
			},
		},
		{
			name: "a score input of another graph", choose: always, want: "is not a node of the graph",
			opts: func(*draft, *gorgonia.Node, *gorgonia.Node) []Option {
				_, x, _ := newMLP(tensor.Float32)
				return []Option{WithScoreInput(func(*MLP) *gorgonia.Node { return x })}
			},
		},
		{
			name: "live of another length", choose: always, want: "live has shape (3), want (6)",
			opts: func(k *draft, _, _ *gorgonia.Node) []Option {
				return []Option{WithLive(newLeaf(k.g, "live", tensor.New(tensor.WithShape(3), tensor.WithBacking(make([]int32, 3)))))}
			},
		},
		{
			name: "a failing cache", choose: always, want: `graph: MLP "mlp": broken`,
			opts: func(*draft, *gorgonia.Node, *gorgonia.Node) []Option {
				return []Option{WithCache(func(int, weights.Source) (cache.Cache, error) { return nil, broken })}
			},
		},
		{
			name: "no cache", choose: always, want: `graph: MLP "mlp": WithCache made no cache`,
			opts: func(*draft, *gorgonia.Node, *gorgonia.Node) []Option {
				return []Option{WithCache(func(int, weights.Source) (cache.Cache, error) { return nil, nil })}
			},
		},
		{
			name: "a nil option", choose: always, want: "graph: swap: option 1 is nil",
			opts: func(*draft, *gorgonia.Node, *gorgonia.Node) []Option { return []Option{WithLive(nil), nil} },
		},
		{
			name: "fill values", want: `graph: MLP "mlp": selection: fill values are not supported`,
			choose: give(selectorFunc(func(s Site) (Selection, error) { return Selection{Fill: s.X}, nil })),
		},
		{
			name: "levels", want: `graph: MLP "mlp": selection: levels are not supported`,
			choose: give(selectorFunc(func(s Site) (Selection, error) { return Selection{Mask: s.X, Levels: s.X}, nil })),
		},
		{
			name: "gate values alone", want: "gate values without a mask",
			choose: give(selectorFunc(func(s Site) (Selection, error) { return Selection{Gate: s.X}, nil })),
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			k, x, y := newMLP(tensor.Float32)
			if c.build != nil {
				k = &draft{g: gorgonia.NewGraph(), dtype: tensor.Float32}
				y = c.build(k)
				gorgonia.WithName("mlp")(y)
			}
			if c.change != nil {
				c.change(k, x, y)
			}
			var opts []Option
			if c.opts != nil {
				opts = c.opts(k, x, y)
			}
			s, err := Swap(k.g, gorgonia.Nodes{y}, Choose{MLP: c.choose}, opts...)
			require.ErrorContains(t, err, c.want)
			assert.Nil(t, s)
		})
	}

	k, _, y := newMLP(tensor.Float32)
	_, other, _ := newMLP(tensor.Float32)
	var v gorgonia.Value
	for want, outputs := range map[string]gorgonia.Nodes{
		"output 1 is not a node of the graph": {y, other},
		"output 0 is not a node of the graph": {nil},
		"is a statement without a value":      {gorgonia.Read(y, &v)},
	} {
		_, err := Swap(k.g, outputs, Choose{MLP: always})
		assert.ErrorContains(t, err, want)
	}
	_, err := Swap(gorgonia.NewGraph(), nil, Choose{MLP: always})
	assert.EqualError(t, err, "graph: the graph is empty")
	_, _, err = FindMLPs(nil)
	assert.EqualError(t, err, "graph: the graph is empty")
}

// A swapped graph draws itself, with the sparse nodes in it.
func TestSwapToDot(t *testing.T) {
	d := newDecoder(t, activation.SiLU, true, true)
	s, err := Swap(d.graph, gorgonia.Nodes{d.output}, Choose{MLP: always})
	require.NoError(t, err)
	dot := s.Graph.ToDot()
	for _, want := range []string{"SparseMLP", "Refresh", "Union", "Mask", "Gate", "layers.1.mlp.down_proj", "lm_head"} {
		assert.Contains(t, dot, want)
	}
	assert.Equal(t, 2, strings.Count(dot, "SparseMLP("))
}

func TestZeroSitesAreErrors(t *testing.T) {
	_, none := GateSelector{Threshold: []float64{1}}.Select(Site{})
	_, zero := GateSelector{Threshold: []float64{1}}.Select(Site{MLP: new(MLP)})
	_, predictor := LowRank{}.Select(Site{})
	_, linear := new(Linear).As(weights.F32)
	_, nilLinear := (*Linear)(nil).As(weights.F32)
	for what, err := range map[string]error{
		"no MLP": none, "a zero MLP": zero, "no predictor": predictor, "a zero Linear": linear, "no Linear": nilLinear,
	} {
		if err == nil {
			t.Errorf("%s: want an error", what)
		}
	}
	if (*MLP)(nil).Gated() || new(MLP).Shape().Intermediate != 0 {
		t.Error("a zero MLP has neurons")
	}
}
