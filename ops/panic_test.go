package ops

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
	"pgregory.net/rapid"

	"github.com/sparsegonia/sparsegonia/cache"
	"github.com/sparsegonia/sparsegonia/ops/activation"
	"github.com/sparsegonia/sparsegonia/ops/kernel"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

var anyDtype = rapid.SampledFrom([]tensor.Dtype{
	tensor.Float32, tensor.Float32, tensor.Float64, tensor.Int32, tensor.Int32, tensor.Int64, tensor.Bool, tensor.Uint8,
})

func anyShape(t *rapid.T) []int {
	return rapid.SliceOfN(rapid.SampledFrom([]int{1, 2, 3, 8}), 1, 3).Draw(t, "shape")
}

// Builders get nodes of any shapes and dtypes, and what they accept runs: nothing panics.
func TestBuildersNeverPanic(t *testing.T) {
	rotary, err := kernel.NewRotary(kernel.RotaryConfig{HeadDim: 4, Dim: 4, Theta: 100, Scaling: "default", MaxContext: 8})
	require.NoError(t, err)
	kv, err := kernel.NewKV(weights.F32, 2, 8, 1, 4)
	require.NoError(t, err)
	gated := cache.InPlace(neurons(t, 1, weights.F32, 3, 8, true))
	plain := cache.InPlace(neurons(t, 1, weights.Int32, 3, 8, false))
	ahead, streamed := window(t, gated.Rows()), stream(t, 2, gated.Rows())
	w := weight(1, weights.F32, 3, 8)
	methods := []MaskMethod{Threshold(0), Threshold(0, 1, 2).Magnitude(), TopK(0.5), Statistical(0.5), {}}

	rapid.Check(t, func(t *rapid.T) {
		g := gorgonia.NewGraph()
		var inputs []*tensor.Dense
		node := func() *gorgonia.Node {
			if rapid.IntRange(0, 19).Draw(t, "nil") == 0 {
				return nil
			}
			d := tensor.New(tensor.Of(anyDtype.Draw(t, "dtype")), tensor.WithShape(anyShape(t)...))
			inputs = append(inputs, d)
			return newInput(g, d)
		}
		act := rapid.SampledFrom(append([]activation.Func{99}, allActivations...)).Draw(t, "activation")
		heads := rapid.IntRange(-1, 3).Draw(t, "heads")
		method := rapid.SampledFrom(methods).Draw(t, "method")
		mlp := MLP{Cache: rapid.SampledFrom([]cache.Cache{gated, plain, nil}).Draw(t, "cache"), Act: act}

		var n *gorgonia.Node
		var err error
		switch op := rapid.IntRange(0, 16).Draw(t, "op"); op {
		case 0:
			n, err = Linear(node(), w)
		case 1:
			n, err = Activate(node(), act)
		case 2:
			n, err = GLU(node(), node(), act)
		case 3:
			n, err = Gate(node(), w, act)
		case 4:
			n, err = RMSNorm(node(), make([]float32, 8), 1e-5)
		case 5:
			n, err = RoPE(node(), node(), heads, rotary)
		case 6:
			n, err = Attention(node(), node(), node(), node(), node(), heads, kv, 1)
		case 7:
			n, err = Embedding(node(), w.Matrix)
		case 8:
			n, err = TakeRows(node(), node())
		case 9:
			n, err = LowRankScores(node(), Predictor{w.Matrix, matrix(1, weights.F32, 5, 3)})
		case 10:
			n, err = Mask(node(), method)
		case 11:
			n, err = Union(node(), node())
		case 12:
			n, err = Refresh(node(), mlp.Cache)
		case 13:
			n, err = SparseMLP(node(), node(), node(), mlp)
		case 14:
			n, err = Prefetch(node(), ahead)
		case 15:
			n, err = StreamMLP(node(), StoredMLP{
				Stream: rapid.SampledFrom([]*cache.Stream{streamed, nil}).Draw(t, "stream"),
				Layer:  rapid.IntRange(-1, 1).Draw(t, "layer"), Act: act,
			})
		case 16:
			n, err = DenseMLP(node(), mlp)
		}
		require.True(t, (n == nil) == (err != nil), "node %v, error %v", n, err)
		if err != nil {
			return
		}
		values := make([]gorgonia.Value, len(inputs))
		for i, d := range inputs {
			values[i] = d
		}
		_, err = n.Op().Do(values...) // zeros are in every range
		require.NoError(t, err)
	})
}

// Ops get values of any kind: nothing panics.
func TestDoNeverPanics(t *testing.T) {
	ops := allOps(t)
	names := make([]string, 0, len(ops))
	for name := range ops {
		names = append(names, name)
	}
	rapid.Check(t, func(t *rapid.T) {
		op := ops[rapid.SampledFrom(names).Draw(t, "op")]
		value := func(like *operand) gorgonia.Value {
			switch rapid.IntRange(0, 9).Draw(t, "kind") {
			case 0:
				return nil
			case 1:
				return gorgonia.NewF64(1)
			case 2:
				return tensor.New(tensor.Of(anyDtype.Draw(t, "dtype")), tensor.WithShape(anyShape(t)...))
			}
			d := like.newTensor()
			if like.dtype == tensor.Int32 {
				for i := range d.Int32s() {
					d.Int32s()[i] = rapid.SampledFrom([]int32{-2, -1, 0, 1, 2, 3, 7, 8, math.MaxInt32, math.MinInt32}).Draw(t, "index")
				}
			}
			return d
		}
		s := op.(interface{ self() *signature }).self()
		inputs := make([]gorgonia.Value, 0, len(s.in)+1)
		for i := range s.in {
			inputs = append(inputs, value(&s.in[i]))
		}
		if rapid.IntRange(0, 9).Draw(t, "count") == 0 {
			inputs = inputs[:len(inputs)-1]
		}
		got, err := op.Do(inputs...)
		require.True(t, (got == nil) == (err != nil), "value %v, error %v", got, err)
		got, err = op.(gorgonia.UsePreallocDoer).UsePreallocDo(value(&s.out), inputs...)
		require.True(t, (got == nil) == (err != nil), "value %v, error %v", got, err)
	})
}

// self makes the signature that an op embeds reachable from a gorgonia.Op.
func (s *signature) self() *signature { return s }
