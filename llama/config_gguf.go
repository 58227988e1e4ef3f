package llama

import (
	"fmt"
	"math"
	"path/filepath"

	"github.com/sparsegonia/sparsegonia/ops/activation"
	"github.com/sparsegonia/sparsegonia/ops/kernel"
	"github.com/sparsegonia/sparsegonia/ops/weights/checkpoint"
)

// describe is the configuration of a checkpoint and what its format calls the tensors.
func describe(c *checkpoint.Checkpoint) (Config, names, error) {
	if c.Format() == checkpoint.GGUF {
		config, err := ggufConfig(c)
		return config, ggufNames, err
	}
	config, err := ParseConfig(filepath.Join(c.Path(), "config.json"), c.ConfigJSON())
	if err == nil && c.GenerationConfigJSON() != nil {
		err = config.readGeneration(filepath.Join(c.Path(), "generation_config.json"), c.GenerationConfigJSON())
	}
	return config, huggingFaceNames, err
}

// ggufFields are the keys of a GGUF file for the fields of config.json.
var ggufFields = map[string]string{
	"hidden_size":             "llama.embedding_length",
	"intermediate_size":       "llama.feed_forward_length",
	"num_hidden_layers":       "llama.block_count",
	"num_attention_heads":     "llama.attention.head_count",
	"num_key_value_heads":     "llama.attention.head_count_kv",
	"head_dim":                "llama.attention.key_length",
	"vocab_size":              "llama.vocab_size",
	"max_position_embeddings": "llama.context_length",
	"rms_norm_eps":            "llama.attention.layer_norm_rms_epsilon",
	"rope":                    "llama.rope",
	"rope_theta":              "llama.rope.freq_base",
	"bos_token_id":            "tokenizer.ggml.bos_token_id",
	"eos_token_id":            "tokenizer.ggml.eos_token_id",
}

// ggufConfig reads the metadata of a GGUF file (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md). What the
// format does not write down, biases and a tied head, is seen from the tensors that are there.
func ggufConfig(file *checkpoint.Checkpoint) (Config, error) {
	m := metadata{Metadata: file.Metadata(), path: file.Path()}
	// Another architecture has other keys: say that before one is missing.
	if architecture := m.text("general.architecture", ""); architecture != "llama" {
		m.fail("general.architecture %.60q is not supported (want \"llama\")", architecture)
		return Config{}, m.err
	}
	c := Config{
		Layers:           m.integer("llama.block_count", required),
		MaxContext:       m.integer("llama.context_length", required),
		HiddenSize:       m.integer("llama.embedding_length", required),
		IntermediateSize: m.integer("llama.feed_forward_length", required),
		Heads:            m.integer("llama.attention.head_count", required),
		RMSNormEps:       float32(m.float("llama.attention.layer_norm_rms_epsilon", 1e-5)),
		Activation:       activation.SiLU,
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
	if c.VocabSize = m.integer("llama.vocab_size", 0); c.VocabSize == 0 && m.err == nil {
		embedding, err := file.Tensor(ggufNames.embedding + ".weight")
		if err != nil {
			return Config{}, err
		}
		c.VocabSize = embedding.Rows()
	}
	if experts := m.integer("llama.expert_count", 0); experts != 0 {
		m.fail("llama.expert_count %d: mixtures of experts are not supported", experts)
	}
	if n := m.integer("llama.attention.value_length", c.HeadDim); n != c.HeadDim {
		m.fail("llama.attention.value_length %d is not llama.attention.key_length %d", n, c.HeadDim)
	}
	c.RoPE = ggufRoPE(&m, c)
	if m.err == nil {
		m.err = ggufFactors(file, &c)
	}
	if m.err == nil {
		if err := c.validate(func(field string) string { return ggufFields[field] }); err != nil {
			m.fail("%w", err)
		}
	}
	return c, m.err
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
		m.fail("llama.rope.scaling.type %.60q is not supported (none or linear)", scaling)
	}
	if r.Dim%2 != 0 || r.Dim > r.HeadDim {
		m.fail("llama.rope.dimension_count %d is not an even number up to llama.attention.key_length %d", r.Dim, r.HeadDim)
	}
	if !positive(r.Factor) {
		m.fail("llama.rope.scaling: factor %v is not a positive number", r.Factor)
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
		return fmt.Errorf("llama: %s: tensor %s has shape %v, llama.rope.dimension_count %d wants [%d]",
			file.Path(), name, t.Shape, c.RoPE.Dim, c.RoPE.Dim/2)
	}
	c.RoPE.Factors = make([]float32, t.Shape[0])
	if err := t.Float32(c.RoPE.Factors); err != nil {
		return err
	}
	for i, f := range c.RoPE.Factors {
		if !positive(float64(f)) {
			return fmt.Errorf("llama: %s: tensor %s: factor %d is %v, not a positive number", file.Path(), name, i, f)
		}
	}
	return nil
}

// metadata reads values with defaults. The first bad one is kept in err, and everything after it reads as its default,
// so that a caller can read all and look once.
type metadata struct {
	*checkpoint.Metadata
	path string
	err  error
}

// required is the default of an integer that has to be there.
const required = math.MinInt

// fail records an error that does not name the file yet, unless there is one already.
func (m *metadata) fail(format string, args ...any) {
	m.keep(fmt.Errorf("llama: %s: "+format, append([]any{m.path}, args...)...))
}

// keep records the error of a getter, nil or one that names the file.
func (m *metadata) keep(err error) {
	if m.err == nil {
		m.err = err
	}
}

func (m *metadata) integer(key string, missing int) int {
	n, ok, err := m.Uint(key)
	switch {
	case err != nil:
		m.keep(err)
	case n > math.MaxInt32:
		m.fail("%s %d is over %d", key, n, math.MaxInt32)
	case ok:
		return int(n)
	case missing == required:
		m.fail("%s is missing", key)
	default:
		return missing
	}
	return max(missing, 0)
}

func (m *metadata) float(key string, missing float64) float64 {
	x, ok, err := m.Float(key)
	m.keep(err)
	if err != nil || !ok {
		return missing
	}
	return x
}

func (m *metadata) text(key, missing string) string {
	s, ok, err := m.String(key)
	m.keep(err)
	if err != nil || !ok {
		return missing
	}
	return s
}

func (m *metadata) boolean(key string, missing bool) bool {
	b, ok, err := m.Bool(key)
	m.keep(err)
	if err != nil || !ok {
		return missing
	}
	return b
}

// texts is nil if there is no such key.
func (m *metadata) texts(key string) []string {
	list, _, err := m.Strings(key)
	m.keep(err)
	return list
}
