package llama

import (
	"fmt"
	"math"
	"path/filepath"

	"github.com/sparsegonia/sparsegonia/llama/checkpoint"
	"github.com/sparsegonia/sparsegonia/ops/kernel"
)

// describe is the configuration of a checkpoint and what its format calls the tensors.
func describe(c *checkpoint.Checkpoint) (Config, names, error) {
	if c.Format() == checkpoint.GGUF {
		config, err := ggufConfig(c)
		if err != nil {
			return Config{}, names{}, fmt.Errorf("llama: %s: %w", c.Path(), err)
		}
		return config, ggufNames, nil
	}
	config, err := ParseConfig(filepath.Join(c.Path(), "config.json"), c.ConfigJSON())
	return config, huggingFaceNames, err
}

// ggufConfig reads the metadata of a GGUF file (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md). What the
// format does not write down, biases and a tied head, is seen from the tensors that are there.
func ggufConfig(file *checkpoint.Checkpoint) (Config, error) {
	m := metadata{Metadata: file.Metadata()}
	if architecture := m.text("general.architecture", ""); m.err == nil && architecture != "llama" {
		return Config{}, fmt.Errorf("general.architecture %q is not supported (want \"llama\")", architecture)
	}
	c := Config{
		Layers:           m.integer("llama.block_count", required),
		MaxContext:       m.integer("llama.context_length", required),
		HiddenSize:       m.integer("llama.embedding_length", required),
		IntermediateSize: m.integer("llama.feed_forward_length", required),
		Heads:            m.integer("llama.attention.head_count", required),
		RMSNormEps:       float32(m.float("llama.attention.layer_norm_rms_epsilon", 1e-5)),
		Activation:       kernel.SiLU,
		TieEmbeddings:    !file.Has(ggufNames.head + ".weight"),
		AttentionBias:    file.Has(fmt.Sprintf(ggufNames.q, 0) + ".bias"),
		MLPBias:          file.Has(fmt.Sprintf(ggufNames.gate, 0) + ".bias"),
		BOS:              int32(m.integer("tokenizer.ggml.bos_token_id", -1)),
	}
	c.KVHeads = m.integer("llama.attention.head_count_kv", c.Heads)
	c.HeadDim = m.integer("llama.attention.key_length", c.HiddenSize/max(c.Heads, 1))
	for _, key := range []string{"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id"} {
		if id := int32(m.integer(key, -1)); id >= 0 {
			c.EOS = append(c.EOS, id)
		}
	}
	c.VocabSize = m.integer("llama.vocab_size", 0)
	if c.VocabSize == 0 && m.err == nil {
		embedding, err := file.Tensor(ggufNames.embedding + ".weight")
		if err != nil {
			return Config{}, err
		}
		c.VocabSize = embedding.Rows()
	}
	if experts := m.integer("llama.expert_count", 0); experts != 0 {
		return Config{}, fmt.Errorf("llama.expert_count %d: mixtures of experts are not supported", experts)
	}
	if n := m.integer("llama.attention.value_length", c.HeadDim); n != c.HeadDim && m.err == nil {
		return Config{}, fmt.Errorf("llama.attention.value_length %d is not key_length %d", n, c.HeadDim)
	}
	c.RoPE = ggufRoPE(&m, c)
	if m.err != nil {
		return Config{}, m.err
	}
	if err := c.Validate(); err != nil {
		return Config{}, err
	}
	return c, ggufFactors(file, &c)
}

// ggufRoPE reads the rotary embedding. Files of Llamas have the rows of q and k in the order of interleaved pairs.
func ggufRoPE(m *metadata, c Config) kernel.RotaryConfig {
	r := kernel.RotaryConfig{
		HeadDim:     c.HeadDim,
		Dim:         m.integer("llama.rope.dimension_count", c.HeadDim),
		Theta:       m.float("llama.rope.freq_base", 10000),
		MaxContext:  c.MaxContext,
		Interleaved: true,
	}
	switch scaling := m.text("llama.rope.scaling.type", "none"); scaling {
	case "none":
		r.Scaling, r.Factor = "default", 1
		// Files from before scaling had a type.
		if factor := m.float("llama.rope.scale_linear", 1); factor != 1 {
			r.Scaling, r.Factor = "linear", factor
		}
	case "linear":
		r.Scaling, r.Factor = "linear", m.float("llama.rope.scaling.factor", 1)
	default:
		m.fail(fmt.Errorf("llama.rope.scaling.type %q is not supported (none or linear)", scaling))
	}
	return r
}

// ggufFactors reads the divisors of the frequencies, which is how these files store the scaling of Llama 3.
func ggufFactors(file *checkpoint.Checkpoint, c *Config) error {
	const name = "rope_freqs.weight"
	if !file.Has(name) {
		return nil
	}
	t, err := file.Tensor(name)
	if err != nil {
		return err
	}
	if len(t.Shape) != 1 || t.Shape[0] != c.RoPE.Dim/2 {
		return fmt.Errorf("tensor %s has shape %v, llama.rope.dimension_count %d wants [%d]", name, t.Shape, c.RoPE.Dim, c.RoPE.Dim/2)
	}
	c.RoPE.Factors = make([]float32, t.Shape[0])
	if err := t.Float32(c.RoPE.Factors); err != nil {
		return err
	}
	if err := c.Validate(); err != nil {
		return fmt.Errorf("tensor %s: %w", name, err)
	}
	return nil
}

// metadata reads values with defaults. The first bad one is kept in err, and everything after it reads as its default,
// so that a caller can read all and look once.
type metadata struct {
	*checkpoint.Metadata
	err error
}

// required is the default of an integer that has to be there.
const required = math.MinInt

func (m *metadata) fail(err error) {
	if m.err == nil {
		m.err = err
	}
}

func (m *metadata) integer(key string, missing int) int {
	n, ok, err := m.Uint(key)
	switch {
	case err != nil:
		m.fail(err)
	case ok:
		return int(min(n, math.MaxInt32)) // above every limit, and so refused by Validate
	case missing == required:
		m.fail(fmt.Errorf("%s is missing", key))
	default:
		return missing
	}
	return 0
}

func (m *metadata) float(key string, missing float64) float64 {
	x, ok, err := m.Float(key)
	if err != nil {
		m.fail(err)
	}
	if !ok {
		return missing
	}
	return x
}

func (m *metadata) text(key, missing string) string {
	s, ok, err := m.String(key)
	if err != nil {
		m.fail(err)
	}
	if !ok {
		return missing
	}
	return s
}
