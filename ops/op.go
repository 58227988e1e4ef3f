package ops

import (
	"errors"
	"fmt"
	"hash"
	"hash/fnv"
	"strings"

	"github.com/chewxy/hm"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/sparsegonia/sparsegonia/ops/kernel"
)

// Option is an option of an op's builder.
type Option func(*options)

type options struct{ pool *kernel.Pool }

// WithPool runs the op's kernel on p instead of on kernel.DefaultPool.
func WithPool(p *kernel.Pool) Option { return func(o *options) { o.pool = p } }

func newOptions(opts []Option) (o options) {
	for _, opt := range opts {
		opt(&o)
	}
	return o
}

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

// Checks of operands, used by the builders.

func (o operand) wantDtype(dtypes ...tensor.Dtype) error {
	for _, d := range dtypes {
		if o.dtype == d {
			return nil
		}
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
func sameShape(a, b []int) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// signature is the part of an op that depends only on what it takes and gives. Every op embeds one and adds Do,
// UsePreallocDo, WriteHash and Hashcode.
type signature struct {
	name string
	in   []operand
	out  operand
}

// newSignature describes the inputs, whose names are the space-separated words of names.
func newSignature(name, names string, nodes ...*gorgonia.Node) (signature, error) {
	s := signature{name: name, in: make([]operand, len(nodes))}
	for i, inputName := range strings.Fields(names)[:len(nodes)] {
		var err error
		if s.in[i], err = newOperand(inputName, nodes[i]); err != nil {
			return s, s.wrap(err)
		}
	}
	return s, nil
}

func (s *signature) wrap(err error) error { return fmt.Errorf("ops: %s: %w", s.name, err) }

func (s *signature) errorf(format string, args ...any) error {
	return s.wrap(fmt.Errorf(format, args...))
}

// Arity is the number of inputs.
func (s *signature) Arity() int { return len(s.in) }

// Type is the function type over the exact tensor types that the op was built for.
func (s *signature) Type() hm.Type {
	types := make([]hm.Type, 0, len(s.in)+1)
	for _, in := range s.in {
		types = append(types, in.typ())
	}
	return hm.NewFnType(append(types, s.out.typ())...)
}

// InferShape gives the shape of the output; the inputs must have the shapes that the op was built for.
func (s *signature) InferShape(in ...gorgonia.DimSizer) (tensor.Shape, error) {
	if len(in) != len(s.in) {
		return nil, s.errorf("got the shapes of %d inputs, want %d", len(in), len(s.in))
	}
	for i, want := range s.in {
		if err := want.checkDims(in[i]); err != nil {
			return nil, s.wrap(err)
		}
	}
	return s.out.shape.Clone(), nil
}

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

// ReturnsPtr and CallsExtern are both true because Gorgonia's tape machine calls UsePreallocDo only then.
func (s *signature) ReturnsPtr() bool { return true }

// CallsExtern is explained at ReturnsPtr.
func (s *signature) CallsExtern() bool { return true }

// OverwritesInput is −1: no op writes into an input.
func (s *signature) OverwritesInput() int { return -1 }

// DiffWRT tells that the op has no gradient. Gorgonia needs to be told: of an op without the method it assumes one.
func (s *signature) DiffWRT(inputs int) []bool { return make([]bool, inputs) }

// SymDiff gives the error that there is no gradient.
func (s *signature) SymDiff(gorgonia.Nodes, *gorgonia.Node, *gorgonia.Node) (gorgonia.Nodes, error) {
	return nil, s.wrap(errNoGradient)
}

var errNoGradient = errors.New("the op has no gradient")

func (s *signature) String() string {
	in := make([]string, len(s.in))
	for i, o := range s.in {
		in[i] = o.String()
	}
	return fmt.Sprintf("%s(%s) → %v", s.name, strings.Join(in, ", "), s.out)
}

// writeHash writes what distinguishes one signature from another.
func (s *signature) writeHash(h hash.Hash) { fmt.Fprintf(h, "sparsegonia %v", s) }

func hashcode(op gorgonia.Op) uint32 {
	h := fnv.New32a()
	op.WriteHash(h)
	return h.Sum32()
}

// newOutput allocates a value for the output.
func (s *signature) newOutput() *tensor.Dense { return s.out.newTensor() }

func (o *operand) newTensor() *tensor.Dense {
	return tensor.New(tensor.Of(o.dtype), tensor.WithShape(o.shape.Clone()...))
}

const maxInputs = 5

// values are the tensors of one run of an op, checked.
type values struct {
	y  *tensor.Dense
	in [maxInputs]*tensor.Dense
}

// bind checks that the output and the inputs are what the op was built for. Inputs that do not lie in row-major order,
// such as transposes and slices of columns, are copied.
func (s *signature) bind(v *values, output gorgonia.Value, inputs []gorgonia.Value) error {
	if len(inputs) != len(s.in) {
		return s.errorf("got %d inputs, want %d", len(inputs), len(s.in))
	}
	y, err := s.out.dense(output)
	if err != nil {
		return s.wrap(err)
	}
	if !rowMajor(y) {
		return s.errorf("%s is not in row-major order", s.out.name)
	}
	v.y = y
	for i, in := range s.in {
		x, err := in.dense(inputs[i])
		if err != nil {
			return s.wrap(err)
		}
		if overlap(x, y) {
			return s.errorf("%s and %s share memory", in.name, s.out.name)
		}
		if !rowMajor(x) {
			x = in.rowMajorCopy(x)
		}
		v.in[i] = x
	}
	return nil
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
	if len(shape) != len(strides) {
		return false
	}
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
func elements[E kernel.Elem](d *tensor.Dense) (s []E) {
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
func computeDtype(d kernel.Dtype) tensor.Dtype {
	switch d.Compute() {
	case kernel.F64:
		return tensor.Float64
	case kernel.Int32:
		return tensor.Int32
	case kernel.Int64:
		return tensor.Int64
	default:
		return tensor.Float32
	}
}

func checkActivation(a kernel.Activation, dtype tensor.Dtype) error {
	if _, err := kernel.ParseActivation(a.String()); err != nil {
		return fmt.Errorf("unknown activation %d", a)
	}
	if (dtype == tensor.Int32 || dtype == tensor.Int64) && !a.SupportsIntegers() {
		return fmt.Errorf("activation %v has no meaning for %v", a, dtype)
	}
	return nil
}
