package cache

import "github.com/sparsegonia/sparsegonia/ops/weights"

// A Cache makes the weights of the active neurons readable and says in which slots they lie.
type Cache interface {
	// Refresh sets the active set: active has a bool for each of the I neurons. It writes the slots
	// of the active neurons, in ascending neuron order, and then −1 into slots, of length I.
	Refresh(active []bool, slots []int32) error

	// Intermediate returns the number of neurons, I.
	Intermediate() int

	// Rows returns the store that the slots index.
	Rows() *weights.Neurons

	// Neurons returns the neuron of each slot that Refresh wrote, in its order. It returns nil if
	// every slot is the number of its neuron.
	Neurons() []int32

	// Stats returns the counts since the last Reset.
	Stats() Stats

	// Reset empties the active set and the counts.
	Reset()
}

// A Prefetcher is a Cache that can prefetch neurons. Prefetch changes no result.
type Prefetcher interface {
	Cache

	// Prefetch begins to fetch the neurons that are expected to be active next, and returns at
	// once. The active set keeps its slots.
	Prefetch(expected []bool) error
}

// Stats counts what a cache did. All but ResidentBytes add up over the Refreshes.
type Stats struct {
	Refreshes int64
	Hits      int64 // active neurons that the cache held already
	Misses    int64 // active neurons that it had to fetch
	Leaves    int64 // neurons that ceased to be active
	Replaced  int64 // neurons that took the slot of another

	Prefetched int64 // neurons prefetched; those that became active are hits

	BytesMoved    int64 // weight bytes copied from the store to slots: those of the neurons that arrived
	BytesRepacked int64 // weight bytes copied from slot to slot, to keep a smaller set together or to grow
	BytesRead     int64 // bytes read from a neuron file, alignment included
	ResidentBytes int64 // weight bytes held in memory, alignment included if the cache allocated them
}

// HitRate returns the share of the active neurons that were held already, 0 if there were none.
func (s Stats) HitRate() float64 {
	if s.Hits+s.Misses == 0 {
		return 0
	}
	return float64(s.Hits) / float64(s.Hits+s.Misses)
}

// Add adds the counts t of another cache.
func (s *Stats) Add(t Stats) {
	s.Refreshes += t.Refreshes
	s.Hits += t.Hits
	s.Misses += t.Misses
	s.Leaves += t.Leaves
	s.Replaced += t.Replaced
	s.Prefetched += t.Prefetched
	s.BytesMoved += t.BytesMoved
	s.BytesRepacked += t.BytesRepacked
	s.BytesRead += t.BytesRead
	s.ResidentBytes += t.ResidentBytes
}

// Active returns the mean number of active neurons of a Refresh, 0 if there was none.
func (s Stats) Active() float64 {
	if s.Refreshes == 0 {
		return 0
	}
	return float64(s.Hits+s.Misses) / float64(s.Refreshes)
}

// count adds a Refresh.
func (s *Stats) count(hits, misses, leaves int) {
	s.Refreshes++
	s.Hits += int64(hits)
	s.Misses += int64(misses)
	s.Leaves += int64(leaves)
}
