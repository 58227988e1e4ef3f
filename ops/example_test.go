package ops_test

import (
	"fmt"
	"log"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/sparsegonia/sparsegonia/cache"
	"github.com/sparsegonia/sparsegonia/ops"
	"github.com/sparsegonia/sparsegonia/ops/activation"
)

// A sparse MLP of three plain weight tensors on Gorgonia's tape machine. The exact gate selects the neurons.
func ExampleSparseMLP() {
	// An MLP with hidden size 2 and 3 neurons, as PyTorch stores it: gate and up 3×2, down 2×3.
	matrix := func(rows, cols int, values ...float32) ops.Weight {
		w, err := ops.TensorWeight(tensor.New(tensor.WithShape(rows, cols), tensor.WithBacking(values)), false)
		if err != nil {
			log.Fatal(err)
		}
		return w
	}
	gate := matrix(3, 2, 1, 0, 0, 1, -1, -1)
	up := matrix(3, 2, 2, 0, 0, 2, 1, 1)
	down := matrix(2, 3, 1, 0, 5, 0, 1, 5)
	neurons, err := ops.NeuronsOf(gate, up, down)
	if err != nil {
		log.Fatal(err)
	}
	mlp := ops.MLP{Cache: cache.InPlace(neurons), Act: activation.ReLU}

	g := gorgonia.NewGraph()
	x := gorgonia.NewVector(g, tensor.Float32, gorgonia.WithName("x"), gorgonia.WithShape(2))
	scores := gorgonia.Must(ops.Gate(x, gate, mlp.Act))
	mask := gorgonia.Must(ops.Mask(scores, ops.Threshold(0.5)))
	active := gorgonia.Must(ops.Union(mask, nil))
	slots := gorgonia.Must(ops.Refresh(active, mlp.Cache))
	y := gorgonia.Must(ops.SparseMLP(x, slots, scores, mlp))

	var activeValue, yValue gorgonia.Value
	gorgonia.Read(slots, &activeValue)
	gorgonia.Read(y, &yValue)
	machine := gorgonia.NewTapeMachine(g)
	defer machine.Close()
	for _, input := range [][]float32{{3, 0.25}, {1, 2}} {
		if err := gorgonia.Let(x, tensor.New(tensor.WithShape(2), tensor.WithBacking(input))); err != nil {
			log.Fatal(err)
		}
		if err := machine.RunAll(); err != nil {
			log.Fatal(err)
		}
		fmt.Println("active", activeValue.Data(), "y", yValue.Data())
		machine.Reset()
	}
	// Output:
	// active [0 -1 -1] y [18 0]
	// active [0 1 -1] y [2 8]
}

func ExampleMask() {
	g := gorgonia.NewGraph()
	scores := gorgonia.NewMatrix(g, tensor.Float32, gorgonia.WithName("scores"), gorgonia.WithShape(2, 4),
		gorgonia.WithValue(tensor.New(tensor.WithShape(2, 4), tensor.WithBacking([]float32{
			0.1, -2, 3, 0.4,
			-1, 0.2, 0.5, -4,
		}))))
	methods := []ops.MaskMethod{
		ops.Threshold(0.4),
		ops.Threshold(1, 1, 1, 4).Magnitude(), // a threshold for each neuron
		ops.TopK(0.75),
	}
	masks := make([]gorgonia.Value, len(methods))
	for i, method := range methods {
		gorgonia.Read(gorgonia.Must(ops.Mask(scores, method)), &masks[i])
	}
	machine := gorgonia.NewTapeMachine(g)
	defer machine.Close()
	if err := machine.RunAll(); err != nil {
		log.Fatal(err)
	}
	for i, method := range methods {
		fmt.Println(method, masks[i].Data())
	}
	// Output:
	// threshold 0.4 [false false true true false false true false]
	// magnitude threshold per neuron [false true true false true false false true]
	// topk 0.75 [false false true false false false true false]
}
