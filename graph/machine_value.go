package graph

import (
	"errors"
	"fmt"
	"slices"
	"unsafe"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/sparsegonia/sparsegonia/ops"
)

// register holds the value of a node and passes it to the steps that use it.
type register struct {
	node  *gorgonia.Node
	value gorgonia.Value
	uses  []use
}

// use is an argument of a step.
type use struct {
	arg        *gorgonia.Value
	own        bool // the step has the value twice: an op that transposes one of them must not transpose the other
	transposed bool // the op reads transposed tensors as it should
}

func (u use) set(v gorgonia.Value) {
	if u.own {
		v = ownHeader(v)
	}
	*u.arg = v
}

func (r *register) set(v gorgonia.Value) {
	r.value = v
	for _, u := range r.uses {
		u.set(v)
	}
}

// input is a node that gets its value from outside.
type input struct {
	machine  *Machine
	register *register
	dtype    tensor.Dtype
	shape    tensor.Shape // nil if the graph does not say

	bound   gorgonia.Value // as of the last run
	data    uintptr        // of bound, if it is dense, as are
	dims    []int
	strides []int

	// ordered is a copy of bound in row-major order, made anew at every run, if steps need one.
	ordered *tensor.Dense
}

func newInput(m *Machine, r *register) (*input, error) {
	dtype, shape, err := typeOf(r.node)
	if err != nil {
		return nil, fmt.Errorf("%v: %w", describe(r.node), err)
	}
	if t, ok := r.node.Type().(gorgonia.TensorType); ok && len(shape) == 0 && t.Dims > 0 {
		shape = nil
	}
	return &input{machine: m, register: r, dtype: dtype, shape: shape}, nil
}

// load passes the value of the node to the steps that use it, if it is another one than in the last
// run.
func (in *input) load() error {
	v := in.register.node.Value()
	if v == nil {
		return fmt.Errorf("%v has no value", describe(in.register.node))
	}
	d, _ := v.(*tensor.Dense)
	if v != in.bound || d != nil && (d.Uintptr() != in.data || !slices.Equal(d.Shape(), in.dims) || !slices.Equal(d.Strides(), in.strides)) {
		if err := in.check(v); err != nil {
			return fmt.Errorf("%v has a value of %w", describe(in.register.node), err)
		}
		if d != nil {
			in.machine.letGo(d)
		}
		in.set(v)
		in.bound = v
		if d != nil {
			in.data, in.dims, in.strides = d.Uintptr(), slices.Clone(d.Shape()), slices.Clone(d.Strides())
		}
	}
	in.order(d)
	return nil
}

func (in *input) check(v gorgonia.Value) error {
	if v.Dtype() != in.dtype {
		return fmt.Errorf("dtype %v, want %v", v.Dtype(), in.dtype)
	}
	if in.shape != nil && !in.shape.Eq(v.Shape()) {
		return fmt.Errorf("shape %v, want %v", v.Shape(), in.shape)
	}
	if d, ok := v.(*tensor.Dense); ok && d.IsMasked() {
		return errors.New("numbers with a mask, which this machine would lose")
	}
	return nil
}

// set passes v to the steps. Most of Gorgonia's ops misread tensors that do not lie in memory in
// row-major order, and all misread views with gaps: they get a copy.
func (in *input) set(v gorgonia.Value) {
	in.ordered = nil
	own := ownHeader(v)
	d, ok := v.(*tensor.Dense)
	if !ok || own == v && !strided(d) || own != v && ops.RowMajor(d) {
		in.register.set(own)
		return
	}
	ordered := view(make([]byte, d.Shape().TotalSize()*int(d.Dtype().Size())), d.Dtype(), d.Shape(), d.Engine())
	in.register.value = ordered
	for _, u := range in.register.uses {
		if u.transposed && own != v {
			u.set(own)
			continue
		}
		u.set(ordered)
		in.ordered = ordered
	}
}

// letGo gives an output new memory if its value is being bound to an input, wholly or in part: the
// input then keeps what it was bound to.
func (m *Machine) letGo(d *tensor.Dense) {
	for _, s := range m.kept {
		if ops.Overlap(s.y, d) {
			s.renew()
		}
	}
}

// isBound reports whether an input was bound to v, or to memory of it, when the run began.
func (m *Machine) isBound(v gorgonia.Value) bool {
	d, _ := v.(*tensor.Dense)
	return slices.ContainsFunc(m.inputs, func(in *input) bool {
		bound, _ := in.bound.(*tensor.Dense)
		return in.bound == v || d != nil && bound != nil && ops.Overlap(d, bound)
	})
}

// order copies d, what the input is bound to, if steps need it in row-major order.
func (in *input) order(d *tensor.Dense) {
	if in.ordered != nil {
		ops.Gather(in.ordered, d)
	}
}

// ownHeader returns a header of the machine's own for the memory of v: Gorgonia's products
// transpose the headers of their operands for the time that they take. It is v itself if v is not a
// strided tensor or a view with gaps.
func ownHeader(v gorgonia.Value) gorgonia.Value {
	d, ok := v.(*tensor.Dense)
	if !ok || !strided(d) {
		return v
	}
	shape, strides := d.Shape(), d.Strides()
	// axes are those of d as they lie in memory, the longest stride first. If that is row-major
	// order, d is a transpose of a tensor whose memory has no gaps.
	axes := make([]int, len(shape))
	for i := range axes {
		axes[i] = i
	}
	slices.SortStableFunc(axes, func(a, b int) int { return strides[b] - strides[a] })
	base, back := make(tensor.Shape, len(axes)), make([]int, len(axes))
	for i, axis := range axes {
		base[i], back[axis] = shape[axis], i
	}
	size := 1
	for i := len(axes) - 1; i >= 0; i-- {
		if base[i] != 1 && strides[axes[i]] != size {
			return v
		}
		size *= base[i]
	}
	if size*int(d.Dtype().Size()) != len(d.Raw) {
		return v
	}
	own := view(d.Raw, d.Dtype(), base, d.Engine())
	if !slices.IsSorted(back) {
		if err := own.T(back...); err != nil {
			return v
		}
	}
	return own
}

// strided reports whether d is a tensor that the arena could hold, seen through strides.
func strided(d *tensor.Dense) bool {
	return plannable(d.Dtype(), d.Shape()) && len(d.Strides()) == len(d.Shape()) && d.IsNativelyAccessible()
}

// typeOf returns the dtype and the shape of the value of n.
func typeOf(n *gorgonia.Node) (dtype tensor.Dtype, shape tensor.Shape, err error) {
	typ := n.Type()
	for {
		switch t := typ.(type) {
		case tensor.Dtype:
			return t, n.Shape(), nil
		case gorgonia.TensorType: // of one another in some of Gorgonia's ops
			typ = t.Of
		case nil:
			return dtype, nil, errors.New("it has no type")
		default:
			return dtype, nil, fmt.Errorf("it has the open type %v", n.Type())
		}
	}
}

// plannable reports whether the arena can hold tensors of that kind.
func plannable(dtype tensor.Dtype, shape tensor.Shape) bool {
	for _, dim := range shape {
		if dim < 1 {
			return false
		}
	}
	return len(shape) > 0 && backing([]byte{}, dtype) != nil
}

// denseIn returns a value for n in the given memory.
func denseIn(memory []byte, n *gorgonia.Node) *tensor.Dense {
	dtype, shape, _ := typeOf(n)
	return view(memory, dtype, shape, tensor.StdEng{})
}

// view returns a tensor over memory, which the garbage collector sees, or nil if the dtype is not
// plannable.
func view(memory []byte, dtype tensor.Dtype, shape tensor.Shape, e tensor.Engine) *tensor.Dense {
	elements := backing(memory, dtype)
	if elements == nil {
		return nil
	}
	return tensor.New(tensor.WithShape(shape.Clone()...), tensor.WithBacking(elements), tensor.WithEngine(e))
}

// backing returns memory as a slice of the Go type of dtype, nil if that is none of the plain ones.
func backing(memory []byte, dtype tensor.Dtype) any {
	switch dtype {
	case tensor.Float32:
		return elements[float32](memory)
	case tensor.Float64:
		return elements[float64](memory)
	case tensor.Int:
		return elements[int](memory)
	case tensor.Int64:
		return elements[int64](memory)
	case tensor.Int32:
		return elements[int32](memory)
	case tensor.Int16:
		return elements[int16](memory)
	case tensor.Int8:
		return elements[int8](memory)
	case tensor.Uint8:
		return memory
	case tensor.Bool:
		return elements[bool](memory)
	}
	return nil
}

func elements[E any](memory []byte) []E {
	var e E
	return unsafe.Slice((*E)(unsafe.Pointer(unsafe.SliceData(memory))), uintptr(len(memory))/unsafe.Sizeof(e))
}
