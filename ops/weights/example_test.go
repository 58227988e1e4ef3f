package weights_test

import (
	"fmt"

	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// A matrix keeps its rows in one dtype; a row of grouped 4-bit weights has one scale for 32 of
// them.
func ExampleMatrix() {
	row := make([]float32, 32)
	for i := range row {
		row[i] = float32(i%16-8) / 4 // −2 to 1.75
	}
	for _, d := range []weights.Dtype{weights.F32, weights.Int8, weights.Int4} {
		m := weights.NewMatrix(d, 1, len(row))
		weights.SetRow(m, 0, row)
		stored := make([]float32, len(row))
		weights.Row(m, 0, stored)
		fmt.Printf("%s: %d bytes, %.4v\n", d, m.RowBytes(), stored[:3])
	}
	// Output:
	// f32: 128 bytes, [-2 -1.75 -1.5]
	// int8: 36 bytes, [-2 -1.748 -1.496]
	// int4: 18 bytes, [-2 -1.75 -1.5]
}

// A store holds the gate, up and down row of a neuron side by side, so that an active neuron is one
// stretch of memory.
func ExampleAllocateNeurons() {
	neurons, err := weights.AllocateNeurons(weights.F16, 3, 64, true)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(neurons.Intermediate(), "neurons of", neurons.NeuronBytes(), "bytes")
	fmt.Println("from one neuron to the next:", neurons.Gate().Stride())
	// Output:
	// 3 neurons of 384 bytes
	// from one neuron to the next: 384
}
