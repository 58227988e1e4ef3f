package graph

import (
	"cmp"
	"errors"
	"fmt"
	"os"

	"gorgonia.org/gorgonia"

	"github.com/sparsegonia/sparsegonia/ops/kernel"
)

// Machine is a gorgonia.VM that runs a graph forwards, again and again, and computes no gradients.
// What is the same in every run is done once, by NewMachine: the order of the nodes, one arena of
// memory in which values share space when their lives do not meet, and the arguments of every op. A
// run of a graph of this module's ops allocates nothing. A node costs 5 ns besides its op; on the
// tape machine it costs 0.9 µs and 15 allocations (go test -bench Node ./graph on two cores of an
// AMD Zen 5).
//
// Values. A run reads what the input nodes are bound to when it starts, so gorgonia.Let between
// runs works, and so does writing into a bound tensor. It is an error if an input has no value or
// one of another dtype or shape. After a run Value of an output gives its value, which the next run
// overwrites: copy what must stay. Other nodes get no values, unless they are read with
// gorgonia.Read, which copies. An output that is only a reshaped input shares its memory.
//
// The value of an output may be bound to inputs of the same machine, as a recurrent network does.
// The inputs then keep it, and the run gives the output other memory, which is new. A value of an
// earlier run that was neither bound nor copied is that of the last run by then. The target of a
// Read may be bound too. It is one tensor, which each run writes to, after all else if it is bound:
// the input follows it, as on the tape machine.
//
// Nodes run in the order in which they were made, as far as they can, so that ops that change state
// change it in the order in which they were written down. An op that starts work for later, such as
// Prefetch, runs early, and what needs that work late.
//
// Ops. An ops.Runner writes into the arena, on the machine's CPU; all ops of this module are
// Runners. Gorgonia's ops write into the arena where their UsePreallocDo can be relied on. The
// UsePreallocDo of another op is called only if its ReturnsPtr and CallsExtern are true, as on the
// tape machine, and then it finds zeros. The rest run through Do, which allocates. An op that
// overwrites an input, as OverwritesInput says, gets a copy of it. Ops that have a training mode,
// such as Dropout and BatchNorm, are switched to inference at every run.
//
// Tensors bound to inputs are only read: machines of different graphs that run at the same time may
// share weights, which the tape machine forbids, but not ops with state. One Machine serves one
// goroutine at a time.
type Machine struct {
	inputs  []*input
	steps   []*step
	outputs []*register
	kept    []*step // whose values are in memory of outputs
	late    []*step // Reads to be done at the end of the run
	trained []gorgonia.TrainModeOp
	cpu     *kernel.CPU

	bytes   int64
	current *step // that a panic is blamed on
	closed  bool
}

var _ gorgonia.VM = (*Machine)(nil)

// ErrUnsupported is the error of NewMachine for what no Machine runs: gradients and Set statements.
var ErrUnsupported = errors.New("this machine does not support it")

// A MachineOption is an option of NewMachine.
type MachineOption func(*Machine)

// WithCPU runs the ops on cpu. The default, and nil, is kernel.DefaultCPU.
func WithCPU(cpu *kernel.CPU) MachineOption { return func(m *Machine) { m.cpu = cpu } }

// NewMachine plans the runs of the part of g that outputs depend on, together with the Reads of
// nodes in it; without outputs, of everything in g. The graph must not change afterwards.
func NewMachine(g *gorgonia.ExprGraph, outputs gorgonia.Nodes, opts ...MachineOption) (*Machine, error) {
	m := &Machine{}
	for _, o := range opts {
		if o == nil {
			return nil, errors.New("graph: machine: an option is nil")
		}
		o(m)
	}
	m.cpu = cmp.Or(m.cpu, kernel.DefaultCPU())
	nodes, whole, err := schedule(g, outputs)
	if err != nil {
		return nil, fmt.Errorf("graph: machine: %w", err)
	}
	p := newHostPlan(m, whole)
	for _, n := range nodes {
		if err := p.add(n); err != nil {
			return nil, fmt.Errorf("graph: machine: %w", err)
		}
	}
	if len(outputs) == 0 {
		outputs = p.roots()
	}
	p.finish(outputs)
	return m, nil
}

var errClosed = fmt.Errorf("graph: machine: %w", os.ErrClosed)

// RunAll runs the graph. It may be called again without Reset. An error, or a panic of an op, which
// becomes one, names the node and leaves outputs and Reads undefined; the machine can run again.
// After Close the error is os.ErrClosed.
func (m *Machine) RunAll() (err error) {
	if m.closed {
		return errClosed
	}
	defer m.recovered(&err)
	m.late = m.late[:0]
	for _, op := range m.trained {
		if err := op.SetTraining(false); err != nil {
			return fmt.Errorf("graph: %v: %w", op, err)
		}
	}
	for _, in := range m.inputs {
		if err := in.load(); err != nil {
			return fmt.Errorf("graph: %w", err)
		}
	}
	for _, s := range m.steps {
		m.current = s
		if err := s.do(s); err != nil {
			return fmt.Errorf("graph: %v: %w", describe(s.node), err)
		}
	}
	for _, s := range m.late {
		if err := s.finishRead(); err != nil {
			return fmt.Errorf("graph: %v: %w", describe(s.node), err)
		}
	}
	m.current = nil
	for _, r := range m.outputs {
		if r.node.Value() == r.value {
			continue
		}
		if err := gorgonia.UnsafeLet(r.node, r.value); err != nil {
			return fmt.Errorf("graph: %v: %w", describe(r.node), err)
		}
	}
	return nil
}

// recovered makes a panic an error.
func (m *Machine) recovered(err *error) {
	p := recover()
	if p == nil {
		return
	}
	if m.current == nil {
		*err = fmt.Errorf("graph: panic: %v", p)
		return
	}
	*err = fmt.Errorf("graph: %v: panic: %v", describe(m.current.node), p)
}

// Reset does nothing: every run starts afresh.
func (m *Machine) Reset() {}

// Close lets go of the arena. Values of outputs stay what they are.
func (m *Machine) Close() error {
	*m = Machine{closed: true}
	return nil
}

// Bytes returns the size of the memory for values of nodes, except those that ops allocate at every
// run.
func (m *Machine) Bytes() int64 { return m.bytes }

// describe names a node in errors.
func describe(n *gorgonia.Node) string {
	if n.Op() == nil {
		return fmt.Sprintf("input %q", n.Name())
	}
	return fmt.Sprintf("node %q (%v)", n.Name(), n.Op())
}
