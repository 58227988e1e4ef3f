package graph

import (
	"errors"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
	"pgregory.net/rapid"

	"github.com/sparsegonia/sparsegonia/ops"
	"github.com/sparsegonia/sparsegonia/ops/activation"
)

// apply is a network of one custom op after an op that makes the arena matter.
func apply(c *custom) recipe {
	return func(n *network) { n.out(must(gorgonia.ApplyOp(c, must(gorgonia.Exp(n.in(2, 3)))))) }
}

func machineOf(t testing.TB, n *network) *Machine {
	t.Helper()
	m, err := NewMachine(n.g, n.outputs)
	require.NoError(t, err)
	return m
}

func TestErrorsNameTheNode(t *testing.T) {
	broken := errors.New("broken")
	type do = func(y gorgonia.Value, inputs []gorgonia.Value) (gorgonia.Value, error)
	dense := func(dtype tensor.Dtype, shape ...int) gorgonia.Value {
		return tensor.New(tensor.Of(dtype), tensor.WithShape(shape...))
	}
	for name, test := range map[string]struct {
		do   do
		want string
	}{
		"error": {func(gorgonia.Value, []gorgonia.Value) (gorgonia.Value, error) { return nil, broken }, "broken"},
		"panic": {func(gorgonia.Value, []gorgonia.Value) (gorgonia.Value, error) { panic("oh") }, "panic: oh"},
		"index": {func(y gorgonia.Value, in []gorgonia.Value) (gorgonia.Value, error) { return in[len(in)], nil }, "panic: runtime error: index"},
		"shape": {func(gorgonia.Value, []gorgonia.Value) (gorgonia.Value, error) {
			return dense(tensor.Float32, 3, 2), nil
		}, "shape (3, 2), want (2, 3)"},
		"size": {func(gorgonia.Value, []gorgonia.Value) (gorgonia.Value, error) {
			return dense(tensor.Float32, 2, 2), nil
		}, "shape (2, 2), want (2, 3)"},
		"dtype": {func(gorgonia.Value, []gorgonia.Value) (gorgonia.Value, error) {
			return dense(tensor.Float64, 2, 3), nil
		}, "dtype float64, want float32"},
		"nil": {func(gorgonia.Value, []gorgonia.Value) (gorgonia.Value, error) { return nil, nil }, "no value"},
	} {
		for _, preallocs := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				c := &custom{id: 7, preallocs: preallocs}
				n := newNetwork(tensor.Float32, false, apply(c))
				gorgonia.WithName("culprit")(n.outputs[0])
				m := machineOf(t, n)
				n.let(1)
				require.NoError(t, m.RunAll(), "before it breaks")
				c.do = test.do
				err := m.RunAll()
				require.ErrorContains(t, err, `graph: node "culprit" (custom7): `)
				require.ErrorContains(t, err, test.want)
				if name == "error" {
					require.ErrorIs(t, err, broken)
				}
				c.do = nil
				require.NoError(t, m.RunAll(), "after it is repaired")
			})
		}
	}
}

func TestInputErrors(t *testing.T) {
	n := newNetwork(tensor.Float32, false, func(n *network) { n.out(must(gorgonia.Add(n.in(2, 3), n.in(2, 3)))) })
	m := machineOf(t, n)
	require.EqualError(t, m.RunAll(), `graph: input "input0" has no value`)
	n.let(1)
	require.NoError(t, m.RunAll())
	good := n.inputs[1].Value()

	// Let checks what it binds, but a bound tensor can be changed, and a Go value is bound unseen.
	wrong := tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(2, 3))
	require.NoError(t, gorgonia.Let(n.inputs[1], wrong))
	require.NoError(t, m.RunAll())
	require.NoError(t, wrong.Reshape(3, 2))
	require.EqualError(t, m.RunAll(), `graph: input "input1" has a value of shape (3, 2), want (2, 3)`)
	require.EqualError(t, m.RunAll(), `graph: input "input1" has a value of shape (3, 2), want (2, 3)`)
	require.NoError(t, gorgonia.Let(n.inputs[1], 3.5))
	require.EqualError(t, m.RunAll(), `graph: input "input1" has a value of dtype float64, want float32`)
	require.NoError(t, gorgonia.Let(n.inputs[1], float32(3.5)))
	require.EqualError(t, m.RunAll(), `graph: input "input1" has a value of shape (), want (2, 3)`)
	masked := tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(2, 3))
	require.NoError(t, masked.ResetMask(true))
	require.NoError(t, gorgonia.Let(n.inputs[1], masked))
	require.EqualError(t, m.RunAll(), `graph: input "input1" has a value of numbers with a mask, which this machine would lose`)
	require.NoError(t, gorgonia.Let(n.inputs[1], good))
	require.NoError(t, m.RunAll())
}

// Numbers that the arena does not hold pass through the ops as they are.
func TestOtherDtypes(t *testing.T) {
	n := newNetwork(tensor.Complex64, false, func(n *network) {
		double := func(_ gorgonia.Value, in []gorgonia.Value) (gorgonia.Value, error) { return tensor.Add(in[0], in[0]) }
		x := n.inOf(tensor.Complex64, 2, 2)
		n.out(must(gorgonia.ApplyOp(&custom{id: 1, do: double}, must(gorgonia.Reshape(x, tensor.Shape{4})))))
	})
	m := machineOf(t, n)
	require.Zero(t, m.Bytes())
	x := tensor.New(tensor.WithShape(2, 2), tensor.WithBacking([]complex64{1, 2i, 3, 4}))
	require.NoError(t, gorgonia.Let(n.inputs[0], x))
	require.NoError(t, m.RunAll())
	require.Equal(t, []complex64{2, 4i, 6, 8}, n.outputs[0].Value().Data())
}

// Of a custom op that gives a transposed tensor, the ops of Gorgonia see the numbers in order.
func TestTurnedResults(t *testing.T) {
	transpose := func(_ gorgonia.Value, in []gorgonia.Value) (gorgonia.Value, error) {
		d := in[0].(*tensor.Dense).Clone().(*tensor.Dense)
		return d, d.T()
	}
	write := func(transpose unary) recipe {
		return func(n *network) {
			x := must(transpose(must(gorgonia.Exp(n.in(3, 3)))))
			y := must(gorgonia.Tanh(x))
			n.out(y, must(gorgonia.Add(x, y)), must(gorgonia.HadamardProd(x, y)), must(gorgonia.Reshape(x, tensor.Shape{9})),
				must(gorgonia.Sum(x, 0)), must(gorgonia.Mul(x, y)), must(gorgonia.Mul(y, x)))
		}
	}
	n := newNetwork(tensor.Float64, false, write(func(a *gorgonia.Node) (*gorgonia.Node, error) {
		return gorgonia.ApplyOp(&custom{id: 1, do: transpose}, a)
	}))
	want := newNetwork(tensor.Float64, true, write(func(a *gorgonia.Node) (*gorgonia.Node, error) { return gorgonia.Transpose(a) }))
	values := want.tapeRun(t, 1)
	m := machineOf(t, n)
	n.let(1)
	require.NoError(t, m.RunAll())
	for i, y := range n.outputs {
		requireSameValue(t, values[i], y.Value(), "output %d", i)
	}
}

func TestClosed(t *testing.T) {
	n := newNetwork(tensor.Float32, false, func(n *network) { n.out(must(gorgonia.Exp(n.in(3)))) })
	m := machineOf(t, n)
	n.let(1)
	require.NoError(t, m.RunAll())
	require.NotZero(t, m.Bytes())
	want := numbers(n.outputs[0].Value())
	require.NoError(t, m.Close())
	runtime.GC()
	require.Equal(t, want, numbers(n.outputs[0].Value()))
	require.ErrorIs(t, m.RunAll(), os.ErrClosed)
	m.Reset()
	require.Zero(t, m.Bytes())
	require.NoError(t, m.Close())
}

// A run reads what is bound, also what was written into it or into scalars, and leaves it as it
// was.
func TestInputsAreReadAtEveryRun(t *testing.T) {
	n := newNetwork(tensor.Float64, false, func(n *network) {
		x, s := n.in(2, 2), n.in()
		n.out(must(gorgonia.Mul(must(gorgonia.Neg(x)), must(gorgonia.HadamardProd(x, s)))))
		n.out(must(gorgonia.Mul(x, must(gorgonia.Exp(must(gorgonia.HadamardProd(x, n.constant(0))))))))
	})
	m := machineOf(t, n)
	x := tensor.New(tensor.WithShape(2, 2), tensor.WithBacking([]float64{1, 2, 3, 4}))
	require.NoError(t, gorgonia.Let(n.inputs[0], x))
	require.NoError(t, gorgonia.Let(n.inputs[1], 2.0))
	run := func() []float64 {
		t.Helper()
		require.NoError(t, m.RunAll())
		return numbers(n.outputs[0].Value())
	}
	require.Equal(t, []float64{-14, -20, -30, -44}, run())
	value := n.outputs[0].Value()
	x.Float64s()[0] = 0
	require.Equal(t, []float64{-12, -16, -24, -44}, run())
	require.Same(t, value, n.outputs[0].Value(), "the value stays the same tensor")
	require.NoError(t, gorgonia.Let(n.inputs[1], 1.0))
	require.Equal(t, []float64{-6, -8, -12, -22}, run())
	require.NoError(t, gorgonia.Let(n.inputs[0], tensor.New(tensor.WithShape(2, 2), tensor.WithBacking([]float64{1, 0, 0, 1}))))
	require.Equal(t, []float64{-1, -0, -0, -1}, run())
	require.Equal(t, []float64{0, 2, 3, 4}, x.Float64s(), "the input is only read")
	require.NoError(t, x.T())
	require.NoError(t, gorgonia.Let(n.inputs[0], x))
	require.Equal(t, []float64{-6, -12, -8, -22}, run(), "transposed")
	require.Equal(t, []float64{3, 3, 6, 6}, numbers(n.outputs[1].Value()), "transposed")
	x.UT()
	require.Equal(t, []float64{-6, -8, -12, -22}, run(), "transposed back")
	require.Equal(t, []float64{2, 2, 7, 7}, numbers(n.outputs[1].Value()), "transposed back")
	x.Raw = tensor.New(tensor.WithBacking([]float64{1, 0, 0, 1})).Raw
	require.Equal(t, []float64{-1, -0, -0, -1}, run(), "other memory")
	require.NoError(t, gorgonia.UnsafeLet(n.outputs[0], x))
	require.Equal(t, []float64{-1, -0, -0, -1}, run(), "another value of the output is replaced")
}

// An op that has the same value twice may transpose one of them.
func TestOneValueTwice(t *testing.T) {
	transposes := func(y gorgonia.Value, inputs []gorgonia.Value) (gorgonia.Value, error) {
		a, b := inputs[0].(*tensor.Dense), inputs[1].(*tensor.Dense)
		if err := b.T(); err != nil {
			return nil, err
		}
		defer b.UT()
		return a.MatMul(b)
	}
	n := newNetwork(tensor.Float64, false, func(n *network) {
		x := n.in(2, 2)
		y := must(gorgonia.Neg(x))
		for i, z := range []*gorgonia.Node{x, y} {
			n.out(must(gorgonia.ApplyOp(&custom{id: i, arity: 2, do: transposes}, z, z)))
		}
	})
	m := machineOf(t, n)
	require.NoError(t, gorgonia.Let(n.inputs[0], tensor.New(tensor.WithShape(2, 2), tensor.WithBacking([]float64{1, 2, 3, 4}))))
	require.NoError(t, m.RunAll())
	for _, y := range n.outputs {
		require.Equal(t, []float64{5, 11, 11, 25}, numbers(y.Value()))
	}
}

// Weights that are transposed lazily, or lie in memory as columns, or are parts of others.
func TestViewsAsInputs(t *testing.T) {
	whole := tensor.New(tensor.WithShape(6, 5), tensor.WithBacking(tensor.Range(tensor.Float64, 0, 30)))
	part := func(slices ...tensor.Slice) *tensor.Dense {
		v, err := whole.Slice(slices...)
		require.NoError(t, err)
		return v.(*tensor.Dense)
	}
	transposed := func(d *tensor.Dense) *tensor.Dense {
		require.NoError(t, d.T())
		return d
	}
	columns := tensor.New(tensor.WithShape(3, 2), tensor.AsFortran(tensor.Range(tensor.Float64, 0, 6)))
	for name, test := range map[string]struct{ view func() *tensor.Dense }{
		"plain": {func() *tensor.Dense {
			return tensor.New(tensor.WithShape(3, 2), tensor.WithBacking(tensor.Range(tensor.Float64, 0, 6)))
		}},
		"lazy transpose": {func() *tensor.Dense {
			return transposed(tensor.New(tensor.WithShape(2, 3), tensor.WithBacking(tensor.Range(tensor.Float64, 0, 6))))
		}},
		"rows":               {func() *tensor.Dense { return part(gorgonia.S(1, 4), nil) }},
		"columns":            {func() *tensor.Dense { return part(nil, gorgonia.S(1, 4)) }},
		"block":              {func() *tensor.Dense { return part(gorgonia.S(1, 4), gorgonia.S(2, 4)) }},
		"every other":        {func() *tensor.Dense { return part(gorgonia.S(0, 6, 2), nil) }},
		"transposed columns": {func() *tensor.Dense { return transposed(part(nil, gorgonia.S(1, 4))) }},
		"column-major":       {func() *tensor.Dense { return columns }},
	} {
		t.Run(name, func(t *testing.T) {
			view := test.view()
			shape := view.Shape().Clone()
			n := newNetwork(tensor.Float64, false, func(n *network) {
				w, x, y := n.in(shape...), n.in(2, shape[0]), n.in(shape[0])
				n.out(must(gorgonia.Mul(x, w)), must(gorgonia.Mul(y, w)), must(gorgonia.Mul(must(gorgonia.Transpose(w)), w)),
					must(gorgonia.Add(w, w)), must(gorgonia.Tanh(w)), must(gorgonia.Reshape(w, tensor.Shape{shape.TotalSize()})),
					must(gorgonia.Sum(w, 0)))
			})
			m := machineOf(t, n)
			plain := newNetwork(tensor.Float64, false, func(p *network) {
				w, x, y := p.in(shape...), p.in(2, shape[0]), p.in(shape[0])
				p.out(must(gorgonia.Mul(x, w)), must(gorgonia.Mul(y, w)), must(gorgonia.Mul(must(gorgonia.Transpose(w)), w)),
					must(gorgonia.Add(w, w)), must(gorgonia.Tanh(w)), must(gorgonia.Reshape(w, tensor.Shape{shape.TotalSize()})),
					must(gorgonia.Sum(w, 0)))
			})
			pm := machineOf(t, plain)
			for run := range uint64(3) {
				n.let(run)
				plain.let(run)
				require.NoError(t, gorgonia.Let(n.inputs[0], view))
				copied := tensor.New(tensor.WithShape(shape...), tensor.WithBacking(elementsOf(t, view)))
				require.NoError(t, gorgonia.Let(plain.inputs[0], copied))
				strides := view.Strides()
				require.NoError(t, m.RunAll())
				require.NoError(t, pm.RunAll())
				for i := range n.outputs {
					requireClose(t, numbers(plain.outputs[i].Value()), numbers(n.outputs[i].Value()), 1e-12)
				}
				require.Equal(t, shape, view.Shape())
				require.Equal(t, strides, view.Strides())
				whole.Float64s()[7]++ // also what changes between runs is seen
			}
		})
	}
}

// elementsOf reads one element after the other.
func elementsOf(t *testing.T, d *tensor.Dense) []float64 {
	var all []float64
	for i := range d.Shape()[0] {
		for j := range d.Shape()[1] {
			x, err := d.At(i, j)
			require.NoError(t, err)
			all = append(all, x.(float64))
		}
	}
	return all
}

func requireClose(t testing.TB, want, got []float64, tolerance float64) {
	t.Helper()
	require.Equal(t, len(want), len(got))
	for i := range want {
		require.LessOrEqual(t, math.Abs(want[i]-got[i]), tolerance*(1+math.Abs(want[i])), "element %d: %v, want %v", i, got[i], want[i])
	}
}

// A chain needs room for two values, whatever its length, and for the output, whose memory is its
// own.
func TestLiveness(t *testing.T) {
	const values, size = 50, 1000 * 4
	n := newNetwork(tensor.Float32, false, func(n *network) {
		x := n.in(1000)
		for range values {
			x = must(gorgonia.Tanh(x))
		}
		n.out(x)
	})
	m := machineOf(t, n)
	require.LessOrEqual(t, m.Bytes(), int64(2*roundUp(size)+size))
	require.GreaterOrEqual(t, m.Bytes(), int64(3*size))

	// Values that are outputs share with none.
	all := newNetwork(tensor.Float32, false, func(n *network) {
		x := n.in(1000)
		for range values {
			x = must(gorgonia.Tanh(x))
			n.out(x)
		}
	})
	require.GreaterOrEqual(t, machineOf(t, all).Bytes(), int64(values*size))
	sameAsTape(t, tensor.Float32, func(n *network) {
		x := n.in(10)
		for range values {
			x = must(gorgonia.Tanh(x))
			n.out(x)
		}
	})
}

// An op that gives its input keeps the memory of it alive, and so does a reshape, also of a
// reshape.
func TestAliasesKeepMemory(t *testing.T) {
	same := func(y gorgonia.Value, inputs []gorgonia.Value) (gorgonia.Value, error) { return inputs[0], nil }
	n := newNetwork(tensor.Float64, false, func(n *network) {
		x := n.in(4, 3)
		a := must(gorgonia.Exp(x))
		b := must(gorgonia.ApplyOp(&custom{id: 1, do: same}, a))
		c := must(gorgonia.Reshape(must(gorgonia.Reshape(b, tensor.Shape{12})), tensor.Shape{3, 4}))
		y := x
		for range 5 { // what would take the place of a
			y = must(gorgonia.Tanh(y))
		}
		n.out(must(gorgonia.Mul(y, c)), c)
	})
	want := newNetwork(tensor.Float64, false, func(n *network) {
		x := n.in(4, 3)
		c := must(gorgonia.Reshape(must(gorgonia.Exp(x)), tensor.Shape{3, 4}))
		y := x
		for range 5 {
			y = must(gorgonia.Tanh(y))
		}
		n.out(must(gorgonia.Mul(y, c)), c)
	})
	m, wm := machineOf(t, n), machineOf(t, want)
	for run := range uint64(3) {
		n.let(run)
		want.let(run)
		m.poison()
		require.NoError(t, m.RunAll())
		require.NoError(t, wm.RunAll())
		for i := range n.outputs {
			requireSameValue(t, want.outputs[i].Value(), n.outputs[i].Value(), "output %d", i)
		}
	}
}

// No two values that live at the same time overlap, and the arena is not larger than all values.
func TestLayOut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var buffers []*buffer
		total := 0
		for range rapid.IntRange(0, 40).Draw(t, "buffers") {
			first := rapid.IntRange(0, 30).Draw(t, "first")
			b := &buffer{bytes: rapid.IntRange(1, 1000).Draw(t, "bytes"), first: first, last: first + rapid.IntRange(0, 10).Draw(t, "life")}
			total += roundUp(b.bytes)
			buffers = append(buffers, b)
		}
		size := layOut(buffers)
		assert.LessOrEqual(t, size, total)
		atOnce := 0
		for now := range 41 {
			sum := 0
			for _, b := range buffers {
				if b.first <= now && now <= b.last {
					sum += b.bytes
				}
			}
			atOnce = max(atOnce, sum)
		}
		assert.GreaterOrEqual(t, size, atOnce)
		for i, a := range buffers {
			assert.Zero(t, a.offset%alignment)
			assert.LessOrEqual(t, a.offset+a.bytes, size)
			for _, b := range buffers[:i] {
				together := a.first <= b.last && b.first <= a.last
				overlap := a.offset < b.offset+b.bytes && b.offset < a.offset+a.bytes
				assert.False(t, together && overlap, "%+v and %+v", a, b)
			}
		}
	})
}

// sharedMLP is an MLP of Gorgonia's products over weights that others use at the same time, stored
// by output and transposed lazily, and of ops of this module.
func sharedMLP(t testing.TB, weights []*tensor.Dense) (x, y *gorgonia.Node) {
	g := gorgonia.NewGraph()
	x = gorgonia.NewMatrix(g, tensor.Float32, gorgonia.WithName("x"), gorgonia.WithShape(3, 16))
	v := gorgonia.NewVector(g, tensor.Float32, gorgonia.WithName("v"), gorgonia.WithShape(16), gorgonia.WithInit(gorgonia.Ones()))
	h := x
	for i, w := range weights {
		n := gorgonia.NewMatrix(g, tensor.Float32, gorgonia.WithName(string(rune('a'+i))), gorgonia.WithShape(16, 16), gorgonia.WithValue(w))
		h = must(gorgonia.Mul(h, n))
		bias := must(gorgonia.Mul(v, n)) // which transposes the weight
		h = must(gorgonia.BroadcastAdd(h, bias, nil, []byte{0}))
		h = must(ops.Activate(h, activation.SiLU))
	}
	return x, h
}

func TestMachinesShareWeights(t *testing.T) {
	var weights []*tensor.Dense
	for i := range 3 {
		w := newNetwork(tensor.Float32, false, func(n *network) { n.in(16, 16) })
		w.let(uint64(i))
		d := w.inputs[0].Value().(*tensor.Dense)
		if i == 1 {
			require.NoError(t, d.T())
		}
		weights = append(weights, d)
	}
	input := newNetwork(tensor.Float32, false, func(n *network) { n.in(3, 16) })
	input.let(9)
	shared := input.inputs[0].Value()

	results := make([][]float64, 4)
	var wg sync.WaitGroup
	for i := range results {
		x, y := sharedMLP(t, weights)
		require.NoError(t, gorgonia.Let(x, shared))
		m, err := NewMachine(x.Graph(), gorgonia.Nodes{y})
		require.NoError(t, err)
		wg.Go(func() {
			for range 50 {
				if err := m.RunAll(); err != nil {
					t.Error(err)
					return
				}
			}
			results[i] = numbers(y.Value())
		})
	}
	wg.Wait()
	for _, r := range results {
		require.Equal(t, results[0], r)
	}
}

// Nothing that a machine uses may hang on memory that the garbage collector does not see.
func TestUnderGarbageCollection(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(1))
	for range 5 {
		sameAsTape(t, tensor.Float32, func(n *network) {
			x := n.in(40, 40)
			for range 5 {
				x = must(gorgonia.Mul(must(gorgonia.Tanh(x)), must(gorgonia.Transpose(x))))
				x = must(gorgonia.Reshape(must(gorgonia.Reshape(x, tensor.Shape{1600})), tensor.Shape{40, 40}))
				x = must(gorgonia.BroadcastAdd(x, must(gorgonia.Sum(x, 0)), nil, []byte{0}))
			}
			n.out(x)
		})
	}
}

// Elementwise nodes of Gorgonia that every layer of a Llama has, and ops of this module.
func TestRunAllocatesNothing(t *testing.T) {
	for _, dtype := range []tensor.Dtype{tensor.Float32, tensor.Float64} {
		n := newNetwork(dtype, false, func(n *network) {
			x, y := n.in(3, 8), n.in(3, 8)
			for range 4 {
				act := must(ops.Activate(x, activation.GELU))
				x = must(gorgonia.Add(must(gorgonia.HadamardProd(act, y)), x))
				x = must(gorgonia.Reshape(must(gorgonia.Reshape(x, tensor.Shape{24})), tensor.Shape{3, 8}))
			}
			n.out(x)
		})
		m := machineOf(t, n)
		n.let(1)
		require.Zero(t, testing.AllocsPerRun(100, func() {
			if err := m.RunAll(); err != nil {
				t.Fatal(err)
			}
		}))
	}
}

// What ops with a training mode do depends on the machine that runs them, not on the one that was
// made last.
func TestInferenceMode(t *testing.T) {
	n := newNetwork(tensor.Float64, false, func(n *network) {
		n.out(must(gorgonia.Neg(must(gorgonia.Dropout(n.in(100), 0.5)))))
	})
	m := machineOf(t, n)
	n.let(1)
	tape := gorgonia.NewTapeMachine(n.g) // trains
	defer tape.Close()
	require.NoError(t, m.RunAll())
	x := numbers(n.inputs[0].Value())
	for i, y := range numbers(n.outputs[0].Value()) {
		require.Equal(t, -x[i], y)
	}
}

// aheadOp is a custom op that starts work.
type aheadOp struct{ custom }

func (*aheadOp) RunsAhead() bool { return true }

// Nodes run as they were written, but what starts work runs early and what waits for it late.
func TestOrder(t *testing.T) {
	var ran []string
	n := newNetwork(tensor.Float32, false, func(n *network) {
		note := func(name string) func(gorgonia.Value, []gorgonia.Value) (gorgonia.Value, error) {
			return func(y gorgonia.Value, in []gorgonia.Value) (gorgonia.Value, error) {
				ran = append(ran, name)
				return y, nil
			}
		}
		id := 0
		op := func(name string, ins ...*gorgonia.Node) *gorgonia.Node {
			id++
			return must(gorgonia.ApplyOp(&custom{id: id, arity: len(ins), do: note(name)}, ins...))
		}
		x := op("norm", n.in(3))
		attention := op("out", op("attention", op("query", x)))
		scores := op("mask", op("scores", x))
		fetch := must(gorgonia.ApplyOp(&aheadOp{custom{id: 100, do: note("prefetch")}}, scores))
		slots := op("refresh", fetch)
		residual := op("residual", attention)
		n.out(op("mlp", op("norm2", residual), slots))
	})
	m := machineOf(t, n)
	n.let(1)
	require.NoError(t, m.RunAll())
	require.Equal(t, []string{
		"norm", "scores", "mask", "prefetch", "query", "attention", "out", "residual", "norm2", "refresh", "mlp",
	}, ran)
}

// Products read a weight that is transposed lazily where it lies: a copy at every run would cost
// more than they do.
func TestTransposedWeightsAreNotCopied(t *testing.T) {
	n := newNetwork(tensor.Float32, false, func(n *network) { n.out(must(gorgonia.Mul(n.in(2, 3), n.in(3, 4)))) })
	m := machineOf(t, n)
	n.let(1)
	w := tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(4, 3))
	require.NoError(t, w.T())
	require.NoError(t, gorgonia.Let(n.inputs[1], w))
	require.NoError(t, m.RunAll())
	for _, in := range m.inputs {
		require.Nil(t, in.ordered, "%v", describe(in.register.node))
	}
}
