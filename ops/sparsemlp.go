package ops

import (
	"fmt"
	"io"
	"slices"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/sparsegonia/sparsegonia/ops/kernel"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// SparseMLP computes an MLP over its active neurons only: x T×H → T×O, or H → O,
//
//	y = Σ over the active i of act(x·gateᵢ)·(x·upᵢ)·downᵢ + down bias
//
// and without a gate matrix y = Σ act(x·upᵢ)·downᵢ + down bias. slots is the output of the Refresh
// of m.Cache: int32 I, slots up to the first negative entry. Slots outside the cache are an error
// when the op runs.
//
// gate, if not nil, holds the exact gate values act(x·gateᵀ) of Gate, T×I or I, and then the gate
// rows are not read. Without a gate matrix it holds act(x·upᵀ), and the up rows are not read.
//
// With every neuron active the result is the dense MLP's, within the rounding of the sum's order.
// With none active it is the down bias.
func SparseMLP(x, slots, gate *gorgonia.Node, m MLP) (*gorgonia.Node, error) {
	inputs := gorgonia.Nodes{x, slots}
	if gate != nil {
		inputs = append(inputs, gate)
	}
	b := build("SparseMLP", "x slots gate", inputs...)
	shape, err := m.cacheShape()
	if err != nil {
		return b.fail("%w", err)
	}
	in := b.in[0]
	b.require(m.check(in, shape), b.in[1].wantDtype(tensor.Int32), b.in[1].wantShape(shape.Intermediate))
	if gate != nil {
		b.require(b.in[2].wantDtype(in.dtype), b.in[2].wantShape(in.withCols("", shape.Intermediate).shape...))
	}
	b.out = in.withCols("y", shape.Outputs())
	return b.apply(&sparseMLPOp{b.signature, m})
}

type sparseMLPOp struct {
	signature
	mlp MLP
}

func (op *sparseMLPOp) run(cpu *kernel.CPU, v values) error {
	return byDtype(op.out.dtype, sparseMLP[float32], sparseMLP[float64], sparseMLP[int32], sparseMLP[int64])(cpu, op, v)
}

func sparseMLP[E weights.Elem](cpu *kernel.CPU, op *sparseMLPOp, v values) error {
	slots, err := op.mlp.activeSlots(from[int32](v, 1))
	if err != nil {
		return err
	}
	var gate []E
	if len(op.in) == 3 {
		gate = from[E](v, 2)
	}
	rows, m := op.mlp.Cache.Rows(), kernelMLP[E](&op.mlp)
	m.Gate, m.Up, m.Down = rows.Gate(), rows.Up(), rows.Down() // a packed cache may have moved them
	kernel.SparseMLP(cpu, to[E](v), from[E](v, 0), &m, slots, op.mlp.Cache.Neurons(), gate)
	return nil
}

// activeSlots returns slots without its padding, if they are what the cache holds.
func (m *MLP) activeSlots(slots []int32) ([]int32, error) {
	if end := slices.IndexFunc(slots, func(slot int32) bool { return slot < 0 }); end >= 0 {
		slots = slots[:end]
	}
	in := spec{name: "slots"}
	if err := in.wantRange(slots, m.Cache.Rows().Intermediate()); err != nil {
		return nil, err
	}
	if neurons := m.Cache.Neurons(); neurons != nil && len(neurons) != len(slots) {
		return nil, fmt.Errorf("%d slots are active, the cache holds %d neurons: slots is not from its last refresh",
			len(slots), len(neurons))
	}
	return slots, nil
}

func (op *sparseMLPOp) hash(w io.Writer) { op.mlp.hash(w) }

// DiffWRT reports that there is a gradient for x, with the active set held constant, if the weights
// are floating-point numbers and the gate is not an input.
func (op *sparseMLPOp) DiffWRT(inputs int) []bool {
	diff := make([]bool, inputs)
	diff[0] = op.differentiable()
	return diff
}

// With the gate as an input, the gradient for x alone would lack the part that comes through the
// gate.
func (op *sparseMLPOp) differentiable() bool {
	return len(op.in) == 2 && differentiable(op.mlp.Cache.Rows().Up())
}

// SymDiff returns the gradient for x.
func (op *sparseMLPOp) SymDiff(inputs gorgonia.Nodes, output, grad *gorgonia.Node) (gorgonia.Nodes, error) {
	if !op.differentiable() {
		return op.signature.SymDiff(inputs, output, grad)
	}
	x, err := sparseMLPGradient(inputs[0], inputs[1], grad, op.mlp)
	return gorgonia.Nodes{x, nil}, err
}
