package optest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// Builder applies an op to input nodes. A Builder is called many times, on many graphs; if its op
// has state, each call must give it a state of its own.
type Builder func(inputs ...*gorgonia.Node) (*gorgonia.Node, error)

// Case is an op with inputs and what comes out of it.
type Case struct {
	Build  Builder
	Inputs []*tensor.Dense

	// Reference computes the output in the plainest way, without the op. The output of the op may
	// differ from it by Tolerance times the largest magnitude in it; NaN and infinities must be in
	// the same places.
	Reference func(inputs ...*tensor.Dense) (*tensor.Dense, error)
	Tolerance float64

	// Variants build ops that take the same inputs and are different ops. None may have the hash of
	// another or of the op, and each must keep its own result in a graph that has them all.
	Variants []Builder

	// Stateful says that the op captures something that Build makes anew, so that two Builds give
	// different ops.
	Stateful bool

	// Invalid are inputs that fit the op's types and shapes, and that Do must refuse.
	Invalid map[string][]*tensor.Dense

	// Allocates permits UsePreallocDo to allocate memory.
	Allocates bool
}

// Run checks everything that the package documentation lists, in subtests. It must not run beside
// parallel tests, because it counts allocations.
func Run(t *testing.T, c Case) {
	t.Helper()
	for _, check := range checks {
		t.Run(check.name, func(t *testing.T) {
			if err := check.do(&c); errors.Is(err, errNotApplicable) {
				t.Skip(err)
			} else if err != nil {
				t.Error(err)
			}
		})
	}
}

// Check is Run without a test: it returns the errors of all checks together.
func Check(c Case) error {
	var errs []error
	for _, check := range checks {
		if err := check.do(&c); err != nil && !errors.Is(err, errNotApplicable) {
			errs = append(errs, fmt.Errorf("%s: %w", check.name, err))
		}
	}
	return errors.Join(errs...)
}

// Bench times UsePreallocDo of the case. The bytes of the inputs and the output are its traffic,
// unless the caller sets another figure with b.SetBytes after it.
func Bench(b *testing.B, c Case) {
	b.Helper()
	op, err := c.op()
	if err != nil {
		b.Fatal(err)
	}
	do, ok := op.(gorgonia.UsePreallocDoer)
	if !ok {
		b.Fatalf("%v has no UsePreallocDo", op)
	}
	inputs := toValues(c.Inputs)
	output, err := call(op, inputs)
	if err != nil {
		b.Fatal(err)
	}
	traffic := int64(output.MemSize())
	for _, in := range c.Inputs {
		traffic += int64(in.MemSize())
	}
	b.SetBytes(traffic)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := do.UsePreallocDo(output, inputs...); err != nil {
			b.Fatal(err)
		}
	}
}

// Normal returns a tensor of normally distributed numbers, or for integers of numbers from −8 to 8,
// or for bools of coin tosses. The seed determines them.
func Normal(seed uint64, dtype tensor.Dtype, shape ...int) *tensor.Dense {
	rng := rand.New(rand.NewPCG(seed, 0))
	d := tensor.New(tensor.Of(dtype), tensor.WithShape(shape...))
	switch s := slice(d).(type) {
	case []float32:
		fill(s, func() float32 { return float32(rng.NormFloat64()) })
	case []float64:
		fill(s, rng.NormFloat64)
	case []int32:
		fill(s, func() int32 { return rng.Int32N(17) - 8 })
	case []int64:
		fill(s, func() int64 { return rng.Int64N(17) - 8 })
	case []bool:
		fill(s, func() bool { return rng.IntN(2) == 0 })
	default:
		panic(fmt.Sprintf("optest: no random numbers of dtype %v", dtype))
	}
	return d
}

func fill[E any](s []E, next func() E) {
	for i := range s {
		s[i] = next()
	}
}

// slice returns the backing array of d, also of one element, for which Data returns a scalar.
func slice(d *tensor.Dense) any {
	switch d.Dtype() {
	case tensor.Float32:
		return d.Float32s()
	case tensor.Float64:
		return d.Float64s()
	case tensor.Int32:
		return d.Int32s()
	case tensor.Int64:
		return d.Int64s()
	case tensor.Int:
		return d.Ints()
	case tensor.Uint8:
		return d.Uint8s()
	case tensor.Bool:
		return d.Bools()
	}
	return nil
}

// node returns the op on a graph of its own, and the graph's input nodes.
func (c *Case) node(build Builder) (inputs gorgonia.Nodes, output *gorgonia.Node, err error) {
	inputs = nodes(gorgonia.NewGraph(), c.Inputs)
	if output, err = build(inputs...); err != nil {
		return nil, nil, err
	}
	if output.Op() == nil {
		return nil, nil, errors.New("the node that Build returned has no op")
	}
	return inputs, output, nil
}

func (c *Case) op() (gorgonia.Op, error) {
	_, n, err := c.node(c.Build)
	if err != nil {
		return nil, err
	}
	return n.Op(), nil
}

// nodes makes an input node for each value.
func nodes(g *gorgonia.ExprGraph, values []*tensor.Dense) gorgonia.Nodes {
	ns := make(gorgonia.Nodes, len(values))
	for i, v := range values {
		// Nodes of one name, type and shape are merged: each needs a name of its own.
		ns[i] = gorgonia.NewTensor(g, v.Dtype(), v.Dims(), gorgonia.WithName(fmt.Sprintf("input%d", i)),
			gorgonia.WithShape(v.Shape().Clone()...), gorgonia.WithValue(v))
	}
	return ns
}

func toValues(ds []*tensor.Dense) []gorgonia.Value {
	vs := make([]gorgonia.Value, len(ds))
	for i, d := range ds {
		vs[i] = d
	}
	return vs
}

// call calls Do, with a panic as an error.
func call(op gorgonia.Op, inputs []gorgonia.Value) (v gorgonia.Value, err error) {
	defer catch(&err)
	return op.Do(inputs...)
}

func callPrealloc(op gorgonia.UsePreallocDoer, output gorgonia.Value, inputs []gorgonia.Value) (v gorgonia.Value, err error) {
	defer catch(&err)
	return op.UsePreallocDo(output, inputs...)
}

var errPanic = errors.New("panic")

func catch(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("%w: %v", errPanic, p)
	}
}
