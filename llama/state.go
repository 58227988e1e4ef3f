package llama

import (
	"fmt"

	"github.com/sparsegonia/sparsegonia/ops/kernel"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// State is what the graphs of one session share besides the weights: the keys and values of past
// tokens, and the rotary embedding, whose frequencies may depend on the length of the sequence.
type State struct {
	kv        []*kernel.KV // of each layer
	rotary    *kernel.Rotary
	sequences int
	context   int
}

// NewState makes room for a number of sequences of up to context tokens each. Keys and values are
// kept as d, F32 or F16; memory is taken as sequences grow.
func (m *Model) NewState(sequences, context int, d weights.Dtype) (*State, error) {
	const most = 1 << 40 // key and value elements of a layer
	c := &m.Config
	switch {
	case sequences < 1 || sequences > maxTokens:
		return nil, fmt.Errorf("llama: %d sequences (1 to %d)", sequences, maxTokens)
	case context < 1 || context > maxContext:
		return nil, fmt.Errorf("llama: a context of %d tokens (1 to %d)", context, maxContext)
	case sequences*context > most/(2*c.KVHeads*c.HeadDim):
		return nil, fmt.Errorf("llama: %d sequences of %d tokens are too many for this machine", sequences, context)
	}
	rope := c.RoPE
	rope.MaxContext = context
	rotary, err := kernel.NewRotary(rope)
	if err != nil {
		return nil, fmt.Errorf("llama: %w", err)
	}
	s := &State{kv: make([]*kernel.KV, c.Layers), rotary: rotary, sequences: sequences, context: context}
	for i := range s.kv {
		if s.kv[i], err = kernel.NewKV(d, sequences, context, c.KVHeads, c.HeadDim); err != nil {
			return nil, fmt.Errorf("llama: layer %d: %w", i, err)
		}
	}
	return s, nil
}
