package graph

import (
	"errors"
	"fmt"
	"slices"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/sparsegonia/sparsegonia/graph/vocabulary"
	"github.com/sparsegonia/sparsegonia/ops"
	"github.com/sparsegonia/sparsegonia/ops/kernel"
)

// step runs the op of one node.
type step struct {
	do      func(*step) error // one of the methods below
	args    []gorgonia.Value  // kept up to date by the registers of the inputs; tensors in row-major order
	y       *tensor.Dense     // the value in the arena, nil if it is made anew
	out     *register         // nil for a Read
	machine *Machine

	node     *gorgonia.Node
	op       gorgonia.Op
	runner   ops.Runner
	prealloc gorgonia.UsePreallocDoer
	unsafe   gorgonia.UnsafeDoer
	into     *gorgonia.Value // of a Read

	lateValue gorgonia.Value // of a Read that is put off
	from      *tensor.Dense  // of a reshape: what the value was made of

	overwrites int // the input that Do overwrites, or −1
	dtype      tensor.Dtype
	shape      tensor.Shape
}

// place makes memory what the value lies in.
func (s *step) place(memory []byte) {
	s.y = denseIn(memory, s.node)
	s.out.set(s.y)
}

// renew gives the value of an output new memory.
func (s *step) renew() { s.place(newArena(s.shape.TotalSize() * int(s.dtype.Size()))) }

// run lets the op write into the arena, on the machine's CPU.
func (s *step) run() error { return s.runner.Run(s.machine.cpu, s.y, s.args) }

// preallocated lets the op write into the arena.
func (s *step) preallocated() error {
	v, err := s.prealloc.UsePreallocDo(s.y, s.args...)
	if err != nil {
		return err
	}
	if v != gorgonia.Value(s.y) {
		return s.copy(v)
	}
	return nil
}

// copy copies v, from an op that gave another value than the one that it was to write into.
func (s *step) copy(v gorgonia.Value) error {
	if err := s.check(v); err != nil {
		return err
	}
	_, err := gorgonia.Copy(s.y, v)
	return err
}

// zeroed lets an op of unknown origin write into the arena: the tape machine would give it new
// memory.
func (s *step) zeroed() error {
	clear(s.y.Raw)
	return s.preallocated()
}

// overwrite lets an op that can only overwrite its input do that to a copy.
func (s *step) overwrite() error {
	x, ok := s.args[0].(*tensor.Dense)
	if !ok {
		return errNotDense
	}
	copy(s.y.Raw, x.Raw)
	v, err := s.unsafe.UnsafeDo(s.y)
	if err != nil {
		return err
	}
	if v != gorgonia.Value(s.y) {
		return s.copy(v)
	}
	return nil
}

// fresh runs an op that makes its own value.
func (s *step) fresh() error { return s.call(s.args) }

// freshOfCopy runs an op that overwrites an input: it gets a copy.
func (s *step) freshOfCopy() (err error) {
	args := slices.Clone(s.args)
	if args[s.overwrites], err = gorgonia.CloneValue(args[s.overwrites]); err != nil {
		return err
	}
	return s.call(args)
}

// call sets the value to what Do of args makes.
func (s *step) call(args []gorgonia.Value) error {
	v, err := s.op.Do(args...)
	if err != nil {
		return err
	}
	if err := s.check(v); err != nil {
		return err
	}
	if d, ok := v.(*tensor.Dense); ok && strided(d) && !ops.RowMajor(d) {
		v = ops.RowMajorCopy(d)
	}
	s.out.set(v)
	return nil
}

// check checks a value that an op made: it must be what the graph was built for. Among Gorgonia's
// own ops some leave out or add dimensions of size 1.
func (s *step) check(v gorgonia.Value) error {
	if v == nil {
		return errors.New("the op gave no value")
	}
	if v.Dtype() != s.dtype {
		return fmt.Errorf("the op gave a value of dtype %v, want %v", v.Dtype(), s.dtype)
	}
	shape := v.Shape()
	if !shape.Eq(s.shape) && (vocabulary.TypeName(s.op) == "" || shape.TotalSize() != s.shape.TotalSize()) {
		return fmt.Errorf("the op gave a value of shape %v, want %v", shape, s.shape)
	}
	return nil
}

// reshape makes another header for the memory of its input, when that has changed.
func (s *step) reshape() error {
	x, ok := s.args[0].(*tensor.Dense)
	if !ok { // a scalar
		return s.fresh()
	}
	if x != s.from {
		s.from = x
		s.out.set(view(x.Raw, s.dtype, s.shape, x.Engine()))
	}
	return nil
}

// read copies the value for a Read, over the value of the run before if there is one. If that is
// bound to an input, which other steps may read, it is done at the end of the run.
func (s *step) read() (err error) {
	if s.args[0] == nil {
		return errors.New("there is no value to read")
	}
	old := *s.into
	if old == nil || old.Dtype() != s.args[0].Dtype() || !slices.Equal(old.Shape(), s.args[0].Shape()) {
		*s.into, err = gorgonia.CloneValue(s.args[0])
		return err
	}
	if s.machine.isBound(old) {
		s.machine.late = append(s.machine.late, s)
		s.lateValue, err = gorgonia.CloneValue(s.args[0])
		return err
	}
	*s.into, err = gorgonia.Copy(old, s.args[0])
	return err
}

// finishRead does what read has put off.
func (s *step) finishRead() (err error) {
	*s.into, err = gorgonia.Copy(*s.into, s.lateValue)
	s.lateValue = nil
	return err
}

// What String of Gorgonia's elementwise additions and products is.
const (
	addition = "+ false"
	product  = "⊙ false"
)

func isFloat(d tensor.Dtype) bool { return d == tensor.Float32 || d == tensor.Float64 }

// sameOperands reports whether an elementwise op has two operands of the shape of its value.
func sameOperands(s *step, ins gorgonia.Nodes) bool {
	for _, in := range ins {
		dtype, shape, err := typeOf(in)
		if err != nil || dtype != s.dtype || !slices.Equal(shape, s.shape) {
			return false
		}
	}
	return len(ins) == 2
}

// add and multiply do what Gorgonia's ops do, without allocating.
func (s *step) add() error {
	a, okA := s.args[0].(*tensor.Dense)
	b, okB := s.args[1].(*tensor.Dense)
	switch {
	case !okA || !okB:
		return errNotDense
	case s.dtype == tensor.Float32:
		kernel.Add(s.machine.cpu, s.y.Float32s(), a.Float32s(), b.Float32s())
	default:
		kernel.Add(s.machine.cpu, s.y.Float64s(), a.Float64s(), b.Float64s())
	}
	return nil
}

func (s *step) multiply() error {
	a, okA := s.args[0].(*tensor.Dense)
	b, okB := s.args[1].(*tensor.Dense)
	switch {
	case !okA || !okB:
		return errNotDense
	case s.dtype == tensor.Float32:
		kernel.Mul(s.machine.cpu, s.y.Float32s(), a.Float32s(), b.Float32s())
	default:
		kernel.Mul(s.machine.cpu, s.y.Float64s(), a.Float64s(), b.Float64s())
	}
	return nil
}

var errNotDense = errors.New("an operand is not a dense tensor")
