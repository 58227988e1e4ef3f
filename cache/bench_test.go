package cache

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sparsegonia/sparsegonia/ops/activation"
	"github.com/sparsegonia/sparsegonia/ops/kernel"
	"github.com/sparsegonia/sparsegonia/ops/parallel"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// The MLP of Llama-3.2-3B.
const hidden3B, intermediate3B = 3072, 8192

// walk makes active sets of a constant number of neurons, of which a share is replaced from one to the next.
func walk(intermediate, active int, changed float64, steps int) [][]bool {
	rng := rand.New(rand.NewPCG(1, 2))
	order := rng.Perm(intermediate)
	in, out := order[:active], order[active:]
	sets := make([][]bool, steps)
	for s := range sets {
		rng.Shuffle(len(in), func(i, j int) { in[i], in[j] = in[j], in[i] })
		rng.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
		for i := range int(changed*float64(active) + 0.5) {
			in[i], out[i] = out[i], in[i]
		}
		sets[s] = make([]bool, intermediate)
		for _, n := range in {
			sets[s][n] = true
		}
	}
	return sets
}

// turn walks to and fro: 0, 1, …, n−1, n−2, …, 0, 1, …
func turn(step, n int) int {
	step %= 2*n - 2
	return min(step, 2*n-2-step)
}

// gather copies the rows of all active neurons, which is what a cache without a difference does.
func gather(pool *parallel.Pool, to, from *weights.Neurons, slots []int32) {
	const chunk = 8
	pool.Run((len(slots)+chunk-1)/chunk, func(piece int) {
		for k := piece * chunk; k < min((piece+1)*chunk, len(slots)); k++ {
			for i, p := range from.Parts() {
				copy(to.Parts()[i].Row(k), p.Row(int(slots[k])))
			}
		}
	})
}

func median(times []time.Duration) time.Duration {
	slices.Sort(times)
	return times[len(times)/2]
}

// BenchmarkRefresh compares, one after the other within each iteration, what a Refresh takes in place, what it takes
// packed, and what copying the rows of all active neurons takes into a buffer that is there and into a new one.
func BenchmarkRefresh(b *testing.B) {
	for _, d := range []weights.Dtype{weights.F32, weights.F16, weights.Int8} {
		store, err := weights.AllocateNeurons(d, intermediate3B, hidden3B, true)
		require.NoError(b, err)
		fill(store)
		for _, percent := range []int{25, 50} {
			for _, changed := range []float64{1, 2.4, 10, 25, 75} {
				b.Run(fmt.Sprintf("%v/active=%d%%/changed=%v%%", d, percent, changed), func(b *testing.B) {
					benchmarkRefresh(b, store, walk(intermediate3B, intermediate3B*percent/100, changed/100, 10))
				})
			}
		}
	}
}

func benchmarkRefresh(b *testing.B, store *weights.Neurons, sets [][]bool) {
	inPlace := InPlace(store)
	packed, err := NewPacked(store, nil)
	require.NoError(b, err)
	slots := make([]int32, intermediate3B)
	active := len(neuronsOf(sets[0]))
	buffer, err := newPools(store, active)
	require.NoError(b, err)
	var times [4][]time.Duration
	measure := func(arm int, f func()) {
		start := time.Now()
		f()
		times[arm] = append(times[arm], time.Since(start))
	}
	require.NoError(b, packed.Refresh(sets[0], slots))
	i := 1
	for b.Loop() {
		set := sets[turn(i, len(sets))]
		measure(1, func() { err = packed.Refresh(set, slots) })
		require.NoError(b, err)
		measure(0, func() { err = inPlace.Refresh(set, slots) })
		require.NoError(b, err)
		measure(2, func() { gather(nil, buffer, store, slots[:active]) })
		if i%4 == 0 {
			measure(3, func() {
				fresh, err := newPools(store, active)
				require.NoError(b, err)
				gather(nil, fresh, store, slots[:active])
			})
		}
		i++
	}
	moved := packed.Stats().BytesMoved - int64(active)*store.NeuronBytes()
	arrived := packed.Stats().Misses - int64(active)
	require.Equal(b, arrived*store.NeuronBytes(), moved)
	require.Zero(b, inPlace.Stats().BytesMoved)

	p := median(times[1])
	b.ReportMetric(float64(median(times[0]))/1e3, "inplace-µs")
	b.ReportMetric(float64(p)/1e3, "packed-µs")
	b.ReportMetric(float64(median(times[2]))/1e3, "gather-µs")
	b.ReportMetric(float64(median(times[2]))/float64(p), "gather/packed")
	if len(times[3]) > 0 {
		b.ReportMetric(float64(median(times[3]))/float64(p), "fresh/packed")
	}
	b.ReportMetric(0, "ns/op")
}

// BenchmarkToken compares what an MLP of one token takes under each policy, Refresh and SparseMLP together, one after the
// other within each iteration. The neuron file is in the page cache, not read from the disk.
func BenchmarkToken(b *testing.B) {
	for _, d := range []weights.Dtype{weights.F32, weights.F16, weights.Int8} {
		store, err := weights.AllocateNeurons(d, intermediate3B, hidden3B, true)
		require.NoError(b, err)
		fill(store)
		path := filepath.Join(b.TempDir(), "neurons")
		require.NoError(b, WriteFile(path, "", 1, func(int) (*weights.Neurons, error) { return store, nil }))
		for _, percent := range []int{25, 50} {
			for _, changed := range []float64{1, 2.4, 10, 25, 75} {
				b.Run(fmt.Sprintf("%v/active=%d%%/changed=%v%%", d, percent, changed), func(b *testing.B) {
					f, err := OpenFile(path)
					require.NoError(b, err)
					defer f.Close()
					benchmarkToken(b, store, f, walk(intermediate3B, intermediate3B*percent/100, changed/100, 10))
				})
			}
		}
	}
}

func benchmarkToken(b *testing.B, store *weights.Neurons, f *File, sets [][]bool) {
	packed, err := NewPacked(store, nil)
	require.NoError(b, err)
	window, err := NewWindow(f, 0, WindowOptions{Tokens: 4, Budget: store.Bytes() / 4 * 3})
	require.NoError(b, err)
	ahead, err := NewWindow(f, 0, WindowOptions{Tokens: 4, Budget: store.Bytes() / 4 * 3})
	require.NoError(b, err)
	names := []string{"inplace-µs", "packed-µs", "window-µs", "ahead-µs"}
	caches := []Cache{InPlace(store), packed, window, ahead}
	times := make([][]time.Duration, len(caches))

	x, y := make([]float32, hidden3B), make([]float32, hidden3B)
	for i := range x {
		x[i] = float32(i%7) - 3
	}
	slots := make([]int32, intermediate3B)
	token := func(c Cache, set []bool) {
		require.NoError(b, c.Refresh(set, slots))
		rows := c.Rows()
		m := kernel.MLP[float32]{Gate: rows.Gate(), Up: rows.Up(), Down: rows.Down(), Act: activation.SiLU}
		kernel.SparseMLP(nil, y, x, &m, slots[:len(neuronsOf(set))], c.Neurons(), nil)
	}
	for i := range 8 { // until the window is full
		for _, c := range caches {
			token(c, sets[i])
		}
	}
	i := 8
	for b.Loop() {
		set := sets[turn(i, len(sets))]
		for k, c := range caches {
			if c == ahead { // the time that attention takes is for reading
				require.NoError(b, ahead.Prefetch(set))
				ahead.ahead.group.Wait()
			}
			start := time.Now()
			token(c, set)
			times[k] = append(times[k], time.Since(start))
		}
		i++
	}
	for k, name := range names {
		b.ReportMetric(float64(median(times[k]))/1e3, name)
	}
	b.ReportMetric(100*window.Stats().HitRate(), "window-hit-%")
	b.ReportMetric(0, "ns/op")
}

// fill writes numbers to n: pages that nobody has written to are all the same.
func fill(n *weights.Neurons) {
	rng := rand.New(rand.NewPCG(1, 2))
	row := make([]float32, n.Hidden())
	for i := range row {
		row[i] = float32(rng.NormFloat64() / 64)
	}
	for _, m := range n.Parts() {
		for i := range n.Intermediate() {
			if i == 0 {
				weights.SetRow(m.Matrix, 0, row)
			} else {
				copy(m.Row(i), m.Row(0))
			}
		}
	}
}
