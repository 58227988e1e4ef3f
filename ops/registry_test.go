package ops

import (
	"fmt"
	"maps"
	"math"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/stretchr/testify/require"

	"github.com/sparsegonia/sparsegonia/cache"
	"github.com/sparsegonia/sparsegonia/ops/kernel"
	"github.com/sparsegonia/sparsegonia/ops/optest"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// opTest is what the tests of all ops need of one. Each op registers one in its own test file.
type opTest struct {
	cases  func(t *testing.T, run func(name string, c optest.Case)) // for optest
	sample func(f *fixtures) (*gorgonia.Node, error)                // with every option set
	random func(r *randomInputs) (*gorgonia.Node, error)            // of any nodes
	errors func(f *fixtures) []failure                              // of the builder
}

// failure is a call of a builder that must give an error.
type failure struct {
	name  string
	build func() (*gorgonia.Node, error)
	want  string // in the error
}

var registry = map[string]opTest{}

func registerTest(name string, o opTest) { registry[name] = o }

// TestOps runs every op through the harness.
func TestOps(t *testing.T) {
	for _, name := range slices.Sorted(maps.Keys(registry)) {
		t.Run(name, func(t *testing.T) {
			registry[name].cases(t, func(name string, c optest.Case) {
				t.Run(name, func(t *testing.T) { optest.Run(t, c) })
			})
		})
	}
}

// Builders refuse what they must. The errors name the op and what is wrong.
func TestBuilderErrors(t *testing.T) {
	f := newFixtures(t)
	for _, name := range slices.Sorted(maps.Keys(registry)) {
		for _, c := range registry[name].errors(f) {
			t.Run(name+"/"+c.name, func(t *testing.T) {
				before := len(f.g.AllNodes())
				n, err := c.build()
				if n != nil || err == nil || !strings.Contains(err.Error(), c.want) {
					t.Fatalf("node %v, error %v, want one with %q", n, err, c.want)
				}
				if after := len(f.g.AllNodes()); after > before+1 {
					t.Errorf("%d nodes were left in the graph", after-before)
				}
			})
		}
	}
}

// fixtures are things to build ops of: T = 3, H = 8, I = 5.
type fixtures struct {
	g *gorgonia.ExprGraph

	x, x64, xi, bytes *gorgonia.Node // T×H
	cube              *gorgonia.Node // 2×T×H
	vector            *gorgonia.Node // H
	mask, gate        *gorgonia.Node // T×I
	active, slots     *gorgonia.Node // I
	list              *gorgonia.Node // int32 T
	scalar            *gorgonia.Node
	bare              *gorgonia.Node // a matrix without a shape
	foreign           *gorgonia.Node // like list, of another graph

	w, wi                Weight // I×H
	store, plainStore    *weights.Neurons
	gated, plain, number cache.Cache
	planes, mixed        cache.Cache // of parts that no MLP has
	packed               *cache.Packed
	ahead                *cache.Window
	layer                *cache.StreamLayer
	mlp                  MLP // with everything set

	rotary *kernel.Rotary
	kv     *kernel.KV
	nan    float64
	nan32  float32
	inf32  float32
}

func newFixtures(t *testing.T) *fixtures {
	t.Helper()
	f := &fixtures{
		g: gorgonia.NewGraph(), w: weight(1, weights.F32, 5, 8), wi: weight(1, weights.Int32, 5, 8),
		store: neurons(t, 1, weights.F32, 5, 8, true), plainStore: neurons(t, 1, weights.F32, 5, 8, false),
		nan: math.NaN(), nan32: float32(math.NaN()), inf32: float32(math.Inf(1)),
	}
	f.x, f.x64 = f.node(tensor.Float32, 3, 8), f.node(tensor.Float64, 3, 8)
	f.xi, f.bytes = f.node(tensor.Int32, 3, 8), f.node(tensor.Uint8, 3, 8)
	f.cube, f.vector = f.node(tensor.Float32, 2, 3, 8), f.node(tensor.Float32, 8)
	f.mask, f.gate = f.node(tensor.Bool, 3, 5), f.node(tensor.Float32, 3, 5)
	f.active, f.slots, f.list = f.node(tensor.Bool, 5), f.node(tensor.Int32, 5), f.node(tensor.Int32, 3)
	f.scalar = gorgonia.NewScalar(f.g, tensor.Float32, gorgonia.WithName("scalar"))
	f.bare = gorgonia.NewTensor(f.g, tensor.Float32, 2, gorgonia.WithName("bare"))
	f.foreign = gorgonia.NewTensor(gorgonia.NewGraph(), tensor.Int32, 1, gorgonia.WithShape(3), gorgonia.WithName("foreign"))

	f.gated, f.plain = cache.InPlace(f.store), cache.InPlace(f.plainStore)
	f.number = cache.InPlace(neurons(t, 1, weights.Int32, 5, 8, true))
	m := func(rows, cols int) *weights.Matrix { return matrix(1, weights.F32, rows, cols) }
	f.planes = cache.InPlace(storeOf(t, weights.Part{Name: "plane", Matrix: m(5, 8)}))
	f.mixed = cache.InPlace(storeOf(t, weights.Part{Name: "up", Matrix: m(5, 8)},
		weights.Part{Name: "down", Matrix: matrix(1, weights.F16, 5, 8)}))
	f.ahead = window(t, f.store)
	f.layer = stream(t, 2, f.store)[0]
	f.mlp = MLP{
		Source: f.layer, Cache: f.gated, GateBias: m(1, 5), UpBias: m(1, 5), DownBias: m(1, 8), GateCopy: m(5, 8),
	}
	var err error
	if f.packed, err = cache.NewPacked(f.store, nil); err != nil {
		t.Fatal(err)
	}
	if f.kv, err = kernel.NewKV(weights.F32, 1, 4, 2, 4); err != nil {
		t.Fatal(err)
	}
	f.rotary, err = kernel.NewRotary(kernel.RotaryConfig{HeadDim: 4, Dim: 4, Theta: 100, Scaling: "default", MaxContext: 8})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *fixtures) node(dtype tensor.Dtype, shape ...int) *gorgonia.Node {
	return gorgonia.NewTensor(f.g, dtype, len(shape), gorgonia.WithShape(shape...),
		gorgonia.WithName(fmt.Sprintf("in%d", len(f.g.AllNodes()))))
}

// structCache is a Cache without an identity.
type structCache struct{ cache.Cache }

// allOps has an op of every type, with every option set.
func allOps(t *testing.T) map[string]gorgonia.Op {
	t.Helper()
	f, ops := newFixtures(t), map[string]gorgonia.Op{}
	add := func(n *gorgonia.Node, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		name, _, _ := strings.Cut(reflect.TypeOf(n.Op()).Elem().Name(), "[")
		ops[name] = n.Op()
	}
	for _, o := range registry {
		add(o.sample(f))
	}
	add(sparseMLPGradient(f.x, f.slots, f.x, f.mlp))
	return ops
}

// unary makes a builder of an op with one input.
func unary(f func(x *gorgonia.Node) (*gorgonia.Node, error)) optest.Builder {
	return func(in ...*gorgonia.Node) (*gorgonia.Node, error) { return f(in[0]) }
}

func storeOf(t testing.TB, parts ...weights.Part) *weights.Neurons {
	t.Helper()
	n, err := weights.NewStore(parts...)
	require.NoError(t, err)
	return n
}

// stream writes the layers to a neuron file and reads it in blocks of that many neurons of the first.
func stream(t *testing.T, neurons int, layers ...*weights.Neurons) []*cache.StreamLayer {
	t.Helper()
	shape := layers[0].Shape()
	s, err := cache.NewStream(neuronFile(t, layers...), int64(neurons*shape.Bundle()))
	require.NoError(t, err)
	from := make([]*cache.StreamLayer, len(layers))
	for i := range from {
		from[i], err = s.Layer(i)
		require.NoError(t, err)
	}
	return from
}

func window(t *testing.T, store *weights.Neurons) *cache.Window {
	t.Helper()
	w, err := cache.NewWindow(neuronFile(t, store), 0, cache.WindowOptions{Tokens: 2})
	require.NoError(t, err)
	return w
}

func neuronFile(t *testing.T, layers ...*weights.Neurons) *cache.File {
	t.Helper()
	path := filepath.Join(t.TempDir(), "neurons")
	require.NoError(t, cache.WriteFile(path, "", len(layers), func(i int) (*weights.Neurons, error) { return layers[i], nil }))
	f, err := cache.OpenFile(path)
	require.NoError(t, err)
	t.Cleanup(func() { f.Close() })
	return f
}
