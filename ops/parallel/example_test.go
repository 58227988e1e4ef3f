package parallel_test

import (
	"fmt"
	"sync/atomic"

	"github.com/sparsegonia/sparsegonia/ops/parallel"
)

// The threads of a pool share the pieces of a section: the rows of a sum here.
func ExamplePool() {
	pool := parallel.NewPool(2)
	defer pool.Close()

	rows := [][]int64{{1, 2, 3}, {4, 5}, {6}}
	var sum atomic.Int64
	pool.Run(len(rows), func(i int) {
		for _, x := range rows[i] {
			sum.Add(x)
		}
	})
	fmt.Println(pool.Threads(), "threads, sum", sum.Load())
	// Output: 2 threads, sum 21
}

// double is a section whose scratch memory is one buffer a worker.
type double struct {
	x       []int
	scratch [][]int
}

func (d *double) Piece(w *parallel.Worker, i int) {
	buffer := append(d.scratch[w.Index()][:0], d.x[i])
	d.x[i] = 2 * buffer[0]
	d.scratch[w.Index()] = buffer
}

// A section that is a type of its own allocates nothing and knows which worker runs a piece.
func ExampleSection() {
	pool := parallel.DefaultPool()
	d := &double{x: []int{1, 2, 3}, scratch: make([][]int, pool.Threads())}
	pool.Do(len(d.x), d)
	fmt.Println(d.x)
	// Output: [2 4 6]
}
