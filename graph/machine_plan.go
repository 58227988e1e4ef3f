package graph

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"unsafe"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/sparsegonia/sparsegonia/ops"
)

// schedule lists the nodes that outputs depend on, all nodes if there are none, and the Reads of them, in the order in
// which they run.
//
// The graph that is returned has the nodes of g and finds their inputs: the index of g itself is wrong when Gorgonia has
// removed a node from it, as it does where it finds a more stable expression.
func schedule(g *gorgonia.ExprGraph, outputs gorgonia.Nodes) (gorgonia.Nodes, *gorgonia.ExprGraph, error) {
	if g == nil {
		return nil, nil, errors.New("no graph")
	}
	all := slices.Clone(g.AllNodes())
	if len(all) == 0 {
		return nil, nil, errors.New("the graph is empty")
	}
	slices.SortFunc(all, func(a, b *gorgonia.Node) int { return cmp.Compare(a.ID(), b.ID()) })
	g = g.ExactSubgraphRoots(all...)

	wanted := map[*gorgonia.Node]bool{}
	var want func(n *gorgonia.Node)
	want = func(n *gorgonia.Node) {
		if !wanted[n] {
			wanted[n] = true
			for _, c := range children(g, n) {
				want(c)
			}
		}
	}
	for i, n := range outputs {
		switch {
		case n == nil:
			return nil, nil, fmt.Errorf("output %d is nil", i)
		case !slices.Contains(all, n):
			return nil, nil, fmt.Errorf("output %d, %v, is not in the graph", i, describe(n))
		case typeName(n.Op()) == "readOp" || typeName(n.Op()) == "letOp":
			return nil, nil, fmt.Errorf("output %d, %v, has no value", i, describe(n))
		}
		want(n)
	}
	for _, n := range all {
		if len(outputs) == 0 || typeName(n.Op()) == "readOp" && wanted[children(g, n)[0]] {
			want(n)
		}
	}

	return order(g, all, wanted), g, nil
}

// order lists the wanted nodes, inputs first. Of the nodes that could be next, the one that was made first comes first,
// except around ops that run ahead: those and what only they need come as soon as they can, and what takes their values
// comes when nothing else is left to do, so that the work that they start has time.
func order(g *gorgonia.ExprGraph, all gorgonia.Nodes, wanted map[*gorgonia.Node]bool) gorgonia.Nodes {
	const early, inTurn, late = 0, 1, 2
	rank, missing := map[*gorgonia.Node]int{}, map[*gorgonia.Node]int{}
	consumers := map[*gorgonia.Node]gorgonia.Nodes{}
	for _, n := range all {
		if !wanted[n] {
			continue
		}
		rank[n] = inTurn
		for _, c := range children(g, n) {
			consumers[c] = append(consumers[c], n)
			missing[n]++
			if runsAhead(c) {
				rank[n] = late
			}
		}
	}
	for _, n := range slices.Backward(all) {
		onlyEarly := len(consumers[n]) > 0 && rank[n] == inTurn
		for _, c := range consumers[n] {
			onlyEarly = onlyEarly && rank[c] == early
		}
		if onlyEarly || runsAhead(n) {
			rank[n] = early
		}
	}

	var ready, nodes gorgonia.Nodes // ready is sorted
	compare := func(a, b *gorgonia.Node) int {
		return cmp.Or(cmp.Compare(rank[a], rank[b]), cmp.Compare(a.ID(), b.ID()))
	}
	add := func(n *gorgonia.Node) {
		i, _ := slices.BinarySearchFunc(ready, n, compare)
		ready = slices.Insert(ready, i, n)
	}
	for _, n := range all {
		if wanted[n] && missing[n] == 0 {
			add(n)
		}
	}
	for len(ready) > 0 {
		n := ready[0]
		ready = ready[1:]
		nodes = append(nodes, n)
		for _, c := range consumers[n] {
			if missing[c]--; missing[c] == 0 {
				add(c)
			}
		}
	}
	return nodes
}

// runsAhead tells whether the op of n starts work that goes on beside the nodes after it, as ops.Prefetch does.
func runsAhead(n *gorgonia.Node) bool {
	op, ok := n.Op().(interface{ RunsAhead() bool })
	return ok && op.RunsAhead()
}

// children are the inputs of n, in order.
func children(g *gorgonia.ExprGraph, n *gorgonia.Node) gorgonia.Nodes {
	var ns gorgonia.Nodes
	if n.Op() == nil {
		return nil
	}
	for it := g.From(n.ID()); it.Next(); {
		ns = append(ns, it.Node().(*gorgonia.Node))
	}
	return ns
}

// The packages that ops are from decide how they are run: Gorgonia's ops are not exported and only their type names
// tell them apart.
var (
	gorgoniaPath = reflect.TypeFor[gorgonia.Node]().PkgPath()
	opsPath      = reflect.TypeFor[ops.Weight]().PkgPath()
)

func opType(op gorgonia.Op) reflect.Type {
	t := reflect.TypeOf(op)
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t
}

// typeName is the name of the type of one of Gorgonia's ops, and empty for other ops.
func typeName(op gorgonia.Op) string {
	if op == nil || opType(op).PkgPath() != gorgoniaPath {
		return ""
	}
	return opType(op).Name()
}

// plan is a machine that is being made.
type plan struct {
	m         *Machine
	g         *gorgonia.ExprGraph
	registers map[*gorgonia.Node]*register
	constants []*register

	// memory is what the value of a register lies in or may lie in: an op that is not known to make a new value may
	// give what it got.
	memory map[*register][]*buffer
	made   []*buffer
}

// buffer is the memory of one value in the arena.
type buffer struct {
	register    *register
	bytes       int
	offset      int
	first, last int // steps
}

func newPlan(m *Machine, g *gorgonia.ExprGraph) *plan {
	return &plan{
		m: m, g: g,
		registers: map[*gorgonia.Node]*register{},
		memory:    map[*register][]*buffer{},
	}
}

// add plans one node. Its inputs have been added.
func (p *plan) add(n *gorgonia.Node) error {
	op, name := n.Op(), typeName(n.Op())
	if len(n.DerivOf()) > 0 {
		return fmt.Errorf("%v is a gradient of %v, and this machine computes none: name the outputs that are wanted",
			describe(n), describe(n.DerivOf()[0]))
	}
	r := &register{node: n}
	p.registers[n] = r
	switch {
	case op == nil:
		in, err := newInput(r)
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
		return fmt.Errorf("%v: Set statements do not run on this machine", describe(n))
	}
	if op, ok := op.(gorgonia.TrainModeOp); ok {
		p.m.trained = append(p.m.trained, op)
	}

	s := &step{node: n, op: op, out: r, machine: p.m}
	p.m.steps = append(p.m.steps, s)
	ins := children(p.g, n)
	s.args = make([]gorgonia.Value, len(ins))
	for i, c := range ins {
		in := p.registers[c]
		in.uses = append(in.uses, use{
			arg: &s.args[i], own: slices.Contains(ins[:i], c), turned: name == "linAlgBinOp" && len(n.Shape()) <= 2,
		})
	}
	return p.choose(s, ins)
}

// choose decides how the step is done and where its value lies.
func (p *plan) choose(s *step, ins gorgonia.Nodes) (err error) {
	now := len(p.m.steps) - 1
	var alias []*buffer // what the value may be a view of
	for _, c := range ins {
		for _, b := range p.memory[p.registers[c]] {
			b.last = now
			alias = append(alias, b)
		}
	}
	if typeName(s.op) == "readOp" {
		s.out, s.do = nil, (*step).read
		if s.into, err = readTarget(s.op); err != nil {
			return fmt.Errorf("%v: %w", describe(s.node), err)
		}
		return nil
	}
	if s.dtype, s.shape, err = typeOf(s.node); err != nil {
		return fmt.Errorf("%v: %w", describe(s.node), err)
	}
	if typeName(s.op) == "reshapeOp" && plannable(s.dtype, s.shape) {
		s.do = (*step).reshape
		p.memory[s.out] = alias
		return nil
	}
	if s.do = s.planned(ins); s.do == nil {
		s.do = (*step).fresh
		p.memory[s.out] = alias
		return nil
	}
	b := &buffer{register: s.out, bytes: s.shape.TotalSize() * int(s.dtype.Size()), first: now, last: now}
	p.made = append(p.made, b)
	p.memory[s.out] = []*buffer{b}
	return nil
}

// planned is the way to do the step with its value in the arena, nil if there is none.
func (s *step) planned(ins gorgonia.Nodes) func(*step) error {
	s.prealloc, _ = s.op.(gorgonia.UsePreallocDoer)
	s.unsafe, _ = s.op.(gorgonia.UnsafeDoer)
	name := typeName(s.op)
	sum := name == "elemBinOp" && isFloat(s.dtype) && sameOperands(s, ins)
	switch {
	case !plannable(s.dtype, s.shape):
		return nil
	case sum && s.op.String() == addition:
		return (*step).add
	case sum && s.op.String() == product:
		return (*step).multiply
	case name == "elemUnaryOp":
		return (*step).overwrite
	case reliable[name], s.prealloc != nil && opType(s.op).PkgPath() == opsPath:
		return (*step).preallocated
	case name == "" && s.prealloc != nil && s.op.ReturnsPtr() && s.op.CallsExtern():
		return (*step).zeroed
	}
	return nil
}

// reliable are the types of Gorgonia's ops whose UsePreallocDo gives what Do gives, whatever the memory held before, and
// keeps nothing. Those of dropoutOp, BatchNormOp and sliceIncrOp do not.
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

// roots are the nodes that have values and no consumers but Reads.
func (p *plan) roots() gorgonia.Nodes {
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

// finish lays out the arena and gives the values that stay the same to the steps.
func (p *plan) finish(outputs gorgonia.Nodes) {
	for _, n := range outputs {
		r := p.registers[n]
		for _, b := range p.memory[r] {
			b.last = len(p.m.steps)
		}
		if n.Op() != nil && !slices.Contains(p.constants, r) && !slices.Contains(p.m.outputs, r) {
			p.m.outputs = append(p.m.outputs, r)
		}
	}
	size := layOut(p.made)
	p.m.bytes = int64(size)
	arena := newArena(size)
	dense := map[*register]*tensor.Dense{}
	for _, b := range p.made {
		dense[b.register] = denseIn(arena[b.offset:][:b.bytes:b.bytes], b.register.node)
	}
	for _, s := range p.m.steps {
		if s.out != nil && dense[s.out] != nil {
			s.y = dense[s.out]
			s.out.set(s.y)
		}
	}
	for _, r := range p.constants {
		in := &input{register: r}
		d, _ := r.value.(*tensor.Dense)
		in.hand(r.value)
		in.order(d)
	}
}

// alignment is what values start at multiples of: a cache line.
const alignment = 64

func newArena(bytes int) []byte {
	arena := make([]byte, bytes+alignment)
	skip := -uintptr(unsafe.Pointer(unsafe.SliceData(arena))) % alignment
	return arena[skip:][:bytes]
}

// layOut gives each buffer an offset such that two buffers overlap only if their lives do not, and returns the size of
// the arena. Large buffers come first, each as low as it fits (Pisarchyk and Lee, arXiv 2001.03288, greedy by size).
func layOut(buffers []*buffer) (size int) {
	queue := slices.Clone(buffers)
	slices.SortStableFunc(queue, func(a, b *buffer) int { return cmp.Compare(b.bytes, a.bytes) })
	var placed []*buffer // by offset
	for _, b := range queue {
		offset := 0
		for _, other := range placed {
			if other.last < b.first || b.last < other.first {
				continue
			}
			if offset+b.bytes <= other.offset {
				break
			}
			offset = max(offset, roundUp(other.offset+other.bytes))
		}
		b.offset = offset
		i, _ := slices.BinarySearchFunc(placed, offset, func(p *buffer, o int) int { return cmp.Compare(p.offset, o) })
		placed = slices.Insert(placed, i, b)
		size = max(size, offset+b.bytes)
	}
	return size
}

func roundUp(n int) int { return (n + alignment - 1) / alignment * alignment }
