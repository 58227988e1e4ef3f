package graph

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
	"pgregory.net/rapid"

	"github.com/sparsegonia/sparsegonia/graph/vocabulary"
	"github.com/sparsegonia/sparsegonia/ops"
	"github.com/sparsegonia/sparsegonia/ops/activation"
)

// drawing is a random network, drawn once and written down as often as needed.
type drawing struct {
	dtype   tensor.Dtype
	inputs  [][]int
	nodes   []drawnNode
	outputs []int
}

// drawnNode is a node: what it is called, which earlier nodes it takes, and how it is made of them.
type drawnNode struct {
	name string
	ins  []int
	make func(x []*gorgonia.Node) (*gorgonia.Node, error)
}

// draw draws a network of matrices with up to 5 rows and columns. Ops that give what they got are
// drawn if aliases is true: the tape machine writes over what they and reshapes give while it is
// still to be read.
func draw(t *rapid.T, aliases bool) drawing {
	s := drawing{dtype: rapid.SampledFrom([]tensor.Dtype{tensor.Float32, tensor.Float64}).Draw(t, "dtype")}
	var shapes []tensor.Shape
	size := rapid.IntRange(1, 5)
	for range rapid.IntRange(1, 3).Draw(t, "inputs") {
		shape := []int{size.Draw(t, "rows"), size.Draw(t, "columns")}
		s.inputs = append(s.inputs, shape)
		shapes = append(shapes, shape)
	}
	// pick draws a node that suits, or −1.
	pick := func(suits func(tensor.Shape) bool) int {
		var all []int
		for i, shape := range shapes {
			if suits(shape) {
				all = append(all, i)
			}
		}
		if len(all) == 0 {
			return -1
		}
		return rapid.SampledFrom(all).Draw(t, "operand")
	}
	any := func(tensor.Shape) bool { return true }
	kinds := []string{
		"tanh", "sigmoid", "square", "rectify", "add", "sub", "mul", "scale", "product", "transpose",
		"sum", "bias", "concat", "slice", "softmax", "activate", "swiglu", "custom",
	}
	if aliases {
		kinds = append(kinds, "reshape", "alias", "alias", "dropout")
	}
	for i := range rapid.IntRange(1, 25).Draw(t, "nodes") {
		a := pick(any)
		shape := shapes[a]
		n := drawnNode{name: rapid.SampledFrom(kinds).Draw(t, "kind"), ins: []int{a}}
		second := func(suits func(tensor.Shape) bool) bool {
			b := pick(suits)
			n.ins = append(n.ins, b)
			return b >= 0
		}
		same := func(b tensor.Shape) bool { return b[0] == shape[0] && b[1] == shape[1] }
		one := func(f unary) { n.make = func(x []*gorgonia.Node) (*gorgonia.Node, error) { return f(x[0]) } }
		two := func(f binary) { n.make = func(x []*gorgonia.Node) (*gorgonia.Node, error) { return f(x[0], x[1]) } }
		to := shape
		ok := true
		switch n.name {
		case "tanh":
			one(gorgonia.Tanh)
		case "sigmoid":
			one(gorgonia.Sigmoid)
		case "square":
			one(func(a *gorgonia.Node) (*gorgonia.Node, error) { return gorgonia.Square(must(gorgonia.Tanh(a))) })
		case "rectify":
			one(gorgonia.Rectify)
		case "scale":
			x := float64(rapid.IntRange(-2, 2).Draw(t, "scale"))
			n.make = func(in []*gorgonia.Node) (*gorgonia.Node, error) {
				return gorgonia.Mul(in[0], (&network{g: in[0].Graph(), dtype: s.dtype}).constant(x))
			}
		case "add":
			ok = second(same)
			two(gorgonia.Add)
		case "sub":
			ok = second(same)
			two(gorgonia.Sub)
		case "mul":
			ok = second(same)
			two(func(a, b *gorgonia.Node) (*gorgonia.Node, error) {
				return gorgonia.HadamardProd(must(gorgonia.Tanh(a)), b)
			})
		case "product":
			ok = second(func(b tensor.Shape) bool { return b[0] == shape[1] })
			two(func(a, b *gorgonia.Node) (*gorgonia.Node, error) { return gorgonia.Mul(must(gorgonia.Tanh(a)), b) })
			if ok {
				to = tensor.Shape{shape[0], shapes[n.ins[1]][1]}
			}
		case "transpose":
			one(func(a *gorgonia.Node) (*gorgonia.Node, error) { return gorgonia.Transpose(a) })
			to = tensor.Shape{shape[1], shape[0]}
		case "reshape":
			to = tensor.Shape{1, shape[0] * shape[1]}
			one(func(a *gorgonia.Node) (*gorgonia.Node, error) { return gorgonia.Reshape(a, to) })
		case "sum":
			to = tensor.Shape{1, shape[1]}
			ok = shape[0] > 1 && shape[1] > 1
			one(func(a *gorgonia.Node) (*gorgonia.Node, error) {
				return gorgonia.Reshape(must(gorgonia.Sum(must(gorgonia.Tanh(a)), 0)), to)
			})
		case "bias":
			ok = shape[0] > 1 && shape[1] > 1 && second(func(b tensor.Shape) bool { return b[0] == 1 && b[1] == shape[1] })
			two(func(a, b *gorgonia.Node) (*gorgonia.Node, error) { return gorgonia.BroadcastAdd(a, b, nil, []byte{0}) })
		case "concat":
			ok = second(func(b tensor.Shape) bool { return b[1] == shape[1] && b[0]+shape[0] < 12 })
			two(func(a, b *gorgonia.Node) (*gorgonia.Node, error) { return gorgonia.Concat(0, a, b) })
			if ok {
				to = tensor.Shape{shape[0] + shapes[n.ins[1]][0], shape[1]}
			}
		case "slice":
			ok = shape[0] > 2
			to = tensor.Shape{shape[0] - 1, shape[1]}
			one(func(a *gorgonia.Node) (*gorgonia.Node, error) { return gorgonia.Slice(a, gorgonia.S(1, shape[0])) })
		case "softmax":
			one(func(a *gorgonia.Node) (*gorgonia.Node, error) { return gorgonia.SoftMax(must(gorgonia.Tanh(a)), 1) })
		case "activate":
			one(func(a *gorgonia.Node) (*gorgonia.Node, error) { return ops.Activate(a, activation.SiLU) })
		case "swiglu":
			ok = second(same)
			two(func(a, b *gorgonia.Node) (*gorgonia.Node, error) {
				return ops.GLU(a, must(gorgonia.Tanh(b)), activation.ReLU)
			})
		case "custom":
			preallocs := rapid.Bool().Draw(t, "preallocs")
			one(func(a *gorgonia.Node) (*gorgonia.Node, error) {
				return gorgonia.ApplyOp(&custom{id: 100 + i, preallocs: preallocs, do: accumulate}, a)
			})
		case "alias":
			one(func(a *gorgonia.Node) (*gorgonia.Node, error) {
				return gorgonia.ApplyOp(&custom{id: 100 + i, do: func(_ gorgonia.Value, in []gorgonia.Value) (gorgonia.Value, error) {
					return in[0], nil
				}}, a)
			})
		case "dropout":
			one(func(a *gorgonia.Node) (*gorgonia.Node, error) { return gorgonia.Dropout(a, 0.5) })
		}
		if ok {
			s.nodes = append(s.nodes, n)
			shapes = append(shapes, to)
		}
	}
	last := len(shapes) - 1
	for i := len(s.inputs); i < last; i++ {
		if rapid.IntRange(0, 4).Draw(t, "output") == 0 {
			s.outputs = append(s.outputs, i)
		}
	}
	s.outputs = append(s.outputs, last)
	return s
}

// accumulate relies on memory that was zero, as an op may that has run on the tape machine only.
func accumulate(y gorgonia.Value, in []gorgonia.Value) (gorgonia.Value, error) {
	return tensor.Add(y, in[0], tensor.UseUnsafe())
}

func (s drawing) write(n *network) {
	var nodes gorgonia.Nodes
	for _, shape := range s.inputs {
		nodes = append(nodes, n.in(shape...))
	}
	for _, k := range s.nodes {
		var ins gorgonia.Nodes
		for _, i := range k.ins {
			ins = append(ins, nodes[i])
		}
		nodes = append(nodes, must(k.make(ins)))
	}
	for _, i := range s.outputs {
		n.out(nodes[i])
	}
}

func (s drawing) String() string {
	text := fmt.Sprint(s.dtype, s.inputs)
	for i, n := range s.nodes {
		text += fmt.Sprintf("\n%d %s %v", i+len(s.inputs), n.name, n.ins)
	}
	return text + fmt.Sprint("\n→ ", s.outputs)
}

// Random networks give what the tape machine gives.
func TestRandomNetworks(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := draw(rt, false)
		rt.Log(s)
		sameAsTape(rt, s.dtype, s.write)
	})
}

// Random networks, with ops that give what they got, give what every op gives on its own.
func TestRandomNetworksByDefinition(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := draw(rt, true)
		rt.Log(s)
		n := newNetwork(s.dtype, false, s.write)
		m, err := NewMachine(n.g, n.outputs)
		require.NoError(rt, err)
		for seed := range uint64(3) {
			n.let(seed)
			m.poison()
			require.NoError(rt, m.RunAll())
			known := map[*gorgonia.Node]gorgonia.Value{}
			for i, x := range n.outputs {
				requireSameValue(rt, evaluate(rt, n.g.ExactSubgraphRoots(n.g.AllNodes()...), x, known), x.Value(), "run %d, output %d", seed, i)
			}
		}
	})
}

// evaluate runs the Do of every op on copies.
func evaluate(t tester, g *gorgonia.ExprGraph, n *gorgonia.Node, known map[*gorgonia.Node]gorgonia.Value) gorgonia.Value {
	if n.Op() == nil || vocabulary.TypeName(n.Op()) == "constantScalar" {
		return n.Value()
	}
	if v, ok := known[n]; ok {
		return v
	}
	var args []gorgonia.Value
	for _, c := range children(g, n) {
		v, err := gorgonia.CloneValue(evaluate(t, g, c, known))
		require.NoError(t, err)
		args = append(args, v)
	}
	v, err := n.Op().Do(args...)
	require.NoError(t, err)
	known[n] = v
	return v
}
