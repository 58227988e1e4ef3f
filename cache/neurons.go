package cache

import (
	"errors"
	"fmt"
	"math"

	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// Neurons is an MLP stored neuron-major: row i of every matrix belongs to neuron i.
// All matrices have one dtype. Gate and up are I×H (intermediate × hidden), and so is down in an MLP that gives as many
// numbers as it takes; NewNeurons also makes Neurons whose down is I×O.
type Neurons struct {
	Gate *weights.Matrix // nil for a plain MLP, act(x·up)·down
	Up   *weights.Matrix
	Down *weights.Matrix // the transpose of the usual O×I down projection

	bundles []byte // all of it as Shape.view lays it out, nil if it lies otherwise
}

// NewNeurons makes Neurons of matrices that exist already, without copying them. gate is nil for a plain MLP.
func NewNeurons(gate, up, down *weights.Matrix) (*Neurons, error) {
	if up == nil || down == nil {
		return nil, errors.New("cache: neurons need an up and a down matrix")
	}
	if up.Rows() < 1 || up.Cols() < 1 || down.Cols() < 1 {
		return nil, fmt.Errorf("cache: neurons: up is %d×%d and down %d×%d", up.Rows(), up.Cols(), down.Rows(), down.Cols())
	}
	for _, m := range []struct {
		name string
		*weights.Matrix
	}{{"gate", gate}, {"down", down}} {
		if m.Matrix == nil {
			continue
		}
		if m.Rows() != up.Rows() || m.Matrix == gate && m.Cols() != up.Cols() {
			return nil, fmt.Errorf("cache: neurons: %s is %d×%d, up is %d×%d (all neuron-major, intermediate × hidden)",
				m.name, m.Rows(), m.Cols(), up.Rows(), up.Cols())
		}
		if m.Dtype() != up.Dtype() {
			return nil, fmt.Errorf("cache: neurons: %s is %v, up is %v", m.name, m.Dtype(), up.Dtype())
		}
	}
	return &Neurons{Gate: gate, Up: up, Down: down}, nil
}

// Shape says how large the neurons of an MLP with as many outputs as inputs are.
type Shape struct {
	Dtype        weights.Dtype
	Intermediate int  // I
	Hidden       int  // H
	Gated        bool // there is a gate matrix
}

// Shape is the shape of n.
func (n *Neurons) Shape() Shape { return Shape{n.Dtype(), n.Intermediate(), n.Hidden(), n.Gated()} }

// line is the alignment of every row in bytes, a cache line.
const line = 64

// maxFloats is the most that one allocation holds, in float32.
const maxFloats = math.MaxInt32

func (s Shape) check() error {
	if s.Intermediate < 1 || s.Hidden < 1 {
		return fmt.Errorf("intermediate %d and hidden %d must be positive", s.Intermediate, s.Hidden)
	}
	if _, err := weights.ParseDtype(s.Dtype.String()); err != nil {
		return err
	}
	if s.Hidden > maxFloats/3/line {
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
func (s Shape) row() int    { return (s.Dtype.RowBytes(s.Hidden) + line - 1) / line * line }
func (s Shape) bundle() int { return s.parts() * s.row() }

// Allocate makes zeroed Neurons in one store, in which the gate, up and down rows of a neuron are adjacent and each
// begins a cache line: reading an active neuron reads one stretch of memory. A store of 8 GiB or more is an error.
func Allocate(d weights.Dtype, intermediate, hidden int, gated bool) (*Neurons, error) {
	n, err := Shape{d, intermediate, hidden, gated}.allocate()
	if err != nil {
		return nil, fmt.Errorf("cache: allocate: %w", err)
	}
	return n, nil
}

func (s Shape) allocate() (*Neurons, error) {
	size, err := s.size()
	if err != nil {
		return nil, err
	}
	bundles, err := memory(size)
	if err != nil {
		return nil, err
	}
	return s.view(bundles)
}

// size is the bytes of all bundles, or an error if they are more than can be allocated.
func (s Shape) size() (int, error) {
	if err := s.check(); err != nil {
		return 0, err
	}
	if s.Intermediate > maxFloats/(s.bundle()/4) {
		return 0, fmt.Errorf("%d neurons of %d bytes each are too many", s.Intermediate, s.bundle())
	}
	return s.Intermediate * s.bundle(), nil
}

// view makes Neurons of bundles.
func (s Shape) view(bundles []byte) (*Neurons, error) {
	var views [3]*weights.Matrix
	for i := range s.parts() {
		var err error
		if views[i], err = weights.MatrixView(s.Dtype, s.Intermediate, s.Hidden, s.bundle(), bundles[i*s.row():]); err != nil {
			return nil, err
		}
	}
	if !s.Gated {
		return &Neurons{Up: views[0], Down: views[1], bundles: bundles}, nil
	}
	return &Neurons{Gate: views[0], Up: views[1], Down: views[2], bundles: bundles}, nil
}

// memory allocates zeroed bytes that begin a cache line, on huge pages when they are many.
func memory(bytes int) ([]byte, error) {
	floats := (bytes + 3) / 4
	if floats > maxFloats {
		return nil, fmt.Errorf("%d bytes are too many, 8 GiB and more", bytes)
	}
	return weights.NewMatrix(weights.F32, 1, floats).Row(0), nil
}

// Intermediate is the number of neurons, I.
func (n *Neurons) Intermediate() int { return n.Up.Rows() }

// Hidden is the length of a neuron's gate and up rows, H.
func (n *Neurons) Hidden() int { return n.Up.Cols() }

// Outputs is the length of a neuron's down row, O; H in most MLPs.
func (n *Neurons) Outputs() int { return n.Down.Cols() }

// checkSquare refuses neurons with other numbers of outputs and inputs, which files do not hold.
func (n *Neurons) checkSquare() error {
	if n.Outputs() != n.Hidden() {
		return fmt.Errorf("the neurons take %d numbers and give %d: a file holds only as many", n.Hidden(), n.Outputs())
	}
	return nil
}

// Dtype is the dtype that the weights are stored in.
func (n *Neurons) Dtype() weights.Dtype { return n.Up.Dtype() }

// Gated tells whether there is a gate matrix.
func (n *Neurons) Gated() bool { return n.Gate != nil }

// Bytes is the size of the weights in bytes, alignment not counted.
func (n *Neurons) Bytes() int64 { return int64(n.Intermediate()) * n.neuronBytes() }

// neuronBytes is the size of the rows of one neuron.
func (n *Neurons) neuronBytes() (bytes int64) {
	for _, m := range n.matrices() {
		if m != nil {
			bytes += int64(m.Dtype().RowBytes(m.Cols()))
		}
	}
	return bytes
}

// matrices are the matrices in the order in which a neuron's rows are stored. The first is nil in a plain MLP.
func (n *Neurons) matrices() [3]*weights.Matrix { return [3]*weights.Matrix{n.Gate, n.Up, n.Down} }
