package ops

import (
	"errors"
	"fmt"
	"hash"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/sparsegonia/sparsegonia/ops/kernel"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// Fused is implemented by the op of DenseMLP. It lets rewriters read what is captured.
type Fused interface {
	gorgonia.Op
	MLP() MLP
}

// DenseMLP computes an MLP over all its neurons in one node: x T×H → T×O, or H → O,
//
//	y = Σᵢ act(x·gateᵢ)·(x·upᵢ)·downᵢ + down bias
//
// and without a gate matrix y = Σᵢ act(x·upᵢ)·downᵢ + down bias: the SparseMLP with every neuron active, bit for bit. It
// reads the rows of a neuron together, which for few tokens is faster than three products where they lie side by side, as
// in a store of cache.Allocate.
//
// m.Cache must hold every neuron in its place, as cache.InPlace does. Another is an error, also when the op runs.
func DenseMLP(x *gorgonia.Node, m MLP, opts ...Option) (*gorgonia.Node, error) {
	op, err := newDenseMLPOp(x, m, opts)
	if err != nil {
		return nil, err
	}
	return gorgonia.ApplyOp(op, x)
}

type denseMLPOp struct {
	signature
	mlp MLP
	cpu *kernel.CPU

	kernel any // the kernel's form of mlp, a *kernel.MLP of the compute type
}

func newDenseMLPOp(x *gorgonia.Node, m MLP, opts []Option) (*denseMLPOp, error) {
	s, err := newSignature("DenseMLP", "x", x)
	if err != nil {
		return nil, err
	}
	if err := m.check(s.in[0]); err != nil {
		return nil, s.wrap(err)
	}
	if err := m.checkInPlace(); err != nil {
		return nil, s.wrap(err)
	}
	s.out = s.in[0].withCols("y", m.Cache.Rows().Outputs())
	return &denseMLPOp{signature: s, mlp: m, cpu: newOptions(opts).cpu, kernel: m.kernel(s.out.dtype)}, nil
}

// checkInPlace tells whether slot i of the cache holds neuron i, for all of them.
func (m *MLP) checkInPlace() error {
	if m.Cache.Neurons() != nil || m.Cache.Rows().Intermediate() != m.Cache.Intermediate() {
		return errors.New("the cache does not hold every neuron in its place")
	}
	return nil
}

func (op *denseMLPOp) Do(inputs ...gorgonia.Value) (gorgonia.Value, error) {
	return op.UsePreallocDo(op.newOutput(), inputs...)
}

func (op *denseMLPOp) UsePreallocDo(output gorgonia.Value, inputs ...gorgonia.Value) (gorgonia.Value, error) {
	var v values
	if err := op.bind(&v, output, inputs); err != nil {
		return nil, err
	}
	if err := op.mlp.checkInPlace(); err != nil {
		return nil, op.wrap(err)
	}
	switch op.out.dtype {
	case tensor.Float32:
		runDenseMLP[float32](op, &v)
	case tensor.Float64:
		runDenseMLP[float64](op, &v)
	case tensor.Int32:
		runDenseMLP[int32](op, &v)
	case tensor.Int64:
		runDenseMLP[int64](op, &v)
	}
	return output, nil
}

func runDenseMLP[E weights.Elem](op *denseMLPOp, v *values) {
	rows, m := op.mlp.Cache.Rows(), op.kernel.(*kernel.MLP[E])
	m.Gate, m.Up, m.Down = rows.Gate, rows.Up, rows.Down
	kernel.DenseMLP(op.cpu, elements[E](v.y), elements[E](v.in[0]), m)
}

// MLP is what the op captures.
func (op *denseMLPOp) MLP() MLP { return op.mlp }

func (op *denseMLPOp) WriteHash(h hash.Hash) {
	op.writeHash(h)
	op.mlp.writeHash(h)
	fmt.Fprintf(h, " cpu %p", op.cpu)
}

func (op *denseMLPOp) Hashcode() uint32 { return hashcode(op) }
