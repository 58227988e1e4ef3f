package graph

import (
	"slices"

	"github.com/sparsegonia/sparsegonia/graph/vocabulary"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// batch is a node seen as a list of vectors that lie along one axis of it. The other axes, in order, number them. It is
// what makes x T×H, xᵀ H×T, a vector and a B×T×H tensor the same to the patterns.
type batch struct {
	node *gorgonia.Node
	axis int
}

func lastAxis(n *gorgonia.Node) batch { return batch{n, n.Dims() - 1} }

func (b batch) width() int { return b.node.Shape()[b.axis] }

// length is the number of vectors.
func (b batch) length() int { return b.node.Shape().TotalSize() / max(b.width(), 1) }

// sameAxis is the axis of from that becomes the given axis of to when a tensor is reshaped, or −1 if the vectors along
// it do not stay what they are.
func sameAxis(from, to tensor.Shape, axis int) int {
	before := volume(to[:axis])
	for i, n := range from {
		if n == to[axis] && volume(from[:i]) == before {
			return i
		}
	}
	return -1
}

func volume(sizes []int) int {
	p := 1
	for _, n := range sizes {
		p *= n
	}
	return p
}

// origin is the batch that b is a copy of: vector by vector the same, in the same order. It undoes one reshape,
// transpose or slice of everything.
func (s *survey) origin(b batch) (batch, bool) {
	k := vocabulary.KindOf(b.node)
	if k != vocabulary.Reshape && k != vocabulary.Transpose && k != vocabulary.Slice {
		return b, false
	}
	from := s.inputs[b.node][0]
	if k == vocabulary.Transpose {
		p := vocabulary.PermutationOf(b.node.Op())
		if b.axis >= len(p) {
			return b, false
		}
		others := slices.Delete(slices.Clone(p), b.axis, b.axis+1)
		return batch{from, p[b.axis]}, slices.IsSorted(others)
	}
	if k == vocabulary.Slice {
		axis, start, end, step := vocabulary.SliceOf(b.node.Op(), from.Shape())
		if axis >= from.Dims() || start != 0 || end != from.Shape()[axis] || step != 1 {
			return b, false
		}
	}
	axis := sameAxis(from.Shape(), b.node.Shape(), b.axis)
	return batch{from, axis}, axis >= 0
}

// root undoes all reshapes and transposes.
func (s *survey) root(b batch) batch {
	for {
		from, ok := s.origin(b)
		if !ok {
			return b
		}
		b = from
	}
}

// operand is operand i of an elementwise op, as the batch that goes with the op's result b.
func (s *survey) operand(b batch, i int) (batch, bool) {
	n := s.inputs[b.node][i]
	if n.Shape().TotalSize() != b.node.Shape().TotalSize() || n.Dims() == 0 {
		return batch{}, false
	}
	axis := sameAxis(n.Shape(), b.node.Shape(), b.axis)
	return batch{n, axis}, axis >= 0
}
