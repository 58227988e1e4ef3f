package optest

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// checkWrong passes the op inputs that it was not built for. Nothing may panic, and Do must refuse
// what Gorgonia's ApplyOp refuses.
func checkWrong(c *Case, op gorgonia.Op) error {
	var errs []error
	fail := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }

	for _, name := range slices.Sorted(maps.Keys(c.Invalid)) {
		if _, err := call(op, toValues(c.Invalid[name])); err == nil || errors.Is(err, errPanic) {
			fail("invalid inputs %q: want an error, got %v", name, err)
		}
	}

	counts := [][]*tensor.Dense{nil, append(slices.Clone(c.Inputs), c.Inputs[0])}
	for n := 1; n < len(c.Inputs); n++ {
		counts = append(counts, c.Inputs[:n])
	}
	for _, inputs := range counts {
		if _, err := call(op, toValues(inputs)); op.Arity() >= 0 && err == nil || errors.Is(err, errPanic) {
			fail("%d inputs instead of %d: want an error, got %v", len(inputs), len(c.Inputs), err)
		}
		if _, err := inferShape(op, dimSizers(inputs)); op.Arity() >= 0 && err == nil || errors.Is(err, errPanic) {
			fail("InferShape of %d inputs instead of %d: want an error, got %v", len(inputs), len(c.Inputs), err)
		}
	}

	for i, in := range c.Inputs {
		for name, value := range misfits(in) {
			inputs := toValues(c.Inputs)
			inputs[i] = value
			v, err := call(op, inputs)
			switch {
			case errors.Is(err, errPanic):
				fail("input %d %s: %w", i, name, err)
			case err == nil && !accepted(op, inputs):
				fail("input %d %s: want an error, got a value of shape %v", i, name, v.Shape())
			}
			d, ok := value.(*tensor.Dense)
			if !ok || d == nil {
				continue
			}
			sizers := dimSizers(c.Inputs)
			sizers[i] = d.Shape().Clone()
			if _, err := inferShape(op, sizers); errors.Is(err, errPanic) {
				fail("InferShape, input %d %s: %w", i, name, err)
			}
		}
	}
	if pre, ok := op.(gorgonia.UsePreallocDoer); ok {
		want, err := do(op, c.Inputs)
		if err != nil {
			return err
		}
		for name, value := range misfits(want) {
			v, err := callPrealloc(pre, value, toValues(c.Inputs))
			switch got, ok := v.(*tensor.Dense); {
			case errors.Is(err, errPanic):
				fail("output %s: %w", name, err)
			case err == nil && (!ok || compare(got, want, 0) != nil):
				fail("output %s: want an error or the right value, got %v", name, v)
			}
		}
	}
	return errors.Join(errs...)
}

// misfits returns values of other kinds, dtypes, ranks and sizes than d.
func misfits(d *tensor.Dense) map[string]gorgonia.Value {
	other := tensor.Float64
	if d.Dtype() == other {
		other = tensor.Float32
	}
	shape := d.Shape()
	tall, wide := shape.Clone(), shape.Clone()
	tall[0]++
	wide[len(wide)-1]++
	return map[string]gorgonia.Value{
		"nil":                   nil,
		"a nil tensor":          (*tensor.Dense)(nil),
		"a scalar":              gorgonia.NewF32(1),
		"of another dtype":      tensor.New(tensor.Of(other), tensor.WithShape(shape.Clone()...)),
		"of bytes":              tensor.New(tensor.Of(tensor.Uint8), tensor.WithShape(shape.Clone()...)),
		"with an axis more":     tensor.New(tensor.Of(d.Dtype()), tensor.WithShape(append(tensor.Shape{1}, shape...)...)),
		"with more rows":        tensor.New(tensor.Of(d.Dtype()), tensor.WithShape(tall...)),
		"with more columns":     tensor.New(tensor.Of(d.Dtype()), tensor.WithShape(wide...)),
		"with a single element": tensor.New(tensor.Of(d.Dtype()), tensor.WithShape(1)),
	}
}

// accepted reports whether Gorgonia lets op be applied to inputs like these.
func accepted(op gorgonia.Op, inputs []gorgonia.Value) bool {
	ds := make([]*tensor.Dense, len(inputs))
	for i, in := range inputs {
		d, ok := in.(*tensor.Dense)
		if !ok || d == nil {
			return false
		}
		ds[i] = d
	}
	_, err := gorgonia.ApplyOp(op, nodes(gorgonia.NewGraph(), ds)...)
	return err == nil
}

func inferShape(op gorgonia.Op, sizers []gorgonia.DimSizer) (shape tensor.Shape, err error) {
	defer catch(&err)
	return op.InferShape(sizers...)
}
