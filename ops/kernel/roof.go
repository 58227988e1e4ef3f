package kernel

import (
	"sync"
	"time"

	"github.com/sparsegonia/sparsegonia/ops/simd"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// ReadRoof returns the bytes per second that the threads of cpu read from data, each its part as 1,
// 2 or 4 streams: the most that a product of few tokens can reach. data should be much larger than
// the caches and must have been written once, since pages never written are all the same zeros.
func ReadRoof(cpu *CPU, data []byte, streams int) float64 {
	cpu = orDefault(cpu)
	read := cpu.variant.Read[streams]
	// Parts of 1 MiB and more keep the shared counter out of the measurement and let a disturbed
	// thread do less.
	const least = 1 << 20
	pieces := max(min(len(data)/least, 16*cpu.pool.Threads()), 1)
	step := len(data) / pieces / streams &^ 255
	if step == 0 {
		return 0
	}
	start := time.Now()
	cpu.pool.Run(pieces, func(i int) {
		sink.add(read(data[i*step*streams:][:step*streams]))
	})
	return float64(pieces*step*streams) / time.Since(start).Seconds()
}

// FMAPeak returns the float32 operations per second (two a multiply-add) that the threads of cpu
// reach in the inner loop of the matrix product on data in the L1 cache. It measures for about d.
func FMAPeak(cpu *CPU, d time.Duration) float64 {
	cpu = orDefault(cpu)
	v := cpu.variant
	const k = 64
	type operands struct{ c, w, x []float32 }
	data := make([]operands, cpu.pool.Threads())
	for i := range data {
		data[i] = operands{weights.Floats(v.TileRows * v.TileCols), weights.Floats(v.TileRows * k), weights.Floats(v.TileCols * k)}
	}
	work := func(calls int) time.Duration {
		start := time.Now()
		cpu.pool.Run(cpu.pool.Threads(), func(i int) {
			o := &data[i]
			for range calls {
				v.Tile(o.c, simd.Address(o.w), 4*k, 4, o.x)
			}
		})
		return time.Since(start)
	}
	calls := 1000
	calls = max(int(float64(calls)*float64(d)/float64(work(calls)+1)), 1)
	t := work(calls)
	return 2 * float64(v.TileRows*v.TileCols*k) * float64(calls*cpu.pool.Threads()) / t.Seconds()
}

// sink takes results that nobody reads.
var sink discard

type discard struct {
	mu  sync.Mutex
	sum float32
}

func (s *discard) add(x float32) {
	s.mu.Lock()
	s.sum += x
	s.mu.Unlock()
}
