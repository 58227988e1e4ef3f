package main

import (
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/sparsegonia/sparsegonia/ops/parallel"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// tapeMLP is an MLP of Gorgonia's own nodes, in float32, on the tape machine.
type tapeMLP struct {
	name   string
	vm     gorgonia.VM
	output *gorgonia.Node
}

// newStockMLPs writes down(silu(gate·x) ⊙ up·x) in the two ways that let Gorgonia's matrix product
// read each weight row once: weights I×H and H×I times a vector, and a 1×H matrix times their lazy
// transposes. Written with weights H×I and I×H it takes twice as long.
func newStockMLPs(n *weights.Neurons, x []float32) ([]tapeMLP, error) {
	gate, up, down, err := stockWeights(n)
	if err != nil {
		return nil, err
	}
	var all []tapeMLP
	for _, spelling := range []struct {
		name   string
		vector bool
	}{{"W·x", true}, {"x·Wᵀ", false}} {
		output, err := newStockMLP(gate, up, down, x, spelling.vector)
		if err != nil {
			return nil, err
		}
		all = append(all, tapeMLP{spelling.name, gorgonia.NewTapeMachine(output.Graph()), output})
	}
	return all, nil
}

// stockWeights copies the weights into tensors with a row for every output.
func stockWeights(n *weights.Neurons) (gate, up, down []float32, err error) {
	hidden, intermediate := n.Hidden(), n.Intermediate()
	values := func(rows, cols int, move func(*parallel.Pool, *weights.Matrix, *weights.Matrix) error, from *weights.Matrix) []float32 {
		v := make([]float32, rows*cols)
		to, e := weights.MatrixOf(rows, cols, v)
		if e == nil {
			e = move(nil, to, from)
		}
		if e != nil {
			err = e
		}
		return v
	}
	gate = values(intermediate, hidden, weights.Copy, n.Gate())
	up = values(intermediate, hidden, weights.Copy, n.Up())
	down = values(hidden, intermediate, weights.Transpose, n.Down())
	return gate, up, down, err
}

func newStockMLP(gate, up, down, x []float32, vector bool) (output *gorgonia.Node, err error) {
	hidden := len(x)
	g := gorgonia.NewGraph()
	inputShape := tensor.Shape{1, hidden}
	if vector {
		inputShape = tensor.Shape{hidden}
	}
	input := gorgonia.NodeFromAny(g, tensor.New(tensor.WithShape(inputShape...), tensor.WithBacking(x)), gorgonia.WithName("x"))
	linear := func(name string, w []float32, x *gorgonia.Node) *gorgonia.Node {
		if err != nil {
			return nil
		}
		inputs := x.Shape().TotalSize()
		t := tensor.New(tensor.WithShape(len(w)/inputs, inputs), tensor.WithBacking(w))
		var y *gorgonia.Node
		if vector {
			y, err = gorgonia.Mul(gorgonia.NodeFromAny(g, t, gorgonia.WithName(name)), x)
		} else if err = t.T(); err == nil {
			y, err = gorgonia.Mul(x, gorgonia.NodeFromAny(g, t, gorgonia.WithName(name)))
		}
		return y
	}
	then := func(f func() (*gorgonia.Node, error)) (n *gorgonia.Node) {
		if err == nil {
			n, err = f()
		}
		return n
	}
	a := linear("gate", gate, input)
	s := then(func() (*gorgonia.Node, error) { return gorgonia.Sigmoid(a) })
	a = then(func() (*gorgonia.Node, error) { return gorgonia.HadamardProd(a, s) })
	b := linear("up", up, input)
	h := then(func() (*gorgonia.Node, error) { return gorgonia.HadamardProd(a, b) })
	output = linear("down", down, h)
	return output, err
}

func (s tapeMLP) reset(int) error {
	s.vm.Reset()
	return nil
}

func (s tapeMLP) run(int) error { return s.vm.RunAll() }
