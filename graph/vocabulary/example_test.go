package vocabulary_test

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/sparsegonia/sparsegonia/graph/vocabulary"
)

func Example() {
	g := gorgonia.NewGraph()
	x := gorgonia.NewMatrix(g, tensor.Float32, gorgonia.WithName("x"), gorgonia.WithShape(2, 3))
	w := gorgonia.NewMatrix(g, tensor.Float32, gorgonia.WithName("w"), gorgonia.WithShape(3, 4))
	y := gorgonia.Must(gorgonia.Mul(x, w))
	z := gorgonia.Must(gorgonia.Square(y))
	fmt.Println(vocabulary.KindOf(x) == vocabulary.Leaf, vocabulary.KindOf(y) == vocabulary.MatMul)
	fmt.Println(vocabulary.UnaryFunc(z.Op())(3))
	// Output:
	// true true
	// 9
}
