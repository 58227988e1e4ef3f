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

// operand describes an input or the output of an op. Graphs have static shapes, so all of it is known when an op is
// built.
type operand struct {
	name  string
	dtype tensor.Dtype
	shape tensor.Shape
}

// newOperand describes the value of node n, the input called name.
func newOperand(name string, n *gorgonia.Node) (operand, error) {
	if n == nil {
		return operand{}, fmt.Errorf("%s is nil", name)
	}
	typ, ok := n.Type().(gorgonia.TensorType)
	if !ok {
		return operand{}, fmt.Errorf("%s is a %v, want a vector or a matrix", name, n.Type())
	}
	dtype, ok := typ.Of.(tensor.Dtype)
	if !ok {
		return operand{}, fmt.Errorf("%s has the open type %v", name, typ)
	}
	shape := n.Shape()
	if len(shape) != typ.Dims || len(shape) == 0 {
		return operand{}, fmt.Errorf("%s is a %v of shape %v", name, typ, shape)
	}
	for _, dim := range shape {
		if dim < 1 {
			return operand{}, fmt.Errorf("%s has shape %v", name, shape)
		}
	}
	return operand{name, dtype, shape}, nil
}

// rows and cols see a vector as a matrix of one row.
func (o operand) rows() int {
	if len(o.shape) == 1 {
		return 1
	}
	return o.shape[0]
}

func (o operand) cols() int { return o.shape[len(o.shape)-1] }

// withCols is o with another name and another number of columns.
func (o operand) withCols(name string, cols int) operand {
	shape := o.shape.Clone()
	shape[len(shape)-1] = cols
	return operand{name, o.dtype, shape}
}

func (o operand) typ() hm.Type { return gorgonia.TensorType{Dims: len(o.shape), Of: o.dtype} }

func (o operand) String() string { return fmt.Sprintf("%s %v%v", o.name, o.dtype, []int(o.shape)) }

// The checks named want are for the builders.

func (o operand) wantDtype(dtypes ...tensor.Dtype) error {
	if slices.Contains(dtypes, o.dtype) {
		return nil
	}
	names := make([]string, len(dtypes))
	for i, d := range dtypes {
		names[i] = d.String()
	}
	return fmt.Errorf("%s has dtype %v, want %s", o.name, o.dtype, strings.Join(names, ", "))
}

func (o operand) wantRows() error {
	if len(o.shape) > 2 {
		return fmt.Errorf("%s has shape %v, want a vector or a matrix", o.name, o.shape)
	}
	return nil
}

func (o operand) wantShape(shape ...int) error {
	if !sameShape(o.shape, shape) {
		return fmt.Errorf("%s has shape %v, want %v", o.name, o.shape, tensor.Shape(shape))
	}
	return nil
}

func (o operand) wantVector() error {
	if len(o.shape) != 1 {
		return fmt.Errorf("%s has shape %v, want a vector", o.name, o.shape)
	}
	return nil
}

func (o operand) wantMatrix() error {
	if len(o.shape) != 2 {
		return fmt.Errorf("%s has shape %v, want a matrix", o.name, o.shape)
	}
	return nil
}

func (o operand) wantCols(cols int) error {
	if o.cols() != cols {
		return fmt.Errorf("%s has rows of length %d, want %d", o.name, o.cols(), cols)
	}
	return nil
}

// wantRange checks a list of indices at run time: −1, or less than limit.
func (o *operand) wantRange(indices []int32, limit int) error {
	for i, index := range indices {
		if index < -1 || int(index) >= limit {
			return fmt.Errorf("%s[%d] is %d, want −1 to %d", o.name, i, index, limit-1)
		}
	}
	return nil
}

// first is the first error that is not nil.
func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// sameShape is stricter than Shape.Eq, for which a vector equals a matrix of one row or column.
func sameShape(a, b []int) bool { return slices.Equal(a, b) }

// checkDims is the check of InferShape.
func (o operand) checkDims(d gorgonia.DimSizer) error {
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
func (o *operand) newTensor() *tensor.Dense {
	return tensor.New(tensor.Of(o.dtype), tensor.WithShape(o.shape.Clone()...))
}

// dense is v as the tensor that o describes.
func (o *operand) dense(v gorgonia.Value) (*tensor.Dense, error) {
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

// rowMajor tells whether the elements of d are its backing array, in order.
func rowMajor(d *tensor.Dense) bool {
	shape, strides := d.Shape(), d.Strides()
	size := 1
	for i := len(shape) - 1; i >= 0; i-- {
		if shape[i] != 1 && strides[i] != size {
			return false
		}
		size *= shape[i]
	}
	return uintptr(size)*d.Dtype().Size() == d.MemSize()
}

func (o *operand) rowMajorCopy(d *tensor.Dense) *tensor.Dense {
	c := o.newTensor()
	gather(c.Raw, d.Raw, d.Shape(), d.Strides(), int(o.dtype.Size()))
	return c
}

// gather copies elements of the given size from strided to contiguous memory and returns what is left of to.
func gather(to, from []byte, shape, strides []int, size int) []byte {
	if len(shape) == 0 {
		return to[copy(to, from[:size]):]
	}
	for i := range shape[0] {
		to = gather(to, from[i*strides[0]*size:], shape[1:], strides[1:], size)
	}
	return to
}

func overlap(a, b *tensor.Dense) bool {
	a0, b0 := a.Uintptr(), b.Uintptr()
	return a0 < b0+b.MemSize() && b0 < a0+a.MemSize()
}

// elements is the backing array of d, whose dtype is E. It allocates nothing, unlike Data.
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

// numeric are the dtypes of activations, one for each kernel.Elem.
var numeric = []tensor.Dtype{tensor.Float32, tensor.Float64, tensor.Int32, tensor.Int64}

// computeDtype is the tensor dtype of the activations that go with weights of dtype d.
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
