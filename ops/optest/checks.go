package optest

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"sync"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/sparsegonia/sparsegonia/ops/kernel"
)

// A check returns an error if the case fails it. op is newly built.
type check struct {
	name string
	run  func(c *Case, op gorgonia.Op) error
}

func (k check) do(c *Case) (err error) {
	defer catch(&err)
	op, err := c.op()
	if err != nil {
		return err
	}
	return k.run(c, op)
}

var checks = []check{
	{"Reference", checkReference},
	{"Graph", checkGraph},
	{"Declarations", checkDeclarations},
	{"Prealloc", checkPrealloc},
	{"Layout", checkLayout},
	{"Inputs", checkInputs},
	{"Repeat", checkRepeat},
	{"Concurrent", checkConcurrent},
	{"Runner", checkRunner},
	{"Hash", checkHash},
	{"Wrong", checkWrong},
	{"Allocations", checkAllocations},
	{"Gradient", checkGradient},
}

var errNotApplicable = errors.New("does not apply to the op")

// result returns what a newly built op does.
func (c *Case) result() (*tensor.Dense, error) {
	op, err := c.op()
	if err != nil {
		return nil, err
	}
	return do(op, c.Inputs)
}

func do(op gorgonia.Op, inputs []*tensor.Dense) (*tensor.Dense, error) {
	v, err := call(op, toValues(inputs))
	if err != nil {
		return nil, fmt.Errorf("calling Do: %w", err)
	}
	d, ok := v.(*tensor.Dense)
	if !ok {
		return nil, fmt.Errorf("got a %T from Do, want a *tensor.Dense", v)
	}
	return d, nil
}

func checkReference(c *Case, op gorgonia.Op) error {
	if c.Reference == nil {
		return errors.New("the case has no Reference")
	}
	got, err := do(op, c.Inputs)
	if err != nil {
		return err
	}
	want, err := c.Reference(c.Inputs...)
	if err != nil {
		return fmt.Errorf("calling Reference: %w", err)
	}
	return compare(got, want, c.Tolerance)
}

// checkGraph runs the op and its variants in one graph on the tape machine: each must have the
// result it has alone.
func checkGraph(c *Case, _ gorgonia.Op) error {
	g := gorgonia.NewGraph()
	inputs := nodes(g, c.Inputs)
	builders := append([]Builder{c.Build}, c.Variants...)
	outputs := make(gorgonia.Nodes, len(builders))
	read := make([]gorgonia.Value, len(builders))
	want := make([]*tensor.Dense, len(builders))
	for i, build := range builders {
		// A second op of the same build runs alone, so that captured state is not shared.
		_, alone, err := c.node(build)
		if err != nil {
			return fmt.Errorf("%s: %w", variant(i), err)
		}
		if want[i], err = do(alone.Op(), c.Inputs); err != nil {
			return fmt.Errorf("%s: %w", variant(i), err)
		}
		if outputs[i], err = build(inputs...); err != nil {
			return fmt.Errorf("%s: %w", variant(i), err)
		}
		if j := slices.Index(outputs[:i], outputs[i]); j >= 0 {
			return fmt.Errorf("the graph merged %s and %s", variant(j), variant(i))
		}
		gorgonia.Read(outputs[i], &read[i])
	}
	if err := runTape(g); err != nil {
		return err
	}
	for i, v := range read {
		got, ok := v.(*tensor.Dense)
		if !ok {
			return fmt.Errorf("%s: the tape machine returned a %T", variant(i), v)
		}
		if err := compare(got, want[i], 0); err != nil {
			return fmt.Errorf("%s: tape machine against Do: %w", variant(i), err)
		}
	}
	return nil
}

func variant(i int) string {
	if i == 0 {
		return "the op"
	}
	return fmt.Sprintf("variant %d", i-1)
}

func runTape(g *gorgonia.ExprGraph) error {
	m := gorgonia.NewTapeMachine(g)
	defer m.Close()
	if err := m.RunAll(); err != nil {
		return fmt.Errorf("tape machine: %w", err)
	}
	return nil
}

// checkDeclarations compares what the op declares to what it does.
func checkDeclarations(c *Case, _ gorgonia.Op) error {
	_, n, err := c.node(c.Build)
	if err != nil {
		return err
	}
	op := n.Op()
	if a := op.Arity(); a >= 0 && a != len(c.Inputs) {
		return fmt.Errorf("arity is %d, the op was built on %d inputs", a, len(c.Inputs))
	}
	if o := op.OverwritesInput(); o < -1 || o >= len(c.Inputs) {
		return fmt.Errorf("OverwritesInput is %d, there are %d inputs", o, len(c.Inputs))
	}
	if op.String() == "" {
		return errors.New("the op has an empty String")
	}
	got, err := do(op, c.Inputs)
	if err != nil {
		return err
	}
	shape, err := op.InferShape(dimSizers(c.Inputs)...)
	if err != nil {
		return fmt.Errorf("InferShape: %w", err)
	}
	if !slices.Equal(shape, got.Shape()) {
		return fmt.Errorf("InferShape returned %v, Do a value of shape %v", shape, got.Shape())
	}
	shape[0]++ // InferShape must return a shape of its own
	if again, _ := op.InferShape(dimSizers(c.Inputs)...); slices.Equal(again, shape) {
		return errors.New("InferShape returned the op's own shape")
	}
	if want := (gorgonia.TensorType{Dims: got.Dims(), Of: got.Dtype()}); !n.Type().Eq(want) {
		return fmt.Errorf("the node has type %v, Do returned a value of type %v", n.Type(), want)
	}
	return nil
}

func dimSizers(ds []*tensor.Dense) []gorgonia.DimSizer {
	sizers := make([]gorgonia.DimSizer, len(ds))
	for i, d := range ds {
		sizers[i] = d.Shape().Clone()
	}
	return sizers
}

// checkPrealloc runs UsePreallocDo into the middle of a larger array of junk.
func checkPrealloc(c *Case, op gorgonia.Op) error {
	pre, ok := op.(gorgonia.UsePreallocDoer)
	if !ok {
		return fmt.Errorf("%w: no UsePreallocDo", errNotApplicable)
	}
	want, err := c.result()
	if err != nil {
		return err
	}
	output, guards, err := guarded(want)
	if err != nil {
		return err
	}
	before := append([]byte(nil), guards()...)
	got, err := callPrealloc(pre, output, toValues(c.Inputs))
	if err != nil {
		return fmt.Errorf("UsePreallocDo: %w", err)
	}
	if got != gorgonia.Value(output) {
		return errors.New("UsePreallocDo returned another value than the one to be used")
	}
	if !bytes.Equal(before, guards()) {
		return errors.New("UsePreallocDo wrote outside the output")
	}
	if err := compare(output, want, 0); err != nil {
		return fmt.Errorf("UsePreallocDo against Do: %w", err)
	}
	return nil
}

// guarded returns a tensor like d, of junk, in the middle of a larger array. guards returns the
// bytes around it.
func guarded(d *tensor.Dense) (_ *tensor.Dense, guards func() []byte, _ error) {
	const margin = 64
	size, width := d.Shape().TotalSize(), int(d.Dtype().Size())
	whole := tensor.New(tensor.Of(d.Dtype()), tensor.WithShape(size+2*margin))
	junk := byte(0xa5)
	if d.Dtype() == tensor.Bool {
		junk = 1
	}
	for i := range whole.Raw {
		whole.Raw[i] = junk
	}
	from, to := margin, margin+size
	values := slice(whole)
	if values == nil {
		return nil, nil, fmt.Errorf("%w: output of dtype %v", errNotApplicable, d.Dtype())
	}
	backing := reflect.ValueOf(values).Slice(from, to).Interface()
	guards = func() []byte {
		return slices.Concat(whole.Raw[:from*width], whole.Raw[to*width:])
	}
	return tensor.New(tensor.WithShape(d.Shape().Clone()...), tensor.WithBacking(backing)), guards, nil
}

// checkLayout passes every matrix input as a lazy transpose and as a slice of a wider matrix, and
// every vector as a column of a matrix: the op must refuse it or have the same result.
func checkLayout(c *Case, op gorgonia.Op) error {
	want, err := do(op, c.Inputs)
	if err != nil {
		return err
	}
	for i, in := range c.Inputs {
		for _, layout := range layouts {
			if in.Dims() != layout.dims || slice(in) == nil {
				continue
			}
			view, err := layout.make(in)
			if err != nil {
				return fmt.Errorf("input %d: %w", i, err)
			}
			got, err := do(op, slices.Replace(slices.Clone(c.Inputs), i, i+1, view))
			if errors.Is(err, errPanic) {
				return fmt.Errorf("input %d %s: %w", i, layout.name, err)
			}
			if err != nil {
				continue
			}
			if err := compare(got, want, 0); err != nil {
				return fmt.Errorf("input %d %s: %w", i, layout.name, err)
			}
		}
	}
	return nil
}

var layouts = []struct {
	name string
	dims int
	make func(*tensor.Dense) (*tensor.Dense, error)
}{
	{"transposed", 2, transposed},
	{"column-sliced", 2, columnSliced},
	{"a column", 1, column},
}

// transposed has the elements of d and lies in memory as its transpose.
func transposed(d *tensor.Dense) (*tensor.Dense, error) {
	t := d.Clone().(*tensor.Dense)
	if err := t.T(); err != nil {
		return nil, err
	}
	if err := t.Transpose(); err != nil {
		return nil, err
	}
	return t, t.T()
}

// columnSliced has the elements of d and is a view of the middle columns of a wider matrix.
func columnSliced(d *tensor.Dense) (*tensor.Dense, error) {
	rows, cols := d.Shape()[0], d.Shape()[1]
	wide := tensor.New(tensor.Of(d.Dtype()), tensor.WithShape(rows, cols+2))
	width := int(d.Dtype().Size())
	for r := range rows {
		copy(wide.Raw[(r*(cols+2)+1)*width:], d.Raw[r*cols*width:(r+1)*cols*width])
	}
	view, err := wide.Slice(nil, tensor.S(1, cols+1))
	if err != nil {
		return nil, err
	}
	v := view.(*tensor.Dense)
	if !slices.Equal(v.Shape(), d.Shape()) { // a slice of one column loses its axis
		return d, nil
	}
	return v, nil
}

// column has the elements of d and is a view of the middle column of a matrix.
func column(d *tensor.Dense) (*tensor.Dense, error) {
	size, width := d.Shape()[0], int(d.Dtype().Size())
	if size == 1 { // a slice of one element is a scalar
		return d, nil
	}
	wide := tensor.New(tensor.Of(d.Dtype()), tensor.WithShape(size, 3))
	for r := range size {
		copy(wide.Raw[(r*3+1)*width:], d.Raw[r*width:(r+1)*width])
	}
	view, err := wide.Slice(nil, tensor.S(1))
	if err != nil {
		return nil, err
	}
	return view.(*tensor.Dense), nil
}

// checkInputs reports whether Do leaves its inputs alone, during the call and after it.
func checkInputs(c *Case, op gorgonia.Op) error {
	inputs := cloneAll(c.Inputs)
	got, err := do(op, inputs)
	if err != nil {
		return err
	}
	for i, in := range inputs {
		if !bytes.Equal(in.Raw, c.Inputs[i].Raw) && op.OverwritesInput() != i {
			return fmt.Errorf("input %d was changed by Do", i)
		}
	}
	want := got.Clone().(*tensor.Dense)
	for _, in := range inputs {
		clear(in.Raw)
	}
	if err := compare(got, want, 0); err != nil && op.OverwritesInput() < 0 {
		return fmt.Errorf("the output shares memory with an input: %w", err)
	}
	return nil
}

func cloneAll(ds []*tensor.Dense) []*tensor.Dense {
	clones := make([]*tensor.Dense, len(ds))
	for i, d := range ds {
		clones[i] = d.Clone().(*tensor.Dense)
	}
	return clones
}

// checkRepeat runs one op several times.
func checkRepeat(c *Case, op gorgonia.Op) error {
	var first *tensor.Dense
	for run := range 3 {
		got, err := do(op, c.Inputs)
		if err != nil {
			return fmt.Errorf("run %d: %w", run, err)
		}
		if first == nil {
			first = got
		} else if err := compare(got, first, 0); err != nil {
			return fmt.Errorf("run %d against the first: %w", run, err)
		}
	}
	return nil
}

// checkConcurrent runs several ops of one build at once, on the same inputs.
func checkConcurrent(c *Case, _ gorgonia.Op) error {
	want, err := c.result()
	if err != nil {
		return err
	}
	const instances = 4
	var wg sync.WaitGroup
	errs := make([]error, instances)
	for i := range instances {
		op, err := c.op()
		if err != nil {
			return err
		}
		wg.Go(func() {
			got, err := do(op, c.Inputs)
			if err == nil {
				err = compare(got, want, 0)
			}
			errs[i] = err
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// runner is ops.Runner, which this package cannot import: the tests of package ops use it.
type runner interface {
	Run(cpu *kernel.CPU, output gorgonia.Value, inputs []gorgonia.Value) error
}

// checkRunner runs the op into junk on several CPUs, at once unless it has state.
func checkRunner(c *Case, op gorgonia.Op) error {
	if _, ok := op.(runner); !ok {
		return fmt.Errorf("%w: no Run", errNotApplicable)
	}
	want, err := c.result()
	if err != nil {
		return err
	}
	errs := make([]error, 4)
	var wg sync.WaitGroup
	for i := range errs {
		if c.Stateful { // each run has an op of its own
			if op, err = c.op(); err != nil {
				return err
			}
		}
		op := op.(runner)
		wg.Go(func() {
			defer catch(&errs[i])
			cpu := kernel.NewCPU(1 + i%2)
			defer cpu.Close()
			output, _, err := guarded(want)
			if err == nil {
				err = op.Run(cpu, output, toValues(cloneAll(c.Inputs)))
			}
			if err == nil {
				err = compare(output, want, 0)
			}
			errs[i] = err
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// checkHash compares the hashes of the op, of the op built again and of its variants.
func checkHash(c *Case, first gorgonia.Op) error {
	seen := map[uint32]string{}
	for i, build := range append([]Builder{c.Build}, c.Variants...) {
		_, n, err := c.node(build)
		if err != nil {
			return fmt.Errorf("%s: %w", variant(i), err)
		}
		h := n.Op().Hashcode()
		if n.Op().Hashcode() != h {
			return fmt.Errorf("%s: two hashes of one op differ", variant(i))
		}
		if other, ok := seen[h]; ok {
			return fmt.Errorf("%s and %s have the same hash", other, variant(i))
		}
		seen[h] = variant(i)
	}
	second, err := c.op()
	if err != nil {
		return err
	}
	if same := first.Hashcode() == second.Hashcode(); same == c.Stateful {
		if same {
			return errors.New("ops with different captured state have the same hash")
		}
		return errors.New("two equal builds have different hashes")
	}
	return nil
}

func checkAllocations(c *Case, op gorgonia.Op) error {
	pre, ok := op.(gorgonia.UsePreallocDoer)
	if !ok || c.Allocates || raceEnabled {
		return fmt.Errorf("%w: it may allocate, or the race detector is on", errNotApplicable)
	}
	inputs := toValues(c.Inputs)
	output, err := call(op, inputs)
	if err != nil {
		return err
	}
	allocs := testing.AllocsPerRun(10, func() {
		if _, e := pre.UsePreallocDo(output, inputs...); e != nil {
			err = e
		}
	})
	if err != nil {
		return err
	}
	if allocs > 0 {
		return fmt.Errorf("UsePreallocDo makes %v allocations a run", allocs)
	}
	return nil
}

// compare returns how got differs from want. Magnitudes may differ by tolerance times the largest
// finite one of want.
func compare(got, want *tensor.Dense, tolerance float64) error {
	if got.Dtype() != want.Dtype() {
		return fmt.Errorf("got dtype %v, want %v", got.Dtype(), want.Dtype())
	}
	if !slices.Equal(got.Shape(), want.Shape()) {
		return fmt.Errorf("got shape %v, want %v", got.Shape(), want.Shape())
	}
	g, w := numbers(got), numbers(want)
	if g == nil {
		if !bytes.Equal(got.Raw, want.Raw) {
			return fmt.Errorf("got %v, want %v", got, want)
		}
		return nil
	}
	var largest float64
	for _, x := range w {
		if !math.IsInf(x, 0) && !math.IsNaN(x) {
			largest = max(largest, math.Abs(x))
		}
	}
	for i := range w {
		if g[i] == w[i] || math.IsNaN(g[i]) && math.IsNaN(w[i]) {
			continue
		}
		if d := math.Abs(g[i] - w[i]); !(d <= tolerance*largest) {
			return fmt.Errorf("element %d: got %v, want %v (difference %.3g, allowed %.3g)", i, g[i], w[i], d, tolerance*largest)
		}
	}
	return nil
}

// numbers returns the elements of a float tensor, nil of others: they are compared exactly.
func numbers(d *tensor.Dense) []float64 {
	switch s := slice(d).(type) {
	case []float32:
		out := make([]float64, len(s))
		for i, x := range s {
			out[i] = float64(x)
		}
		return out
	case []float64:
		return s
	}
	return nil
}
