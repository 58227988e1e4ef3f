package llama

import (
	"fmt"
	"math"

	"github.com/sparsegonia/sparsegonia/ops/activation"
	"github.com/sparsegonia/sparsegonia/ops/kernel"
)

// Config is the shape of a model and what its layers compute.
type Config struct {
	Architecture string // as GGUF files name it: "llama", which empty means too

	HiddenSize       int // H, the width of the residual stream
	IntermediateSize int // I, the number of neurons of each MLP
	Layers           int
	Heads            int // query heads
	KVHeads          int // key and value heads; divides Heads
	HeadDim          int // need not be HiddenSize/Heads
	VocabSize        int
	MaxContext       int // the longest sequence that the model was trained for

	RMSNormEps    float32
	RoPE          kernel.RotaryConfig
	Activation    activation.Func
	TieEmbeddings bool // the head is the embedding
	AttentionBias bool // on the q, k, v and o projections
	MLPBias       bool // on the gate, up and down projections

	BOS int32   // begins a text; −1: none
	EOS []int32 // each ends a text
}

// Limits on what a configuration may ask for. They are far above every model there is, and low
// enough that no product of two of them overflows.
const (
	maxWidth   = 1 << 22 // hidden, intermediate, heads × head_dim
	maxLayers  = 1 << 12
	maxVocab   = 1 << 26
	maxContext = 1 << 30
)

// Validate reports the first field that no model can have. Errors name the field as config.json
// does.
func (c *Config) Validate() error { return c.validate(func(field string) string { return field }) }

// validate is Validate for a format that calls the fields of config.json something else.
func (c *Config) validate(name func(field string) string) error {
	for _, f := range []struct {
		field      string
		value, max int
	}{
		{"hidden_size", c.HiddenSize, maxWidth},
		{"intermediate_size", c.IntermediateSize, maxWidth},
		{"num_hidden_layers", c.Layers, maxLayers},
		{"num_attention_heads", c.Heads, maxWidth},
		{"num_key_value_heads", c.KVHeads, maxWidth},
		{"head_dim", c.HeadDim, maxWidth},
		{"vocab_size", c.VocabSize, maxVocab},
		{"max_position_embeddings", c.MaxContext, maxContext},
	} {
		if f.value < 1 || f.value > f.max {
			return fmt.Errorf("%s %d is not between 1 and %d", name(f.field), f.value, f.max)
		}
	}
	if _, err := c.architecture(); err != nil {
		return err
	}
	switch {
	case c.Heads%c.KVHeads != 0:
		return fmt.Errorf("%s %d does not divide %s %d", name("num_key_value_heads"), c.KVHeads, name("num_attention_heads"), c.Heads)
	case c.HeadDim%2 != 0:
		return fmt.Errorf("%s %d is odd", name("head_dim"), c.HeadDim)
	case c.Heads*c.HeadDim > maxWidth:
		return fmt.Errorf("%s %d × %s %d is over %d", name("num_attention_heads"), c.Heads, name("head_dim"), c.HeadDim, maxWidth)
	case !(c.RMSNormEps >= 0) || math.IsInf(float64(c.RMSNormEps), 0):
		return fmt.Errorf("%s %v is not a finite number from 0 up", name("rms_norm_eps"), c.RMSNormEps)
	case !positive(c.RoPE.Theta):
		return fmt.Errorf("%s %v is not a positive number", name("rope_theta"), c.RoPE.Theta)
	case c.RoPE.HeadDim != c.HeadDim:
		return fmt.Errorf("%s: head dimension %d is not %s %d", name("rope"), c.RoPE.HeadDim, name("head_dim"), c.HeadDim)
	case c.BOS < -1 || int(c.BOS) >= c.VocabSize:
		return fmt.Errorf("%s %d is not in a vocabulary of %d", name("bos_token_id"), c.BOS, c.VocabSize)
	}
	for _, id := range c.EOS {
		if id < 0 || int(id) >= c.VocabSize {
			return fmt.Errorf("%s %d is not in a vocabulary of %d", name("eos_token_id"), id, c.VocabSize)
		}
	}
	if _, err := kernel.NewRotary(c.RoPE); err != nil {
		return fmt.Errorf("%s: %w", name("rope"), err)
	}
	return nil
}

// positive reports whether x is a number over 0, and finite.
func positive(x float64) bool { return x > 0 && x <= math.MaxFloat64 }
