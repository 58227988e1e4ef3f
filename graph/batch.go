package graph

import (
	"slices"

	"github.com/sparsegonia/sparsegonia/graph/vocabulary"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// batch is a node as a list of vectors along one of its axes; the other axes, in order, number
// them. So x T×H, xᵀ H×T, a vector and a B×T×H tensor are the same to the patterns.
type batch struct {
	node *gorgonia.Node
	axis int
}

func lastAxis(n *gorgonia.Node) batch { return batch{n, n.Dims() - 1} }

func (b batch) width() int { return b.node.Shape()[b.axis] }

// length returns the number of vectors.
func (b batch) length() int { return b.node.Shape().TotalSize() / max(b.width(), 1) }

// sameAxis returns the axis of before that a reshape makes the given axis of after, −1 if the
// vectors along it change.
func sameAxis(before, after tensor.Shape, axis int) int {
	leading := volume(after[:axis])
	for i, n := range before {
		if n == after[axis] && volume(before[:i]) == leading {
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

// origin returns the batch of which b is a reshape, a transpose or a slice of everything, if that
// has the same vectors in the same order.
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

// root returns the first origin of b.
func (s *survey) root(b batch) batch {
	for {
		from, ok := s.origin(b)
		if !ok {
			return b
		}
		b = from
	}
}

// operand returns operand i of an elementwise op with the result b, as a batch of the same vectors.
func (s *survey) operand(b batch, i int) (batch, bool) {
	n := s.inputs[b.node][i]
	if n.Shape().TotalSize() != b.node.Shape().TotalSize() || n.Dims() == 0 {
		return batch{}, false
	}
	axis := sameAxis(n.Shape(), b.node.Shape(), b.axis)
	return batch{n, axis}, axis >= 0
}
