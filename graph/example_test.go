package graph_test

import (
	"fmt"
	"log"
	"math"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/sparsegonia/sparsegonia/graph"
	"github.com/sparsegonia/sparsegonia/ops"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// mlp is a gated MLP in stock Gorgonia nodes, with hidden size 2 and 3 neurons: the kind of graph that one has already.
func mlp() (g *gorgonia.ExprGraph, x, y *gorgonia.Node) {
	g = gorgonia.NewGraph()
	matrix := func(name string, rows, cols int, values ...float32) *gorgonia.Node {
		return gorgonia.NewMatrix(g, tensor.Float32, gorgonia.WithName(name), gorgonia.WithShape(rows, cols),
			gorgonia.WithValue(tensor.New(tensor.WithShape(rows, cols), tensor.WithBacking(values))))
	}
	x = matrix("x", 1, 2, 3, 0.25)
	gate := gorgonia.Must(gorgonia.Mul(x, matrix("gate", 2, 3, 1, 0, -1, 0, 1, -1)))
	up := gorgonia.Must(gorgonia.Mul(x, matrix("up", 2, 3, 2, 0, 1, 0, 2, 1)))
	h := gorgonia.Must(gorgonia.HadamardProd(gorgonia.Must(gorgonia.Rectify(gate)), up))
	y = gorgonia.Must(gorgonia.Mul(h, matrix("down", 3, 2, 1, 0, 0, 1, 5, 5)))
	gorgonia.WithName("mlp")(y)
	return g, x, y
}

// Two lines make the MLPs of a graph sparse: Swap with a selector, and a machine for the new graph. Here a neuron is
// active if its gate is at least 0.5.
func ExampleSwap() {
	g, x, y := mlp()

	sparse, err := graph.Swap(g, gorgonia.Nodes{y}, graph.Choose{MLP: func(i int, m *graph.MLP) (graph.Selector, error) {
		fmt.Println("found", m.Name, m.Activation, m.Up.Outputs(), "neurons")
		return graph.GateSelector{Threshold: []float64{0.5}}, nil
	}})
	if err != nil {
		log.Fatal(err)
	}
	machine := gorgonia.NewTapeMachine(sparse.Graph)
	defer machine.Close()

	// Inputs of the old graph have their like in the new one.
	for _, values := range [][]float32{{3, 0.25}, {1, 2}} {
		input := tensor.New(tensor.WithShape(1, 2), tensor.WithBacking(values))
		if err := gorgonia.Let(sparse.Node(x), input); err != nil {
			log.Fatal(err)
		}
		if err := machine.RunAll(); err != nil {
			log.Fatal(err)
		}
		fmt.Println("y", sparse.Outputs[0].Value().Data())
		machine.Reset()
	}
	fmt.Printf("%.1f neurons active on average\n", sparse.MLPs[0].Cache.Stats().Active())
	// Output:
	// found mlp relu 3 neurons
	// y [18 0]
	// y [2 8]
	// 1.5 neurons active on average
}

// strongest is a selector of one's own: it scores neurons by the exact gate and keeps the k best of every token.
type strongest struct{ k int }

func (s strongest) Select(site graph.Site) (graph.Selection, error) {
	values, err := ops.Gate(site.X, site.MLP.Gate, site.MLP.Activation)
	if err != nil {
		return graph.Selection{}, err
	}
	sparsity := 1 - float64(s.k)/float64(site.MLP.Gate.Outputs())
	mask, err := ops.Mask(values, ops.TopK(sparsity))
	return graph.Selection{Mask: mask, Gate: values}, err
}

// A selector is anything that writes a mask of the neurons into the new graph. The lean machine runs graphs without
// gradients faster than a tape machine.
func ExampleSelector() {
	g, _, y := mlp()
	sparse, err := graph.Swap(g, gorgonia.Nodes{y}, graph.Choose{MLP: func(int, *graph.MLP) (graph.Selector, error) {
		return strongest{1}, nil
	}})
	if err != nil {
		log.Fatal(err)
	}
	machine, err := graph.NewMachine(sparse.Graph, gorgonia.Nodes{sparse.Outputs[0], sparse.MLPs[0].Slots})
	if err != nil {
		log.Fatal(err)
	}
	defer machine.Close()
	if err := machine.RunAll(); err != nil {
		log.Fatal(err)
	}
	fmt.Println("active", sparse.MLPs[0].Slots.Value().Data(), "y", sparse.Outputs[0].Value().Data())
	// Output:
	// active [0 -1 -1] y [18 0]
}

// What looks like an MLP and cannot be swapped is reported.
func ExampleFindMLPs() {
	g, x, y := mlp()
	w := gorgonia.NewMatrix(g, tensor.Float32, gorgonia.WithName("w"), gorgonia.WithShape(2, 2),
		gorgonia.WithValue(tensor.New(tensor.WithShape(2, 2), tensor.WithBacking([]float32{1, 2, 3, 4}))))
	u := gorgonia.Must(gorgonia.Mul(x, w))
	gorgonia.WithName("u")(u)
	z := gorgonia.Must(gorgonia.Mul(gorgonia.Must(gorgonia.Tanh(u)), w))

	found, skipped, err := graph.FindMLPs(g, y, z)
	if err != nil {
		log.Fatal(err)
	}
	for _, m := range found {
		fmt.Println(m.Name)
	}
	for _, s := range skipped {
		fmt.Println(s.Reason)
	}
	// Output:
	// mlp
	// the function of node "u" (A × B) is none of silu, gelu, gelu_tanh and relu
}

// The exact-zero test for ReLU: with the smallest positive number as the threshold a neuron is active just if it has an
// output, and nothing changes but the order of sums.
func ExampleGateSelector() {
	g, _, y := mlp()
	exact := graph.GateSelector{Threshold: []float64{math.SmallestNonzeroFloat32}}
	sparse, err := graph.Swap(g, gorgonia.Nodes{y}, graph.Choose{MLP: func(int, *graph.MLP) (graph.Selector, error) { return exact, nil }})
	if err != nil {
		log.Fatal(err)
	}
	machine, err := graph.NewMachine(sparse.Graph, sparse.Outputs)
	if err != nil {
		log.Fatal(err)
	}
	defer machine.Close()
	if err := machine.RunAll(); err != nil {
		log.Fatal(err)
	}
	fmt.Println(sparse.Outputs[0].Value().Data(), sparse.MLPs[0].Cache.Stats().Active(), "of 3 neurons")
	// Output:
	// [18 0.125] 2 of 3 neurons
}

// The linear maps of a stock graph get half as wide. The old weights are not part of the new graph.
func ExampleSwap_linear() {
	g := gorgonia.NewGraph()
	x := gorgonia.NewMatrix(g, tensor.Float32, gorgonia.WithName("x"), gorgonia.WithShape(1, 2))
	w := gorgonia.NewMatrix(g, tensor.Float32, gorgonia.WithName("w"), gorgonia.WithShape(2, 3),
		gorgonia.WithValue(tensor.New(tensor.WithShape(2, 3), tensor.WithBacking([]float32{1, 127, 0, -1, 3, 127}))))
	y := gorgonia.Must(gorgonia.Mul(x, w))
	gorgonia.WithName("y")(y)

	narrow, err := graph.Swap(g, gorgonia.Nodes{y}, graph.Choose{
		Linear: func(_ int, l *graph.Linear) (ops.Weight, error) {
			fmt.Println(l.Name, "has", l.Weight.Matrix.Bytes(), "bytes of weights")
			return l.As(weights.F16)
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	swapped := narrow.Linears[0]
	fmt.Println(swapped.Weight.Matrix.Dtype(), "has", swapped.Weight.Matrix.Bytes())

	in := tensor.New(tensor.WithShape(1, 2), tensor.WithBacking([]float32{1, 2}))
	if err := gorgonia.Let(narrow.Node(x), in); err != nil {
		log.Fatal(err)
	}
	machine, err := graph.NewMachine(narrow.Graph, narrow.Outputs)
	if err != nil {
		log.Fatal(err)
	}
	defer machine.Close()
	if err := machine.RunAll(); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%v\n", swapped.Output.Value().Data())
	// Output:
	// y has 24 bytes of weights
	// f16 has 12
	// [-1 133 254]
}
