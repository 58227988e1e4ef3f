package cache

import (
	"reflect"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/sparsegonia/sparsegonia/ops/weights"
)

func newInPlace(t testing.TB, intermediate int) Cache {
	t.Helper()
	n, err := weights.AllocateNeurons(weights.F32, intermediate, 1, true)
	require.NoError(t, err)
	return InPlace(n)
}

// model is a cache in the plainest way.
type model struct {
	active map[int]bool
	stats  Stats
}

func (m *model) refresh(active []bool) (slots []int32) {
	for i, now := range active {
		switch before := m.active[i]; {
		case before && now:
			m.stats.Hits++
		case now:
			m.stats.Misses++
		case before:
			m.stats.Leaves++
		}
		m.active[i] = now
		if now {
			slots = append(slots, int32(i))
		}
	}
	for len(slots) < len(active) {
		slots = append(slots, -1)
	}
	m.stats.Refreshes++
	return slots
}

func TestInPlaceAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		intermediate := rapid.IntRange(1, 300).Draw(t, "intermediate")
		n, err := weights.AllocateNeurons(weights.F32, intermediate, 1, true)
		require.NoError(t, err)
		c, m := InPlace(n), model{active: map[int]bool{}}
		slots := make([]int32, intermediate)
		t.Repeat(map[string]func(*rapid.T){
			"refresh": func(t *rapid.T) {
				active := rapid.SliceOfN(rapid.Bool(), intermediate, intermediate).Draw(t, "active")
				before := slices.Clone(active)
				require.NoError(t, c.Refresh(active, slots))
				require.Equal(t, m.refresh(active), slots)
				require.Equal(t, before, active)
			},
			"reset": func(*rapid.T) {
				c.Reset()
				m = model{active: map[int]bool{}}
			},
			"": func(t *rapid.T) {
				m.stats.ResidentBytes = n.Bytes()
				require.Equal(t, m.stats, c.Stats())
				require.Equal(t, intermediate, c.Intermediate())
				require.Same(t, n, c.Rows())
				require.Nil(t, c.Neurons())
			},
		})
	})
}

// Every position of a bool, alone, at every length around the word sizes that pack works in.
func TestInPlaceSingleNeurons(t *testing.T) {
	for _, intermediate := range []int{1, 7, 8, 9, 63, 64, 65, 127, 128, 129, 200} {
		c := newInPlace(t, intermediate)
		slots := make([]int32, intermediate)
		for i := range intermediate {
			active := make([]bool, intermediate)
			active[i] = true
			require.NoError(t, c.Refresh(active, slots))
			want := slices.Repeat([]int32{-1}, intermediate)
			want[0] = int32(i)
			require.Equal(t, want, slots)
		}
	}
}

// active and slots may be parts of larger arrays: nothing around them is read or written.
func TestInPlaceStaysInBounds(t *testing.T) {
	const intermediate, margin = 13, 64
	c := newInPlace(t, intermediate)
	active := slices.Repeat([]bool{true}, intermediate+2*margin)
	slots := slices.Repeat([]int32{77}, intermediate+2*margin)
	inner := active[margin : margin+intermediate]
	clear(inner)
	require.NoError(t, c.Refresh(inner, slots[margin:margin+intermediate]))
	for i, s := range slots {
		want := int32(77)
		if i >= margin && i < margin+intermediate {
			want = -1
		}
		require.Equal(t, want, s, i)
	}
}

func TestInPlaceErrors(t *testing.T) {
	c := newInPlace(t, 8)
	for name, call := range map[string]struct {
		active, slots int
		want          string
	}{
		"no mask":         {0, 8, "active has 0 entries"},
		"short mask":      {7, 8, "active has 7 entries"},
		"long mask":       {9, 8, "active has 9 entries"},
		"short slots":     {8, 7, "slots has 7 entries"},
		"long slots":      {8, 9, "slots has 9 entries"},
		"both are longer": {16, 16, "active has 16 entries"},
	} {
		t.Run(name, func(t *testing.T) {
			before := c.Stats()
			assert.ErrorContains(t, c.Refresh(make([]bool, call.active), make([]int32, call.slots)), call.want)
			assert.Equal(t, before, c.Stats())
		})
	}
}

func TestInPlaceAllocatesNothing(t *testing.T) {
	c := newInPlace(t, 1000)
	active, slots := make([]bool, 1000), make([]int32, 1000)
	assert.Zero(t, testing.AllocsPerRun(10, func() {
		active[3] = !active[3]
		_ = c.Refresh(active, slots)
	}))
}

func TestHitRate(t *testing.T) {
	assert.Zero(t, Stats{}.HitRate())
	assert.Equal(t, 0.75, Stats{Hits: 3, Misses: 1, Leaves: 9}.HitRate())
}

// Every field takes part.
func TestStatsAdd(t *testing.T) {
	var a, b Stats
	for i := range reflect.TypeFor[Stats]().NumField() {
		reflect.ValueOf(&a).Elem().Field(i).SetInt(int64(i + 1))
		reflect.ValueOf(&b).Elem().Field(i).SetInt(100)
	}
	a.Add(b)
	for i := range reflect.TypeFor[Stats]().NumField() {
		assert.EqualValues(t, i+101, reflect.ValueOf(a).Field(i).Int(), reflect.TypeFor[Stats]().Field(i).Name)
	}
}

func TestActive(t *testing.T) {
	assert.Zero(t, Stats{}.Active())
	assert.Equal(t, 2.5, Stats{Refreshes: 2, Hits: 3, Misses: 2, Leaves: 9}.Active())
}
