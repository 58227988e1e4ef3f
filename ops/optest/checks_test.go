package optest

import (
	"errors"
	"fmt"
	"hash"
	"hash/fnv"
	"math"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"github.com/chewxy/hm"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// double is an op that is right, y = 2·x for float64 matrices. Its fields make it wrong.
type double struct {
	arity     int
	overwrite int
	typ       func() hm.Type
	shape     func(tensor.Shape) tensor.Shape
	do        func(op *double, x *tensor.Dense) (gorgonia.Value, error)
	prealloc  func(y, x *tensor.Dense) (gorgonia.Value, error)
	unchecked bool
	hash      string
	gradient  float64 // factor of the gradient, 0: none
	symDiff   bool    // gives a gradient though DiffWRT says that there is none
	state     []float64
}

func (op *double) Arity() int { return op.arity }

func (op *double) Type() hm.Type {
	if op.typ != nil {
		return op.typ()
	}
	m := gorgonia.TensorType{Dims: 2, Of: tensor.Float64}
	return hm.NewFnType(m, m)
}

func (op *double) InferShape(in ...gorgonia.DimSizer) (tensor.Shape, error) {
	if len(in) != 1 && !op.unchecked {
		return nil, errors.New("want one input")
	}
	s := in[0].(tensor.Shape)
	if op.shape != nil {
		return op.shape(s), nil
	}
	if len(s) != 2 {
		return nil, errors.New("want a matrix")
	}
	return s.Clone(), nil
}

func (op *double) Do(in ...gorgonia.Value) (gorgonia.Value, error) {
	if !op.unchecked {
		if len(in) != 1 {
			return nil, errors.New("want one input")
		}
		if x, ok := in[0].(*tensor.Dense); !ok || x == nil || x.Dtype() != tensor.Float64 || x.Dims() != 2 {
			return nil, errors.New("want a float64 matrix")
		}
	}
	x := in[0].(*tensor.Dense)
	if op.do != nil {
		return op.do(op, x)
	}
	return op.right(x), nil
}

// right is 2·x. It goes through the iterator, for x may be a view.
func (op *double) right(x *tensor.Dense) *tensor.Dense {
	y := tensor.New(tensor.Of(tensor.Float64), tensor.WithShape(x.Shape().Clone()...))
	it, at := x.Iterator(), 0
	for i, err := it.Next(); err == nil; i, err = it.Next() {
		y.Float64s()[at] = 2 * x.Float64s()[i]
		at++
	}
	return y
}

func (op *double) UsePreallocDo(output gorgonia.Value, in ...gorgonia.Value) (gorgonia.Value, error) {
	y, ok := output.(*tensor.Dense)
	if !op.unchecked {
		if len(in) != 1 {
			return nil, errors.New("want one input")
		}
		if !ok || y == nil || y.Dtype() != tensor.Float64 || !y.Shape().Eq(in[0].Shape()) {
			return nil, errors.New("want an output like the input")
		}
	}
	x := in[0].(*tensor.Dense)
	if op.prealloc != nil {
		return op.prealloc(y, x)
	}
	for i, v := range x.Float64s() {
		y.Float64s()[i] = 2 * v
	}
	return y, nil
}

func (op *double) ReturnsPtr() bool      { return true }
func (op *double) CallsExtern() bool     { return true }
func (op *double) OverwritesInput() int  { return op.overwrite }
func (op *double) String() string        { return "Double" + op.hash }
func (op *double) WriteHash(h hash.Hash) { fmt.Fprint(h, op.String()) }

func (op *double) Hashcode() uint32 {
	h := fnv.New32a()
	op.WriteHash(h)
	return h.Sum32()
}

func (op *double) DiffWRT(int) []bool { return []bool{op.gradient != 0} }

func (op *double) SymDiff(in gorgonia.Nodes, output, grad *gorgonia.Node) (gorgonia.Nodes, error) {
	if op.gradient == 0 && !op.symDiff {
		return nil, errors.New("no gradient")
	}
	factor := gorgonia.NewConstant(op.gradient, gorgonia.WithName("factor"))
	n, err := gorgonia.HadamardProd(grad, factor)
	return gorgonia.Nodes{n}, err
}

func doubleCase(change func(op *double)) Case {
	return Case{
		Build: func(in ...*gorgonia.Node) (*gorgonia.Node, error) {
			op := &double{arity: 1, overwrite: -1, gradient: 2}
			change(op)
			return gorgonia.ApplyOp(op, in[0])
		},
		Inputs: []*tensor.Dense{Normal(1, tensor.Float64, 3, 4)},
		Reference: func(in ...*tensor.Dense) (*tensor.Dense, error) {
			return (&double{}).right(in[0]), nil
		},
		Variants: []Builder{func(in ...*gorgonia.Node) (*gorgonia.Node, error) {
			return gorgonia.ApplyOp(&double{arity: 1, overwrite: -1, hash: "other"}, in[0])
		}},
	}
}

// failed are the names of the checks that the case fails.
func failed(c Case) (names []string, text string) {
	var all []string
	for _, check := range checks {
		if err := check.do(&c); err != nil && !errors.Is(err, errNotApplicable) {
			names = append(names, check.name)
			all = append(all, err.Error())
		}
	}
	return names, strings.Join(all, "\n")
}

func TestRightOpPasses(t *testing.T) {
	names, text := failed(doubleCase(func(*double) {}))
	assert.Empty(t, names, text)
	assert.NoError(t, Check(doubleCase(func(*double) {})))
	Run(t, doubleCase(func(*double) {}))
}

// Every mistake that an op can make is found by the check that looks for it.
func TestWrongOpsFail(t *testing.T) {
	var global []float64
	for name, c := range map[string]struct {
		change func(op *double)
		check  string
		text   string
	}{
		"wrong value": {func(op *double) {
			op.do = func(op *double, x *tensor.Dense) (gorgonia.Value, error) {
				y := op.right(x)
				y.Float64s()[5]++
				return y, nil
			}
		}, "Reference", "element 5"},
		"NaN": {func(op *double) {
			op.do = func(op *double, x *tensor.Dense) (gorgonia.Value, error) {
				y := op.right(x)
				y.Float64s()[0] = math.NaN()
				return y, nil
			}
		}, "Reference", "got NaN"},
		"wrong dtype": {func(op *double) {
			op.do = func(*double, *tensor.Dense) (gorgonia.Value, error) { return Normal(1, tensor.Float32, 3, 4), nil }
		}, "Reference", "got dtype float32"},
		"wrong shape": {func(op *double) {
			op.do = func(*double, *tensor.Dense) (gorgonia.Value, error) { return Normal(1, tensor.Float64, 4, 3), nil }
		}, "Reference", "got shape (4, 3)"},
		"scalar": {func(op *double) {
			op.do = func(*double, *tensor.Dense) (gorgonia.Value, error) { return gorgonia.NewF64(1), nil }
		}, "Reference", "got a *gorgonia.F64 from Do"},
		"panic": {func(op *double) {
			op.do = func(*double, *tensor.Dense) (gorgonia.Value, error) { panic("oh") }
		}, "Reference", "panic: oh"},
		"arity":                    {func(op *double) { op.arity = -1 }, "", ""},
		"overwrites a third input": {func(op *double) { op.overwrite = 2 }, "Declarations", "OverwritesInput is 2"},
		"inferred shape": {func(op *double) {
			op.shape = func(s tensor.Shape) tensor.Shape { return tensor.Shape{s[0], s[1] + 1} }
		}, "Declarations", "InferShape returned (3, 5)"},
		"declared type": {func(op *double) {
			op.typ = func() hm.Type {
				return hm.NewFnType(gorgonia.TensorType{Dims: 2, Of: tensor.Float64}, gorgonia.TensorType{Dims: 2, Of: tensor.Float32})
			}
		}, "Declarations", "the node has type Matrix float32"},
		"prealloc differs": {func(op *double) {
			op.prealloc = func(y, x *tensor.Dense) (gorgonia.Value, error) { return y, nil }
		}, "Prealloc", "UsePreallocDo against Do"},
		"prealloc is not used": {func(op *double) {
			op.prealloc = func(y, x *tensor.Dense) (gorgonia.Value, error) { return x, nil }
		}, "Prealloc", "another value"},
		"writes outside": {func(op *double) {
			op.prealloc = func(y, x *tensor.Dense) (gorgonia.Value, error) {
				s := y.Float64s()
				if math.Float64bits(s[0]) == 0xa5a5a5a5a5a5a5a5 { // the guarded output: elsewhere this would do harm
					*(*float64)(unsafe.Add(unsafe.Pointer(&s[len(s)-1]), 8)) = 1
				}
				for i, v := range x.Float64s() {
					s[i] = 2 * v
				}
				return y, nil
			}
		}, "Prealloc", "outside the output"},
		"ignores strides": {func(op *double) {
			op.do = func(_ *double, x *tensor.Dense) (gorgonia.Value, error) {
				y := tensor.New(tensor.Of(tensor.Float64), tensor.WithShape(x.Shape().Clone()...))
				for i := range y.Float64s() {
					y.Float64s()[i] = 2 * x.Float64s()[i]
				}
				return y, nil
			}
		}, "Layout", "input 0 transposed"},
		"changes the input": {func(op *double) {
			op.do = func(op *double, x *tensor.Dense) (gorgonia.Value, error) {
				y := op.right(x)
				x.Float64s()[0] *= 1.5
				return y, nil
			}
		}, "Inputs", "input 0 was changed by Do"},
		"aliases the input": {func(op *double) {
			op.do = func(_ *double, x *tensor.Dense) (gorgonia.Value, error) { return x, nil }
		}, "Inputs", "shares memory"},
		"has memory": {func(op *double) {
			op.do = func(op *double, x *tensor.Dense) (gorgonia.Value, error) {
				y := op.right(x)
				op.state = append(op.state, 1)
				y.Float64s()[0] += float64(len(op.state)) * 1e-9
				return y, nil
			}
		}, "Repeat", "run 1 against the first"},
		"shares memory between instances": {func(op *double) {
			op.do = func(op *double, x *tensor.Dense) (gorgonia.Value, error) {
				global = append(global, 1)
				y := op.right(x)
				y.Float64s()[0] += float64(len(global)) * 1e-9
				return y, nil
			}
		}, "Concurrent", "element 0"},
		"hash lacks an option": {func(op *double) { op.hash = "other" }, "Hash", "the op and variant 0 have the same hash"},
		"checks nothing":       {func(op *double) { op.unchecked = true }, "Wrong", "panic"},
		"allocates": {func(op *double) {
			op.prealloc = func(y, x *tensor.Dense) (gorgonia.Value, error) {
				global = make([]float64, len(x.Float64s()))
				for i, v := range x.Float64s() {
					y.Float64s()[i] = 2 * v
				}
				return y, nil
			}
		}, "Allocations", "1 allocations a run"},
		"wrong gradient":    {func(op *double) { op.gradient = 1.9 }, "Gradient", "gradient for input 0"},
		"hidden gradient":   {func(op *double) { op.gradient, op.symDiff = 0, true }, "Gradient", "SymDiff returns one"},
		"admits to have no": {func(op *double) { op.gradient = 0 }, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			if raceEnabled && slices.Contains([]string{"Inputs", "Concurrent", "Allocations"}, c.check) {
				t.Skip("the mistake is a race too, or is not looked for when the race detector allocates")
			}
			names, text := failed(doubleCase(c.change))
			if c.check == "" {
				assert.Empty(t, names, text)
				return
			}
			assert.Contains(t, names, c.check, text)
			assert.Contains(t, text, c.text)
		})
	}
}

func TestWrongCasesFail(t *testing.T) {
	right := doubleCase(func(*double) {})
	for name, c := range map[string]struct {
		change func(c *Case)
		text   string
	}{
		"no reference":        {func(c *Case) { c.Reference = nil }, "no Reference"},
		"failing reference":   {func(c *Case) { c.Reference = failingReference }, "calling Reference: cannot"},
		"failing build":       {func(c *Case) { c.Build = failingBuild }, "cannot"},
		"build of an input":   {func(c *Case) { c.Build = func(in ...*gorgonia.Node) (*gorgonia.Node, error) { return in[0], nil } }, "the node that Build returned has no op"},
		"failing variant":     {func(c *Case) { c.Variants = []Builder{failingBuild} }, "variant 0: cannot"},
		"same variant":        {func(c *Case) { c.Variants = []Builder{c.Build} }, "the graph merged the op and variant 0"},
		"stateful without":    {func(c *Case) { c.Stateful = true }, "different captured state have the same hash"},
		"invalid is accepted": {func(c *Case) { c.Invalid = map[string][]*tensor.Dense{"fine": c.Inputs} }, `invalid inputs "fine": want an error`},
	} {
		t.Run(name, func(t *testing.T) {
			changed := right
			c.change(&changed)
			assert.ErrorContains(t, Check(changed), c.text)
		})
	}
}

func failingReference(...*tensor.Dense) (*tensor.Dense, error) { return nil, errors.New("cannot") }

func failingBuild(...*gorgonia.Node) (*gorgonia.Node, error) { return nil, errors.New("cannot") }

func TestCompare(t *testing.T) {
	inf, nan := math.Inf(1), math.NaN()
	d := func(values ...float64) *tensor.Dense {
		return tensor.New(tensor.WithShape(len(values)), tensor.WithBacking(values))
	}
	for name, c := range map[string]struct {
		got, want *tensor.Dense
		tolerance float64
		equal     bool
	}{
		"equal":               {d(1, 2), d(1, 2), 0, true},
		"within":              {d(1, 2.01), d(1, 2), 0.01, true},
		"relative to all":     {d(0.5, 100), d(0, 100), 0.01, true},
		"beyond":              {d(1, 2.1), d(1, 2), 0.01, false},
		"NaN is NaN":          {d(nan, 1), d(nan, 1), 0, true},
		"NaN for a number":    {d(nan, 1), d(1, 1), inf, false},
		"a number for NaN":    {d(1, 1), d(nan, 1), 1, false},
		"infinities":          {d(inf, -inf), d(inf, -inf), 0, true},
		"another infinity":    {d(inf, 1), d(-inf, 1), 1, false},
		"infinity for 1":      {d(inf, 1), d(1, 1), 1, false},
		"tolerance is finite": {d(1, 1), d(inf, 1), 1, false},
	} {
		t.Run(name, func(t *testing.T) {
			err := compare(c.got, c.want, c.tolerance)
			assert.Equal(t, c.equal, err == nil, "%v", err)
		})
	}
}

func TestViews(t *testing.T) {
	d := Normal(1, tensor.Float64, 3, 5)
	for name, view := range map[string]func(*tensor.Dense) (*tensor.Dense, error){
		"transposed": transposed, "column-sliced": columnSliced,
	} {
		v, err := view(d)
		require.NoError(t, err)
		require.Equal(t, d.Shape(), v.Shape(), name)
		assert.True(t, v.RequiresIterator(), name)
		for i := range 3 {
			for j := range 5 {
				got, err := v.At(i, j)
				require.NoError(t, err)
				assert.Equal(t, d.Float64s()[i*5+j], got, name)
			}
		}
	}
}

func TestColumn(t *testing.T) {
	d := Normal(1, tensor.Int32, 4)
	v, err := column(d)
	require.NoError(t, err)
	require.Equal(t, d.Shape(), v.Shape())
	assert.Equal(t, []int{3}, v.Strides())
	for i, want := range d.Int32s() {
		got, err := v.At(i)
		require.NoError(t, err)
		assert.Equal(t, want, got)
	}
}

func TestNormal(t *testing.T) {
	for _, dtype := range []tensor.Dtype{tensor.Float32, tensor.Float64, tensor.Int32, tensor.Int64, tensor.Bool} {
		a, b, other := Normal(1, dtype, 20, 3), Normal(1, dtype, 20, 3), Normal(2, dtype, 20, 3)
		assert.Equal(t, a.Raw, b.Raw, dtype)
		assert.NotEqual(t, a.Raw, other.Raw, dtype)
	}
	assert.Panics(t, func() { Normal(1, tensor.Complex64, 2) })
}
