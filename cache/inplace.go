package cache

import (
	"math/bits"

	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// InPlace is the policy that moves no weights: the slot of a neuron is its row in n. Everything is resident.
func InPlace(n *weights.Neurons) Cache {
	c := &inPlace{neurons: n, active: newSet(n.Intermediate())}
	c.Reset()
	return c
}

type inPlace struct {
	neurons *weights.Neurons
	active  set
	stats   Stats
}

func (c *inPlace) Refresh(active []bool, slots []int32) error {
	if err := checkMask(active, slots, c.neurons.Intermediate()); err != nil {
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

func (c *inPlace) Intermediate() int      { return c.neurons.Intermediate() }
func (c *inPlace) Rows() *weights.Neurons { return c.neurons }
func (c *inPlace) Neurons() []int32       { return nil }
func (c *inPlace) Stats() Stats           { return c.stats }

func (c *inPlace) Reset() {
	clear(c.active)
	c.stats = Stats{ResidentBytes: c.neurons.Bytes()}
}
