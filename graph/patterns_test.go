package graph

import (
	"fmt"
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/sparsegonia/sparsegonia/ops"
	"github.com/sparsegonia/sparsegonia/ops/activation"
)

// The sizes of the MLPs of the tables: T tokens, in B sequences of S, H hidden and I intermediate.
const (
	tokensB, tokensS = 2, 3
	tokens           = tokensB * tokensS
	hidden           = 6
	intermediate     = 10
)

// draft writes a graph with an MLP in it.
type draft struct {
	g     *gorgonia.ExprGraph
	dtype tensor.Dtype
	seed  uint64
}

// node is a leaf with values of its own.
func (k *draft) leaf(name string, shape ...int) *gorgonia.Node {
	return newLeaf(k.g, name, k.values(shape...))
}

func (k *draft) values(shape ...int) *tensor.Dense {
	k.seed++
	return small(k.seed, k.dtype, 4, shape...)
}

func (k *draft) x() *gorgonia.Node { return k.leaf("x", tokens, hidden) }

// number is a constant of the graph's dtype.
func (k *draft) number(x float64) *gorgonia.Node {
	if k.dtype == tensor.Float32 {
		return gorgonia.NewConstant(float32(x))
	}
	return gorgonia.NewConstant(x)
}

func (k *draft) weight(name string, rows, cols int) ops.Weight {
	w, err := ops.TensorWeight(k.values(rows, cols), false)
	if err != nil {
		panic(err)
	}
	return w
}

// The builders of Gorgonia without errors.
func mul(a, b *gorgonia.Node) *gorgonia.Node { return must(gorgonia.Mul(a, b)) }

func times(a, b *gorgonia.Node) *gorgonia.Node { return must(gorgonia.HadamardProd(a, b)) }

func over(a, b *gorgonia.Node) *gorgonia.Node              { return must(gorgonia.HadamardDiv(a, b)) }
func plus(a, b *gorgonia.Node) *gorgonia.Node              { return must(gorgonia.Add(a, b)) }
func minus(a, b *gorgonia.Node) *gorgonia.Node             { return must(gorgonia.Sub(a, b)) }
func sigmoid(x *gorgonia.Node) *gorgonia.Node              { return must(gorgonia.Sigmoid(x)) }
func silu(x *gorgonia.Node) *gorgonia.Node                 { return times(x, sigmoid(x)) }
func relu(x *gorgonia.Node) *gorgonia.Node                 { return must(gorgonia.Rectify(x)) }
func turn(x *gorgonia.Node) *gorgonia.Node                 { return must(gorgonia.Transpose(x)) }
func affine(x *gorgonia.Node, w ops.Weight) *gorgonia.Node { return must(ops.Linear(x, w)) }

func reshaped(x *gorgonia.Node, shape ...int) *gorgonia.Node {
	return must(gorgonia.Reshape(x, shape))
}

func part(x *gorgonia.Node, slices ...tensor.Slice) *gorgonia.Node {
	return must(gorgonia.Slice(x, slices...))
}

func withBias(x, b *gorgonia.Node) *gorgonia.Node {
	return must(gorgonia.BroadcastAdd(x, b, nil, []byte{0}))
}

// pattern is a way to write an MLP.
type pattern struct {
	name  string
	build func(k *draft) *gorgonia.Node // gives the output
	act   activation.Func
	mlps  int // 0 is 1
}

// rowWeights are gate, up and down for Mul(x, w).
func (k *draft) rowWeights() (gate, up, down *gorgonia.Node) {
	return k.leaf("gate", hidden, intermediate), k.leaf("up", hidden, intermediate), k.leaf("down", intermediate, hidden)
}

// gatedBy is the gated MLP with the product written by f from gate and up.
func gatedBy(f func(k *draft, gate, up *gorgonia.Node) *gorgonia.Node) func(k *draft) *gorgonia.Node {
	return func(k *draft) *gorgonia.Node {
		x := k.x()
		gate, up, down := k.rowWeights()
		return mul(f(k, mul(x, gate), mul(x, up)), down)
	}
}

// plainBy is the plain MLP with the activation function written by f.
func plainBy(f func(k *draft, u *gorgonia.Node) *gorgonia.Node) func(k *draft) *gorgonia.Node {
	return func(k *draft) *gorgonia.Node {
		return mul(f(k, mul(k.x(), k.leaf("up", hidden, intermediate))), k.leaf("down", intermediate, hidden))
	}
}

var patterns = []pattern{
	// How weights lie and what they are multiplied by.
	{name: "weights H×I", build: gatedBy(func(_ *draft, g, u *gorgonia.Node) *gorgonia.Node { return times(silu(g), u) })},
	{name: "weights I×H", build: func(k *draft) *gorgonia.Node {
		x := k.x()
		h := times(silu(mul(x, turn(k.leaf("gate", intermediate, hidden)))), mul(x, turn(k.leaf("up", intermediate, hidden))))
		return mul(h, turn(k.leaf("down", hidden, intermediate)))
	}},
	{name: "one weight transposed", build: func(k *draft) *gorgonia.Node {
		x := k.x()
		h := times(silu(mul(x, turn(k.leaf("gate", intermediate, hidden)))), mul(x, k.leaf("up", hidden, intermediate)))
		return mul(h, turn(turn(k.leaf("down", intermediate, hidden))))
	}},
	{name: "tensors transposed by T", build: func(k *draft) *gorgonia.Node {
		x := k.x()
		lazy := func(name string, rows, cols int) *gorgonia.Node {
			v := k.values(cols, rows)
			if err := v.T(); err != nil {
				panic(err)
			}
			return newLeaf(k.g, name, v)
		}
		h := times(silu(mul(x, lazy("gate", hidden, intermediate))), mul(x, turn(lazy("up", intermediate, hidden))))
		return mul(h, lazy("down", intermediate, hidden))
	}},
	{name: "a column for every token", build: func(k *draft) *gorgonia.Node {
		x := k.leaf("x", hidden, tokens)
		h := times(silu(mul(k.leaf("gate", intermediate, hidden), x)), mul(k.leaf("up", intermediate, hidden), x))
		return mul(k.leaf("down", hidden, intermediate), h)
	}},
	{name: "columns of transposed rows", build: func(k *draft) *gorgonia.Node {
		x := turn(k.x())
		h := times(silu(mul(k.leaf("gate", intermediate, hidden), x)), mul(turn(k.leaf("up", hidden, intermediate)), x))
		return turn(mul(k.leaf("down", hidden, intermediate), h))
	}},
	{name: "transposes inside", build: func(k *draft) *gorgonia.Node {
		x := k.x()
		gate, up := mul(k.leaf("gate", intermediate, hidden), turn(x)), mul(x, k.leaf("up", hidden, intermediate))
		return mul(times(silu(turn(gate)), up), k.leaf("down", intermediate, hidden))
	}},
	{name: "vector, matrix on the left", build: func(k *draft) *gorgonia.Node {
		x := k.leaf("x", hidden)
		h := times(silu(mul(k.leaf("gate", intermediate, hidden), x)), mul(k.leaf("up", intermediate, hidden), x))
		return mul(k.leaf("down", hidden, intermediate), h)
	}},
	{name: "vector, matrix on the right", build: func(k *draft) *gorgonia.Node {
		x := k.leaf("x", hidden)
		gate, up, down := k.rowWeights()
		return mul(times(silu(mul(x, gate)), mul(x, up)), down)
	}},
	{name: "vector, matrices on both sides", build: func(k *draft) *gorgonia.Node {
		x := k.leaf("x", hidden)
		h := times(silu(mul(k.leaf("gate", intermediate, hidden), x)), mul(x, k.leaf("up", hidden, intermediate)))
		return mul(h, k.leaf("down", intermediate, hidden))
	}},
	{name: "one row", build: func(k *draft) *gorgonia.Node {
		x := k.leaf("x", 1, hidden)
		gate, up, down := k.rowWeights()
		return mul(times(silu(mul(x, gate)), mul(x, up)), down)
	}},
	{name: "one column", build: func(k *draft) *gorgonia.Node {
		x := k.leaf("x", hidden, 1)
		h := times(silu(mul(k.leaf("gate", intermediate, hidden), x)), mul(k.leaf("up", intermediate, hidden), x))
		return mul(k.leaf("down", hidden, intermediate), h)
	}},
	{name: "one token of one sequence", build: func(k *draft) *gorgonia.Node {
		x := k.leaf("x", 1, 1, hidden)
		by := func(x, w *gorgonia.Node) *gorgonia.Node { return must(gorgonia.Tensordot([]int{2}, []int{0}, x, w)) }
		gate, up, down := k.rowWeights()
		return by(times(silu(by(x, gate)), by(x, up)), down)
	}},
	{name: "square weights", build: func(k *draft) *gorgonia.Node {
		x := k.leaf("x", hidden, hidden)
		h := times(silu(mul(k.leaf("gate", hidden, hidden), x)), mul(k.leaf("up", hidden, hidden), x))
		return mul(k.leaf("down", hidden, hidden), h)
	}},
	{name: "ops.Linear", build: func(k *draft) *gorgonia.Node {
		x := k.x()
		h := times(silu(affine(x, k.weight("gate", intermediate, hidden))), affine(x, k.weight("up", intermediate, hidden)))
		return affine(h, k.weight("down", hidden, intermediate))
	}},
	{name: "ops.Linear and Mul", build: func(k *draft) *gorgonia.Node {
		x := k.x()
		h := times(silu(affine(x, k.weight("gate", intermediate, hidden))), mul(x, k.leaf("up", hidden, intermediate)))
		return mul(h, k.leaf("down", intermediate, hidden))
	}},

	// How the activation function is written.
	{name: "silu: ops.Activate", build: gatedBy(func(_ *draft, g, u *gorgonia.Node) *gorgonia.Node {
		return times(must(ops.Activate(g, activation.SiLU)), u)
	})},
	{name: "silu: ops.GLU", build: gatedBy(func(_ *draft, g, u *gorgonia.Node) *gorgonia.Node {
		return must(ops.GLU(g, u, activation.SiLU))
	})},
	{name: "silu: operands the other way round", build: gatedBy(func(_ *draft, g, u *gorgonia.Node) *gorgonia.Node {
		return times(u, times(sigmoid(g), g))
	})},
	{name: "silu: up inside", build: gatedBy(func(_ *draft, g, u *gorgonia.Node) *gorgonia.Node {
		return times(g, times(sigmoid(g), u))
	})},
	{name: "silu: gate and up first", build: gatedBy(func(_ *draft, g, u *gorgonia.Node) *gorgonia.Node {
		return times(times(g, u), sigmoid(g))
	})},
	{name: "silu: x/(1+exp(−x))", build: gatedBy(func(k *draft, g, u *gorgonia.Node) *gorgonia.Node {
		return times(over(g, plus(k.number(1), must(gorgonia.Exp(must(gorgonia.Neg(g)))))), u)
	})},
	{name: "silu: gate·up/(exp(−x)+1)", build: gatedBy(func(k *draft, g, u *gorgonia.Node) *gorgonia.Node {
		return over(times(g, u), plus(must(gorgonia.Exp(times(k.number(-1), g))), k.number(1)))
	})},
	{name: "silu: inverse", build: gatedBy(func(k *draft, g, u *gorgonia.Node) *gorgonia.Node {
		return times(times(g, must(gorgonia.Inverse(plus(must(gorgonia.Exp(must(gorgonia.Neg(g)))), k.number(1))))), u)
	})},
	{name: "silu: tanh", build: gatedBy(func(k *draft, g, u *gorgonia.Node) *gorgonia.Node {
		half := times(g, k.number(0.5))
		return times(plus(half, times(half, must(gorgonia.Tanh(half)))), u)
	})},
	{name: "gelu: ops.Activate", act: activation.GELU, build: gatedBy(func(_ *draft, g, u *gorgonia.Node) *gorgonia.Node {
		return times(u, must(ops.Activate(g, activation.GELU)))
	})},
	{name: "gelu_tanh: cube", act: activation.GELUTanh, build: plainBy(func(k *draft, u *gorgonia.Node) *gorgonia.Node {
		inner := times(k.number(math.Sqrt(2/math.Pi)), plus(u, times(k.number(0.044715), must(gorgonia.Cube(u)))))
		return times(times(k.number(0.5), u), plus(k.number(1), must(gorgonia.Tanh(inner))))
	})},
	{name: "gelu_tanh: power, rounded constant", act: activation.GELUTanh, build: gatedBy(func(k *draft, g, u *gorgonia.Node) *gorgonia.Node {
		inner := times(plus(g, times(must(gorgonia.Pow(g, k.number(3))), k.number(0.044715))), k.number(0.7978845608))
		return times(times(times(g, plus(must(gorgonia.Tanh(inner)), k.number(1))), k.number(0.5)), u)
	})},
	{name: "gelu_tanh: factored", act: activation.GELUTanh, build: plainBy(func(k *draft, u *gorgonia.Node) *gorgonia.Node {
		inner := times(times(u, k.number(2*math.Sqrt(2/math.Pi))), plus(k.number(1), times(k.number(0.044715), times(u, u))))
		return times(u, sigmoid(inner))
	})},
	{name: "relu: Rectify", act: activation.ReLU, build: plainBy(func(_ *draft, u *gorgonia.Node) *gorgonia.Node { return relu(u) })},
	{name: "relu: x·(x > 0)", act: activation.ReLU, build: plainBy(func(k *draft, u *gorgonia.Node) *gorgonia.Node {
		return times(must(gorgonia.Gt(u, k.number(0), true)), u)
	})},
	{name: "relu: (x + |x|)/2", act: activation.ReLU, build: plainBy(func(k *draft, u *gorgonia.Node) *gorgonia.Node {
		return over(plus(u, must(gorgonia.Abs(u))), k.number(2))
	})},
	{name: "relu: gated", act: activation.ReLU, build: gatedBy(func(_ *draft, g, u *gorgonia.Node) *gorgonia.Node { return times(relu(g), u) })},

	// Numbers.
	{name: "scaled gate", build: gatedBy(func(k *draft, g, u *gorgonia.Node) *gorgonia.Node {
		return times(silu(times(k.number(1.702), g)), u)
	})},
	{name: "scaled in three places", act: activation.GELUTanh, build: gatedBy(func(k *draft, g, u *gorgonia.Node) *gorgonia.Node {
		gate := must(ops.Activate(over(g, k.number(2.449)), activation.GELUTanh))
		return times(k.number(0.25), times(gate, times(u, k.number(-3))))
	})},
	{name: "negated", build: plainBy(func(_ *draft, u *gorgonia.Node) *gorgonia.Node {
		return must(gorgonia.Neg(silu(must(gorgonia.Neg(u)))))
	})},
	{name: "shifted by a number", build: gatedBy(func(k *draft, g, u *gorgonia.Node) *gorgonia.Node {
		return times(silu(plus(times(g, k.number(2)), k.number(0.5))), minus(k.number(1), u))
	})},
	{name: "weights computed from weights", build: func(k *draft) *gorgonia.Node {
		x := k.x()
		gate, up, down := k.rowWeights()
		gate, down = times(gate, k.number(0.5)), plus(down, k.leaf("update", intermediate, hidden))
		return mul(times(silu(mul(x, gate)), mul(x, up)), down)
	}},

	// Fused weights and outputs.
	{name: "fused outputs", build: func(k *draft) *gorgonia.Node {
		both := mul(k.x(), k.leaf("gateup", hidden, 2*intermediate))
		gate, up := part(both, nil, gorgonia.S(0, intermediate)), part(both, nil, gorgonia.S(intermediate, 2*intermediate))
		return mul(times(silu(gate), up), k.leaf("down", intermediate, hidden))
	}},
	{name: "fused outputs, up first, rows by output", build: func(k *draft) *gorgonia.Node {
		both := mul(k.x(), turn(k.leaf("upgate", 2*intermediate, hidden)))
		up, gate := part(both, nil, gorgonia.S(0, intermediate)), part(both, nil, gorgonia.S(intermediate, 2*intermediate))
		return mul(times(silu(gate), up), k.leaf("down", intermediate, hidden))
	}},
	{name: "fused outputs of a vector", build: func(k *draft) *gorgonia.Node {
		both := mul(k.leaf("gateup", 2*intermediate, hidden), k.leaf("x", hidden))
		gate, up := part(both, gorgonia.S(0, intermediate)), part(both, gorgonia.S(intermediate, 2*intermediate))
		return mul(k.leaf("down", hidden, intermediate), times(silu(gate), up))
	}},
	{name: "fused outputs with a bias", build: func(k *draft) *gorgonia.Node {
		both := withBias(mul(k.x(), k.leaf("gateup", hidden, 2*intermediate)), k.leaf("bias", 2*intermediate))
		gate, up := part(both, nil, gorgonia.S(0, intermediate)), part(both, nil, gorgonia.S(intermediate, 2*intermediate))
		return mul(times(silu(gate), up), k.leaf("down", intermediate, hidden))
	}},
	{name: "fused ops.Linear", build: func(k *draft) *gorgonia.Node {
		w := k.weight("gateup", 2*intermediate, hidden)
		w.Bias = k.weight("bias", 1, 2*intermediate).Matrix
		both := affine(k.x(), w)
		gate, up := part(both, nil, gorgonia.S(0, intermediate)), part(both, nil, gorgonia.S(intermediate, 2*intermediate))
		return affine(times(silu(gate), up), k.weight("down", hidden, intermediate))
	}},
	{name: "Unconcat", build: func(k *draft) *gorgonia.Node {
		parts, err := gorgonia.Unconcat(mul(k.x(), k.leaf("gateup", hidden, 2*intermediate)), 1, 2)
		if err != nil {
			panic(err)
		}
		return mul(times(silu(parts[0]), parts[1]), k.leaf("down", intermediate, hidden))
	}},
	{name: "fused weight, sliced", build: func(k *draft) *gorgonia.Node {
		x, both := k.x(), k.leaf("gateup", hidden, 2*intermediate)
		gate, up := part(both, nil, gorgonia.S(0, intermediate)), part(both, nil, gorgonia.S(intermediate, 2*intermediate))
		return mul(times(silu(mul(x, gate)), mul(x, up)), k.leaf("down", intermediate, hidden))
	}},
	{name: "weights fused by Concat", build: func(k *draft) *gorgonia.Node {
		gate, up, down := k.rowWeights()
		both := mul(k.x(), must(gorgonia.Concat(1, gate, up)))
		g, u := part(both, nil, gorgonia.S(0, intermediate)), part(both, nil, gorgonia.S(intermediate, 2*intermediate))
		return mul(times(silu(g), u), down)
	}},

	{name: "slices of slices", build: func(k *draft) *gorgonia.Node {
		all := withBias(mul(k.x(), k.leaf("all", hidden, 3*intermediate)), k.leaf("bias", 3*intermediate))
		both := part(all, nil, gorgonia.S(intermediate, 3*intermediate))
		gate, up := part(both, nil, gorgonia.S(intermediate, 2*intermediate)), part(both, nil, gorgonia.S(0, intermediate))
		return mul(times(silu(gate), up), k.leaf("down", intermediate, hidden))
	}},

	// Biases.
	{name: "biases of scaled maps", build: func(k *draft) *gorgonia.Node {
		x := k.x()
		gate, up, down := k.rowWeights()
		g := withBias(times(mul(x, gate), k.number(3)), k.leaf("gate.bias", intermediate))
		return mul(times(silu(times(g, k.number(0.7))), mul(x, up)), down)
	}},
	{name: "biases, broadcast", build: func(k *draft) *gorgonia.Node {
		x := k.x()
		gate, up, down := k.rowWeights()
		g := withBias(mul(x, gate), k.leaf("gate.bias", intermediate))
		u := withBias(mul(x, up), k.leaf("up.bias", intermediate))
		return withBias(mul(times(silu(g), u), down), k.leaf("down.bias", hidden))
	}},
	{name: "biases, bias first and subtracted", build: func(k *draft) *gorgonia.Node {
		x := k.x()
		gate, up, down := k.rowWeights()
		g := must(gorgonia.BroadcastAdd(k.leaf("gate.bias", 1, intermediate), mul(x, gate), []byte{0}, nil))
		u := must(gorgonia.BroadcastSub(mul(x, up), k.leaf("up.bias", intermediate), nil, []byte{0}))
		return mul(times(silu(g), u), down)
	}},
	{name: "biases of a vector", build: func(k *draft) *gorgonia.Node {
		x := k.leaf("x", hidden)
		gate, up, down := k.rowWeights()
		g, u := plus(mul(x, gate), k.leaf("gate.bias", intermediate)), plus(k.leaf("up.bias", intermediate), mul(x, up))
		return plus(mul(times(silu(g), u), down), k.leaf("down.bias", hidden))
	}},
	{name: "biases of columns", act: activation.ReLU, build: func(k *draft) *gorgonia.Node {
		u := mul(k.leaf("up", intermediate, hidden), k.leaf("x", hidden, tokens))
		u = must(gorgonia.BroadcastAdd(u, k.leaf("up.bias", intermediate, 1), nil, []byte{1}))
		y := mul(k.leaf("down", hidden, intermediate), relu(u))
		return must(gorgonia.BroadcastAdd(y, k.leaf("down.bias", hidden, 1), nil, []byte{1}))
	}},
	{name: "one bias for two maps", build: func(k *draft) *gorgonia.Node {
		x, bias := k.x(), k.leaf("bias", intermediate)
		gate, up, down := k.rowWeights()
		return mul(times(silu(withBias(mul(x, gate), bias)), withBias(mul(x, up), bias)), down)
	}},
	{name: "gate and up differ by a bias", act: activation.ReLU, build: func(k *draft) *gorgonia.Node {
		u := mul(k.x(), k.leaf("up", hidden, intermediate))
		return mul(times(relu(withBias(u, k.leaf("bias", intermediate))), u), k.leaf("down", intermediate, hidden))
	}},

	// Tensors.
	{name: "3-D, reshaped around", build: func(k *draft) *gorgonia.Node {
		x := reshaped(k.leaf("x", tokensB, tokensS, hidden), tokens, hidden)
		gate, up, down := k.rowWeights()
		return reshaped(mul(times(silu(mul(x, gate)), mul(x, up)), down), tokensB, tokensS, hidden)
	}},
	{name: "3-D, reshaped everywhere", build: func(k *draft) *gorgonia.Node {
		x := k.leaf("x", tokensB, tokensS, hidden)
		gate, up, down := k.rowWeights()
		g := reshaped(mul(reshaped(x, tokens, hidden), gate), tokensB, tokensS, intermediate)
		u := reshaped(mul(reshaped(x, tokens, hidden), up), tokensS, tokensB, intermediate)
		h := times(silu(g), reshaped(u, tokensB, tokensS, intermediate))
		return mul(reshaped(h, tokens, intermediate), down)
	}},
	{name: "3-D, batch of one", build: func(k *draft) *gorgonia.Node {
		x := k.leaf("x", 1, tokens, hidden)
		by := func(x, w *gorgonia.Node) *gorgonia.Node { return must(gorgonia.BatchedMatMul(x, w)) }
		h := times(silu(by(x, k.leaf("gate", 1, hidden, intermediate))), by(x, k.leaf("up", 1, hidden, intermediate)))
		return by(h, k.leaf("down", 1, intermediate, hidden))
	}},
	{name: "3-D, weights repeated", build: func(k *draft) *gorgonia.Node {
		x := k.leaf("x", tokensB, tokensS, hidden)
		by := func(x, w *gorgonia.Node) *gorgonia.Node {
			w = reshaped(w, 1, w.Shape()[0], w.Shape()[1])
			return must(gorgonia.BatchedMatMul(x, must(gorgonia.Concat(0, w, w))))
		}
		gate, up, down := k.rowWeights()
		return by(times(silu(by(x, gate)), by(x, up)), down)
	}},
	{name: "3-D, weights broadcast", build: func(k *draft) *gorgonia.Node {
		x := must(gorgonia.Tanh(k.leaf("x", tokensB, tokensS, hidden)))
		by := func(x, w *gorgonia.Node) *gorgonia.Node {
			w = reshaped(w, 1, w.Shape()[0], w.Shape()[1])
			_, wide, err := gorgonia.Broadcast(x, w, gorgonia.NewBroadcastPattern(nil, []byte{0}))
			return must(gorgonia.BatchedMatMul(x, must(wide, err)))
		}
		gate, up, down := k.rowWeights()
		return by(times(silu(by(x, gate)), by(x, up)), down)
	}},
	{name: "3-D, transposed in BatchedMatMul", build: func(k *draft) *gorgonia.Node {
		x := k.leaf("x", 1, tokens, hidden)
		by := func(x, w *gorgonia.Node) *gorgonia.Node { return must(gorgonia.BatchedMatMul(x, w, false, true)) }
		h := times(silu(by(x, k.leaf("gate", 1, intermediate, hidden))), by(x, k.leaf("up", 1, intermediate, hidden)))
		return by(h, k.leaf("down", 1, hidden, intermediate))
	}},
	{name: "3-D, columns", act: activation.ReLU, build: func(k *draft) *gorgonia.Node {
		u := must(gorgonia.BatchedMatMul(k.leaf("up", 1, intermediate, hidden), k.leaf("x", 1, hidden, tokens)))
		return must(gorgonia.BatchedMatMul(k.leaf("down", 1, hidden, intermediate), relu(u)))
	}},
	{name: "3-D, Tensordot", build: func(k *draft) *gorgonia.Node {
		x := k.leaf("x", tokensB, tokensS, hidden)
		by := func(x, w *gorgonia.Node) *gorgonia.Node { return must(gorgonia.Tensordot([]int{2}, []int{0}, x, w)) }
		gate, up, down := k.rowWeights()
		return by(times(silu(by(x, gate)), by(x, up)), down)
	}},
	{name: "Tensordot, weights I×H", build: func(k *draft) *gorgonia.Node {
		x := k.x()
		by := func(x, w *gorgonia.Node) *gorgonia.Node { return must(gorgonia.Tensordot([]int{1}, []int{1}, x, w)) }
		h := times(silu(by(x, k.leaf("gate", intermediate, hidden))), by(x, k.leaf("up", intermediate, hidden)))
		return by(h, k.leaf("down", hidden, intermediate))
	}},
	{name: "Tensordot, weight first", act: activation.ReLU, build: func(k *draft) *gorgonia.Node {
		u := must(gorgonia.Tensordot([]int{1}, []int{1}, k.leaf("up", intermediate, hidden), k.x()))
		return must(gorgonia.Tensordot([]int{1}, []int{0}, k.leaf("down", hidden, intermediate), relu(u)))
	}},

	// Other numbers of outputs than of inputs.
	{name: "more outputs than inputs", act: activation.ReLU, build: func(k *draft) *gorgonia.Node {
		u := withBias(mul(k.x(), k.leaf("up", hidden, intermediate)), k.leaf("up.bias", intermediate))
		return withBias(mul(relu(u), k.leaf("down", intermediate, 17)), k.leaf("down.bias", 17))
	}},
	{name: "fewer outputs than inputs, columns of three dimensions", build: func(k *draft) *gorgonia.Node {
		x := k.leaf("x", 1, hidden, tokens)
		by := func(w, x *gorgonia.Node) *gorgonia.Node { return must(gorgonia.BatchedMatMul(w, x)) }
		h := times(silu(by(k.leaf("gate", 1, intermediate, hidden), x)), by(k.leaf("up", 1, intermediate, hidden), x))
		return by(k.leaf("down", 1, 2, intermediate), h)
	}},

	// The surroundings.
	{name: "two layers with the same weights", mlps: 2, build: func(k *draft) *gorgonia.Node {
		x := k.x()
		gate, up, down := k.rowWeights()
		for range 2 {
			h := must(gorgonia.SoftMax(x))
			x = mul(times(silu(mul(h, gate)), mul(h, up)), down)
		}
		return x
	}},
	{name: "down is the transpose of up", act: activation.ReLU, build: func(k *draft) *gorgonia.Node {
		w := k.leaf("w", intermediate, hidden)
		return mul(relu(mul(k.x(), turn(w))), w)
	}},
	{name: "residual and norm", build: func(k *draft) *gorgonia.Node {
		x := must(gorgonia.Tanh(k.x()))
		gate, up, down := k.rowWeights()
		return plus(x, mul(times(silu(mul(x, gate)), mul(x, up)), down))
	}},
	{name: "two MLPs of one input", mlps: 2, build: func(k *draft) *gorgonia.Node {
		x := k.x()
		gate, up, down := k.rowWeights()
		one := mul(times(silu(mul(x, gate)), mul(x, up)), down)
		return plus(one, mul(times(silu(mul(x, turn(down))), mul(x, k.leaf("up2", hidden, intermediate))), turn(gate)))
	}},
}

func forDtypes(t *testing.T, f func(t *testing.T, dtype tensor.Dtype, tolerance float64)) {
	t.Run("float32", func(t *testing.T) { f(t, tensor.Float32, 1e-5) })
	t.Run("float64", func(t *testing.T) { f(t, tensor.Float64, 1e-11) })
}

// However an MLP is written, it is found, and with all neurons active it has the same values.
func TestPatterns(t *testing.T) {
	for _, p := range patterns {
		t.Run(p.name, func(t *testing.T) {
			forDtypes(t, func(t *testing.T, dtype tensor.Dtype, tolerance float64) {
				k := &draft{g: gorgonia.NewGraph(), dtype: dtype}
				y := p.build(k)
				found, skipped, err := FindMLPs(k.g, y)
				require.NoError(t, err)
				assert.Empty(t, skipped)
				require.Len(t, found, max(p.mlps, 1))
				for _, m := range found {
					assert.Equal(t, p.act, m.Activation)
				}
				want := run(t, k.g, y)[0]
				s, err := Swap(k.g, gorgonia.Nodes{y}, Choose{MLP: always})
				require.NoError(t, err)
				require.Len(t, s.MLPs, max(p.mlps, 1))
				assert.Equal(t, y.Shape(), s.Outputs[0].Shape())
				assertClose(t, want, run(t, s.Graph, s.Outputs[0])[0], tolerance)
				for _, m := range s.MLPs {
					for _, n := range m.MLP.inner {
						assert.Nil(t, s.Node(n), fmt.Sprint(n))
					}
				}
				assertClose(t, want, run(t, k.g, y)[0], 0)
			})
		})
	}
}
