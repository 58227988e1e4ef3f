package cache

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"unsafe"
)

// InPlace is the policy that moves no weights: the slot of a neuron is its row in n. Everything is resident.
func InPlace(n *Neurons) Cache {
	c := &inPlace{neurons: n, active: make([]uint64, (n.Intermediate()+63)/64)}
	c.Reset()
	return c
}

type inPlace struct {
	neurons *Neurons
	active  []uint64 // bit i: neuron i is active
	stats   Stats
}

func (c *inPlace) Refresh(active []bool, slots []int32) error {
	intermediate := c.neurons.Intermediate()
	if len(active) != intermediate {
		return fmt.Errorf("cache: refresh: active has %d entries, the MLP has %d neurons", len(active), intermediate)
	}
	if len(slots) != intermediate {
		return fmt.Errorf("cache: refresh: slots has %d entries, the MLP has %d neurons", len(slots), intermediate)
	}
	var count, hits, misses, leaves int
	for w, before := range c.active {
		base := w * 64
		now := pack(active[base:min(base+64, intermediate)])
		changed := before ^ now
		hits += bits.OnesCount64(before & now)
		misses += bits.OnesCount64(changed & now)
		leaves += bits.OnesCount64(changed & before)
		c.active[w] = now
		for ; now != 0; now &= now - 1 {
			slots[count] = int32(base + bits.TrailingZeros64(now))
			count++
		}
	}
	for i := count; i < intermediate; i++ {
		slots[i] = -1
	}
	c.stats.Refreshes++
	c.stats.Hits += int64(hits)
	c.stats.Misses += int64(misses)
	c.stats.Leaves += int64(leaves)
	return nil
}

// pack makes a bit set of at most 64 bools, the first in the lowest bit.
func pack(active []bool) (set uint64) {
	b := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(active))), len(active)) // a bool is a byte, 0 or 1
	shift := 0
	for ; len(b) >= 8; b = b[8:] {
		// The product moves bit 0 of byte k to bit 56+k, without carries.
		eight := binary.LittleEndian.Uint64(b) * 0x0102040810204080 >> 56
		set |= eight << shift
		shift += 8
	}
	for _, one := range b {
		set |= uint64(one) << shift
		shift++
	}
	return set
}

func (c *inPlace) Intermediate() int { return c.neurons.Intermediate() }
func (c *inPlace) Rows() *Neurons    { return c.neurons }
func (c *inPlace) Neurons() []int32  { return nil }
func (c *inPlace) Stats() Stats      { return c.stats }

func (c *inPlace) Reset() {
	clear(c.active)
	c.stats = Stats{ResidentBytes: c.neurons.Bytes()}
}
