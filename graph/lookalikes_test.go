package graph

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/sparsegonia/sparsegonia/ops"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// lookalike is a graph in which something looks like an MLP that can be swapped, and is not.
type lookalike struct {
	name   string
	build  func(k *draft) *gorgonia.Node
	reason string // of the only place that is skipped
	mlps   int    // that are found elsewhere
}

var lookalikes = []lookalike{
	// Other functions.
	{"tanh", plainBy(func(_ *draft, u *gorgonia.Node) *gorgonia.Node {
		return must(gorgonia.Tanh(u))
	}), "is none of silu, gelu, gelu_tanh and relu", 0},
	{"softplus", plainBy(func(_ *draft, u *gorgonia.Node) *gorgonia.Node {
		return must(gorgonia.Softplus(u))
	}), "is none of silu", 0},
	{"leaky relu", plainBy(func(_ *draft, u *gorgonia.Node) *gorgonia.Node {
		return must(gorgonia.LeakyRelu(u, 0.01))
	}), "is none of silu", 0},
	{"relu up to 6", plainBy(func(k *draft, u *gorgonia.Node) *gorgonia.Node {
		return minus(relu(u), relu(minus(u, k.number(6))))
	}), "is not a gate of silu", 0},
	{"squared relu", plainBy(func(_ *draft, u *gorgonia.Node) *gorgonia.Node {
		return must(gorgonia.Square(relu(u)))
	}), "is none of silu", 0},
	{"relu above a threshold", plainBy(func(k *draft, u *gorgonia.Node) *gorgonia.Node {
		return times(u, must(gorgonia.Gt(u, k.number(1e-3), true)))
	}), "is none of silu", 0},
	{"shifted silu", plainBy(func(k *draft, u *gorgonia.Node) *gorgonia.Node {
		return times(u, sigmoid(plus(times(u, u), u)))
	}), "is none of silu", 0},
	{"sigmoid gate", gatedBy(func(_ *draft, g, u *gorgonia.Node) *gorgonia.Node {
		return times(sigmoid(g), u)
	}), "is not a gate of silu", 0},
	{"bilinear", gatedBy(func(_ *draft, g, u *gorgonia.Node) *gorgonia.Node {
		return times(g, u)
	}), "is not a gate of silu", 0},
	{"sum instead of product", gatedBy(func(_ *draft, g, u *gorgonia.Node) *gorgonia.Node {
		return plus(silu(g), u)
	}), "is not a gate of silu", 0},
	{"both activated", gatedBy(func(_ *draft, g, u *gorgonia.Node) *gorgonia.Node {
		return times(silu(g), relu(u))
	}), "is not a gate of silu", 0},
	{"activation of the product", gatedBy(func(_ *draft, g, u *gorgonia.Node) *gorgonia.Node {
		return silu(times(g, u))
	}), "is not a gate of silu", 0},
	{"up added", gatedBy(func(_ *draft, g, u *gorgonia.Node) *gorgonia.Node {
		return plus(times(silu(g), u), u)
	}), "is not a gate of silu", 0},
	{"three maps", gatedBy(func(k *draft, g, u *gorgonia.Node) *gorgonia.Node {
		return times(times(silu(g), u), mul(k.x(), k.leaf("third", hidden, intermediate)))
	}), "a function of 3 linear maps", 0},
	{"softmax", plainBy(func(_ *draft, u *gorgonia.Node) *gorgonia.Node {
		return relu(must(gorgonia.SoftMax(u)))
	}), "", 0},
	{"neurons scaled by a tensor", gatedBy(func(k *draft, g, u *gorgonia.Node) *gorgonia.Node {
		return times(times(silu(g), u), k.leaf("scale", tokens, intermediate))
	}), `takes the elements of input "scale"`, 0},
	{"a norm between", gatedBy(func(_ *draft, g, u *gorgonia.Node) *gorgonia.Node {
		return times(silu(g), must(gorgonia.SoftMax(u)))
	}), "Softmax{-1, false}()) is not an elementwise function of linear maps", 0},
	{"a bias for every token", gatedBy(func(k *draft, g, u *gorgonia.Node) *gorgonia.Node {
		return times(silu(plus(g, k.leaf("positions", tokens, intermediate))), u)
	}), `takes the elements of input "positions"`, 0},
	{"a number for every token", func(k *draft) *gorgonia.Node {
		u := mul(k.leaf("x", intermediate, hidden), k.leaf("up", hidden, intermediate)) // as many tokens as neurons
		u = must(gorgonia.BroadcastAdd(u, k.leaf("numbers", intermediate, 1), nil, []byte{1}))
		return mul(relu(u), k.leaf("down", intermediate, hidden))
	}, "takes the elements of node", 0},
	{"one gate for all tokens", func(k *draft) *gorgonia.Node {
		x := k.x()
		gate, up, down := k.rowWeights()
		first := reshaped(part(silu(mul(x, gate)), gorgonia.S(0)), 1, intermediate)
		return mul(must(gorgonia.BroadcastHadamardProd(mul(x, up), first, nil, []byte{0})), down)
	}, "Repeat0) is not an elementwise function", 0},

	// Other wiring.
	{"gate and up of different inputs", func(k *draft) *gorgonia.Node {
		gate, up, down := k.rowWeights()
		return mul(times(silu(mul(k.x(), gate)), mul(k.leaf("other", tokens, hidden), up)), down)
	}, `the gate reads input "x" and up reads input "other"`, 0},
	{"up of the tokens in another order", func(k *draft) *gorgonia.Node {
		x := k.leaf("x", tokensS, tokensS, hidden)
		by := func(x, w *gorgonia.Node) *gorgonia.Node { return must(gorgonia.Tensordot([]int{2}, []int{0}, x, w)) }
		gate, up, down := k.rowWeights()
		return by(times(silu(by(x, gate)), must(gorgonia.Transpose(by(x, up), 1, 0, 2))), down)
	}, "Aᵀ{1, 0, 2}) is not an elementwise function", 0},
	{"some of the tokens", func(k *draft) *gorgonia.Node {
		x := k.x()
		gate, up, down := k.rowWeights()
		return mul(part(times(silu(mul(x, gate)), mul(x, up)), gorgonia.S(0, 2)), down)
	}, "is not an elementwise function", 0},
	{"some of the neurons", func(k *draft) *gorgonia.Node {
		x := k.x()
		gate, up, down := k.rowWeights()
		h := part(times(silu(mul(x, gate)), mul(x, up)), nil, gorgonia.S(2, intermediate))
		return mul(h, part(down, gorgonia.S(2, intermediate)))
	}, "is not an elementwise function", 0},
	{"weight of another kind for every sequence", func(k *draft) *gorgonia.Node {
		x := k.leaf("x", tokensB, tokensS, hidden)
		u := must(gorgonia.BatchedMatMul(x, k.leaf("up", tokensB, hidden, intermediate)))
		return must(gorgonia.BatchedMatMul(relu(u), k.leaf("down", tokensB, intermediate, hidden)))
	}, `the matrices of weight "up" differ`, 0},
	{"the input is its own weight", func(k *draft) *gorgonia.Node {
		x := k.x()
		return mul(relu(mul(x, turn(x))), k.leaf("down", tokens, hidden))
	}, `input "x" is both the input and a weight`, 0},
	{"the input is a bias", func(k *draft) *gorgonia.Node {
		x := k.leaf("x", hidden)
		return mul(relu(plus(mul(x, k.leaf("up", hidden, hidden)), x)), k.leaf("down", hidden, hidden))
	}, `input "x" is both the input and a weight`, 0},
	{"a scalar input scales a weight", func(k *draft) *gorgonia.Node {
		var scale any = 2.0
		if k.dtype == tensor.Float32 {
			scale = float32(2)
		}
		s := gorgonia.NewScalar(k.g, k.dtype, gorgonia.WithName("scale"), gorgonia.WithValue(scale))
		return mul(relu(mul(k.x(), times(k.leaf("up", hidden, intermediate), s))), k.leaf("down", intermediate, hidden))
	}, `a weight depends on input "scale"`, 0},
	{"a chain of layers", func(k *draft) *gorgonia.Node {
		h := relu(mul(k.x(), k.leaf("first", hidden, hidden)))
		h = relu(mul(h, k.leaf("second", hidden, hidden)))
		return mul(h, k.leaf("third", hidden, hidden))
	}, "belongs to MLP", 1},
	{"weights of two dtypes", func(k *draft) *gorgonia.Node {
		x := k.x()
		half := ops.Weight{Matrix: weights.NewMatrix(weights.BF16, intermediate, hidden)}
		return affine(times(silu(affine(x, half)), affine(x, k.weight("up", intermediate, hidden))), k.weight("down", hidden, intermediate))
	}, "its weights are of different dtypes", 0},
	{"a scaled bf16 weight", func(k *draft) *gorgonia.Node {
		x := k.x()
		half := func(o, k int) ops.Weight { return ops.Weight{Matrix: weights.NewMatrix(weights.BF16, o, k)} }
		h := times(silu(times(k.number(2), affine(x, half(intermediate, hidden)))), affine(x, half(intermediate, hidden)))
		return plus(x, affine(h, half(hidden, intermediate)))
	}, "a bf16 weight times 2", 0},

	// Inner values that someone else reads.
	{"gate read by another node", func(k *draft) *gorgonia.Node {
		x := k.x()
		gate, up, down := k.rowWeights()
		g := mul(x, gate)
		return plus(mul(times(silu(g), mul(x, up)), down), part(g, nil, gorgonia.S(0, hidden)))
	}, `inside it, is also read by node "T[:...]`, 0},
	{"product read by a Read", func(k *draft) *gorgonia.Node {
		x := k.x()
		gate, up, down := k.rowWeights()
		h := times(silu(mul(x, gate)), mul(x, up))
		gorgonia.Read(h, new(gorgonia.Value))
		return mul(h, down)
	}, "inside it, is read by a Read", 0},
	{"bias read by another node", func(k *draft) *gorgonia.Node {
		u := mul(k.x(), k.leaf("up", hidden, intermediate))
		h := relu(withBias(u, k.leaf("bias", intermediate)))
		return plus(mul(h, k.leaf("down", intermediate, hidden)), part(u, nil, gorgonia.S(0, hidden)))
	}, "inside it, is also read by", 0},

	// Slices that Gorgonia has merged.
	{"fused outputs in halves of 256", func(k *draft) *gorgonia.Node {
		both := mul(k.x(), k.leaf("gateup", hidden, 512))
		gate, up := part(both, nil, gorgonia.S(0, 256)), part(both, nil, gorgonia.S(256, 512))
		return mul(times(silu(gate), up), k.leaf("down", 256, hidden))
	}, "gate and up are one and the same slice", 0},
	{"fused outputs in halves of 256, biases after", func(k *draft) *gorgonia.Node {
		both := mul(k.x(), k.leaf("gateup", hidden, 512))
		gate := withBias(part(both, nil, gorgonia.S(0, 256)), k.leaf("gate.bias", 256))
		up := withBias(part(both, nil, gorgonia.S(256, 512)), k.leaf("up.bias", 256))
		return mul(times(silu(gate), up), k.leaf("down", 256, hidden))
	}, "gate and up are one and the same slice", 0},
	{"fused weights in halves of 512", func(k *draft) *gorgonia.Node {
		x, both := k.x(), k.leaf("gateup", hidden, 1024)
		gate, up := part(both, nil, gorgonia.S(0, 512)), part(both, nil, gorgonia.S(512, 1024))
		return mul(times(silu(mul(x, gate)), mul(x, up)), k.leaf("down", 512, hidden))
	}, "gate and up are one and the same slice", 0},
	{"fused rows in halves of 256", func(k *draft) *gorgonia.Node {
		both := mul(k.leaf("gateup", 512, hidden), k.leaf("x", hidden))
		gate, up := part(both, gorgonia.S(0, 256)), part(both, gorgonia.S(256, 512))
		return mul(k.leaf("down", hidden, 256), times(relu(gate), up))
	}, "gate and up are one and the same slice", 0},
}

// What is not an MLP is reported with the reason and stays as it is.
func TestLookalikes(t *testing.T) {
	for _, l := range lookalikes {
		t.Run(l.name, func(t *testing.T) {
			forDtypes(t, func(t *testing.T, dtype tensor.Dtype, _ float64) {
				if dtype == tensor.Float64 && strings.Contains(l.reason+l.name, "dtypes") || strings.Contains(l.name, "bf16") && dtype == tensor.Float64 {
					t.Skip("bf16 weights go with float32")
				}
				k := &draft{g: gorgonia.NewGraph(), dtype: dtype}
				y := l.build(k)
				want := run(t, k.g, y)[0]
				s, err := Swap(k.g, gorgonia.Nodes{y}, Choose{MLP: always})
				require.NoError(t, err)
				assert.Len(t, s.MLPs, l.mlps)
				if l.reason == "" {
					assert.Empty(t, s.Skipped)
				} else if assert.Len(t, s.Skipped, 1) {
					assert.Contains(t, s.Skipped[0].Reason, l.reason)
					assert.NotNil(t, s.Node(s.Skipped[0].Node))
				}
				tolerance := 0.0
				if l.mlps > 0 {
					tolerance = 1e-5
				}
				got := run(t, s.Graph, s.Outputs[0])[0]
				assert.InDeltaSlice(t, floats(want), floats(got), tolerance, fmt.Sprint(s.Graph))
			})
		})
	}
}
