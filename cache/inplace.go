package cache

import (
	"math/bits"

	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// InPlaceCache is the policy that moves no weights: the slot of a neuron is its row in the store.
type InPlaceCache struct {
	store  *weights.Neurons
	active set
	stats  Stats
}

// InPlace returns an InPlaceCache of store. Of a nil store every Refresh is an error.
func InPlace(store *weights.Neurons) *InPlaceCache {
	c := &InPlaceCache{store: store, active: newSet(store.Intermediate())}
	c.Reset()
	return c
}

// Refresh implements Cache. It allocates nothing.
func (c *InPlaceCache) Refresh(active []bool, slots []int32) error {
	if err := checkMask(active, slots, c.Intermediate()); err != nil {
		return err
	}
	var hits, misses, leaves int
	list := slots[:0]
	for w, before := range c.active {
		now := word(active, w)
		changed := before ^ now
		hits += bits.OnesCount64(before & now)
		misses += bits.OnesCount64(changed & now)
		leaves += bits.OnesCount64(changed & before)
		c.active[w] = now
		list = appendTo(list, w, now)
	}
	pad(slots[len(list):])
	c.stats.count(hits, misses, leaves)
	return nil
}

// Intermediate implements Cache.
func (c *InPlaceCache) Intermediate() int {
	if c == nil {
		return 0
	}
	return c.store.Intermediate()
}

// Rows returns the store.
func (c *InPlaceCache) Rows() *weights.Neurons { return c.store }

// Neurons returns nil: a slot is the number of its neuron.
func (c *InPlaceCache) Neurons() []int32 { return nil }

// Stats returns the counts since the last Reset.
func (c *InPlaceCache) Stats() Stats { return c.stats }

// Reset empties the active set and the counts.
func (c *InPlaceCache) Reset() {
	clear(c.active)
	c.stats = Stats{ResidentBytes: c.store.Bytes()}
}
