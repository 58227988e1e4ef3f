package graph

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"unsafe"

	"gorgonia.org/gorgonia"

	"github.com/sparsegonia/sparsegonia/graph/vocabulary"
	"github.com/sparsegonia/sparsegonia/ops"
)

// schedule lists the nodes that outputs depend on, all nodes if there are none, and the Reads of
// them, in the order in which they run.
//
// The graph that is returned has the nodes of g and finds their inputs: the index of g itself is
// wrong when Gorgonia has removed a node from it, as it does where it finds a more stable
// expression.
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
		case vocabulary.TypeName(n.Op()) == "readOp" || vocabulary.TypeName(n.Op()) == "letOp":
			return nil, nil, fmt.Errorf("output %d, %v, has no value", i, describe(n))
		}
		want(n)
	}
	for _, n := range all {
		if len(outputs) == 0 || vocabulary.TypeName(n.Op()) == "readOp" && wanted[children(g, n)[0]] {
			want(n)
		}
	}

	return order(g, all, wanted), g, nil
}

// order lists the wanted nodes, inputs first. Of the nodes that could be next, the one that was
// made first comes first, except around ops that run ahead: those and what only they need come as
// soon as they can, and what takes their values comes when nothing else is left to do, so that the
// work that they start has time.
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

// runsAhead reports whether the op of n starts work that goes on beside the nodes after it.
func runsAhead(n *gorgonia.Node) bool {
	op, ok := n.Op().(ops.AheadRunner)
	return ok && op.RunsAhead()
}

// children returns the inputs of n, in order.
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

// lifetimes says which memory the values of nodes lie in, and in which steps it is in use. It knows
// nothing of where the steps run.
type lifetimes struct {
	// memory is what the value of a node lies in or may lie in: an op that is not known to make a
	// new value may give what it got.
	memory map[*gorgonia.Node][]*buffer
	made   []*buffer
}

// buffer is the memory of one value.
type buffer struct {
	node        *gorgonia.Node
	bytes       int
	offset      int  // in the arena
	output      bool // the memory is the value's own, outside of the arena
	first, last int  // steps
}

// use extends the lives of the values of nodes to a step, and returns what they lie in.
func (l *lifetimes) use(nodes gorgonia.Nodes, step int) (used []*buffer) {
	for _, n := range nodes {
		for _, b := range l.memory[n] {
			b.last = step
			used = append(used, b)
		}
	}
	return used
}

// alias says that the value of n may lie in the given buffers.
func (l *lifetimes) alias(n *gorgonia.Node, in []*buffer) { l.memory[n] = in }

// add gives the value of n memory of its own in the arena, from a step on.
func (l *lifetimes) add(n *gorgonia.Node, bytes, step int) {
	b := &buffer{node: n, bytes: bytes, first: step, last: step}
	l.made = append(l.made, b)
	l.memory[n] = []*buffer{b}
}

// keep takes the memory of the value of n, an output, out of the arena.
func (l *lifetimes) keep(n *gorgonia.Node) {
	for _, b := range l.memory[n] {
		b.output = true
	}
}

// alignment is what values start at multiples of: a cache line.
const alignment = 64

func newArena(bytes int) []byte {
	arena := make([]byte, bytes+alignment)
	skip := -uintptr(unsafe.Pointer(unsafe.SliceData(arena))) % alignment
	return arena[skip:][:bytes]
}

// layOut assigns each buffer in the arena an offset such that two buffers overlap only if their
// lives do not, and returns the size of the arena. Large buffers come first, each as low as it fits
// (Pisarchyk and Lee, arXiv 2001.03288, greedy by size).
func layOut(buffers []*buffer) (size int) {
	queue := slices.DeleteFunc(slices.Clone(buffers), func(b *buffer) bool { return b.output })
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
