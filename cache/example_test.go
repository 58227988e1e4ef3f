package cache_test

import (
	"fmt"

	"github.com/sparsegonia/sparsegonia/cache"
	"github.com/sparsegonia/sparsegonia/ops/kernel"
)

func Example() {
	neurons, err := cache.Allocate(kernel.BF16, 6, 64, true) // 6 neurons of hidden size 64
	if err != nil {
		panic(err)
	}
	c := cache.InPlace(neurons)
	slots := make([]int32, c.Intermediate())
	for _, active := range [][]bool{
		{true, false, true, true, false, false},
		{true, false, false, true, true, false},
	} {
		if err := c.Refresh(active, slots); err != nil {
			panic(err)
		}
		fmt.Println(slots)
	}
	stats := c.Stats()
	fmt.Println(stats.Hits, "hits,", stats.Misses, "misses,", stats.Leaves, "left")
	// Output:
	// [0 2 3 -1 -1 -1]
	// [0 3 4 -1 -1 -1]
	// 2 hits, 4 misses, 1 left
}

func ExampleNewPacked() {
	neurons, err := cache.Allocate(kernel.F32, 4, 2, true) // 4 neurons of hidden size 2
	if err != nil {
		panic(err)
	}
	for i := range 4 {
		kernel.SetRow(neurons.Up, i, []float32{float32(i), float32(i)})
	}
	c, err := cache.NewPacked(neurons, nil)
	if err != nil {
		panic(err)
	}
	slots := make([]int32, c.Intermediate())
	for _, active := range [][]bool{
		{true, false, true, false},
		{false, true, true, false}, // neuron 1 takes the slot of neuron 0
	} {
		if err := c.Refresh(active, slots); err != nil {
			panic(err)
		}
		_, up, _, err := c.View().Tensors() // the memory of the pool
		if err != nil {
			panic(err)
		}
		fmt.Println(slots, up.Data())
	}
	fmt.Println(c.Stats().BytesMoved, "bytes moved")
	// Output:
	// [0 1 -1 -1] [0 0 2 2]
	// [0 1 -1 -1] [1 1 2 2]
	// 72 bytes moved
}
