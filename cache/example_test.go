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
