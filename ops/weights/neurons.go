package weights

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
)

// Neurons is a store: the weights of the I neurons of an operation, neuron-major. It consists of named parts, and row i of
// every part belongs to neuron i. Each part has a row length of its own.
//
// An MLP has the parts PartUp and PartDown, and PartGate if it is gated. A store may have others: whoever reads a store asks for the
// parts by name and ignores the rest. The zero Neurons has no parts and no neurons.
type Neurons struct {
	parts []Part
	shape Shape

	Bundles []byte // all of it as Shape.View lays it out, nil if it lies otherwise
}

// Part is a matrix of a store, with a row for each neuron.
type Part struct {
	Name string
	*Matrix
}

// The parts of an MLP act(x·gateᵀ) ⊙ (x·upᵀ) · down, or act(x·upᵀ) · down without a gate. Gate and up are I×H. Down is
// I×O, the transpose of the usual down projection.
const (
	PartGate = "gate"
	PartUp   = "up"
	PartDown = "down"
)

// NewStore makes a store of matrices that exist already, without copying them. A neuron's rows come in the order of parts.
func NewStore(parts ...Part) (*Neurons, error) {
	for _, p := range parts {
		if p.Matrix == nil {
			return nil, fmt.Errorf("weights: store: part %q has no matrix", p.Name)
		}
		if p.Rows() != parts[0].Rows() {
			return nil, fmt.Errorf("weights: store: %s is %d×%d, %s is %d×%d: each needs a row for every neuron",
				p.Name, p.Rows(), p.Cols(), parts[0].Name, parts[0].Rows(), parts[0].Cols())
		}
	}
	n := newNeurons(slices.Clone(parts), nil)
	if err := n.shape.Check(); err != nil {
		return nil, fmt.Errorf("weights: store: %w", err)
	}
	return n, nil
}

// NewNeurons makes the store of an MLP of matrices that exist already, without copying them. gate is nil for a plain MLP.
// The matrices have one dtype.
func NewNeurons(gate, up, down *Matrix) (*Neurons, error) {
	if up == nil || down == nil {
		return nil, errors.New("weights: neurons need an up and a down matrix")
	}
	if up.Rows() < 1 || up.Cols() < 1 || down.Cols() < 1 {
		return nil, fmt.Errorf("weights: neurons: up is %d×%d and down %d×%d", up.Rows(), up.Cols(), down.Rows(), down.Cols())
	}
	parts := []Part{{PartGate, gate}, {PartUp, up}, {PartDown, down}}
	if gate == nil {
		parts = parts[1:]
	}
	for _, m := range parts {
		if m.Rows() != up.Rows() || m.Matrix == gate && m.Cols() != up.Cols() {
			return nil, fmt.Errorf("weights: neurons: %s is %d×%d, up is %d×%d (all neuron-major, intermediate × hidden)",
				m.Name, m.Rows(), m.Cols(), up.Rows(), up.Cols())
		}
	}
	n := newNeurons(parts, nil)
	if err := n.shape.CheckMLP(); err != nil {
		return nil, fmt.Errorf("weights: neurons: %w", err)
	}
	return n, nil
}

func newNeurons(parts []Part, bundles []byte) *Neurons {
	n := &Neurons{parts: parts, shape: Shape{Parts: make([]PartShape, len(parts))}, Bundles: bundles}
	for i, p := range parts {
		n.shape.Intermediate = p.Rows()
		n.shape.Parts[i] = PartShape{p.Name, p.Dtype(), p.Cols()}
	}
	return n
}

// Parts returns the parts in the order in which a neuron's rows are stored. The caller must not change the slice.
func (n *Neurons) Parts() []Part {
	if n == nil {
		return nil
	}
	return n.parts
}

// Part returns the matrix of a name, nil if there is none.
func (n *Neurons) Part(name string) *Matrix {
	for _, p := range n.Parts() {
		if p.Name == name {
			return p.Matrix
		}
	}
	return nil
}

// Gate, Up and Down return the parts of these names.
func (n *Neurons) Gate() *Matrix { return n.Part(PartGate) }
func (n *Neurons) Up() *Matrix   { return n.Part(PartUp) }
func (n *Neurons) Down() *Matrix { return n.Part(PartDown) }

// Of the store of an MLP: Hidden returns the length of gate and up rows, H, Outputs that of down rows, O, Dtype what they
// are stored in, and Gated reports whether there is a gate. Without the parts of an MLP they return zero values.
func (n *Neurons) Hidden() int  { return n.Shape().Hidden() }
func (n *Neurons) Outputs() int { return n.Shape().Outputs() }
func (n *Neurons) Dtype() Dtype { return n.Shape().Dtype() }
func (n *Neurons) Gated() bool  { return n.Shape().Gated() }

// Blocks calls do with all neurons at once: a store in memory is a Source of one block.
func (n *Neurons) Blocks(do func(first int, n *Neurons) error) error { return do(0, n) }

// Intermediate returns the number of neurons, I.
func (n *Neurons) Intermediate() int {
	return n.Shape().Intermediate
}

// Slice returns a view of neurons from to to−1.
func (n *Neurons) Slice(from, to int) *Neurons {
	parts := slices.Clone(n.Parts())
	for i, p := range parts {
		parts[i].Matrix = p.Slice(from, to)
	}
	return newNeurons(parts, nil)
}

// Bytes returns the size of the weights in bytes, alignment not counted.
func (n *Neurons) Bytes() int64 { return int64(n.Intermediate()) * n.NeuronBytes() }

// NeuronBytes returns the size of the rows of one neuron, alignment not counted.
func (n *Neurons) NeuronBytes() (bytes int64) {
	for _, p := range n.Parts() {
		bytes += int64(p.RowBytes())
	}
	return bytes
}

// Shape returns the shape of n. The caller must not change its Parts.
func (n *Neurons) Shape() Shape {
	if n == nil {
		return Shape{}
	}
	return n.shape
}

// Shape says how large a store is and of what parts.
type Shape struct {
	Intermediate int // I, the number of neurons
	Parts        []PartShape
}

// PartShape describes a part.
type PartShape struct {
	Name  string // 1 to 16 of a–z, 0–9, '_' and '-'
	Dtype Dtype
	Cols  int // numbers in a row
}

// MLPShape returns the shape of an MLP with as many outputs as inputs.
func MLPShape(d Dtype, intermediate, hidden int, gated bool) Shape {
	s := Shape{intermediate, []PartShape{{PartGate, d, hidden}, {PartUp, d, hidden}, {PartDown, d, hidden}}}
	if !gated {
		s.Parts = s.Parts[1:]
	}
	return s
}

// Part returns the shape of the part of a name, the zero PartShape if there is none.
func (s Shape) Part(name string) PartShape {
	for _, p := range s.Parts {
		if p.Name == name {
			return p
		}
	}
	return PartShape{}
}

// Of the shape of an MLP: Hidden returns the length of gate and up rows, H, Outputs that of down rows, O, Dtype what they
// are stored in, and Gated reports whether there is a gate.
func (s Shape) Hidden() int  { return s.Part(PartUp).Cols }
func (s Shape) Outputs() int { return s.Part(PartDown).Cols }
func (s Shape) Dtype() Dtype { return s.Part(PartUp).Dtype }
func (s Shape) Gated() bool  { return s.Part(PartGate) != PartShape{} }

// Equal reports whether s and t are the same.
func (s Shape) Equal(t Shape) bool {
	return s.Intermediate == t.Intermediate && slices.Equal(s.Parts, t.Parts)
}

const (
	maxStore = 8 << 30 // bytes of one store: an error then comes before a giant allocation

	MaxParts    = 16 // parts of a store
	MaxPartName = 16 // bytes of a part's name
)

// Check refuses shapes of no neurons, of no parts and of parts that are not sound, by name.
func (s Shape) Check() error {
	if s.Intermediate < 1 || len(s.Parts) < 1 || len(s.Parts) > MaxParts {
		return fmt.Errorf("intermediate %d must be positive, and %d parts 1 to %d", s.Intermediate, len(s.Parts), MaxParts)
	}
	bundle := 0
	for i, p := range s.Parts {
		const letters = "abcdefghijklmnopqrstuvwxyz0123456789_-"
		if len(p.Name) < 1 || len(p.Name) > MaxPartName || strings.Trim(p.Name, letters) != "" {
			return fmt.Errorf("part %q: a name has 1 to %d of a–z, 0–9, '_' and '-'", p.Name, MaxPartName)
		}
		if slices.ContainsFunc(s.Parts[:i], func(q PartShape) bool { return q.Name == p.Name }) {
			return fmt.Errorf("part %q occurs twice", p.Name)
		}
		if _, err := ParseDtype(p.Dtype.String()); err != nil {
			return fmt.Errorf("part %q: %w", p.Name, err)
		}
		if p.Cols < 1 || p.Cols > math.MaxInt32/8 || p.Stride() > math.MaxInt32-bundle {
			return fmt.Errorf("part %q: %d columns are too few or too many", p.Name, p.Cols)
		}
		bundle += p.Stride()
	}
	return nil
}

// CheckMLP refuses shapes that are not of an MLP: without up or down, of several dtypes, or with gate rows that are not as
// long as up rows. Other parts do not matter.
func (s Shape) CheckMLP() error {
	up, down := s.Part(PartUp), s.Part(PartDown)
	if up == (PartShape{}) || down == (PartShape{}) {
		return errors.New("neurons of an MLP need an up and a down matrix")
	}
	for _, p := range []PartShape{s.Part(PartGate), down} {
		switch {
		case p == PartShape{}:
		case p.Dtype != up.Dtype:
			return fmt.Errorf("%s is %v, up is %v", p.Name, p.Dtype, up.Dtype)
		case p.Name == PartGate && p.Cols != up.Cols:
			return fmt.Errorf("gate rows have %d numbers, up rows %d", p.Cols, up.Cols)
		}
	}
	return s.Check()
}

// Stride returns the bytes that a row takes in a bundle: it begins a cache line.
func (p PartShape) Stride() int {
	return (p.Dtype.RowBytes(p.Cols) + RowAlign - 1) / RowAlign * RowAlign
}

// Bundle returns the bytes from one neuron to the next where the rows of a neuron are adjacent.
func (s Shape) Bundle() (bytes int) {
	for _, p := range s.Parts {
		bytes += p.Stride()
	}
	return bytes
}

// Size returns the bytes of all bundles, or an error if they are more than can be allocated.
func (s Shape) Size() (int, error) {
	if err := s.Check(); err != nil {
		return 0, err
	}
	if s.Intermediate > maxStore/s.Bundle() {
		return 0, fmt.Errorf("%d neurons of %d bytes each are too many", s.Intermediate, s.Bundle())
	}
	return s.Intermediate * s.Bundle(), nil
}

// Allocate makes a zeroed store in one piece of memory. The rows of a neuron are adjacent and each begins a cache line:
// reading an active neuron reads one stretch of memory. A store of more than 8 GiB is an error.
func (s Shape) Allocate() (*Neurons, error) {
	size, err := s.Size()
	if err != nil {
		return nil, fmt.Errorf("weights: allocate: %w", err)
	}
	return s.View(AlignedBytes(size))
}

// AllocateNeurons allocates the store of an MLP with as many outputs as inputs.
func AllocateNeurons(d Dtype, intermediate, hidden int, gated bool) (*Neurons, error) {
	return MLPShape(d, intermediate, hidden, gated).Allocate()
}

// View makes a store of bundles, without copying them.
func (s Shape) View(bundles []byte) (*Neurons, error) {
	parts, at := make([]Part, len(s.Parts)), 0
	for i, p := range s.Parts {
		m, err := MatrixView(p.Dtype, s.Intermediate, p.Cols, s.Bundle(), bundles[min(at, len(bundles)):])
		if err != nil {
			return nil, fmt.Errorf("weights: view: part %q: %w", p.Name, err)
		}
		parts[i] = Part{p.Name, m}
		at += p.Stride()
	}
	return newNeurons(parts, bundles), nil
}
