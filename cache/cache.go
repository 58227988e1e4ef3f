package cache

// Cache makes the weights of the active neurons readable and says where they lie.
type Cache interface {
	// Refresh makes active the active set. active has a bool for each of the I neurons; slots, also of length I,
	// receives the slots of the active neurons in ascending neuron order and then −1.
	Refresh(active []bool, slots []int32) error

	// Intermediate is the number of neurons that active has a bool for, I.
	Intermediate() int

	// Rows is what the slots index.
	Rows() *Neurons

	// Neurons lists the neuron of each active slot, in the order of slots. It is nil when every slot is the number of
	// its neuron.
	Neurons() []int32

	// Stats are the counts since the last Reset.
	Stats() Stats

	// Reset empties the active set and the counts.
	Reset()
}

// Stats counts what a cache did. Hits, Misses and Leaves add up over the Refreshes.
type Stats struct {
	Refreshes int64
	Hits      int64 // neurons active before and after a Refresh
	Misses    int64 // neurons that became active
	Leaves    int64 // neurons that ceased to be active

	BytesMoved    int64 // weight bytes copied
	ResidentBytes int64 // weight bytes held in memory
}

// HitRate is the fraction of the active neurons that were active already, 0 if there were none.
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
	s.BytesMoved += t.BytesMoved
	s.ResidentBytes += t.ResidentBytes
}

// Active is the mean number of active neurons of a Refresh, 0 if there was none.
func (s Stats) Active() float64 {
	if s.Refreshes == 0 {
		return 0
	}
	return float64(s.Hits+s.Misses) / float64(s.Refreshes)
}
