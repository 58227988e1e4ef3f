package ops

import (
	"errors"
	"fmt"
	"hash"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/sparsegonia/sparsegonia/cache"
	"github.com/sparsegonia/sparsegonia/ops/activation"
	"github.com/sparsegonia/sparsegonia/ops/kernel"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// StoredMLP is what a StreamMLP captures: an MLP whose neurons lie in a neuron file.
type StoredMLP struct {
	Stream   *cache.Stream   // reads the file
	Layer    int             // of the file
	Act      activation.Func // ReLU for integers
	GateBias *weights.Matrix // 1×I in the compute dtype, or nil; there is none without a gate matrix
	UpBias   *weights.Matrix // 1×I in the compute dtype, or nil
	DownBias *weights.Matrix // 1×H in the compute dtype, or nil

	// Gate is a copy of the gate rows in memory, I×H of any width with the same compute dtype, for selectors that score
	// neurons by their gate. nil: there is none.
	Gate *weights.Matrix
}

// Shape is the shape of the neurons.
func (m *StoredMLP) Shape() weights.Shape { return m.Stream.File().Shapes()[m.Layer] }

// Stored is implemented by the op of StreamMLP. It lets rewriters read what is captured.
type Stored interface {
	gorgonia.Op
	Stored() StoredMLP
}

// StreamMLP computes an MLP over all its neurons, which it reads from a neuron file block by block, so that they need
// not be in memory: x T×H → T×H, or H → H,
//
//	y = Σᵢ act(x·gateᵢ)·(x·upᵢ)·downᵢ + down bias
//
// Partial sums are added in the order of the blocks. A read that fails is an error when the op runs.
func StreamMLP(x *gorgonia.Node, m StoredMLP, opts ...Option) (*gorgonia.Node, error) {
	op, err := newStreamMLPOp(x, m, opts)
	if err != nil {
		return nil, err
	}
	return gorgonia.ApplyOp(op, x)
}

type streamMLPOp struct {
	signature
	mlp    StoredMLP
	cpu    *kernel.CPU
	kernel any // what runs it, a *streamedMLP of the compute type
}

func newStreamMLPOp(x *gorgonia.Node, m StoredMLP, opts []Option) (*streamMLPOp, error) {
	s, err := newSignature("StreamMLP", "x", x)
	if err != nil {
		return nil, err
	}
	if err := m.check(s.in[0]); err != nil {
		return nil, s.wrap(err)
	}
	s.out = s.in[0].withCols("y", m.Shape().Hidden)
	op := &streamMLPOp{signature: s, mlp: m, cpu: newOptions(opts).cpu}
	switch s.out.dtype {
	case tensor.Float32:
		op.kernel = newStreamedMLP[float32](op)
	case tensor.Float64:
		op.kernel = newStreamedMLP[float64](op)
	case tensor.Int32:
		op.kernel = newStreamedMLP[int32](op)
	case tensor.Int64:
		op.kernel = newStreamedMLP[int64](op)
	}
	return op, nil
}

// check tells whether m can be applied to rows of x.
func (m *StoredMLP) check(x operand) error {
	if m.Stream == nil {
		return errors.New("there is no stream")
	}
	if layers := len(m.Stream.File().Shapes()); m.Layer < 0 || m.Layer >= layers {
		return fmt.Errorf("layer %d, the file has %d", m.Layer, layers)
	}
	shape := m.Shape()
	dtype := shape.Dtype.Compute()
	if !shape.Gated && (m.GateBias != nil || m.Gate != nil) {
		return errors.New("a gate bias or a copy of the gate, but the MLP has no gate matrix")
	}
	if g := m.Gate; g != nil && (g.Rows() != shape.Intermediate || g.Cols() != shape.Hidden || g.Dtype().Compute() != dtype) {
		return fmt.Errorf("the copy of the gate is %v %d×%d, want %d×%d that compute in %v",
			g.Dtype(), g.Rows(), g.Cols(), shape.Intermediate, shape.Hidden, dtype)
	}
	return first(
		x.wantRows(), x.wantDtype(computeDtype(dtype)), x.wantCols(shape.Hidden),
		checkActivation(m.Act, x.dtype),
		checkBias("gate bias", m.GateBias, shape.Intermediate, dtype),
		checkBias("up bias", m.UpBias, shape.Intermediate, dtype),
		checkBias("down bias", m.DownBias, shape.Hidden, dtype),
	)
}

// streamedMLP adds up the blocks.
type streamedMLP[E weights.Elem] struct {
	op       *streamMLPOp
	mlp      kernel.MLP[E]
	downBias []E
	slots    []int32 // 0, 1, …, I−1
	part     []E     // what a block adds to y
	y, x     []E     // of the run
	block    func(first int, n *weights.Neurons) error
}

func newStreamedMLP[E weights.Elem](op *streamMLPOp) *streamedMLP[E] {
	m := &op.mlp
	s := &streamedMLP[E]{
		op: op, downBias: biasValues[E](m.DownBias),
		mlp:   kernel.MLP[E]{GateBias: biasValues[E](m.GateBias), UpBias: biasValues[E](m.UpBias), Act: m.Act},
		slots: make([]int32, m.Shape().Intermediate),
		part:  make([]E, op.out.shape.TotalSize()),
	}
	for i := range s.slots {
		s.slots[i] = int32(i)
	}
	s.block = s.add
	return s
}

func runStreamMLP[E weights.Elem](op *streamMLPOp, v *values) error {
	s := op.kernel.(*streamedMLP[E])
	s.y, s.x = elements[E](v.y), elements[E](v.in[0])
	layer, err := op.mlp.Stream.Layer(op.mlp.Layer)
	if err == nil {
		err = layer.Blocks(s.block)
	}
	s.y, s.x = nil, nil
	return err
}

// add adds the neurons n, numbered from first, to y. The first of them also bring the bias.
func (s *streamedMLP[E]) add(first int, n *weights.Neurons) error {
	m := &s.mlp
	m.Gate, m.Up, m.Down = n.Gate, n.Up, n.Down
	count := n.Intermediate()
	to := s.part
	m.DownBias = nil
	if first == 0 {
		to, m.DownBias = s.y, s.downBias
	}
	kernel.SparseMLP(s.op.cpu, to, s.x, m, s.slots[:count], s.slots[first:first+count], nil)
	if first > 0 {
		kernel.Add(s.op.cpu, s.y, s.y, s.part)
	}
	return nil
}

func (op *streamMLPOp) Do(inputs ...gorgonia.Value) (gorgonia.Value, error) {
	return op.UsePreallocDo(op.newOutput(), inputs...)
}

func (op *streamMLPOp) UsePreallocDo(output gorgonia.Value, inputs ...gorgonia.Value) (gorgonia.Value, error) {
	var v values
	if err := op.bind(&v, output, inputs); err != nil {
		return nil, err
	}
	var err error
	switch op.out.dtype {
	case tensor.Float32:
		err = runStreamMLP[float32](op, &v)
	case tensor.Float64:
		err = runStreamMLP[float64](op, &v)
	case tensor.Int32:
		err = runStreamMLP[int32](op, &v)
	case tensor.Int64:
		err = runStreamMLP[int64](op, &v)
	}
	if err != nil {
		return nil, op.wrap(err)
	}
	return output, nil
}

// Stored is what the op captures.
func (op *streamMLPOp) Stored() StoredMLP { return op.mlp }

func (op *streamMLPOp) WriteHash(h hash.Hash) {
	op.writeHash(h)
	m := &op.mlp
	fmt.Fprintf(h, " stream %p layer %d act %d biases %p %p %p gate %p cpu %p",
		m.Stream, m.Layer, m.Act, m.GateBias, m.UpBias, m.DownBias, m.Gate, op.cpu)
}

func (op *streamMLPOp) Hashcode() uint32 { return hashcode(op) }
