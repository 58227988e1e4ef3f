package ops

import (
	"errors"
	"fmt"
	"hash"
	"hash/fnv"
	"io"
	"slices"
	"strings"

	"github.com/chewxy/hm"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/sparsegonia/sparsegonia/ops/kernel"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// A Runner is an op that computes into memory that it is given, on a CPU that it is given. All ops
// of this package are Runners. A machine may rely on what a Runner promises:
//
//   - Run writes every element of output, whatever the memory held before, or returns an error.
//   - Run changes no input, and neither output nor an input is used after it returns.
//   - Inputs may lie in memory in any order (see RowMajor); output is in row-major order and shares no
//     memory with an input.
//   - A nil cpu stands for kernel.DefaultCPU.
type Runner interface {
	gorgonia.Op
	Run(cpu *kernel.CPU, output gorgonia.Value, inputs []gorgonia.Value) error
}

// An AheadRunner is an op that may start work which goes on beside the nodes after it, as Prefetch
// does. If RunsAhead reports true, a machine runs the op early, and what takes its value late.
type AheadRunner interface {
	gorgonia.Op
	RunsAhead() bool
}

// ErrNoGradient is the error of SymDiff of an op that has no gradient.
var ErrNoGradient = errors.New("the op has no gradient")

// implementation is an op of this package: what it adds to the signature that it embeds.
type implementation interface {
	gorgonia.Op
	run(cpu *kernel.CPU, v values) error
	hash(w io.Writer) // writes what the op captures
	self() *signature
}

// signature is what the ops of this package share: what they take and give, and all methods of
// gorgonia.Op that follow from it.
type signature struct {
	name string
	in   []spec
	out  spec
	op   implementation // that embeds the signature
}

// builder makes an op. It keeps the first error, so that a builder's checks read as a list; checks
// after an error must do no harm.
type builder struct {
	signature
	nodes gorgonia.Nodes
	err   error
}

// build begins an op over nodes. Their names are the space-separated words of inputs.
func build(name, inputs string, nodes ...*gorgonia.Node) *builder {
	b := &builder{signature: signature{name: name, in: make([]spec, len(nodes))}, nodes: nodes}
	for i, inputName := range strings.Fields(inputs)[:len(nodes)] {
		var err error
		b.in[i], err = newSpec(inputName, nodes[i])
		b.require(err)
	}
	return b
}

// require records the first error that is not nil.
func (b *builder) require(errs ...error) {
	for _, err := range errs {
		if b.err == nil && err != nil {
			b.err = b.wrap(err)
		}
	}
}

// fail ends the build with an error.
func (b *builder) fail(format string, args ...any) (*gorgonia.Node, error) {
	b.require(fmt.Errorf(format, args...))
	return nil, b.err
}

// apply applies op, which embeds the signature of b, to the nodes.
func (b *builder) apply(op implementation) (*gorgonia.Node, error) {
	if b.err != nil {
		return nil, b.err
	}
	op.self().op = op
	return gorgonia.ApplyOp(onDevice(op), b.nodes...)
}

func (s *signature) self() *signature { return s }

func (s *signature) wrap(err error) error { return fmt.Errorf("ops: %s: %w", s.name, err) }

// Run implements Runner.
func (s *signature) Run(cpu *kernel.CPU, output gorgonia.Value, inputs []gorgonia.Value) error {
	v, err := s.bind(output, inputs)
	if err == nil {
		err = s.op.run(cpu, v)
	}
	if err != nil {
		return s.wrap(err)
	}
	return nil
}

// UsePreallocDo is Run on kernel.DefaultCPU.
func (s *signature) UsePreallocDo(output gorgonia.Value, inputs ...gorgonia.Value) (gorgonia.Value, error) {
	if err := s.Run(nil, output, inputs); err != nil {
		return nil, err
	}
	return output, nil
}

// Do is UsePreallocDo into new memory.
func (s *signature) Do(inputs ...gorgonia.Value) (gorgonia.Value, error) {
	return s.UsePreallocDo(s.out.newTensor(), inputs...)
}

// WriteHash writes the signature and what the op captures.
func (s *signature) WriteHash(h hash.Hash) {
	fmt.Fprintf(h, "sparsegonia %v", s)
	s.op.hash(h)
}

// Hashcode returns 32 bits of hash.
func (s *signature) Hashcode() uint32 {
	h := fnv.New32a()
	s.WriteHash(h)
	return h.Sum32()
}

// Arity returns the number of inputs.
func (s *signature) Arity() int { return len(s.in) }

// Type returns the function type over the exact tensor types that the op was built for.
func (s *signature) Type() hm.Type {
	types := make([]hm.Type, 0, len(s.in)+1)
	for _, in := range s.in {
		types = append(types, in.typ())
	}
	return hm.NewFnType(append(types, s.out.typ())...)
}

// InferShape returns the shape of the output. The inputs must have the shapes that the op was built
// for.
func (s *signature) InferShape(in ...gorgonia.DimSizer) (tensor.Shape, error) {
	if len(in) != len(s.in) {
		return nil, s.wrap(fmt.Errorf("got the shapes of %d inputs, want %d", len(in), len(s.in)))
	}
	for i, want := range s.in {
		if err := want.checkDims(in[i]); err != nil {
			return nil, s.wrap(err)
		}
	}
	return s.out.shape.Clone(), nil
}

// ReturnsPtr and CallsExtern are both true because Gorgonia's tape machine calls UsePreallocDo only
// then.
func (s *signature) ReturnsPtr() bool { return true }

// CallsExtern is explained at ReturnsPtr.
func (s *signature) CallsExtern() bool { return true }

// OverwritesInput returns −1: no op writes into an input.
func (s *signature) OverwritesInput() int { return -1 }

// DiffWRT reports that no input has a gradient. Gorgonia assumes one of an op without the method.
func (s *signature) DiffWRT(inputs int) []bool { return make([]bool, inputs) }

// SymDiff returns ErrNoGradient.
func (s *signature) SymDiff(gorgonia.Nodes, *gorgonia.Node, *gorgonia.Node) (gorgonia.Nodes, error) {
	return nil, s.wrap(ErrNoGradient)
}

func (s *signature) String() string {
	in := make([]string, len(s.in))
	for i, o := range s.in {
		in[i] = o.String()
	}
	return fmt.Sprintf("%s(%s) → %v", s.name, strings.Join(in, ", "), s.out)
}

// values are the tensors of one run of an op: checked, and in row-major order.
type values struct {
	y  *tensor.Dense
	in []gorgonia.Value // each a *tensor.Dense
}

// bind checks that the output and the inputs are what the op was built for. Inputs that do not lie
// in row-major order, such as transposes and slices of columns, are copied.
func (s *signature) bind(output gorgonia.Value, inputs []gorgonia.Value) (v values, err error) {
	if len(inputs) != len(s.in) {
		return v, fmt.Errorf("got %d inputs, want %d", len(inputs), len(s.in))
	}
	v = values{in: inputs}
	if v.y, err = s.out.dense(output); err != nil {
		return v, err
	}
	if !RowMajor(v.y) {
		return v, fmt.Errorf("%s is not in row-major order", s.out.name)
	}
	copied := false
	for i := range s.in {
		x, err := s.in[i].dense(inputs[i])
		switch {
		case err != nil:
			return v, err
		case Overlap(x, v.y):
			return v, fmt.Errorf("%s and %s share memory", s.in[i].name, s.out.name)
		case RowMajor(x):
			continue
		case !copied:
			v.in, copied = slices.Clone(inputs), true
		}
		v.in[i] = RowMajorCopy(x)
	}
	return v, nil
}

func (v *values) input(i int) *tensor.Dense { return v.in[i].(*tensor.Dense) }

// from and to are the elements of input i and of the output, whose dtype is E.
func from[E weights.Elem](v values, i int) []E { return elements[E](v.input(i)) }

func to[E weights.Elem](v values) []E { return elements[E](v.y) }

// byDtype returns the one of four instances of a generic function whose elements have dtype d.
func byDtype[F any](d tensor.Dtype, f32, f64, i32, i64 F) F {
	switch d {
	case tensor.Float64:
		return f64
	case tensor.Int32:
		return i32
	case tensor.Int64:
		return i64
	default:
		return f32
	}
}
