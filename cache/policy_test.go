package cache

import (
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/sparsegonia/sparsegonia/ops/activation"
	"github.com/sparsegonia/sparsegonia/ops/kernel"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// The tests in this file hold for every policy.
var policies = map[string]func(t require.TestingT, n *weights.Neurons) Cache{
	"in place": func(_ require.TestingT, n *weights.Neurons) Cache { return InPlace(n) },
	"packed": func(t require.TestingT, n *weights.Neurons) Cache {
		c, err := NewPacked(n, nil)
		require.NoError(t, err)
		return c
	},
	"window of 1": func(t require.TestingT, n *weights.Neurons) Cache {
		return newTestWindow(t, n, WindowOptions{Tokens: 1})
	},
	"window of 4": func(t require.TestingT, n *weights.Neurons) Cache {
		return newTestWindow(t, n, WindowOptions{Tokens: 4})
	},
	"window of 4 within a budget": func(t require.TestingT, n *weights.Neurons) Cache {
		return newTestWindow(t, n, WindowOptions{Tokens: 4, Budget: int64((n.Intermediate()/2 + 1) * n.Shape().Bundle()), Readers: 2})
	},
}

func newTestWindow(t require.TestingT, n *weights.Neurons, o WindowOptions) *Window {
	w, err := NewWindow(openImage(t, image(t, "", n)), 0, o)
	require.NoError(t, err)
	return w
}

// newStore makes the neurons of an MLP of small finite numbers, all rows different.
func newStore(t require.TestingT, d weights.Dtype, intermediate, hidden int, gated bool, seed uint64) *weights.Neurons {
	return newStoreOf(t, weights.MLPShape(d, intermediate, hidden, gated), seed)
}

// newStoreOf makes neurons of any parts.
func newStoreOf(t require.TestingT, s weights.Shape, seed uint64) *weights.Neurons {
	n, err := s.Allocate()
	require.NoError(t, err)
	rng := rand.New(rand.NewPCG(seed, 1))
	for _, p := range n.Parts() {
		for i := range p.Rows() {
			switch p.Dtype().Compute() {
			case weights.F64:
				setRow(p.Matrix, i, func() float64 { return rng.NormFloat64() })
			case weights.Int32:
				setRow(p.Matrix, i, func() int32 { return int32(rng.Uint32()) })
			case weights.Int64:
				setRow(p.Matrix, i, func() int64 { return int64(rng.Uint64()) })
			default:
				row := make([]float32, p.Cols())
				for j := range row {
					row[j] = float32(rng.NormFloat64())
				}
				weights.SetRow(p.Matrix, i, row)
			}
		}
	}
	return n
}

// drawShape draws an MLP, or any number of parts of any dtypes and lengths.
func drawShape(t *rapid.T, most int) weights.Shape {
	drawDtype := func() weights.Dtype { return rapid.SampledFrom(dtypes).Draw(t, "dtype") }
	cols := func() int { return rapid.IntRange(1, 40).Draw(t, "columns") }
	intermediate := rapid.IntRange(1, most).Draw(t, "intermediate")
	if rapid.Bool().Draw(t, "MLP") {
		return weights.MLPShape(drawDtype(), intermediate, cols(), rapid.Bool().Draw(t, "gated"))
	}
	s := weights.Shape{Intermediate: intermediate}
	for i := range rapid.IntRange(1, weights.MaxParts).Draw(t, "parts") {
		s.Parts = append(s.Parts, weights.PartShape{Name: fmt.Sprintf("part-%d", i), Dtype: drawDtype(), Cols: cols()})
	}
	return s
}

func setRow[E weights.Elem](m *weights.Matrix, i int, next func() E) {
	values, _ := weights.Values[E](m.Slice(i, i+1))
	for j := range values {
		values[j] = next()
	}
}

// neuronsOf lists an active set.
func neuronsOf(active []bool) []int32 {
	list := []int32{}
	for i, a := range active {
		if a {
			list = append(list, int32(i))
		}
	}
	return list
}

// checkHolds compares what c holds after a Refresh with the rows of the store.
func checkHolds(t require.TestingT, c Cache, store *weights.Neurons, active []bool, slots []int32) {
	want := neuronsOf(active)
	require.Len(t, slots, len(active))
	for _, s := range slots[len(want):] {
		require.EqualValues(t, -1, s)
	}
	slots = slots[:len(want)]
	neurons := c.Neurons()
	if neurons == nil {
		neurons = slots
	}
	require.Equal(t, want, slices.Clone(neurons)[:len(neurons):len(neurons)])
	for k, slot := range slots {
		for i, p := range c.Rows().Parts() {
			from := store.Parts()[i]
			require.Equal(t, from.Name, p.Name)
			require.Equal(t, from.Row(int(want[k])), p.Row(int(slot)), "part %s, neuron %d", p.Name, want[k])
		}
	}
	distinct := slices.Clone(slots)
	slices.Sort(distinct)
	require.Len(t, slices.Compact(distinct), len(want), "two neurons share a slot")
}

// masks draws the next active set: unrelated to the last one, or a step from it, or one of the special ones.
func masks(t *rapid.T, last []bool) []bool {
	next := slices.Clone(last)
	fill := func(v bool) {
		for i := range next {
			next[i] = v
		}
	}
	switch rapid.SampledFrom([]string{"step", "step", "any", "repeat", "empty", "full", "single", "complement", "grow", "shrink"}).Draw(t, "kind") {
	case "step":
		for range rapid.IntRange(0, 5).Draw(t, "changes") {
			i := rapid.IntRange(0, len(next)-1).Draw(t, "neuron")
			next[i] = !next[i]
		}
	case "any":
		next = rapid.SliceOfN(rapid.Bool(), len(next), len(next)).Draw(t, "active")
	case "empty":
		fill(false)
	case "full":
		fill(true)
	case "single":
		fill(false)
		next[rapid.IntRange(0, len(next)-1).Draw(t, "neuron")] = true
	case "complement":
		for i := range next {
			next[i] = !next[i]
		}
	case "grow":
		for i := range next {
			next[i] = next[i] || i%3 == 0
		}
	case "shrink":
		for i := range next {
			next[i] = next[i] && i%3 == 0
		}
	}
	return next
}

func TestPoliciesHoldTheActiveRows(t *testing.T) {
	for name, policy := range policies {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				store := newStoreOf(t, drawShape(t, 150), 1)
				intermediate := store.Intermediate()
				c := policy(t, store)
				active, slots := make([]bool, intermediate), make([]int32, intermediate)
				t.Repeat(map[string]func(*rapid.T){
					"refresh": func(t *rapid.T) {
						active = masks(t, active)
						given := slices.Clone(active)
						require.NoError(t, c.Refresh(active, slots))
						require.Equal(t, given, active)
						checkHolds(t, c, store, active, slots)
						require.GreaterOrEqual(t, c.Stats().Hits+c.Stats().Misses, int64(len(neuronsOf(active))))
					},
					"reset": func(t *rapid.T) {
						c.Reset()
						require.Empty(t, c.Neurons())
						stats := c.Stats()
						stats.ResidentBytes = 0
						require.Zero(t, stats)
					},
					"wrong lengths": func(t *rapid.T) {
						before := c.Stats()
						require.Error(t, c.Refresh(make([]bool, intermediate+1), slots))
						require.Error(t, c.Refresh(active, slots[1:]))
						require.Equal(t, before, c.Stats())
					},
					"": func(t *rapid.T) { require.Equal(t, intermediate, c.Intermediate()) },
				})
			})
		})
	}
}

// What SparseMLP computes has the same bits under every policy, for few tokens and for many.
func TestPoliciesGiveTheSameResults(t *testing.T) {
	for _, d := range dtypes {
		t.Run(d.String(), func(t *testing.T) {
			switch d.Compute() {
			case weights.F64:
				testSameResults[float64](t, d, activation.SiLU, func(r *rand.Rand) float64 { return r.NormFloat64() })
			case weights.Int32:
				testSameResults[int32](t, d, activation.ReLU, func(r *rand.Rand) int32 { return int32(r.Uint32()) })
			case weights.Int64:
				testSameResults[int64](t, d, activation.ReLU, func(r *rand.Rand) int64 { return int64(r.Uint64()) })
			default:
				testSameResults[float32](t, d, activation.SiLU, func(r *rand.Rand) float32 { return float32(r.NormFloat64()) })
			}
		})
	}
}

func testSameResults[E weights.Elem](t *testing.T, d weights.Dtype, act activation.Func, next func(*rand.Rand) E) {
	const intermediate, hidden, outputs = 130, 67, 40
	rng := rand.New(rand.NewPCG(3, 4))
	vector := func(n int) []E {
		v := make([]E, n)
		for i := range v {
			v[i] = next(rng)
		}
		return v
	}
	gated, plain := newStore(t, d, intermediate, hidden, true, 7), newStore(t, d, intermediate, hidden, false, 7)
	wide, err := weights.NewNeurons(nil, plain.Up(), newStore(t, d, intermediate, outputs, false, 8).Down()) // as in a first layer
	require.NoError(t, err)
	for _, store := range []*weights.Neurons{gated, plain, wide} {
		caches := map[string]Cache{}
		for name, policy := range policies {
			caches[name] = policy(t, store)
		}
		mlp := kernel.MLP[E]{UpBias: vector(intermediate), DownBias: vector(store.Outputs()), Act: act}
		if store.Gated() {
			mlp.GateBias = vector(intermediate)
		}
		active, slots := make([]bool, intermediate), make([]int32, intermediate)
		for step := range 40 {
			for i := range active {
				switch {
				case step%10 == 9:
					active[i] = step%20 == 9
				case rng.IntN(4) == 0:
					active[i] = rng.IntN(2) == 0
				}
			}
			count := len(neuronsOf(active))
			for _, tokens := range []int{1, 20} {
				x := vector(tokens * hidden)
				want := make([]E, tokens*store.Outputs())
				m := mlp
				m.Gate, m.Up, m.Down = store.Gate(), store.Up(), store.Down()
				kernel.SparseMLP(nil, want, x, &m, neuronsOf(active), nil, nil)
				for name, c := range caches {
					require.NoError(t, c.Refresh(active, slots))
					rows := c.Rows()
					m.Gate, m.Up, m.Down = rows.Gate(), rows.Up(), rows.Down()
					got := make([]E, len(want))
					kernel.SparseMLP(nil, got, x, &m, slots[:count], c.Neurons(), nil)
					require.Equal(t, want, got, "%s, step %d, %d tokens", name, step, tokens)
				}
			}
		}
	}
}

func TestPoliciesAllocateNothing(t *testing.T) {
	const intermediate = 1000
	store := newStore(t, weights.F16, intermediate, 64, true, 1)
	for name, policy := range policies {
		t.Run(name, func(t *testing.T) {
			c := policy(t, store)
			rng := rand.New(rand.NewPCG(5, 6))
			active, slots := make([]bool, intermediate), make([]int32, intermediate)
			refresh := func() {
				for range 100 {
					active[rng.IntN(intermediate)] = rng.IntN(3) == 0
				}
				require.NoError(t, c.Refresh(active, slots))
			}
			for i := range active {
				active[i] = true // the largest set comes first
			}
			refresh()
			for i := range active {
				active[i] = i%3 == 0 // and then none that is beyond a budget
			}
			refresh()
			assert.Zero(t, testing.AllocsPerRun(20, refresh))
		})
	}
}

// Sessions have caches of their own over one store.
func TestPoliciesShareAStore(t *testing.T) {
	const intermediate = 200
	store := newStore(t, weights.F32, intermediate, 16, true, 1)
	for name, policy := range policies {
		t.Run(name, func(t *testing.T) {
			for session := range 4 {
				t.Run(fmt.Sprint(session), func(t *testing.T) {
					t.Parallel()
					c := policy(t, store)
					rng := rand.New(rand.NewPCG(uint64(session), 0))
					active, slots := make([]bool, intermediate), make([]int32, intermediate)
					for range 50 {
						for i := range active {
							active[i] = rng.IntN(3) == 0
						}
						require.NoError(t, c.Refresh(active, slots))
						checkHolds(t, c, store, active, slots)
					}
				})
			}
		})
	}
}

// Ten thousand tokens leave memory and goroutines as they were.
func TestPoliciesDoNotGrow(t *testing.T) {
	const intermediate = 300
	store := newStore(t, weights.F32, intermediate, 256, true, 1) // of 0.9 MB
	for name, policy := range policies {
		t.Run(name, func(t *testing.T) {
			c := policy(t, store)
			rng := rand.New(rand.NewPCG(1, 0))
			active, expected, slots := make([]bool, intermediate), make([]bool, intermediate), make([]int32, intermediate)
			tokens := func(n int) {
				for token := range n {
					for range 20 {
						active[rng.IntN(intermediate)] = rng.IntN(4) == 0
						expected[rng.IntN(intermediate)] = rng.IntN(4) == 0
					}
					if p, ok := c.(Prefetcher); ok && token%3 == 0 {
						require.NoError(t, p.Prefetch(expected))
					}
					require.NoError(t, c.Refresh(active, slots))
					if token%1000 == 999 {
						c.Reset()
					}
				}
			}
			tokens(1000)
			heap, resident, goroutines := memoryInUse()
			tokens(10000)
			heapAfter, residentAfter, goroutinesAfter := memoryInUse()
			assert.LessOrEqual(t, heapAfter, heap+1<<16, "bytes of heap")
			assert.LessOrEqual(t, residentAfter, resident+8<<20, "resident bytes")
			assert.LessOrEqual(t, goroutinesAfter, goroutines, "goroutines")
			runtime.KeepAlive(c)
		})
	}
}

// memoryInUse is the heap, the resident memory (0 where the system does not say) and the goroutines of this process.
func memoryInUse() (heap, resident, goroutines int) {
	debug.FreeOSMemory()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	if data, err := os.ReadFile("/proc/self/statm"); err == nil {
		fields := strings.Fields(string(data))
		pages, _ := strconv.Atoi(fields[1])
		resident = pages * os.Getpagesize()
	}
	return int(stats.HeapAlloc), resident, runtime.NumGoroutine()
}
