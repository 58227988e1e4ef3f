package cache

import "github.com/sparsegonia/sparsegonia/ops/weights"

// A View holds the active neurons of a Packed as they lie in its pools: row s of every part of Rows
// belongs to neuron Neurons[s]. ops.Tensor makes tensors of the parts. A View is valid until the
// next Refresh or Reset of the Packed, which write other neurons to the same memory.
type View struct {
	Neurons []int32 // in the order of the slots
	Rows    *weights.Neurons
}

// View returns the active neurons without a copy.
func (c *Packed) View() View { return View{c.neuron, c.rows.Slice(0, len(c.neuron))} }
