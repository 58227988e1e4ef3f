package optest_test

import (
	"fmt"
	"hash"
	"hash/fnv"
	"math"
	"testing"

	"github.com/chewxy/hm"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/sparsegonia/sparsegonia/ops/optest"
)

// shrink is an op of one's own: soft thresholding, sign(x)·max(|x|−by, 0), for float64 vectors.
type shrink struct{ by float64 }

func (op *shrink) Arity() int { return 1 }

func (op *shrink) Type() hm.Type {
	vector := gorgonia.TensorType{Dims: 1, Of: tensor.Float64}
	return hm.NewFnType(vector, vector)
}

func (op *shrink) InferShape(in ...gorgonia.DimSizer) (tensor.Shape, error) {
	if len(in) != 1 {
		return nil, fmt.Errorf("shrink: %d inputs, want 1", len(in))
	}
	shape, ok := in[0].(tensor.Shape)
	if !ok || len(shape) != 1 {
		return nil, fmt.Errorf("shrink: shape %v, want a vector", in[0])
	}
	return shape.Clone(), nil
}

func (op *shrink) Do(in ...gorgonia.Value) (gorgonia.Value, error) {
	if len(in) != 1 {
		return nil, fmt.Errorf("shrink: %d inputs, want 1", len(in))
	}
	x, ok := in[0].(*tensor.Dense)
	if !ok || x == nil || x.Dtype() != tensor.Float64 || x.Dims() != 1 || x.RequiresIterator() {
		return nil, fmt.Errorf("shrink: input %T, want a contiguous float64 vector", in[0])
	}
	return op.UsePreallocDo(tensor.New(tensor.Of(tensor.Float64), tensor.WithShape(x.Shape()...)), x)
}

func (op *shrink) UsePreallocDo(output gorgonia.Value, in ...gorgonia.Value) (gorgonia.Value, error) {
	y, ok := output.(*tensor.Dense)
	x, _ := in[0].(*tensor.Dense)
	if !ok || y == nil || y.Dtype() != tensor.Float64 || !y.Shape().Eq(x.Shape()) || y.Dims() != 1 {
		return nil, fmt.Errorf("shrink: output %T, want a float64 vector like the input", output)
	}
	for i, v := range x.Float64s() {
		y.Float64s()[i] = math.Copysign(max(math.Abs(v)-op.by, 0), v)
	}
	return y, nil
}

func (op *shrink) ReturnsPtr() bool      { return true }
func (op *shrink) CallsExtern() bool     { return true }
func (op *shrink) OverwritesInput() int  { return -1 }
func (op *shrink) String() string        { return fmt.Sprintf("Shrink(%v)", op.by) }
func (op *shrink) WriteHash(h hash.Hash) { fmt.Fprint(h, op) }

func (op *shrink) Hashcode() uint32 {
	h := fnv.New32a()
	op.WriteHash(h)
	return h.Sum32()
}

func shrinkBy(by float64) optest.Builder {
	return func(in ...*gorgonia.Node) (*gorgonia.Node, error) { return gorgonia.ApplyOp(&shrink{by}, in[0]) }
}

var shrinkCase = optest.Case{
	Build:  shrinkBy(0.5),
	Inputs: []*tensor.Dense{optest.Normal(1, tensor.Float64, 100)},
	Reference: func(in ...*tensor.Dense) (*tensor.Dense, error) {
		y := in[0].Clone().(*tensor.Dense)
		for i, v := range y.Float64s() {
			switch {
			case v > 0.5:
				y.Float64s()[i] = v - 0.5
			case v < -0.5:
				y.Float64s()[i] = v + 0.5
			default:
				y.Float64s()[i] = 0
			}
		}
		return y, nil
	},
	Tolerance: 1e-15,
	Variants:  []optest.Builder{shrinkBy(0.25)},
}

// In a test, call Run with the Case, in a benchmark Bench. Check is the same without a *testing.T.
func Example() {
	fmt.Println(optest.Check(shrinkCase))

	wrong := shrinkCase
	wrong.Variants = []optest.Builder{shrinkBy(0.5)}
	fmt.Println(optest.Check(wrong))
	// Output:
	// <nil>
	// Graph: the graph merged the op and variant 0
	// Hash: the op and variant 0 have the same hash
}

func TestShrink(t *testing.T) { optest.Run(t, shrinkCase) }

func BenchmarkShrink(b *testing.B) { optest.Bench(b, shrinkCase) }
