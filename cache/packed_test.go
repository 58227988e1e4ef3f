package cache

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/sparsegonia/sparsegonia/ops/weights"
)

func newPacked(t require.TestingT, store *weights.Neurons) *Packed {
	c, err := NewPacked(store, nil)
	require.NoError(t, err)
	return c
}

// Paired replacement: who stays below the new end keeps its slot, exactly the arrivals are copied from the store, and a
// slot is copied to another only to close a gap that no arrival has filled.
func TestPackedMovesNoMoreThanItMust(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := rapid.SampledFrom(dtypes).Draw(t, "dtype")
		intermediate := rapid.IntRange(1, 200).Draw(t, "intermediate")
		store := newStore(t, d, intermediate, 3, rapid.Bool().Draw(t, "gated"), 1)
		c := newPacked(t, store)
		bytes := store.Bytes() / int64(intermediate)
		slots := make([]int32, intermediate)

		full := slices.Repeat([]bool{true}, intermediate) // from here on the pools do not grow
		require.NoError(t, c.Refresh(full, slots))
		active := full
		slotOf := map[int32]int32{}
		for i, s := range slots {
			slotOf[int32(i)] = s
		}
		t.Repeat(map[string]func(*rapid.T){
			"refresh": func(t *rapid.T) {
				before := c.Stats()
				next := masks(t, active)
				require.NoError(t, c.Refresh(next, slots))
				arrived, left := 0, 0
				for i := range next {
					switch {
					case next[i] && !active[i]:
						arrived++
					case !next[i] && active[i]:
						left++
					}
				}
				list := neuronsOf(next)
				now := c.Stats()
				assert.EqualValues(t, arrived, now.Misses-before.Misses)
				assert.EqualValues(t, left, now.Leaves-before.Leaves)
				assert.EqualValues(t, len(list)-arrived, now.Hits-before.Hits)
				assert.EqualValues(t, min(arrived, left), now.Replaced-before.Replaced)
				assert.Equal(t, int64(arrived)*bytes, now.BytesMoved-before.BytesMoved)

				moved := 0
				for k, neuron := range list {
					if old, ok := slotOf[neuron]; ok && old != slots[k] {
						require.GreaterOrEqual(t, int(old), len(list), "neuron %d need not move", neuron)
						moved++
					}
				}
				require.LessOrEqual(t, moved, max(0, left-arrived))
				assert.Equal(t, int64(moved)*bytes, now.BytesRepacked-before.BytesRepacked)

				clear(slotOf)
				for k, neuron := range list {
					require.Less(t, int(slots[k]), len(list), "the slots have gaps")
					slotOf[neuron] = slots[k]
				}
				active = next
			},
		})
	})
}

// The pools are no larger than the largest active set and an eighth, and what was in them moves along.
func TestPackedGrows(t *testing.T) {
	const intermediate = 100
	store := newStore(t, weights.BF16, intermediate, 16, true, 1)
	c := newPacked(t, store)
	active, slots := make([]bool, intermediate), make([]int32, intermediate)
	for i := range intermediate {
		active[(i*37)%intermediate] = true
		require.NoError(t, c.Refresh(active, slots))
		checkHolds(t, c, store, active, slots)
		require.LessOrEqual(t, c.Rows().Intermediate(), (i+1)*9/8)
	}
	stats := c.Stats()
	assert.Equal(t, store.Bytes(), stats.BytesMoved)
	assert.Positive(t, stats.BytesRepacked)
	assert.Equal(t, 2*store.Bytes()+3*intermediate*(64-32), stats.ResidentBytes, "rows of 32 bytes begin cache lines")
}

func TestPackedView(t *testing.T) {
	for _, d := range dtypes {
		t.Run(d.String(), func(t *testing.T) {
			store := newStore(t, d, 9, 5, true, 1)
			c := newPacked(t, store)
			slots := make([]int32, 9)
			for _, active := range [][]bool{
				{true, true, false, true, false, true, false, false, true},
				{false, true, true, true, false, false, false, true, true},
				{false, false, true, false, false, false, false, true, false},
			} {
				require.NoError(t, c.Refresh(active, slots))
				v := c.View()
				require.ElementsMatch(t, neuronsOf(active), v.Neurons)
				for i, m := range v.Rows.Parts() {
					require.Equal(t, len(v.Neurons), m.Rows())
					for s, neuron := range v.Neurons {
						require.Equal(t, store.Parts()[i].Row(int(neuron)), m.Row(s))
						require.Equal(t, address(c.Rows().Parts()[i].Row(s)), address(m.Row(s)), "a copy")
					}
				}
			}
		})
	}
}

func TestPackedViewOfNothing(t *testing.T) {
	c := newPacked(t, newStore(t, weights.F32, 4, 2, false, 1))
	v := c.View()
	assert.Empty(t, v.Neurons)
	assert.Zero(t, v.Rows.Up().Rows())
}

// A view is valid until the next Refresh. After it the memory is still there, with other rows or with the old ones.
func TestPackedViewLifetime(t *testing.T) {
	const intermediate = 64
	store := newStore(t, weights.F32, intermediate, 8, false, 1)
	c := newPacked(t, store)
	active, slots := make([]bool, intermediate), make([]int32, intermediate)
	active[3] = true
	require.NoError(t, c.Refresh(active, slots))
	v := c.View()
	up, ok := weights.Values[float32](v.Rows.Up())
	require.True(t, ok, "the rows follow each other")
	want, _ := weights.Values[float32](store.Up().Slice(3, 4))
	assert.Equal(t, want, up)

	active[3], active[4] = false, true // in the same slot
	require.NoError(t, c.Refresh(active, slots))
	replaced, _ := weights.Values[float32](store.Up().Slice(4, 5))
	assert.Equal(t, replaced, up, "the view is of the pool")

	for i := range active { // in other pools
		active[i] = true
	}
	require.NoError(t, c.Refresh(active, slots))
	assert.Equal(t, replaced, up, "the old pool lives as long as its views")
}
