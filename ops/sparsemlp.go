package ops

import (
	"errors"
	"fmt"
	"hash"
	"slices"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/sparsegonia/sparsegonia/cache"
	"github.com/sparsegonia/sparsegonia/ops/activation"
	"github.com/sparsegonia/sparsegonia/ops/kernel"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// MLP is what a SparseMLP or a DenseMLP captures.
type MLP struct {
	Cache    cache.Cache     // the weights, I neurons with rows of length H and down rows of length O, mostly H
	Act      activation.Func // ReLU for integers
	GateBias *weights.Matrix // 1×I in the compute dtype, or nil; there is none without a gate matrix
	UpBias   *weights.Matrix // 1×I in the compute dtype, or nil
	DownBias *weights.Matrix // 1×O in the compute dtype, or nil
}

// SparseMLP computes an MLP over its active neurons only: x T×H → T×O, or H → O,
//
//	y = Σ over the active i of act(x·gateᵢ)·(x·upᵢ)·downᵢ + down bias
//
// and without a gate matrix y = Σ act(x·upᵢ)·downᵢ + down bias. active is the output of the Refresh of m.Cache: int32
// of length I, slots up to the first negative entry. gate, if not nil, holds the exact gate values act(x·gateᵀ) from
// Gate, T×I or I, and then the gate rows are not read; without a gate matrix it holds act(x·upᵀ), and the up rows are
// not read. With every neuron active the result is the dense MLP's, within the rounding of the sum's order; with none
// active it is the down bias.
//
// Slots outside the cache are an error when the op runs.
func SparseMLP(x, active, gate *gorgonia.Node, m MLP, opts ...Option) (*gorgonia.Node, error) {
	inputs := gorgonia.Nodes{x, active}
	if gate != nil {
		inputs = append(inputs, gate)
	}
	op, err := newSparseMLPOp(inputs, m, opts)
	if err != nil {
		return nil, err
	}
	return gorgonia.ApplyOp(op, inputs...)
}

type sparseMLPOp struct {
	signature
	mlp MLP
	cpu *kernel.CPU

	kernel any // the kernel's form of mlp, a *kernel.MLP of the compute type
}

func newSparseMLPOp(inputs gorgonia.Nodes, m MLP, opts []Option) (*sparseMLPOp, error) {
	s, err := newSignature("SparseMLP", "x active gate", inputs...)
	if err != nil {
		return nil, err
	}
	x, active := s.in[0], s.in[1]
	if err := m.check(x); err != nil {
		return nil, s.wrap(err)
	}
	intermediate := m.Cache.Intermediate()
	if err := first(active.wantDtype(tensor.Int32), active.wantShape(intermediate)); err != nil {
		return nil, s.wrap(err)
	}
	if len(inputs) == 3 {
		if err := first(s.in[2].wantDtype(x.dtype), s.in[2].wantShape(x.withCols("", intermediate).shape...)); err != nil {
			return nil, s.wrap(err)
		}
	}
	s.out = x.withCols("y", m.Cache.Rows().Outputs())
	return &sparseMLPOp{signature: s, mlp: m, cpu: newOptions(opts).cpu, kernel: m.kernel(x.dtype)}, nil
}

// check tells whether m can be applied to rows of x.
func (m *MLP) check(x operand) error {
	if err := checkCache(m.Cache); err != nil {
		return err
	}
	rows := m.Cache.Rows()
	if rows == nil {
		return errors.New("the cache has no neurons")
	}
	if _, err := weights.NewNeurons(rows.Gate, rows.Up, rows.Down); err != nil {
		return err
	}
	if !rows.Gated() && m.GateBias != nil {
		return errors.New("a gate bias, but the MLP has no gate matrix")
	}
	intermediate, dtype := m.Cache.Intermediate(), rows.Dtype().Compute()
	return first(
		x.wantRows(), x.wantDtype(computeDtype(dtype)), x.wantCols(rows.Hidden()),
		checkActivation(m.Act, x.dtype),
		checkBias("gate bias", m.GateBias, intermediate, dtype),
		checkBias("up bias", m.UpBias, intermediate, dtype),
		checkBias("down bias", m.DownBias, rows.Outputs(), dtype),
	)
}

// kernel is the kernel's form of m, a *kernel.MLP of the compute type.
func (m *MLP) kernel(dtype tensor.Dtype) any {
	switch dtype {
	case tensor.Float64:
		return kernelMLP[float64](m)
	case tensor.Int32:
		return kernelMLP[int32](m)
	case tensor.Int64:
		return kernelMLP[int64](m)
	default:
		return kernelMLP[float32](m)
	}
}

func kernelMLP[E weights.Elem](m *MLP) *kernel.MLP[E] {
	return &kernel.MLP[E]{
		GateBias: biasValues[E](m.GateBias),
		UpBias:   biasValues[E](m.UpBias),
		DownBias: biasValues[E](m.DownBias),
		Act:      m.Act,
	}
}

func (op *sparseMLPOp) Do(inputs ...gorgonia.Value) (gorgonia.Value, error) {
	return op.UsePreallocDo(op.newOutput(), inputs...)
}

func (op *sparseMLPOp) UsePreallocDo(output gorgonia.Value, inputs ...gorgonia.Value) (gorgonia.Value, error) {
	var v values
	if err := op.bind(&v, output, inputs); err != nil {
		return nil, err
	}
	var err error
	switch op.out.dtype {
	case tensor.Float32:
		err = runSparseMLP[float32](op, &v)
	case tensor.Float64:
		err = runSparseMLP[float64](op, &v)
	case tensor.Int32:
		err = runSparseMLP[int32](op, &v)
	case tensor.Int64:
		err = runSparseMLP[int64](op, &v)
	}
	if err != nil {
		return nil, op.wrap(err)
	}
	return output, nil
}

func runSparseMLP[E weights.Elem](op *sparseMLPOp, v *values) error {
	rows, neurons := op.mlp.Cache.Rows(), op.mlp.Cache.Neurons()
	slots, err := op.mlp.activeSlots(&op.in[1], v.in[1].Int32s())
	if err != nil {
		return err
	}
	var gate []E
	if len(op.in) == 3 {
		gate = elements[E](v.in[2])
	}
	m := op.kernel.(*kernel.MLP[E])
	m.Gate, m.Up, m.Down = rows.Gate, rows.Up, rows.Down // a packed cache may have moved them
	kernel.SparseMLP(op.cpu, elements[E](v.y), elements[E](v.in[0]), m, slots, neurons, gate)
	return nil
}

// activeSlots is active without its padding, if it is what the cache holds.
func (m *MLP) activeSlots(input *operand, active []int32) ([]int32, error) {
	if end := slices.IndexFunc(active, func(slot int32) bool { return slot < 0 }); end >= 0 {
		active = active[:end]
	}
	if err := input.wantRange(active, m.Cache.Rows().Intermediate()); err != nil {
		return nil, err
	}
	if neurons := m.Cache.Neurons(); neurons != nil && len(neurons) != len(active) {
		return nil, fmt.Errorf("%d slots are active, the cache holds %d neurons: %s is not from its last refresh",
			len(active), len(neurons), input.name)
	}
	return active, nil
}

func (op *sparseMLPOp) WriteHash(h hash.Hash) {
	op.writeHash(h)
	op.mlp.writeHash(h)
	fmt.Fprintf(h, " cpu %p", op.cpu)
}

func (op *sparseMLPOp) Hashcode() uint32 { return hashcode(op) }

// writeHash identifies what m captures.
func (m MLP) writeHash(h hash.Hash) {
	fmt.Fprintf(h, " cache %p act %d biases %p %p %p", m.Cache, m.Act, m.GateBias, m.UpBias, m.DownBias)
}

// DiffWRT tells that there is a gradient for x, with the active set held constant, if the weights are floating-point
// numbers and the gate is not an input.
func (op *sparseMLPOp) DiffWRT(inputs int) []bool {
	diff := make([]bool, inputs)
	diff[0] = op.differentiable()
	return diff
}

// With the gate as an input, the gradient for x alone would lack the part that comes through the gate.
func (op *sparseMLPOp) differentiable() bool {
	return len(op.in) == 2 && differentiable(op.mlp.Cache.Rows().Up)
}

// SymDiff gives the gradient for x.
func (op *sparseMLPOp) SymDiff(inputs gorgonia.Nodes, output, grad *gorgonia.Node) (gorgonia.Nodes, error) {
	if !op.differentiable() {
		return op.signature.SymDiff(inputs, output, grad)
	}
	gradient, err := newSparseMLPGradientOp(gorgonia.Nodes{inputs[0], inputs[1], grad}, op.mlp)
	if err != nil {
		return nil, err
	}
	x, err := gorgonia.ApplyOp(gradient, inputs[0], inputs[1], grad)
	return gorgonia.Nodes{x, nil}, err
}
