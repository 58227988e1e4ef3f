package graph

import (
	"fmt"
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
	"pgregory.net/rapid"

	"github.com/sparsegonia/sparsegonia/ops"
	"github.com/sparsegonia/sparsegonia/ops/activation"
)

// author writes MLPs in randomly chosen ways.
type author struct {
	*draft
	*rapid.T
	leaves int
}

func (a *author) toss(what string) bool { return rapid.Bool().Draw(a.T, what) }

func (a *author) newLeaf(shape ...int) *gorgonia.Node {
	a.leaves++
	return a.leaf(fmt.Sprintf("leaf%d", a.leaves), shape...)
}

// by is x, vectors along the given axis, times a weight of its own: vectors of another length along the same axis.
func (a *author) by(x batch, outputs int) batch {
	inputs := x.width()
	weight := func(rows, cols int) *gorgonia.Node { // rows×cols, perhaps as the transpose of something
		switch rapid.IntRange(0, 3).Draw(a.T, "weight") {
		case 0:
			return turn(a.newLeaf(cols, rows))
		case 1:
			v := a.values(cols, rows)
			require.NoError(a.T, v.T())
			a.leaves++
			return newLeaf(a.g, fmt.Sprintf("leaf%d", a.leaves), v)
		case 2:
			return times(a.newLeaf(rows, cols), a.number(0.75))
		default:
			return a.newLeaf(rows, cols)
		}
	}
	n := x.node
	switch dims := n.Dims(); {
	case dims == 1 && a.toss("vector first"):
		return batch{mul(n, weight(inputs, outputs)), 0}
	case dims == 1:
		return batch{mul(weight(outputs, inputs), n), 0}
	case dims == 2 && x.axis == 0:
		return batch{mul(weight(outputs, inputs), n), 0}
	case dims == 2 && a.toss("linear op"):
		return batch{affine(n, a.weight("", outputs, inputs)), 1}
	case dims == 2:
		return batch{mul(n, weight(inputs, outputs)), 1}
	case a.toss("tensordot"):
		return batch{must(gorgonia.Tensordot([]int{2}, []int{0}, n, weight(inputs, outputs))), 2}
	default:
		shape := n.Shape()
		flat := mul(reshaped(n, shape[0]*shape[1], inputs), weight(inputs, outputs))
		return batch{reshaped(flat, shape[0], shape[1], outputs), 2}
	}
}

func (a *author) withBias(x batch) batch {
	if !a.toss("bias") {
		return x
	}
	n, width := x.node, x.width()
	switch {
	case n.Dims() == 1:
		return batch{plus(n, a.newLeaf(width)), 0}
	case n.Dims() == 2 && x.axis == 0:
		return batch{must(gorgonia.BroadcastAdd(n, a.newLeaf(width, 1), nil, []byte{1})), 0}
	case n.Dims() == 2 && a.toss("vector bias"):
		return batch{withBias(n, a.newLeaf(width)), 1}
	case n.Dims() == 2:
		return batch{must(gorgonia.BroadcastAdd(a.newLeaf(1, width), n, []byte{0}, nil)), 1}
	default:
		return batch{must(gorgonia.BroadcastAdd(n, reshaped(a.newLeaf(width), 1, 1, width), nil, []byte{0, 1})), 2}
	}
}

// activate writes an activation function and says which.
func (a *author) activate(x *gorgonia.Node) (*gorgonia.Node, activation.Func) {
	act := rapid.SampledFrom([]activation.Func{activation.SiLU, activation.GELU, activation.GELUTanh, activation.ReLU}).Draw(a.T, "activation")
	if act == activation.GELU || a.toss("as an op") {
		return must(ops.Activate(x, act)), act
	}
	switch act {
	case activation.SiLU:
		if a.toss("quotient") {
			return over(x, plus(a.number(1), must(gorgonia.Exp(must(gorgonia.Neg(x)))))), act
		}
		return silu(x), act
	case activation.GELUTanh:
		inner := times(a.number(math.Sqrt(2/math.Pi)), plus(x, times(a.number(0.044715), must(gorgonia.Cube(x)))))
		return times(times(a.number(0.5), x), plus(a.number(1), must(gorgonia.Tanh(inner)))), act
	default:
		if a.toss("magnitude") {
			return times(plus(x, must(gorgonia.Abs(x))), a.number(0.5)), act
		}
		return relu(x), act
	}
}

// mlp writes an MLP and says which activation function it has.
func (a *author) mlp(x batch, intermediate, outputs int) (batch, activation.Func) {
	var h *gorgonia.Node
	var act activation.Func
	switch {
	case !a.toss("gated"):
		h, act = a.activate(a.withBias(a.by(x, intermediate)).node)
	case a.toss("fused") && intermediate%256 != 0 && intermediate > 1:
		both := a.withBias(a.by(x, 2*intermediate))
		half := func(from int) *gorgonia.Node {
			slices := make([]tensor.Slice, both.axis+1)
			slices[both.axis] = gorgonia.S(from, from+intermediate)
			return part(both.node, slices...)
		}
		h, act = a.activate(half(0))
		h = times(h, half(intermediate))
	default:
		gate, up := a.withBias(a.by(x, intermediate)), a.withBias(a.by(x, intermediate))
		h, act = a.activate(gate.node)
		if a.toss("up first") {
			h = times(up.node, h)
		} else {
			h = times(h, up.node)
		}
	}
	if a.toss("scaled") {
		h = times(h, a.number(-1.5))
	}
	return a.withBias(a.by(batch{h, x.axis}, outputs)), act
}

// However an MLP is put together, it is found, and the sparse graph has the values of the dense one, on both machines.
func TestRandomMLPs(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		dtype, tolerance := tensor.Float64, 1e-10
		a := &author{draft: &draft{g: gorgonia.NewGraph(), dtype: dtype, seed: rapid.Uint64Range(0, 1e6).Draw(r, "seed")}, T: r}
		width := rapid.IntRange(2, 9).Draw(r, "hidden")
		rows := rapid.IntRange(2, 5).Draw(r, "rows")
		var x batch
		switch rapid.IntRange(0, 3).Draw(r, "input") {
		case 0:
			x = batch{a.leaf("x", width), 0}
		case 1:
			x = batch{a.leaf("x", rows, width), 1}
		case 2:
			x = batch{a.leaf("x", width, rows), 0}
		default:
			x = batch{a.leaf("x", 2, rows, width), 2}
		}
		var acts []activation.Func
		for range rapid.IntRange(1, 3).Draw(r, "layers") {
			outputs := x.width()
			if a.toss("other outputs") {
				outputs = rapid.IntRange(2, 9).Draw(r, "outputs")
			}
			y, act := a.mlp(x, rapid.IntRange(2, 12).Draw(r, "intermediate"), outputs)
			if outputs == x.width() && a.toss("residual") {
				y.node = plus(x.node, y.node)
			}
			acts = append(acts, act)
			x = batch{must(ops.Activate(must(gorgonia.Tanh(y.node)), activation.SiLU)), y.axis} // keeps layers apart and numbers small
		}
		found, _, err := FindMLPs(a.g, x.node)
		require.NoError(r, err)
		require.Len(r, found, len(acts))
		for i, m := range found {
			require.Equal(r, acts[i], m.Activation)
		}
		want := run(r, a.g, x.node)[0]
		s, err := Swap(a.g, gorgonia.Nodes{x.node}, Choose{MLP: always})
		require.NoError(r, err)
		require.Len(r, s.MLPs, len(acts))
		assertNear(r, want, run(r, s.Graph, s.Outputs[0])[0], tolerance)
		assertNear(r, want, run(r, a.g, x.node)[0], 0)

		m, err := NewMachine(s.Graph, s.Outputs)
		require.NoError(r, err)
		require.NoError(r, m.RunAll())
		assertNear(r, want, s.Outputs[0].Value().(*tensor.Dense), tolerance)
		require.NoError(r, m.Close())
	})
}

// Whatever is in a graph, Swap does not change its values.
func TestRandomGraphs(t *testing.T) {
	swapped, skipped := 0, 0
	rapid.Check(t, func(r *rapid.T) {
		a := &author{draft: &draft{g: gorgonia.NewGraph(), dtype: tensor.Float64, seed: rapid.Uint64Range(0, 1e6).Draw(r, "seed")}, T: r}
		const rows = 3
		nodes := gorgonia.Nodes{a.leaf("x", rows, 4), a.leaf("x2", rows, 4)}
		weights := gorgonia.Nodes{a.leaf("square", 4, 4), a.leaf("wide", 4, 6), a.leaf("narrow", 6, 4)}
		pick := func(from gorgonia.Nodes, ok func(n *gorgonia.Node) bool) *gorgonia.Node {
			var fit gorgonia.Nodes
			for _, n := range from {
				if ok(n) {
					fit = append(fit, n)
				}
			}
			if len(fit) == 0 {
				return nil
			}
			// The newest nodes make the longest chains.
			return fit[len(fit)-1-rapid.IntRange(0, min(len(fit), 3)-1).Draw(r, "node")]
		}
		cols := func(n int) func(*gorgonia.Node) bool { return func(m *gorgonia.Node) bool { return m.Shape()[1] == n } }
		for range rapid.IntRange(3, 25).Draw(r, "size") {
			n := pick(nodes, func(*gorgonia.Node) bool { return true })
			var made *gorgonia.Node
			switch rapid.IntRange(0, 10).Draw(r, "op") {
			case 0, 1, 2:
				if w := pick(weights, func(w *gorgonia.Node) bool { return w.Shape()[0] == n.Shape()[1] }); w != nil {
					made = mul(n, w)
				}
			case 3:
				made, _ = a.activate(n)
			case 4:
				made = times(n, pick(nodes, cols(n.Shape()[1])))
			case 5:
				made = times(silu(n), pick(nodes, cols(n.Shape()[1])))
			case 6:
				made = plus(n, pick(nodes, cols(n.Shape()[1])))
			case 7:
				made = withBias(n, a.newLeaf(n.Shape()[1]))
			case 8:
				made = must(gorgonia.Tanh(n))
			case 9:
				if n.Shape()[1] == 4 {
					h, _ := a.activate(mul(n, weights[1]))
					made = mul(h, weights[2])
				}
			default:
				made = times(n, a.number(-0.5))
			}
			if made != nil && made.Dims() == 2 {
				nodes = append(nodes, made)
			}
		}
		last := nodes[len(nodes)-1]
		outputs := gorgonia.Nodes{last}
		for range rapid.IntRange(0, 2).Draw(r, "more outputs") {
			outputs = append(outputs, pick(nodes, func(n *gorgonia.Node) bool { return n.Op() != nil || n == last }))
		}
		if last.Op() == nil {
			return
		}
		// Reads, because the value of a node in the middle is overwritten.
		values := make([]gorgonia.Value, len(outputs))
		for i, n := range outputs {
			if n == nil {
				return
			}
			gorgonia.Read(n, &values[i])
		}
		read := func(g *gorgonia.ExprGraph) []*tensor.Dense {
			run(r, g)
			out := make([]*tensor.Dense, len(values))
			for i, v := range values {
				out[i] = v.(*tensor.Dense).Clone().(*tensor.Dense)
			}
			return out
		}
		want := read(a.g)
		s, err := Swap(a.g, outputs, Choose{MLP: always})
		require.NoError(r, err)
		swapped, skipped = swapped+len(s.MLPs), skipped+len(s.Skipped)
		got := read(s.Graph)
		for i := range want {
			assertNear(r, want[i], got[i], 1e-9)
		}
	})
	assert.Positive(t, swapped, "no graph had an MLP")
	assert.Positive(t, skipped)
	t.Logf("%d MLPs swapped, %d places skipped", swapped, skipped)
}
