package ops

import (
	"fmt"
	"slices"
	"strings"

	"github.com/chewxy/hm"
	"github.com/sparsegonia/sparsegonia/ops/activation"
	"github.com/sparsegonia/sparsegonia/ops/weights"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// spec describes an input or the output of an op. Graphs have static shapes, so all of it is known
// when an op is built.
type spec struct {
	name  string
	dtype tensor.Dtype
	shape tensor.Shape
}

// newSpec describes the value of node n, the input called name.
func newSpec(name string, n *gorgonia.Node) (spec, error) {
	if n == nil {
		return spec{}, fmt.Errorf("%s is nil", name)
	}
	typ, ok := n.Type().(gorgonia.TensorType)
	if !ok {
		return spec{}, fmt.Errorf("%s is a %v, want a vector or a matrix", name, n.Type())
	}
	dtype, ok := typ.Of.(tensor.Dtype)
	if !ok {
		return spec{}, fmt.Errorf("%s has the open type %v", name, typ)
	}
	shape := n.Shape()
	if len(shape) != typ.Dims || len(shape) == 0 {
		return spec{}, fmt.Errorf("%s is a %v of shape %v", name, typ, shape)
	}
	for _, dim := range shape {
		if dim < 1 {
			return spec{}, fmt.Errorf("%s has shape %v", name, shape)
		}
	}
	return spec{name, dtype, shape}, nil
}

// rows and cols see a vector as a matrix of one row. The zero spec, of an input with an error, has
// neither.
func (o spec) rows() int {
	switch len(o.shape) {
	case 0:
		return 0
	case 1:
		return 1
	}
	return o.shape[0]
}

func (o spec) cols() int {
	if len(o.shape) == 0 {
		return 0
	}
	return o.shape[len(o.shape)-1]
}

// as returns o with another name.
func (o spec) as(name string) spec { return spec{name, o.dtype, o.shape.Clone()} }

// withCols returns o with another name and another number of columns.
func (o spec) withCols(name string, cols int) spec {
	o = o.as(name)
	if len(o.shape) > 0 {
		o.shape[len(o.shape)-1] = cols
	}
	return o
}

func (o spec) typ() hm.Type { return gorgonia.TensorType{Dims: len(o.shape), Of: o.dtype} }

func (o spec) String() string { return fmt.Sprintf("%s %v%v", o.name, o.dtype, []int(o.shape)) }

// The checks named want are for the builders.

func (o spec) wantDtype(dtypes ...tensor.Dtype) error {
	if slices.Contains(dtypes, o.dtype) {
		return nil
	}
	names := make([]string, len(dtypes))
	for i, d := range dtypes {
		names[i] = fmt.Sprint(d) // String of the zero Dtype panics
	}
	return fmt.Errorf("%s has dtype %v, want %s", o.name, o.dtype, strings.Join(names, ", "))
}

func (o spec) wantRows() error {
	if len(o.shape) > 2 {
		return fmt.Errorf("%s has shape %v, want a vector or a matrix", o.name, o.shape)
	}
	return nil
}

func (o spec) wantShape(shape ...int) error {
	if !sameShape(o.shape, shape) {
		return fmt.Errorf("%s has shape %v, want %v", o.name, o.shape, tensor.Shape(shape))
	}
	return nil
}

func (o spec) wantVector() error {
	if len(o.shape) != 1 {
		return fmt.Errorf("%s has shape %v, want a vector", o.name, o.shape)
	}
	return nil
}

func (o spec) wantMatrix() error {
	if len(o.shape) != 2 {
		return fmt.Errorf("%s has shape %v, want a matrix", o.name, o.shape)
	}
	return nil
}

func (o spec) wantCols(cols int) error {
	if o.cols() != cols {
		return fmt.Errorf("%s has rows of length %d, want %d", o.name, o.cols(), cols)
	}
	return nil
}

// wantRange checks a list of indices at run time: each is −1, or less than limit.
func (o *spec) wantRange(indices []int32, limit int) error {
	for i, index := range indices {
		if index < -1 || int(index) >= limit {
			return fmt.Errorf("%s[%d] is %d, want −1 to %d", o.name, i, index, limit-1)
		}
	}
	return nil
}

// sameShape is stricter than Shape.Eq, for which a vector equals a matrix of one row or column.
func sameShape(a, b []int) bool { return slices.Equal(a, b) }

// checkDims checks a shape for InferShape.
func (o spec) checkDims(d gorgonia.DimSizer) error {
	switch d := d.(type) {
	case nil:
		return fmt.Errorf("%s has no shape", o.name)
	case tensor.Shape:
		if !sameShape(d, o.shape) {
			return fmt.Errorf("%s has shape %v, the op was built for %v", o.name, d, o.shape)
		}
	default:
		for i, want := range o.shape {
			got, err := d.DimSize(i)
			if err != nil {
				return fmt.Errorf("%s: %w", o.name, err)
			}
			if got != want {
				return fmt.Errorf("%s has %d entries in dimension %d, the op was built for %d", o.name, got, i, want)
			}
		}
	}
	return nil
}

// newTensor allocates a value.
func (o *spec) newTensor() *tensor.Dense {
	return tensor.New(tensor.Of(o.dtype), tensor.WithShape(o.shape.Clone()...))
}

// dense returns v as the tensor that o describes.
func (o *spec) dense(v gorgonia.Value) (*tensor.Dense, error) {
	d, ok := v.(*tensor.Dense)
	switch {
	case !ok || d == nil:
		return nil, fmt.Errorf("%s is a %T, want a *tensor.Dense", o.name, v)
	case d.Dtype() != o.dtype:
		return nil, fmt.Errorf("%s has dtype %v, the op was built for %v", o.name, d.Dtype(), o.dtype)
	case !sameShape(d.Shape(), o.shape):
		return nil, fmt.Errorf("%s has shape %v, the op was built for %v", o.name, d.Shape(), o.shape)
	case len(d.Strides()) != len(o.shape):
		return nil, fmt.Errorf("%s has %d strides for %d dimensions", o.name, len(d.Strides()), len(o.shape))
	case d.IsMasked():
		return nil, fmt.Errorf("%s is a masked tensor", o.name)
	case !d.IsNativelyAccessible():
		return nil, fmt.Errorf("%s is not in memory that Go can read", o.name)
	}
	return d, nil
}

// elements returns the backing array of d, whose dtype is E. It allocates nothing, unlike Data.
func elements[E weights.Elem](d *tensor.Dense) (s []E) {
	switch s := any(&s).(type) {
	case *[]float32:
		*s = d.Float32s()
	case *[]float64:
		*s = d.Float64s()
	case *[]int32:
		*s = d.Int32s()
	case *[]int64:
		*s = d.Int64s()
	}
	return s
}

// numeric lists the dtypes of activations, one for each weights.Elem.
var numeric = []tensor.Dtype{tensor.Float32, tensor.Float64, tensor.Int32, tensor.Int64}

// computeDtype returns the tensor dtype of the activations that go with weights of dtype d.
func computeDtype(d weights.Dtype) tensor.Dtype {
	switch d.Compute() {
	case weights.F64:
		return tensor.Float64
	case weights.Int32:
		return tensor.Int32
	case weights.Int64:
		return tensor.Int64
	default:
		return tensor.Float32
	}
}

func checkActivation(a activation.Func, dtype tensor.Dtype) error {
	if _, err := activation.Parse(a.String()); err != nil {
		return fmt.Errorf("unknown activation %d", a)
	}
	if (dtype == tensor.Int32 || dtype == tensor.Int64) && !a.SupportsIntegers() {
		return fmt.Errorf("activation %v has no meaning for %v", a, dtype)
	}
	return nil
}
