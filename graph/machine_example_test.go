package graph_test

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/sparsegonia/sparsegonia/graph"
)

// A network that was trained with Gorgonia is run on this machine in place of a tape machine.
func ExampleNewMachine() {
	g := gorgonia.NewGraph()
	x := gorgonia.NewVector(g, tensor.Float32, gorgonia.WithName("x"), gorgonia.WithShape(2))
	w := gorgonia.NewMatrix(g, tensor.Float32, gorgonia.WithName("w"), gorgonia.WithShape(2, 3),
		gorgonia.WithValue(tensor.New(tensor.WithShape(2, 3), tensor.WithBacking([]float32{1, -1, 2, 0, 1, -2}))))
	y := gorgonia.Must(gorgonia.Square(gorgonia.Must(gorgonia.Mul(x, w))))

	m, err := graph.NewMachine(g, gorgonia.Nodes{y})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer m.Close()
	for _, values := range [][]float32{{1, 0}, {1, 2}, {3, 1}} {
		if err := gorgonia.Let(x, tensor.New(tensor.WithBacking(values))); err != nil {
			fmt.Println(err)
			return
		}
		if err := m.RunAll(); err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(y.Value().Data())
	}
	fmt.Println(m.Bytes(), "bytes for all values that are computed")
	// Output:
	// [1 1 4]
	// [1 1 4]
	// [9 4 16]
	// 24 bytes for all values that are computed
}
