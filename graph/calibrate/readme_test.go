package calibrate_test

import (
	"fmt"
	"log"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/sparsegonia/sparsegonia/graph"
	"github.com/sparsegonia/sparsegonia/graph/calibrate"
)

// network is a graph with a gated SiLU MLP and a plain ReLU MLP, 50 inputs that it is typically run
// on, and one more.
func network() (g *gorgonia.ExprGraph, x, y *gorgonia.Node, typical calibrate.Source, input *tensor.Dense) {
	f := newForeign()
	return f.g, f.x, f.y, f.source(50), normal(7, rows, hidden)
}

// check ends the program with an error.
func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// The body is the snippet of the README.
func Example_anyGraph() {
	g, x, y, typical, input := network() // any graph for inference, here with two MLPs

	captured, err := calibrate.Capture(typical, nil) // what the neurons do on typical inputs
	check(err)
	plan, err := captured.Plan(0.25) // thresholds that leave a quarter of each MLP's neurons active
	check(err)
	sparse, err := graph.Swap(g, gorgonia.Nodes{y}, graph.Choose{MLP: plan.Selector}) // a new graph; g stays as it is
	check(err)

	machine, err := graph.NewMachine(sparse.Graph, sparse.Outputs) // or gorgonia.NewTapeMachine
	check(err)
	defer machine.Close()
	check(gorgonia.Let(sparse.Node(x), input)) // inputs keep their names and shapes
	check(machine.RunAll())
	fmt.Println(len(sparse.MLPs), "sparse MLPs, output", sparse.Outputs[0].Value().Shape())
	// Output: 2 sparse MLPs, output (5, 6)
}
