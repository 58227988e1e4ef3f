package checkpoint_test

import (
	"errors"
	"fmt"
	"log"

	"github.com/sparsegonia/sparsegonia/ops/weights"
	"github.com/sparsegonia/sparsegonia/ops/weights/checkpoint"
	"github.com/sparsegonia/sparsegonia/testdata/tinyrelu"
)

func Example() {
	c, err := checkpoint.OpenFS(tinyrelu.FS) // or Open, for a directory or a GGUF file
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	t, err := c.Tensor("model.layers.0.mlp.gate_proj.weight")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(c.Format(), len(c.Names()), "tensors;", t.Type, t.Shape)

	m := weights.NewMatrix(weights.Int8, t.Rows(), t.Cols()) // a quarter of the bytes in float32
	if err := t.CopyTo(nil, m); err != nil {
		log.Fatal(err)
	}
	row := make([]float32, t.Cols())
	if err := t.Float32Row(row, 0); err != nil {
		log.Fatal(err)
	}
	rounded := make([]float32, t.Cols())
	weights.Row(m, 0, rounded)
	fmt.Printf("%.3f is kept as %.3f\n", row[0], rounded[0])

	_, err = c.Tensor("model.layers.9.mlp.gate_proj.weight")
	fmt.Println(errors.Is(err, checkpoint.ErrNotFound))
	// Output:
	// Hugging Face 38 tensors; F16 [896 192]
	// 0.275 is kept as 0.274
	// true
}
