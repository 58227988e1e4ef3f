package kernel

import (
	"fmt"

	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// SourceMLP is DenseMLP over the neurons of source, whatever the matrices of m are. The sums of the
// blocks are added in order; those of one block are DenseMLP's, bit for bit. An error is of source,
// or says that its blocks are not the neurons of its shape; y is then undefined.
func SourceMLP[E weights.Elem](cpu *CPU, y, x []E, m MLP[E], source weights.Source) error {
	cpu = orDefault(cpu)
	s := borrow[blockSum[E]](cpu)
	if s.add == nil {
		s.add = s.addBlock
	}
	s.cpu, s.y, s.x, s.mlp, s.shape, s.next = cpu, y, x, m, source.Shape(), 0
	err := source.Blocks(s.add)
	if err == nil && s.next != s.shape.Intermediate {
		err = fmt.Errorf("kernel: %d of %d neurons", s.next, s.shape.Intermediate)
	}
	*s = blockSum[E]{part: s.part, add: s.add}
	giveBack(cpu, s)
	return err
}

// blockSum is a running SourceMLP.
type blockSum[E weights.Elem] struct {
	cpu   *CPU
	y, x  []E
	mlp   MLP[E]
	shape weights.Shape
	next  int // neuron
	part  []E // the sum of a block
	add   func(first int, n *weights.Neurons) error
}

// addBlock adds the neurons n, numbered from first, to y. The first block also brings the bias.
func (s *blockSum[E]) addBlock(first int, n *weights.Neurons) error {
	got := n.Shape()
	count := got.Intermediate
	got.Intermediate = s.shape.Intermediate
	if !got.Equal(s.shape) || first != s.next || first+count > s.shape.Intermediate {
		return fmt.Errorf("kernel: a block of %d neurons from %d on of shape %+v, after %d of shape %+v",
			count, first, got, s.next, s.shape)
	}
	s.next = first + count
	m := s.mlp
	m.Gate, m.Up, m.Down = n.Gate(), n.Up(), n.Down()
	to := s.y
	if first > 0 {
		m.DownBias = nil
		s.part = resized(s.part, len(s.y))
		to = s.part
	}
	all := s.cpu.firstSlots(s.next)
	SparseMLP(s.cpu, to, s.x, &m, all[:count], all[first:], nil)
	if first > 0 {
		Add(s.cpu, s.y, s.y, s.part)
	}
	return nil
}
