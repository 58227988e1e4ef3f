package graph

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// tester is what *testing.T and *rapid.T have in common.
type tester interface {
	require.TestingT
	Helper()
}

// network is a graph that is written down for a test, in one dtype.
type network struct {
	g       *gorgonia.ExprGraph
	dtype   tensor.Dtype
	inputs  gorgonia.Nodes
	outputs gorgonia.Nodes
	tape    bool                       // it is for the tape machine
	limit   func(int, float64) float64 // of input i: what numbers it has, normally distributed ones if nil
}

// recipe writes a network. It names its outputs with out.
type recipe func(n *network)

func newNetwork(dtype tensor.Dtype, tape bool, b recipe) *network {
	n := &network{g: gorgonia.NewGraph(), dtype: dtype, tape: tape}
	b(n)
	return n
}

// in is a new input.
func (n *network) in(shape ...int) *gorgonia.Node { return n.inOf(n.dtype, shape...) }

func (n *network) inOf(dtype tensor.Dtype, shape ...int) *gorgonia.Node {
	name := gorgonia.WithName(fmt.Sprintf("input%d", len(n.inputs)))
	var x *gorgonia.Node
	if len(shape) == 0 {
		x = gorgonia.NewScalar(n.g, dtype, name)
	} else {
		x = gorgonia.NewTensor(n.g, dtype, len(shape), name, gorgonia.WithShape(shape...))
	}
	n.inputs = append(n.inputs, x)
	return x
}

func (n *network) constant(x float64) *gorgonia.Node {
	if n.dtype == tensor.Float32 {
		return gorgonia.NewConstant(float32(x), gorgonia.In(n.g))
	}
	return gorgonia.NewConstant(x, gorgonia.In(n.g))
}

// lengths is an input with a value that stays.
func (n *network) lengths(values ...int) *gorgonia.Node {
	d := tensor.New(tensor.WithShape(len(values)), tensor.WithBacking(values))
	return gorgonia.NewTensor(n.g, tensor.Int, 1, gorgonia.WithName(fmt.Sprint("lengths", values)),
		gorgonia.WithShape(len(values)), gorgonia.WithValue(d))
}

func (n *network) out(nodes ...*gorgonia.Node) { n.outputs = append(n.outputs, nodes...) }

// must gives the node that a builder made. An error is a mistake in the test.
func must(x *gorgonia.Node, err error) *gorgonia.Node {
	if err != nil {
		panic(err)
	}
	return x
}

// let binds new random numbers to the inputs. The seed and the place of an input determine them.
func (n *network) let(seed uint64) {
	for i, x := range n.inputs {
		rng := rand.New(rand.NewPCG(seed, uint64(i)))
		if err := gorgonia.Let(x, n.randomValue(rng, i, x)); err != nil {
			panic(err)
		}
	}
}

func (n *network) randomValue(rng *rand.Rand, i int, x *gorgonia.Node) gorgonia.Value {
	number := func() float64 {
		v := rng.NormFloat64()
		if n.limit != nil {
			v = n.limit(i, v)
		}
		return v
	}
	dtype, shape, err := typeOf(x)
	if err != nil {
		panic(err)
	}
	if len(shape) == 0 {
		if dtype == tensor.Float32 {
			return gorgonia.NewF32(float32(number()))
		}
		return gorgonia.NewF64(number())
	}
	d := tensor.New(tensor.Of(dtype), tensor.WithShape(shape...))
	switch dtype {
	case tensor.Float32:
		for i := range d.Float32s() {
			d.Float32s()[i] = float32(number())
		}
	case tensor.Float64:
		for i := range d.Float64s() {
			d.Float64s()[i] = number()
		}
	case tensor.Int:
		for i := range d.Ints() {
			d.Ints()[i] = rng.IntN(3)
		}
	case tensor.Int32:
		for i := range d.Int32s() {
			d.Int32s()[i] = rng.Int32N(3)
		}
	}
	return d
}

// poison fills the arena with what must not be seen: NaN, and numbers far from any.
func (m *Machine) poison() {
	for _, s := range m.steps {
		if s.y != nil {
			for i := range s.y.Raw {
				s.y.Raw[i] = 0xff
			}
			if s.dtype == tensor.Bool {
				for i := range s.y.Raw {
					s.y.Raw[i] = 1
				}
			}
		}
	}
}

// tapeRun is what the tape machine gives for the outputs.
func (n *network) tapeRun(t tester, seed uint64) []gorgonia.Value {
	t.Helper()
	values := make([]gorgonia.Value, len(n.outputs))
	for i, x := range n.outputs {
		gorgonia.Read(x, &values[i])
	}
	n.let(seed)
	vm := gorgonia.NewTapeMachine(n.g, gorgonia.EvalMode())
	defer vm.Close()
	require.NoError(t, vm.RunAll())
	return values
}

// sameAsTape compares a network on this machine, run three times, with the tape machine, which gets
// a new graph each time.
func sameAsTape(t tester, dtype tensor.Dtype, b recipe) *Machine {
	t.Helper()
	n := newNetwork(dtype, false, b)
	m, err := NewMachine(n.g, n.outputs)
	require.NoError(t, err)
	for seed := range uint64(3) {
		want := newNetwork(dtype, true, b).tapeRun(t, seed)
		n.let(seed)
		m.poison()
		require.NoError(t, m.RunAll())
		for i, x := range n.outputs {
			requireSameValue(t, want[i], x.Value(), "run %d, output %d, %v", seed, i, describe(x))
			require.Equal(t, x.Dtype(), x.Value().Dtype())
		}
	}
	return m
}

// requireSameValue allows for what the order of additions does: that of BLAS depends on where a
// vector lies.
func requireSameValue(t tester, want, got gorgonia.Value, format string, args ...any) {
	t.Helper()
	what := fmt.Sprintf(format, args...)
	require.NotNil(t, got, what)
	require.True(t, want.Shape().Eq(got.Shape()), "%s: shape %v, want %v", what, got.Shape(), want.Shape())
	w, g := numbers(want), numbers(got)
	require.Equal(t, len(w), len(g), what)
	tolerance := map[tensor.Dtype]float64{tensor.Float32: 2e-6, tensor.Float64: 1e-14}[got.Dtype()]
	scale := 0.0
	for _, x := range w {
		if !math.IsInf(x, 0) && !math.IsNaN(x) {
			scale = max(scale, math.Abs(x))
		}
	}
	if !slices.EqualFunc(w, g, func(a, b float64) bool { return a == b || a != a && b != b || math.Abs(a-b) <= tolerance*scale }) {
		require.Failf(t, "other values", "%s\n got %v\nwant %v", what, g, w)
	}
}

// numbers are the elements of v in row-major order.
func numbers(v gorgonia.Value) []float64 {
	var data any = v.Data()
	if d, ok := v.(*tensor.Dense); ok {
		data = tensor.Materialize(d).Data()
	}
	switch data := data.(type) {
	case float32:
		return []float64{float64(data)}
	case float64:
		return []float64{data}
	case int:
		return []float64{float64(data)}
	case []float32:
		return widened(data)
	case []float64:
		return data
	case []int:
		return widened(data)
	case []int32:
		return widened(data)
	case bool:
		return numbersOfBools(data)
	case []bool:
		return numbersOfBools(data...)
	}
	panic(fmt.Sprintf("a value of %T", data))
}

func widened[E int | int32 | float32](data []E) []float64 {
	w := make([]float64, len(data))
	for i, x := range data {
		w[i] = float64(x)
	}
	return w
}

func numbersOfBools(data ...bool) []float64 {
	w := make([]float64, len(data))
	for i, x := range data {
		if x {
			w[i] = 1
		}
	}
	return w
}

func TestRead(t *testing.T) {
	n := newNetwork(tensor.Float32, false, func(n *network) {
		x := must(gorgonia.Exp(n.in(3, 4)))
		y := must(gorgonia.Neg(x))
		n.out(must(gorgonia.Sum(y)))
		n.out(x, y)
	})
	var x, y, sum gorgonia.Value
	gorgonia.Read(n.outputs[1], &x)
	gorgonia.Read(n.outputs[2], &y)
	gorgonia.Read(n.outputs[0], &sum)
	m, err := NewMachine(n.g, n.outputs[:1])
	require.NoError(t, err)
	for seed := range uint64(3) {
		want := newNetwork(tensor.Float32, true, func(n *network) {
			x := must(gorgonia.Exp(n.in(3, 4)))
			y := must(gorgonia.Neg(x))
			n.out(must(gorgonia.Sum(y)), x, y)
		}).tapeRun(t, seed)
		n.let(seed)
		m.poison()
		require.NoError(t, m.RunAll())
		first := x
		requireSameValue(t, want[0], sum, "sum")
		requireSameValue(t, want[1], x, "x")
		requireSameValue(t, want[2], y, "y")
		m.poison() // what was read is a copy
		requireSameValue(t, want[1], x, "x")
		x = first
	}
	require.Nil(t, n.outputs[1].Value(), "a node that is only read gets no value")
}

// A target that holds something else is given a new value, not written over.
func TestReadIntoAnother(t *testing.T) {
	n := newNetwork(tensor.Float32, false, func(n *network) { n.out(must(gorgonia.Neg(n.in(3)))) })
	other := tensor.New(tensor.WithBacking([]float32{5, 6}))
	var into gorgonia.Value = other
	gorgonia.Read(n.outputs[0], &into)
	m, err := NewMachine(n.g, nil)
	require.NoError(t, err)
	n.let(1)
	require.NoError(t, m.RunAll())
	requireSameValue(t, n.outputs[0].Value(), into, "into")
	require.Equal(t, []float32{5, 6}, other.Float32s())
}

// The tape machine skips At.
func TestAt(t *testing.T) {
	n := newNetwork(tensor.Float64, false, func(n *network) { n.out(must(gorgonia.At(must(gorgonia.Neg(n.in(3, 4))), 1, 2))) })
	m, err := NewMachine(n.g, n.outputs)
	require.NoError(t, err)
	n.let(1)
	require.NoError(t, m.RunAll())
	require.Equal(t, -n.inputs[0].Value().(*tensor.Dense).Float64s()[6], n.outputs[0].Value().Data())
}

func TestBroadcast(t *testing.T) {
	sameAsTape(t, tensor.Float32, func(n *network) {
		a, b, err := gorgonia.Broadcast(n.in(3, 4), n.in(3, 1), gorgonia.NewBroadcastPattern(nil, []byte{1}))
		n.out(must(gorgonia.Sub(a, must(b, err))))
	})
}

func TestRandomNodes(t *testing.T) {
	for name, x := range map[string]*gorgonia.Node{ // each in a graph of its own: Gorgonia merges them
		"uniform":  gorgonia.UniformRandomNode(gorgonia.NewGraph(), tensor.Float64, 2, 3, 100),
		"gaussian": gorgonia.GaussianRandomNode(gorgonia.NewGraph(), tensor.Float64, 2.5, 0.01, 100),
		"binomial": gorgonia.BinomialRandomNode(gorgonia.NewGraph(), tensor.Float64, 1000, 0.5, 100),
	} {
		y := must(gorgonia.Neg(x))
		m, err := NewMachine(x.Graph(), gorgonia.Nodes{y})
		require.NoError(t, err, name)
		require.NoError(t, m.RunAll(), name)
		first := slices.Clone(numbers(y.Value()))
		require.Less(t, slices.Max(first), -1., name)
		require.NoError(t, m.RunAll(), name)
		require.NotEqual(t, first, numbers(y.Value()), "%s: the same numbers again", name)
	}
}

func TestRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		make func(n *network) gorgonia.Nodes
		want string
	}{
		"gradient": {func(n *network) gorgonia.Nodes {
			w := n.in(3, 4)
			_, err := gorgonia.Grad(must(gorgonia.Sum(must(gorgonia.Tanh(w)))), w)
			must(nil, err)
			return nil
		}, "gradient"},
		"back-propagation": {func(n *network) gorgonia.Nodes {
			w := n.in(3, 4)
			y := must(gorgonia.Tanh(w))
			_, err := gorgonia.Backpropagate(gorgonia.Nodes{y}, gorgonia.Nodes{n.in(3, 4)}, gorgonia.Nodes{w})
			must(nil, err)
			return nil
		}, "gradient"},
		"set": {func(n *network) gorgonia.Nodes {
			gorgonia.Set(n.in(3), must(gorgonia.Neg(n.in(3))))
			return nil
		}, "Set"},
		"read as output": {func(n *network) gorgonia.Nodes {
			var into gorgonia.Value
			return gorgonia.Nodes{gorgonia.Read(n.in(3), &into)}
		}, "has no value"},
		"nil output": {func(n *network) gorgonia.Nodes { n.in(3); return gorgonia.Nodes{nil} }, "output 0 is nil"},
		"foreign output": {func(n *network) gorgonia.Nodes {
			n.in(3)
			return newNetwork(n.dtype, false, func(n *network) { n.in(4) }).inputs
		}, "not in the graph"},
		"empty": {func(n *network) gorgonia.Nodes { return nil }, "empty"},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNetwork(tensor.Float32, false, func(*network) {})
			_, err := NewMachine(n.g, test.make(n))
			require.ErrorContains(t, err, "graph: machine: ")
			require.ErrorContains(t, err, test.want)
			require.Equal(t, test.want == "gradient" || test.want == "Set", errors.Is(err, ErrUnsupported))
		})
	}
	_, err := NewMachine(nil, nil)
	require.ErrorContains(t, err, "no graph")
}

// The forward part of a graph with gradients runs when its outputs are named.
func TestForwardOfTrainingGraph(t *testing.T) {
	recipe := func(n *network) { n.out(must(gorgonia.Sum(must(gorgonia.Tanh(n.in(3, 4)))))) }
	n := newNetwork(tensor.Float64, false, recipe)
	_, err := gorgonia.Grad(n.outputs[0], n.inputs[0])
	require.NoError(t, err)
	m, err := NewMachine(n.g, n.outputs)
	require.NoError(t, err)
	n.let(1)
	require.NoError(t, m.RunAll())
	requireSameValue(t, newNetwork(tensor.Float64, true, recipe).tapeRun(t, 1)[0], n.outputs[0].Value(), "sum")
}
