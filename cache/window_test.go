package cache

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// windowModel is a Window in the plainest way: a list of what is in memory, the oldest first.
type windowModel struct {
	tokens, budget int
	held           []int32
	last           map[int32]int
	now            int
	slots          int // that were ever in use
}

// refresh returns the neurons that are read.
func (m *windowModel) refresh(active []int32) (read []int32) {
	m.now++
	for _, n := range active {
		if i := slices.Index(m.held, n); i >= 0 {
			m.held = append(slices.Delete(m.held, i, i+1), n)
			m.last[n] = m.now
		} else {
			read = append(read, n)
		}
	}
	for _, n := range read {
		switch {
		case len(m.held) < m.slots: // a free slot
		case len(m.held) > 0 && m.last[m.held[0]] <= m.now-m.tokens, m.slots == m.budget:
			m.held = m.held[1:]
		default:
			m.slots++
		}
		m.held = append(m.held, n)
		m.last[n] = m.now
	}
	return read
}

// resident lists what a Window has in memory, by number.
func (w *Window) resident() []int32 {
	list := []int32{}
	for n, slot := range w.slot {
		if slot >= 0 {
			list = append(list, int32(n))
		}
	}
	return list
}

func TestWindowAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := rapid.SampledFrom(dtypes).Draw(t, "dtype")
		intermediate := rapid.IntRange(1, 80).Draw(t, "intermediate")
		store := newStore(t, d, intermediate, 3, rapid.Bool().Draw(t, "gated"), 1)
		tokens := rapid.IntRange(1, 5).Draw(t, "tokens")
		budget := rapid.IntRange(1, intermediate).Draw(t, "budget")
		size := int64(store.Shape().Bundle())
		w := newTestWindow(t, store, WindowOptions{Tokens: tokens, Budget: int64(budget)*size + size/2, Readers: 3})
		m := windowModel{tokens: tokens, budget: budget, last: map[int32]int{}}

		active, slots := make([]bool, intermediate), make([]int32, intermediate)
		var sets [][]int32
		t.Repeat(map[string]func(*rapid.T){
			"refresh": func(t *rapid.T) {
				next := masks(t, active)
				list := neuronsOf(next)
				before := w.Stats()
				if len(list) > budget { // TestWindowBeyondTheBudget
					return
				}
				read := m.refresh(list)
				require.NoError(t, w.Refresh(next, slots))
				active = next
				checkHolds(t, w, store, active, slots)
				now := w.Stats()
				require.EqualValues(t, len(read), now.Misses-before.Misses)
				require.EqualValues(t, len(list)-len(read), now.Hits-before.Hits)
				require.Equal(t, int64(len(read))*size, now.BytesRead-before.BytesRead)
				require.Equal(t, int64(m.slots)*size, now.ResidentBytes)

				// The window: what was active in the last k Refreshes is there, if it fits.
				sets = append(sets, list)
				union := slices.Concat(sets[max(0, len(sets)-tokens):]...)
				slices.Sort(union)
				if union = slices.Compact(union); len(union) <= budget {
					require.Subset(t, w.resident(), union)
				}
			},
			"reset": func(*rapid.T) {
				w.Reset()
				m.held, m.now, sets = nil, 0, nil
				active = make([]bool, intermediate)
			},
			"": func(t *rapid.T) {
				held := slices.Sorted(slices.Values(m.held))
				require.Equal(t, append([]int32{}, held...), w.resident())
			},
		})
	})
}

// With Prefetch, whether it is waited for or not, the results are the same, and the active set stays where it is.
func TestWindowPrefetch(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		intermediate := rapid.IntRange(1, 100).Draw(t, "intermediate")
		store := newStore(t, weights.F16, intermediate, 5, true, 1)
		size := int64(store.Shape().Bundle())
		o := WindowOptions{
			Tokens: rapid.IntRange(1, 4).Draw(t, "tokens"), Readers: rapid.IntRange(1, 4).Draw(t, "readers"),
			Budget: int64(rapid.SampledFrom([]int{0, intermediate/2 + 1, intermediate}).Draw(t, "budget")) * size,
		}
		w := newTestWindow(t, store, o)
		active, slots := make([]bool, intermediate), slices.Repeat([]int32{-1}, intermediate)
		t.Repeat(map[string]func(*rapid.T){
			"prefetch": func(t *rapid.T) {
				w.settle()
				held := w.resident()
				expected := masks(t, active)
				require.NoError(t, w.Prefetch(expected))
				checkHolds(t, w, store, active, slots)
				if !rapid.Bool().Draw(t, "wait") {
					return
				}
				w.ahead.group.Wait()
				before, room := w.Stats(), len(w.ahead.list)
				wanted := neuronsOf(expected)
				next := slices.Clone(expected)
				if max(len(wanted), len(neuronsOf(active))) > w.budget {
					return
				}
				require.NoError(t, w.Refresh(next, slots))
				active = next
				checkHolds(t, w, store, active, slots)
				now := w.Stats()
				require.EqualValues(t, room, now.Prefetched-before.Prefetched)
				missing := 0
				for _, n := range wanted {
					if !slices.Contains(held, n) {
						missing++
					}
				}
				require.EqualValues(t, missing-room, now.Misses-before.Misses)
			},
			"refresh": func(t *rapid.T) {
				next := masks(t, active)
				require.NoError(t, w.Refresh(next, slots))
				active = next
				checkHolds(t, w, store, active, slots)
				require.LessOrEqual(t, len(w.resident()), max(w.budget, len(neuronsOf(active))))
			},
			"reset": func(*rapid.T) {
				w.Reset()
				active = make([]bool, intermediate)
				require.NoError(t, w.Refresh(active, slots))
			},
			"": func(t *rapid.T) {
				require.ErrorContains(t, w.Prefetch(make([]bool, intermediate+1)), "expected has")
			},
		})
		require.NoError(t, w.Close())
		require.ErrorIs(t, w.Refresh(active, slots), os.ErrClosed)
		require.ErrorIs(t, w.Prefetch(active), os.ErrClosed)
	})
}

// A disk that fails now and then: the error is reported, what was active is still there or nothing is active, and the
// next Refresh gives what it should.
func TestWindowFaults(t *testing.T) {
	for name, c := range diskFaults {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				intermediate := rapid.IntRange(2, 60).Draw(t, "intermediate")
				store := newStore(t, weights.F32, intermediate, 5, true, 1)
				disk := &faults{data: image(t, "", store)}
				f, err := NewFile(disk, int64(len(disk.data)))
				require.NoError(t, err)
				roomy := rapid.Bool().Draw(t, "roomy")
				o := WindowOptions{Tokens: 3, Readers: rapid.IntRange(1, 4).Draw(t, "readers")}
				if !roomy {
					o.Budget = int64(intermediate*2/3+1) * int64(store.Shape().Bundle())
				}
				w, err := NewWindow(f, 0, o)
				require.NoError(t, err)
				active, slots := make([]bool, intermediate), slices.Repeat([]int32{-1}, intermediate)
				for range 30 {
					next := masks(t, active)
					if rapid.Bool().Draw(t, "ahead") {
						require.NoError(t, w.Prefetch(masks(t, active)))
					}
					failing := int64(rapid.IntRange(1, 6).Draw(t, "failing read"))
					var reads atomic.Int64
					fault := func(b []byte, offset int64) (int, error, bool) {
						if reads.Add(1) != failing {
							return 0, nil, false
						}
						return c.fault(b, offset)
					}
					disk.fault.Store(&fault)
					before := slices.Clone(slots)
					err := w.Refresh(next, slots)
					disk.fault.Store(nil)
					if err != nil {
						require.ErrorIs(t, err, c.want)
						require.Equal(t, before, slots)
						if len(w.Neurons()) > 0 || len(neuronsOf(active)) == 0 || roomy {
							checkHolds(t, w, store, active, slots)
						}
						require.NoError(t, w.Refresh(next, slots))
					}
					active = next
					checkHolds(t, w, store, active, slots)
				}
			})
		})
	}
}

// A read that never ends would be a hang: Close waits for those under way only, and no goroutine is left behind.
func TestWindowEndsItsReads(t *testing.T) {
	const intermediate = 400
	store := newStore(t, weights.F32, intermediate, 64, true, 1)
	disk := &faults{data: image(t, "", store)}
	f, err := NewFile(disk, int64(len(disk.data)))
	require.NoError(t, err)
	var reads atomic.Int64
	slow := func([]byte, int64) (int, error, bool) {
		reads.Add(1)
		time.Sleep(time.Millisecond)
		return 0, nil, false
	}
	all, slots := slices.Repeat([]bool{true}, intermediate), make([]int32, intermediate)
	for name, end := range map[string]func(w *Window) error{
		"refresh":  func(w *Window) error { return w.Refresh(make([]bool, intermediate), slots) },
		"prefetch": func(w *Window) error { return w.Prefetch(make([]bool, intermediate)) },
		"reset":    func(w *Window) error { w.Reset(); return nil },
		"close":    func(w *Window) error { return w.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			before := runtime.NumGoroutine()
			w, err := NewWindow(f, 0, WindowOptions{Tokens: 2})
			require.NoError(t, err)
			disk.fault.Store(&slow)
			defer disk.fault.Store(nil)
			reads.Store(0)
			require.NoError(t, w.Prefetch(all))
			require.NoError(t, end(w))
			require.Less(t, reads.Load(), int64(intermediate), "all was read")
			for range 1000 { // the last steps of a goroutine come after what can be waited for
				if runtime.NumGoroutine() <= before {
					return
				}
				time.Sleep(time.Millisecond)
			}
			t.Errorf("%d goroutines, there were %d", runtime.NumGoroutine(), before)
		})
	}
}

func TestWindowErrors(t *testing.T) {
	store := newStore(t, weights.F32, 4, 16, true, 1)
	f := openImage(t, image(t, "", store))
	for name, c := range map[string]struct {
		layer int
		o     WindowOptions
		want  string
	}{
		"layer":           {1, WindowOptions{Tokens: 1}, "layer 1"},
		"no tokens":       {0, WindowOptions{}, "0 tokens"},
		"negative budget": {0, WindowOptions{Tokens: 1, Budget: -1}, "budget of -1"},
		"small budget":    {0, WindowOptions{Tokens: 1, Budget: 191}, "a neuron has 192"},
		"readers":         {0, WindowOptions{Tokens: 1, Readers: -1}, "-1 readers"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := NewWindow(f, c.layer, c.o)
			assert.ErrorContains(t, err, c.want)
		})
	}
}

// The memory of a window without a budget grows with what the window holds, not with the MLP.
func TestWindowGrows(t *testing.T) {
	const intermediate = 300
	store := newStore(t, weights.F32, intermediate, 16, true, 1)
	w := newTestWindow(t, store, WindowOptions{Tokens: 2})
	active, slots := make([]bool, intermediate), make([]int32, intermediate)
	for i := range 4 * intermediate {
		clear(active)
		for k := range 10 {
			active[(10*i+k)%intermediate] = true
		}
		require.NoError(t, w.Refresh(active, slots))
		checkHolds(t, w, store, active, slots)
	}
	assert.Equal(t, int64(20*store.Shape().Bundle()), w.Stats().ResidentBytes)
	assert.Equal(t, fewSlots, w.Rows().Intermediate())
	require.NoError(t, w.Refresh(slices.Repeat([]bool{true}, intermediate), slots))
	assert.Equal(t, intermediate, w.Rows().Intermediate())
}

// An active set that is larger than the budget is held until the next Refresh.
func TestWindowBeyondTheBudget(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		intermediate := rapid.IntRange(2, 100).Draw(t, "intermediate")
		store := newStore(t, weights.F64, intermediate, 40, true, 1)
		size := store.Shape().Bundle()
		budget := rapid.IntRange(1, intermediate-1).Draw(t, "budget")
		w := newTestWindow(t, store, WindowOptions{Tokens: 3, Budget: int64(budget * size)})
		active, slots := make([]bool, intermediate), make([]int32, intermediate)
		for range 30 {
			active = masks(t, active)
			require.NoError(t, w.Refresh(active, slots))
			checkHolds(t, w, store, active, slots)
			need := max(budget, len(neuronsOf(active)))
			require.LessOrEqual(t, w.Stats().ResidentBytes, int64(need*size))
			require.LessOrEqual(t, w.Rows().Intermediate(), max(budget, need*9/8+1))
			require.LessOrEqual(t, len(w.resident()), need)
			if rapid.Bool().Draw(t, "ahead") {
				require.NoError(t, w.Prefetch(masks(t, active)))
				checkHolds(t, w, store, active, slots)
			}
		}
	})
}

// Memory that is given back reads as zeros and can be written to again.
func TestGiveBack(t *testing.T) {
	page := os.Getpagesize()
	b := weights.AlignedBytes(8 * page)
	for i := range b {
		b[i] = 1
	}
	weights.GiveBack(b[page/2 : 5*page])
	for i, x := range b {
		if i < page/2 || i >= 5*page {
			require.EqualValues(t, 1, x, i)
		}
		b[i] = byte(i)
	}
	for i, x := range b {
		require.EqualValues(t, byte(i), x)
	}
	weights.GiveBack(nil)
	weights.GiveBack(b[:10])
	require.EqualValues(t, 9, b[9])
}

// Windows of several sessions over one file.
func TestWindowsShareAFile(t *testing.T) {
	const intermediate = 100
	stores := []*weights.Neurons{newStore(t, weights.F32, intermediate, 16, true, 1), newStore(t, weights.Int8G, intermediate, 40, true, 2)}
	path := filepath.Join(t.TempDir(), "neurons")
	require.NoError(t, WriteFile(path, "", len(stores), func(i int) (*weights.Neurons, error) { return stores[i], nil }))
	f, err := OpenFile(path)
	require.NoError(t, err)
	t.Cleanup(func() { f.Close() })
	for session := range uint64(6) {
		t.Run("", func(t *testing.T) {
			t.Parallel()
			layer := int(session % 2)
			w, err := NewWindow(f, layer, WindowOptions{Tokens: 3, Budget: int64(80 * stores[layer].Shape().Bundle())})
			require.NoError(t, err)
			rng := rand.New(rand.NewPCG(session, 0))
			active, slots := make([]bool, intermediate), make([]int32, intermediate)
			for range 100 {
				for i := range active {
					active[i] = rng.IntN(3) == 0
				}
				if rng.IntN(2) == 0 {
					require.NoError(t, w.Prefetch(active))
				}
				require.NoError(t, w.Refresh(active, slots))
				checkHolds(t, w, stores[layer], active, slots)
			}
		})
	}
}

// Closing the file under a window gives an error.
func TestWindowOfAClosedFile(t *testing.T) {
	store := newStore(t, weights.F32, 10, 16, true, 1)
	path := filepath.Join(t.TempDir(), "neurons")
	require.NoError(t, WriteFile(path, "", 1, func(int) (*weights.Neurons, error) { return store, nil }))
	f, err := OpenFile(path)
	require.NoError(t, err)
	w, err := NewWindow(f, 0, WindowOptions{Tokens: 1})
	require.NoError(t, err)
	require.NoError(t, f.Close())
	err = w.Refresh(slices.Repeat([]bool{true}, 10), make([]int32, 10))
	require.True(t, errors.Is(err, os.ErrClosed), "%v", err)
}
