package cache

import (
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// View is the active neurons of a Packed as they lie in its pools: row s of every matrix belongs to neuron Neurons[s].
// ops.Tensor makes tensors of the matrices. It is valid until the next Refresh or Reset of the Packed, which write other neurons to the same memory.
type View struct {
	Neurons []int32         // n, in the order of the slots
	Gate    *weights.Matrix // n×H, nil for a plain MLP
	Up      *weights.Matrix // n×H
	Down    *weights.Matrix // n×O
}

// View is the active neurons without a copy.
func (c *Packed) View() View {
	v := View{Neurons: c.neuron}
	for i, to := range []**weights.Matrix{&v.Gate, &v.Up, &v.Down} {
		if m := c.rows.Matrices()[i]; m != nil {
			*to = m.Slice(0, len(c.neuron))
		}
	}
	return v
}
