package graph_test

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/sparsegonia/sparsegonia/graph"
	"github.com/sparsegonia/sparsegonia/ops"
	"github.com/sparsegonia/sparsegonia/ops/kernel"
)

// machines are the tape machine and the lean one, each over what make builds.
var machines = map[string]func(g *gorgonia.ExprGraph, outputs ...*gorgonia.Node) (gorgonia.VM, error){
	"tape": func(g *gorgonia.ExprGraph, _ ...*gorgonia.Node) (gorgonia.VM, error) {
		return gorgonia.NewTapeMachine(g), nil
	},
	"lean": func(g *gorgonia.ExprGraph, outputs ...*gorgonia.Node) (gorgonia.VM, error) {
		return graph.NewMachine(g, outputs)
	},
}

// cell is a recurrent network: out = z ⊙ h + (1 − z) ⊙ tanh(a), z = σ(a), a = w·x + u·h, with h
// bound by the tests.
type cell struct {
	g         *gorgonia.ExprGraph
	x, h, out *gorgonia.Node
	flat      *gorgonia.Node // out as a matrix
	other     *gorgonia.Node // an input that is added to flat, as a matrix: total
	total     *gorgonia.Node
	read      gorgonia.Value // of out
	vm        gorgonia.VM

	// The tape machine overwrites the Value of a node that others use: there values are copies of
	// Reads.
	values map[*gorgonia.Node]*gorgonia.Value
}

// value is what the last run computed for an output.
func (c *cell) value(n *gorgonia.Node) *tensor.Dense {
	if v := c.values[n]; v != nil {
		return (*v).(*tensor.Dense).Clone().(*tensor.Dense)
	}
	return n.Value().(*tensor.Dense)
}

const hidden = 6

func newCell(t *testing.T, machine string, read bool) *cell {
	t.Helper()
	const inputs = 4
	c := &cell{g: gorgonia.NewGraph()}
	c.x = gorgonia.NewVector(c.g, tensor.Float32, gorgonia.WithShape(inputs), gorgonia.WithName("x"))
	c.h = gorgonia.NewVector(c.g, tensor.Float32, gorgonia.WithShape(hidden), gorgonia.WithName("h"))
	c.other = gorgonia.NewMatrix(c.g, tensor.Float32, gorgonia.WithShape(2, hidden/2), gorgonia.WithName("other"))
	weight := func(name string, seed float64, cols int, v *gorgonia.Node) *gorgonia.Node {
		return gorgonia.Must(gorgonia.Mul(gorgonia.NodeFromAny(c.g, numbers(seed, hidden, cols), gorgonia.WithName(name)), v))
	}
	a := gorgonia.Must(gorgonia.Add(weight("w", 2, inputs, c.x), weight("u", 1, hidden, c.h)))
	z, n := gorgonia.Must(gorgonia.Sigmoid(a)), gorgonia.Must(gorgonia.Tanh(a))
	keep := gorgonia.Must(gorgonia.HadamardProd(z, c.h))
	take := gorgonia.Must(gorgonia.HadamardProd(gorgonia.Must(gorgonia.Sub(gorgonia.NewConstant(float32(1)), z)), n))
	c.out = gorgonia.Must(gorgonia.Add(keep, take))
	if read {
		gorgonia.Read(c.out, &c.read)
	}
	c.flat = gorgonia.Must(gorgonia.Reshape(c.out, tensor.Shape{2, hidden / 2}))
	c.total = gorgonia.Must(gorgonia.Add(c.flat, c.other))
	if machine == "tape" {
		c.values = map[*gorgonia.Node]*gorgonia.Value{}
		for _, n := range []*gorgonia.Node{c.out, c.flat, c.total} {
			c.values[n] = new(gorgonia.Value)
			gorgonia.Read(n, c.values[n])
		}
	}
	var err error
	if c.vm, err = machines[machine](c.g, c.out, c.flat, c.total); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.vm.Close() })
	let(t, c.h, numbers(3, hidden))
	let(t, c.other, numbers(4, 2, hidden/2))
	return c
}

// step runs the network on other numbers and returns copies of what it computes.
func (c *cell) step(t *testing.T, i int) [][]float32 {
	t.Helper()
	let(t, c.x, numbers(100+float64(i), 4))
	c.vm.Reset()
	if err := c.vm.RunAll(); err != nil {
		t.Fatal(err)
	}
	return [][]float32{slices.Clone(c.value(c.out).Float32s()), slices.Clone(c.value(c.total).Float32s())}
}

func let(t *testing.T, n *gorgonia.Node, v gorgonia.Value) {
	t.Helper()
	if err := gorgonia.Let(n, v); err != nil {
		t.Fatal(err)
	}
}

// Values of outputs and Reads, bound to inputs between runs, give the tape machine's numbers.
func TestOutputsBoundToInputs(t *testing.T) {
	for name, bind := range map[string]func(t *testing.T, c *cell, step int){
		"an output":           func(t *testing.T, c *cell, _ int) { let(t, c.h, c.value(c.out)) },
		"a reshaped output":   func(t *testing.T, c *cell, _ int) { let(t, c.other, c.value(c.flat)) },
		"an output of a sum":  func(t *testing.T, c *cell, _ int) { let(t, c.other, c.value(c.total)) },
		"a Read":              func(t *testing.T, c *cell, _ int) { let(t, c.h, c.read) },
		"an output, once":     func(t *testing.T, c *cell, step int) { once(step, func() { let(t, c.h, c.value(c.out)) }) },
		"a reshape, once":     func(t *testing.T, c *cell, step int) { once(step, func() { let(t, c.other, c.value(c.flat)) }) },
		"a Read, once":        func(t *testing.T, c *cell, step int) { once(step, func() { let(t, c.h, c.read) }) },
		"every other run":     func(t *testing.T, c *cell, step int) { once(step%2, func() { let(t, c.h, c.value(c.out)) }) },
		"two inputs, a value": func(t *testing.T, c *cell, _ int) { let(t, c.h, c.value(c.out)); let(t, c.other, c.value(c.flat)) },
		"part of an output": func(t *testing.T, c *cell, _ int) {
			whole := c.value(c.out)
			let(t, c.x, tensor.New(tensor.WithShape(4), tensor.WithBacking(whole.Float32s()[1:5])))
		},
	} {
		t.Run(name, func(t *testing.T) {
			numbers := map[string][][][]float32{}
			for machine := range machines {
				c := newCell(t, machine, name == "a Read" || name == "a Read, once")
				for i := range 7 {
					numbers[machine] = append(numbers[machine], c.step(t, i))
					bind(t, c, i)
				}
			}
			compare(t, numbers["lean"], numbers["tape"])
		})
	}
}

func once(step int, f func()) {
	if step == 0 {
		f()
	}
}

func compare(t *testing.T, got, want [][][]float32) {
	t.Helper()
	close := cmp.Comparer(func(a, b float32) bool { return math.Abs(float64(a-b)) <= 1e-5 })
	if d := cmp.Diff(want, got, close); d != "" {
		t.Errorf("lean against tape machine:\n%s", d)
	}
}

// One tensor bound to two inputs, among them an output of another machine.
func TestTwoInputsOfOneTensor(t *testing.T) {
	numbers := map[string][][][]float32{}
	for machine := range machines {
		first, second := newCell(t, machine, false), newCell(t, machine, false)
		for i := range 4 {
			numbers[machine] = append(numbers[machine], first.step(t, i), second.step(t, 10+i))
			let(t, first.h, first.value(first.out))
			let(t, second.h, first.value(first.out))
		}
	}
	compare(t, numbers["lean"], numbers["tape"])
}

// An output that is a reshaped input shares the memory of what that is bound to. Bound to another
// input it stays what it is when the first input is bound to something else.
func TestReshapedInputBoundToInput(t *testing.T) {
	results := map[string][][][]float32{}
	for machine, make := range machines {
		g := gorgonia.NewGraph()
		a := gorgonia.NewVector(g, tensor.Float32, gorgonia.WithShape(4), gorgonia.WithName("a"))
		b := gorgonia.NewMatrix(g, tensor.Float32, gorgonia.WithShape(2, 2), gorgonia.WithName("b"))
		flat := gorgonia.Must(gorgonia.Reshape(a, tensor.Shape{2, 2}))
		sum := gorgonia.Must(gorgonia.Add(gorgonia.Must(gorgonia.Square(flat)), b))
		vm, err := make(g, flat, sum)
		if err != nil {
			t.Fatal(err)
		}
		defer vm.Close()
		let(t, b, numbers(1, 2, 2))
		for i := range 4 {
			let(t, a, numbers(10+float64(i), 4))
			vm.Reset()
			if err := vm.RunAll(); err != nil {
				t.Fatal(err)
			}
			results[machine] = append(results[machine], [][]float32{slices.Clone(sum.Value().(*tensor.Dense).Float32s())})
			let(t, b, flat.Value())
		}
	}
	compare(t, results["lean"], results["tape"])
}

// An output that nothing else uses, whose Value the tape machine leaves alone.
func TestLastOutputBoundToInput(t *testing.T) {
	for _, once := range []bool{false, true} {
		results := map[string][][][]float32{}
		for machine, make := range machines {
			g := gorgonia.NewGraph()
			x := gorgonia.NewVector(g, tensor.Float32, gorgonia.WithShape(4), gorgonia.WithName("x"))
			h := gorgonia.NewVector(g, tensor.Float32, gorgonia.WithShape(4), gorgonia.WithName("h"))
			out := gorgonia.Must(gorgonia.Tanh(gorgonia.Must(gorgonia.Add(gorgonia.Must(gorgonia.Square(h)), x))))
			vm, err := make(g, out)
			if err != nil {
				t.Fatal(err)
			}
			defer vm.Close()
			let(t, h, numbers(1, 4))
			for i := range 5 {
				let(t, x, numbers(10+float64(i), 4))
				vm.Reset()
				if err := vm.RunAll(); err != nil {
					t.Fatal(err)
				}
				results[machine] = append(results[machine], [][]float32{slices.Clone(out.Value().(*tensor.Dense).Float32s())})
				if i == 0 || !once {
					let(t, h, out.Value())
				}
			}
		}
		compare(t, results["lean"], results["tape"])
	}
}

// The one pair that differs from the tape machine's: a value that was kept without a copy is the
// last run's by then.
func TestKeptValueIsTheLastRuns(t *testing.T) {
	c := newCell(t, "lean", false)
	first := c.step(t, 0)
	kept := c.out.Value()
	second := c.step(t, 1)
	if kept != c.out.Value() || cmp.Equal(first, second) {
		t.Fatal("the output has other memory, or the runs do not differ")
	}
	let(t, c.h, kept)
	got := c.step(t, 2)

	want := newCell(t, "lean", false)
	want.step(t, 0)
	want.step(t, 1)
	let(t, want.h, want.out.Value().(*tensor.Dense).Clone().(*tensor.Dense))
	compare(t, [][][]float32{got}, [][][]float32{want.step(t, 2)})
	if cmp.Equal(kept.(*tensor.Dense).Float32s(), c.out.Value().(*tensor.Dense).Float32s()) {
		t.Error("what was bound has been overwritten")
	}
}

// An output keeps its memory as long as its value is not bound.
func TestOutputKeepsMemory(t *testing.T) {
	c := newCell(t, "lean", false)
	c.step(t, 0)
	before := c.out.Value()
	let(t, c.x, numbers(5, 4))
	if err := c.vm.RunAll(); err != nil {
		t.Fatal(err)
	}
	if c.out.Value() != before {
		t.Error("the output has new memory although it was not bound")
	}
}

// numbers is a tensor of fixed numbers between −1 and 1.
func numbers(seed float64, shape ...int) *tensor.Dense {
	v := make([]float32, tensor.Shape(shape).TotalSize())
	for i := range v {
		v[i] = float32(math.Sin(seed*12.9898 + float64(i)*78.233))
	}
	return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(v))
}

// negate is an op of another package: −x. It overwrites its input if over is 0.
type negate struct {
	gorgonia.Op // of a Square, for everything but what follows
	over        int
}

func (n *negate) OverwritesInput() int      { return n.over }
func (n *negate) String() string            { return fmt.Sprintf("Negate%p", n) }
func (n *negate) Hashcode() uint32          { return uint32(n.over) + 77 }
func (n *negate) DiffWRT(inputs int) []bool { return make([]bool, inputs) }

func (n *negate) Do(inputs ...gorgonia.Value) (gorgonia.Value, error) {
	x := inputs[0].(*tensor.Dense)
	for i, v := range x.Float32s() {
		x.Float32s()[i] = -v
	}
	return x, nil
}

// newNegate applies a negate.
func newNegate(t *testing.T, x *gorgonia.Node, make func(*negate) gorgonia.Op, over int) *gorgonia.Node {
	t.Helper()
	n := &negate{Op: gorgonia.Must(gorgonia.Square(x)).Op(), over: over}
	y, err := gorgonia.ApplyOp(make(n), x)
	if err != nil {
		t.Fatal(err)
	}
	return y
}

// An op that overwrites its input gets a copy: of a bound tensor, and of a value that others read.
func TestOverwritesInput(t *testing.T) {
	g := gorgonia.NewGraph()
	x := gorgonia.NewVector(g, tensor.Float32, gorgonia.WithShape(3), gorgonia.WithName("x"))
	plain := func(n *negate) gorgonia.Op { return n }
	a := newNegate(t, x, plain, 0)
	square := gorgonia.Must(gorgonia.Square(x))
	b := newNegate(t, square, plain, 0)
	sum := gorgonia.Must(gorgonia.Add(square, x))
	m, err := graph.NewMachine(g, gorgonia.Nodes{a, b, sum})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	bound := tensor.New(tensor.WithBacking([]float32{1, 2, 3}))
	let(t, x, bound)
	for range 3 {
		if err := m.RunAll(); err != nil {
			t.Fatal(err)
		}
		got := [][]float32{bound.Float32s()}
		for _, n := range []*gorgonia.Node{a, b, sum} {
			got = append(got, n.Value().(*tensor.Dense).Float32s())
		}
		if d := cmp.Diff([][]float32{{1, 2, 3}, {-1, -2, -3}, {-1, -4, -9}, {2, 6, 12}}, got); d != "" {
			t.Error(d)
		}
	}
	_, err = graph.NewMachine(g, gorgonia.Nodes{newNegate(t, x, plain, 1)})
	if err == nil {
		t.Error("an op that overwrites input 1 of 1: no error")
	}
}

// runner is a negate that is an ops.Runner.
type runner struct {
	*negate
	ran []*kernel.CPU
}

var _ ops.Runner = (*runner)(nil)

func (r *runner) Do(...gorgonia.Value) (gorgonia.Value, error) { panic("a machine calls Run") }

func (r *runner) Run(cpu *kernel.CPU, output gorgonia.Value, inputs []gorgonia.Value) error {
	r.ran = append(r.ran, cpu)
	y := output.(*tensor.Dense).Float32s()
	for i, v := range inputs[0].(*tensor.Dense).Float32s() {
		y[i] = -v
	}
	return nil
}

// A Runner of another package runs like ours: into the arena, on the machine's CPU, without
// allocating.
func TestForeignRunner(t *testing.T) {
	g := gorgonia.NewGraph()
	x := gorgonia.NewVector(g, tensor.Float32, gorgonia.WithShape(3), gorgonia.WithName("x"))
	var r *runner
	y := newNegate(t, x, func(n *negate) gorgonia.Op {
		r = &runner{negate: n}
		return r
	}, -1)
	cpu := kernel.NewCPU(1)
	defer cpu.Close()
	m, err := graph.NewMachine(g, gorgonia.Nodes{y}, graph.WithCPU(cpu))
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	let(t, x, tensor.New(tensor.WithBacking([]float32{1, 2, 3})))
	if n := testing.AllocsPerRun(10, func() {
		r.ran = r.ran[:0]
		if err := m.RunAll(); err != nil {
			t.Error(err)
		}
	}); n > 0 {
		t.Errorf("%v allocations a run", n)
	}
	if len(r.ran) != 1 || r.ran[0] != cpu {
		t.Errorf("ran on %v, want %v", r.ran, cpu)
	}
	if d := cmp.Diff([]float32{-1, -2, -3}, y.Value().Data()); d != "" {
		t.Error(d)
	}
	if m.Bytes() != 12 {
		t.Errorf("%d bytes, want 12: the value is not the machine's", m.Bytes())
	}
}

// Options are checked.
func TestMachineOptions(t *testing.T) {
	g := gorgonia.NewGraph()
	x := gorgonia.NewVector(g, tensor.Float32, gorgonia.WithShape(3), gorgonia.WithName("x"))
	y := gorgonia.Must(gorgonia.Square(x))
	if _, err := graph.NewMachine(g, gorgonia.Nodes{y}, nil); err == nil {
		t.Error("a nil option: no error")
	}
	if _, err := graph.NewMachine(g, gorgonia.Nodes{y}, graph.WithCPU(nil)); err != nil {
		t.Errorf("the default CPU: %v", err)
	}
}
