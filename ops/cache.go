package ops

import (
	"fmt"
	"reflect"

	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// A Cache makes the weights of active neurons readable and says where they lie. Package cache has
// implementations. A Cache is told from others by its identity: it must be a pointer.
type Cache interface {
	// Refresh makes active the active set. active has a bool for each of the I neurons. slots, also
	// of length I, receives the slots of the active neurons in ascending neuron order, then −1.
	Refresh(active []bool, slots []int32) error

	// Intermediate returns the number of neurons, I.
	Intermediate() int

	// Rows returns what the slots index.
	Rows() *weights.Neurons

	// Neurons lists the neuron of each active slot, in the order of slots. It is nil if slot i
	// holds neuron i.
	Neurons() []int32
}

// A Prefetcher is a Cache that can begin to fetch neurons before they are needed.
type Prefetcher interface {
	Cache

	// Prefetch begins to fetch the neurons that are expected to be active next, and returns at
	// once.
	Prefetch(expected []bool) error
}

// checkIdentity returns an error unless v, called name, is a pointer: hashes then tell it from
// others.
func checkIdentity(name string, v any) error {
	if r := reflect.ValueOf(v); r.Kind() != reflect.Pointer || r.IsNil() {
		return fmt.Errorf("the %s is a %T, want a pointer that is not nil", name, v)
	}
	return nil
}
