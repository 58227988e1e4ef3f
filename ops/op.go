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

type options struct{ cpu *kernel.CPU }

// WithCPU runs the op's kernel on p instead of on kernel.DefaultCPU.
func WithCPU(p *kernel.CPU) Option { return func(o *options) { o.cpu = p } }

func newOptions(opts []Option) (o options) {
	for _, opt := range opts {
		opt(&o)
	}
	return o
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
