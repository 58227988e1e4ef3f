package graph

import (
	"fmt"
	"slices"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/sparsegonia/sparsegonia/graph/vocabulary"
	"github.com/sparsegonia/sparsegonia/ops"
)

// hostPlan is a machine that is being made, for steps that run on the host.
type hostPlan struct {
	m         *Machine
	g         *gorgonia.ExprGraph
	lives     lifetimes
	registers map[*gorgonia.Node]*register
	steps     map[*gorgonia.Node]*step
	constants []*register
}

func newHostPlan(m *Machine, g *gorgonia.ExprGraph) *hostPlan {
	return &hostPlan{
		m: m, g: g,
		lives:     lifetimes{memory: map[*gorgonia.Node][]*buffer{}},
		registers: map[*gorgonia.Node]*register{},
		steps:     map[*gorgonia.Node]*step{},
	}
}

// add plans one node. Its inputs have been added.
func (p *hostPlan) add(n *gorgonia.Node) error {
	op, name := n.Op(), vocabulary.TypeName(n.Op())
	if len(n.DerivOf()) > 0 {
		return fmt.Errorf("%v is a gradient of %v: %w: name the outputs that are wanted",
			describe(n), describe(n.DerivOf()[0]), ErrUnsupported)
	}
	r := &register{node: n}
	p.registers[n] = r
	switch {
	case op == nil:
		in, err := newInput(p.m, r)
		if err != nil {
			return err
		}
		p.m.inputs = append(p.m.inputs, in)
		return nil
	case name == "constantScalar" || name == "constantTensor":
		r.value = n.Value()
		if r.value == nil {
			var err error
			if r.value, err = op.Do(); err != nil {
				return fmt.Errorf("%v: %w", describe(n), err)
			}
		}
		p.constants = append(p.constants, r)
		return nil
	case name == "letOp":
		return fmt.Errorf("%v: Set statements: %w", describe(n), ErrUnsupported)
	}
	if op, ok := op.(gorgonia.TrainModeOp); ok {
		p.m.trained = append(p.m.trained, op)
	}

	s := &step{node: n, op: op, out: r, machine: p.m, overwrites: -1}
	p.m.steps = append(p.m.steps, s)
	p.steps[n] = s
	ins := children(p.g, n)
	s.args = make([]gorgonia.Value, len(ins))
	for i, c := range ins {
		in := p.registers[c]
		in.uses = append(in.uses, use{
			arg: &s.args[i], own: slices.Contains(ins[:i], c), transposed: name == "linAlgBinOp" && len(n.Shape()) <= 2,
		})
	}
	return p.choose(s, ins)
}

// choose decides how the step is done and where its value lies.
func (p *hostPlan) choose(s *step, ins gorgonia.Nodes) (err error) {
	now := len(p.m.steps) - 1
	used := p.lives.use(ins, now)
	if vocabulary.TypeName(s.op) == "readOp" {
		s.out, s.do = nil, (*step).read
		if s.into, err = readTarget(s.op); err != nil {
			return fmt.Errorf("%v: %w", describe(s.node), err)
		}
		return nil
	}
	if s.dtype, s.shape, err = typeOf(s.node); err != nil {
		return fmt.Errorf("%v: %w", describe(s.node), err)
	}
	if vocabulary.TypeName(s.op) == "" { // what Gorgonia's ops say is not what their Do does
		if s.overwrites = s.op.OverwritesInput(); s.overwrites >= len(ins) {
			return fmt.Errorf("%v overwrites input %d of %d", describe(s.node), s.overwrites, len(ins))
		}
	}
	switch s.do = s.inArena(ins); {
	case s.do != nil:
		p.lives.add(s.node, s.shape.TotalSize()*int(s.dtype.Size()), now)
		return nil
	case s.overwrites >= 0:
		s.do = (*step).freshOfCopy
	case vocabulary.TypeName(s.op) == "reshapeOp" && plannable(s.dtype, s.shape):
		s.do = (*step).reshape
	default:
		s.do = (*step).fresh
	}
	p.lives.alias(s.node, used)
	return nil
}

// inArena returns the way to do the step with its value in the arena, nil if there is none.
func (s *step) inArena(ins gorgonia.Nodes) func(*step) error {
	if s.overwrites >= 0 || !plannable(s.dtype, s.shape) {
		return nil
	}
	s.runner, _ = s.op.(ops.Runner)
	s.prealloc, _ = s.op.(gorgonia.UsePreallocDoer)
	s.unsafe, _ = s.op.(gorgonia.UnsafeDoer)
	name := vocabulary.TypeName(s.op)
	sum := name == "elemBinOp" && isFloat(s.dtype) && sameOperands(s, ins)
	switch {
	case s.runner != nil:
		return (*step).run
	case sum && s.op.String() == addition:
		return (*step).add
	case sum && s.op.String() == product:
		return (*step).multiply
	case name == "elemUnaryOp":
		return (*step).overwrite
	case reliable[name]:
		return (*step).preallocated
	case name == "" && s.prealloc != nil && s.op.ReturnsPtr() && s.op.CallsExtern():
		return (*step).zeroed
	}
	return nil
}

// reliable lists the types of Gorgonia's ops whose UsePreallocDo gives what Do gives, whatever the
// memory held before, and keeps nothing. Those of dropoutOp, BatchNormOp and sliceIncrOp do not.
var reliable = map[string]bool{
	"linAlgBinOp": true,
	"elemBinOp":   true,
	"repeatOp":    true,
	"softmaxOp":   true,
	"im2colOp":    true,
	"maxPoolOp":   true,
	"avgPoolOp":   true,
	"GroupNormOp": true,
}

// roots returns the nodes that have values and no consumers but Reads.
func (p *hostPlan) roots() gorgonia.Nodes {
	read := map[*gorgonia.Node]bool{}
	for _, s := range p.m.steps {
		if s.out != nil {
			for _, c := range children(p.g, s.node) {
				read[c] = true
			}
		}
	}
	var roots gorgonia.Nodes
	for _, s := range p.m.steps {
		if s.out != nil && !read[s.node] {
			roots = append(roots, s.node)
		}
	}
	return roots
}

// finish lays out the memory and gives the values that stay the same to the steps.
func (p *hostPlan) finish(outputs gorgonia.Nodes) {
	for _, n := range outputs {
		p.lives.keep(n)
		r := p.registers[n]
		if n.Op() != nil && !slices.Contains(p.constants, r) && !slices.Contains(p.m.outputs, r) {
			p.m.outputs = append(p.m.outputs, r)
		}
	}
	size := layOut(p.lives.made)
	p.m.bytes = int64(size)
	arena := newArena(size)
	for _, b := range p.lives.made {
		s := p.steps[b.node]
		if b.output {
			p.m.bytes += int64(b.bytes)
			p.m.kept = append(p.m.kept, s)
			s.renew()
			continue
		}
		s.place(arena[b.offset:][:b.bytes:b.bytes])
	}
	for _, r := range p.constants {
		in := &input{register: r}
		d, _ := r.value.(*tensor.Dense)
		in.set(r.value)
		in.order(d)
	}
}
