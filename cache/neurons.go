package cache

import (
	"errors"
	"fmt"
	"math"

	"github.com/sparsegonia/sparsegonia/ops/kernel"
)

// Neurons is an MLP stored neuron-major: row i of every matrix belongs to neuron i.
// All matrices are I×H (intermediate × hidden) and of one dtype.
type Neurons struct {
	Gate *kernel.Matrix // nil for a plain MLP, act(x·up)·down
	Up   *kernel.Matrix
	Down *kernel.Matrix // the transpose of the usual H×I down projection
}

// NewNeurons makes Neurons of matrices that exist already, without copying them. gate is nil for a plain MLP.
func NewNeurons(gate, up, down *kernel.Matrix) (*Neurons, error) {
	if up == nil || down == nil {
		return nil, errors.New("cache: neurons need an up and a down matrix")
	}
	if up.Rows() < 1 || up.Cols() < 1 {
		return nil, fmt.Errorf("cache: neurons: up is %d×%d", up.Rows(), up.Cols())
	}
	for _, m := range []struct {
		name string
		*kernel.Matrix
	}{{"gate", gate}, {"down", down}} {
		if m.Matrix == nil {
			continue
		}
		if m.Rows() != up.Rows() || m.Cols() != up.Cols() {
			return nil, fmt.Errorf("cache: neurons: %s is %d×%d, up is %d×%d (all neuron-major, intermediate × hidden)",
				m.name, m.Rows(), m.Cols(), up.Rows(), up.Cols())
		}
		if m.Dtype() != up.Dtype() {
			return nil, fmt.Errorf("cache: neurons: %s is %v, up is %v", m.name, m.Dtype(), up.Dtype())
		}
	}
	return &Neurons{Gate: gate, Up: up, Down: down}, nil
}

// line is the alignment of every row in bytes, a cache line.
const line = 64

// Allocate makes zeroed Neurons in one store, in which the gate, up and down rows of a neuron are adjacent and each
// begins a cache line: reading an active neuron reads one stretch of memory. A store of 8 GiB or more is an error.
func Allocate(d kernel.Dtype, intermediate, hidden int, gated bool) (*Neurons, error) {
	if intermediate < 1 || hidden < 1 {
		return nil, fmt.Errorf("cache: allocate: intermediate %d and hidden %d must be positive", intermediate, hidden)
	}
	if _, err := kernel.ParseDtype(d.String()); err != nil {
		return nil, fmt.Errorf("cache: allocate: %w", err)
	}
	parts := 2
	if gated {
		parts = 3
	}
	if hidden > maxFloats/parts/line {
		return nil, fmt.Errorf("cache: allocate: hidden %d is too large", hidden)
	}
	row := (d.RowBytes(hidden) + line - 1) / line * line
	stride := parts * row
	if intermediate > maxFloats/(stride/4) {
		return nil, fmt.Errorf("cache: allocate: %d neurons of %d bytes each are too many", intermediate, stride)
	}

	store, err := memory(intermediate * stride)
	if err != nil {
		return nil, fmt.Errorf("cache: allocate: %w", err)
	}
	var view [3]*kernel.Matrix
	for i := range parts {
		if view[i], err = kernel.MatrixView(d, intermediate, hidden, stride, store[i*row:]); err != nil {
			return nil, fmt.Errorf("cache: allocate: %w", err)
		}
	}
	if !gated {
		return NewNeurons(nil, view[0], view[1])
	}
	return NewNeurons(view[0], view[1], view[2])
}

const maxFloats = math.MaxInt32

// memory allocates zeroed bytes that begin a cache line, on huge pages when they are many.
func memory(bytes int) ([]byte, error) {
	floats := (bytes + 3) / 4
	if floats > maxFloats {
		return nil, fmt.Errorf("%d bytes are too many, 8 GiB and more", bytes)
	}
	return kernel.NewMatrix(kernel.F32, 1, floats).Row(0), nil
}

// Intermediate is the number of neurons, I.
func (n *Neurons) Intermediate() int { return n.Up.Rows() }

// Hidden is the length of a neuron's rows, H.
func (n *Neurons) Hidden() int { return n.Up.Cols() }

// Dtype is the dtype that the weights are stored in.
func (n *Neurons) Dtype() kernel.Dtype { return n.Up.Dtype() }

// Gated tells whether there is a gate matrix.
func (n *Neurons) Gated() bool { return n.Gate != nil }

// Bytes is the size of the weights in bytes, alignment not counted.
func (n *Neurons) Bytes() int64 { return int64(n.Intermediate()) * n.neuronBytes() }

// neuronBytes is the size of the rows of one neuron.
func (n *Neurons) neuronBytes() int64 {
	rows := int64(2)
	if n.Gated() {
		rows = 3
	}
	return rows * int64(n.Dtype().RowBytes(n.Hidden()))
}

// matrices are the matrices in the order in which a neuron's rows are stored. The first is nil in a plain MLP.
func (n *Neurons) matrices() [3]*kernel.Matrix { return [3]*kernel.Matrix{n.Gate, n.Up, n.Down} }
