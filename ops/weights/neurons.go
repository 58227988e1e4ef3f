package weights

import (
	"errors"
	"fmt"
	"math"
)

// Neurons is an MLP stored neuron-major: row i of every matrix belongs to neuron i.
// All matrices have one dtype. Gate and up are I×H (intermediate × hidden), and so is down in an MLP that gives as many
// numbers as it takes; NewNeurons also makes Neurons whose down is I×O.
type Neurons struct {
	Gate *Matrix // nil for a plain MLP, act(x·up)·down
	Up   *Matrix
	Down *Matrix // the transpose of the usual O×I down projection

	Bundles []byte // all of it as Shape.view lays it out, nil if it lies otherwise
}

// NewNeurons makes Neurons of matrices that exist already, without copying them. gate is nil for a plain MLP.
func NewNeurons(gate, up, down *Matrix) (*Neurons, error) {
	if up == nil || down == nil {
		return nil, errors.New("weights: neurons need an up and a down matrix")
	}
	if up.Rows() < 1 || up.Cols() < 1 || down.Cols() < 1 {
		return nil, fmt.Errorf("weights: neurons: up is %d×%d and down %d×%d", up.Rows(), up.Cols(), down.Rows(), down.Cols())
	}
	for _, m := range []struct {
		name string
		*Matrix
	}{{"gate", gate}, {"down", down}} {
		if m.Matrix == nil {
			continue
		}
		if m.Rows() != up.Rows() || m.Matrix == gate && m.Cols() != up.Cols() {
			return nil, fmt.Errorf("weights: neurons: %s is %d×%d, up is %d×%d (all neuron-major, intermediate × hidden)",
				m.name, m.Rows(), m.Cols(), up.Rows(), up.Cols())
		}
		if m.Dtype() != up.Dtype() {
			return nil, fmt.Errorf("weights: neurons: %s is %v, up is %v", m.name, m.Dtype(), up.Dtype())
		}
	}
	return &Neurons{Gate: gate, Up: up, Down: down}, nil
}

// Shape says how large the neurons of an MLP with as many outputs as inputs are.
type Shape struct {
	Dtype        Dtype
	Intermediate int  // I
	Hidden       int  // H
	Gated        bool // there is a gate matrix
}

// Shape is the shape of n.
func (n *Neurons) Shape() Shape { return Shape{n.Dtype(), n.Intermediate(), n.Hidden(), n.Gated()} }

// maxStore is the most bytes of one store: an error then comes before a giant allocation.
const maxStore = 8 << 30

func (s Shape) Check() error {
	if s.Intermediate < 1 || s.Hidden < 1 {
		return fmt.Errorf("intermediate %d and hidden %d must be positive", s.Intermediate, s.Hidden)
	}
	if _, err := ParseDtype(s.Dtype.String()); err != nil {
		return err
	}
	if s.Hidden > math.MaxInt32/3/RowAlign {
		return fmt.Errorf("hidden %d is too large", s.Hidden)
	}
	return nil
}

func (s Shape) parts() int {
	if s.Gated {
		return 3
	}
	return 2
}

// row is the bytes from one row of a neuron to the next, bundle those from one neuron to the next.
func (s Shape) Row() int    { return (s.Dtype.RowBytes(s.Hidden) + RowAlign - 1) / RowAlign * RowAlign }
func (s Shape) Bundle() int { return s.parts() * s.Row() }

// AllocateNeurons makes zeroed Neurons in one store, in which the gate, up and down rows of a neuron are adjacent and each
// begins a cache line: reading an active neuron reads one stretch of memory. A store of more than 8 GiB is an error.
func AllocateNeurons(d Dtype, intermediate, hidden int, gated bool) (*Neurons, error) {
	n, err := Shape{d, intermediate, hidden, gated}.Allocate()
	if err != nil {
		return nil, fmt.Errorf("weights: allocate: %w", err)
	}
	return n, nil
}

func (s Shape) Allocate() (*Neurons, error) {
	size, err := s.Size()
	if err != nil {
		return nil, err
	}
	return s.View(AlignedBytes(size))
}

// size is the bytes of all bundles, or an error if they are more than can be allocated.
func (s Shape) Size() (int, error) {
	if err := s.Check(); err != nil {
		return 0, err
	}
	if s.Intermediate > maxStore/s.Bundle() {
		return 0, fmt.Errorf("%d neurons of %d bytes each are too many", s.Intermediate, s.Bundle())
	}
	return s.Intermediate * s.Bundle(), nil
}

// view makes Neurons of bundles.
func (s Shape) View(bundles []byte) (*Neurons, error) {
	var views [3]*Matrix
	for i := range s.parts() {
		var err error
		if views[i], err = MatrixView(s.Dtype, s.Intermediate, s.Hidden, s.Bundle(), bundles[i*s.Row():]); err != nil {
			return nil, err
		}
	}
	if !s.Gated {
		return &Neurons{Up: views[0], Down: views[1], Bundles: bundles}, nil
	}
	return &Neurons{Gate: views[0], Up: views[1], Down: views[2], Bundles: bundles}, nil
}

// Blocks calls do with all neurons at once: a store in memory is one block.
func (n *Neurons) Blocks(do func(first int, n *Neurons) error) error { return do(0, n) }

// Intermediate is the number of neurons, I.
func (n *Neurons) Intermediate() int { return n.Up.Rows() }

// Hidden is the length of a neuron's gate and up rows, H.
func (n *Neurons) Hidden() int { return n.Up.Cols() }

// Outputs is the length of a neuron's down row, O; H in most MLPs.
func (n *Neurons) Outputs() int { return n.Down.Cols() }

// checkSquare refuses neurons with other numbers of outputs and inputs, which files do not hold.
func (n *Neurons) CheckSquare() error {
	if n.Outputs() != n.Hidden() {
		return fmt.Errorf("the neurons take %d numbers and give %d: a file holds only as many", n.Hidden(), n.Outputs())
	}
	return nil
}

// Dtype is the dtype that the weights are stored in.
func (n *Neurons) Dtype() Dtype { return n.Up.Dtype() }

// Gated tells whether there is a gate matrix.
func (n *Neurons) Gated() bool { return n.Gate != nil }

// Bytes is the size of the weights in bytes, alignment not counted.
func (n *Neurons) Bytes() int64 { return int64(n.Intermediate()) * n.NeuronBytes() }

// neuronBytes is the size of the rows of one neuron.
func (n *Neurons) NeuronBytes() (bytes int64) {
	for _, m := range n.Matrices() {
		if m != nil {
			bytes += int64(m.Dtype().RowBytes(m.Cols()))
		}
	}
	return bytes
}

// matrices are the matrices in the order in which a neuron's rows are stored. The first is nil in a plain MLP.
func (n *Neurons) Matrices() [3]*Matrix { return [3]*Matrix{n.Gate, n.Up, n.Down} }
