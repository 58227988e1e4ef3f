package cache_test

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/sparsegonia/sparsegonia/cache"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

func Example() {
	neurons, err := weights.AllocateNeurons(weights.BF16, 6, 64, true) // 6 neurons of hidden size 64
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
	neurons, err := weights.AllocateNeurons(weights.F32, 4, 2, true) // 4 neurons of hidden size 2
	if err != nil {
		panic(err)
	}
	for i := range 4 {
		weights.SetRow(neurons.Up(), i, []float32{float32(i), float32(i)})
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
		up, _ := weights.Values[float32](c.View().Rows.Up()) // the memory of the pool
		fmt.Println(slots, up)
	}
	fmt.Println(c.Stats().BytesMoved, "bytes moved")
	// Output:
	// [0 1 -1 -1] [0 0 2 2]
	// [0 1 -1 -1] [1 1 2 2]
	// 72 bytes moved
}

func ExampleNewWindow() {
	neurons, err := weights.AllocateNeurons(weights.Int8, 100, 256, true) // 100 neurons of 3 rows of 320 bytes
	if err != nil {
		panic(err)
	}
	directory, err := os.MkdirTemp("", "")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(directory)
	path := filepath.Join(directory, "model.neurons")
	if err := cache.WriteFile(path, "example", 1, func(int) (*weights.Neurons, error) { return neurons, nil }); err != nil {
		panic(err)
	}

	file, err := cache.OpenFile(path)
	if err != nil {
		panic(err)
	}
	defer file.Close()
	c, err := cache.NewWindow(file, 0, cache.WindowOptions{Tokens: 2, Budget: 40 << 10})
	if err != nil {
		panic(err)
	}
	defer c.Close()
	active, slots := make([]bool, 100), make([]int32, 100)
	for token := range 50 {
		clear(active)
		for i := range 10 {
			active[(token+2*i)%100] = true
		}
		if err := c.Refresh(active, slots); err != nil {
			panic(err)
		}
	}
	stats := c.Stats()
	fmt.Println(stats.Hits, "hits,", stats.Misses, "misses,", stats.BytesRead, "bytes read,", stats.ResidentBytes, "in memory")
	// Output: 432 hits, 68 misses, 65280 bytes read, 19200 in memory
}
