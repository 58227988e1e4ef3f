package cache

import "github.com/sparsegonia/sparsegonia/ops/weights"

// Cache makes the weights of the active neurons readable and says where they lie.
type Cache interface {
	// Refresh makes active the active set. active has a bool for each of the I neurons; slots, also of length I,
	// receives the slots of the active neurons in ascending neuron order and then −1.
	Refresh(active []bool, slots []int32) error

	// Intermediate is the number of neurons that active has a bool for, I.
	Intermediate() int

	// Rows is what the slots index.
	Rows() *weights.Neurons

	// Neurons lists the neuron of each active slot, in the order of slots. It is nil when every slot is the number of
	// its neuron.
	Neurons() []int32

	// Stats are the counts since the last Reset.
	Stats() Stats

	// Reset empties the active set and the counts.
	Reset()
}

// Prefetcher is a Cache that can begin to fetch neurons before they are needed. Its Refreshes give the same results with
// and without.
type Prefetcher interface {
	Cache

	// Prefetch begins to fetch the neurons that are expected to be active next, and returns at once. The active set keeps
	// its slots.
	Prefetch(expected []bool) error
}

// Stats counts what a cache did. All but ResidentBytes add up over the Refreshes.
type Stats struct {
	Refreshes int64
	Hits      int64 // active neurons that the cache held already
	Misses    int64 // active neurons that it had to fetch
	Leaves    int64 // neurons that ceased to be active
	Replaced  int64 // neurons that took the slot of another

	Prefetched int64 // neurons read ahead; those that became active are hits

	BytesMoved    int64 // weight bytes copied from the store to slots: those of the neurons that arrived
	BytesRepacked int64 // weight bytes copied from slot to slot, to keep a smaller set together or to grow
	BytesRead     int64 // bytes read from a neuron file, alignment included
	ResidentBytes int64 // weight bytes held in memory, alignment included if the cache allocated them
}

// HitRate is the fraction of the active neurons that were held already, 0 if there were none.
func (s Stats) HitRate() float64 {
	if s.Hits+s.Misses == 0 {
		return 0
	}
	return float64(s.Hits) / float64(s.Hits+s.Misses)
}

// Add adds the counts of another cache.
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

// Active is the mean number of active neurons of a Refresh, 0 if there was none.
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
