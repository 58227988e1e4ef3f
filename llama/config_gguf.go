package llama

import (
	"fmt"
	"math"
	"path/filepath"
	"strings"

	"github.com/sparsegonia/sparsegonia/ops"
	"github.com/sparsegonia/sparsegonia/ops/kernel"
	"github.com/sparsegonia/sparsegonia/ops/weights/checkpoint"
)

// readConfig reads the configuration of a checkpoint.
func readConfig(c *checkpoint.Checkpoint) (Config, error) {
	if c.Format() == checkpoint.GGUF {
		return ggufConfig(c)
	}
	config, err := ParseConfig(filepath.Join(c.Path(), "config.json"), c.ConfigJSON())
	if err == nil && c.GenerationConfigJSON() != nil {
		err = config.readGeneration(filepath.Join(c.Path(), "generation_config.json"), c.GenerationConfigJSON())
	}
	return config, err
}

// ggufFields are the keys of a GGUF file for the fields of config.json. Those that begin with a dot
// have the name of the architecture before it.
var ggufFields = map[string]string{
	"hidden_size":             ".embedding_length",
	"intermediate_size":       ".feed_forward_length",
	"num_hidden_layers":       ".block_count",
	"num_attention_heads":     ".attention.head_count",
	"num_key_value_heads":     ".attention.head_count_kv",
	"head_dim":                ".attention.key_length",
	"vocab_size":              ".vocab_size",
	"max_position_embeddings": ".context_length",
	"rms_norm_eps":            ".attention.layer_norm_rms_epsilon",
	"rope":                    ".rope",
	"rope_theta":              ".rope.freq_base",
	"bos_token_id":            "tokenizer.ggml.bos_token_id",
	"eos_token_id":            "tokenizer.ggml.eos_token_id",
}

// ggufConfig reads the metadata of a GGUF file
// (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md).
func ggufConfig(file *checkpoint.Checkpoint) (Config, error) {
	m := metadata{Metadata: file.Metadata(), path: file.Path(), file: file}
	// Another architecture has other keys: say that before one is missing.
	var err error
	name := m.text("general.architecture", "")
	if m.architecture, err = findArchitecture("general.architecture", name, hasName); err != nil {
		m.fail("%w", err)
		return Config{}, m.err
	}
	c := m.architecture.gguf(&m)
	c.Architecture = m.architecture.name
	if m.err == nil {
		m.err = ggufFactors(&m, &c)
	}
	if m.err == nil {
		if err := c.validate(func(field string) string { return m.key(ggufFields[field]) }); err != nil {
			m.fail("%w", err)
		}
	}
	return c, m.err
}

// decoder reads what the metadata of all decoders have. missing has the values that the format does
// not write down or that a file may leave out. A head that is not there is the embedding.
func (m *metadata) decoder(missing Config) Config {
	c := Config{
		Layers:           m.integer(".block_count", required),
		MaxContext:       m.integer(".context_length", required),
		HiddenSize:       m.integer(".embedding_length", required),
		IntermediateSize: m.integer(".feed_forward_length", required),
		Heads:            m.integer(".attention.head_count", required),
		RMSNormEps:       float32(m.float(".attention.layer_norm_rms_epsilon", float64(missing.RMSNormEps))),
		Activation:       missing.Activation,
		TieEmbeddings:    !m.has(func(m *Model, _ *layer) *ops.Weight { return &m.head }, ".weight"),
		BOS:              int32(m.integer("tokenizer.ggml.bos_token_id", -1)),
	}
	c.KVHeads = m.integer(".attention.head_count_kv", c.Heads)
	c.HeadDim = m.integer(".attention.key_length", c.HiddenSize/max(c.Heads, 1))
	for _, key := range []string{"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id"} {
		if id := int32(m.integer(key, -1)); id >= 0 {
			c.EOS = append(c.EOS, id)
		}
	}
	if c.VocabSize = m.integer(".vocab_size", 0); c.VocabSize == 0 && m.err == nil {
		name := m.architecture.ggufName(func(m *Model, _ *layer) *ops.Weight { return &m.embedding })
		embedding, err := m.file.Tensor(name + ".weight")
		m.keep(err)
		c.VocabSize = embedding.Rows()
	}
	if experts := m.integer(".expert_count", 0); experts != 0 {
		m.fail("%s %d: mixtures of experts are %w", m.key(".expert_count"), experts, ErrUnsupported)
	}
	if n := m.integer(".attention.value_length", c.HeadDim); n != c.HeadDim {
		m.fail("%s %d is not %s %d", m.key(".attention.value_length"), n, m.key(".attention.key_length"), c.HeadDim)
	}
	c.RoPE = ggufRoPE(m, c)
	return c
}

// has reports whether the file has the tensor of a weight, with the suffix .weight or .bias.
func (m *metadata) has(of func(m *Model, l *layer) *ops.Weight, suffix string) bool {
	return m.file.Has(m.architecture.ggufName(of) + suffix)
}

// ggufRoPE reads the rotary embedding.
func ggufRoPE(m *metadata, c Config) kernel.RotaryConfig {
	r := kernel.RotaryConfig{
		HeadDim:    c.HeadDim,
		Dim:        m.integer(".rope.dimension_count", c.HeadDim),
		Theta:      m.float(".rope.freq_base", 10000),
		MaxContext: c.MaxContext,
	}
	switch scaling := m.text(".rope.scaling.type", "none"); scaling {
	case "none":
		r.Scaling, r.Factor = "default", 1
		// Files from before scaling had a type.
		if factor := m.float(".rope.scale_linear", 1); factor != 1 {
			r.Scaling, r.Factor = "linear", factor
		}
	case "linear":
		r.Scaling, r.Factor = "linear", m.float(".rope.scaling.factor", 1)
	default:
		m.fail("%s %.60q is %w (none or linear)", m.key(".rope.scaling.type"), scaling, ErrUnsupported)
	}
	if r.Dim%2 != 0 || r.Dim > r.HeadDim {
		m.fail("%s %d is not an even number up to %s %d",
			m.key(".rope.dimension_count"), r.Dim, m.key(".attention.key_length"), r.HeadDim)
	}
	if !positive(r.Factor) {
		m.fail("%s: factor %v is not a positive number", m.key(".rope.scaling"), r.Factor)
	}
	return r
}

// ggufFactors reads the divisors of the frequencies, which is how these files store the scaling of
// Llama 3.
func ggufFactors(m *metadata, c *Config) error {
	const name = "rope_freqs.weight"
	file := m.file
	if !file.Has(name) {
		return nil
	}
	t, err := file.Tensor(name)
	if err != nil {
		return err
	}
	if len(t.Shape) != 1 || t.Shape[0] != c.RoPE.Dim/2 {
		return fmt.Errorf("llama: %s: tensor %s has shape %v, %s %d wants [%d]",
			file.Path(), name, t.Shape, m.key(".rope.dimension_count"), c.RoPE.Dim, c.RoPE.Dim/2)
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

// metadata reads values with defaults. The first bad one is kept in err; what follows it reads as
// its default, so that a caller looks once.
type metadata struct {
	*checkpoint.Metadata
	path string
	err  error

	file         *checkpoint.Checkpoint // of the functions that look at tensors
	architecture *architecture
}

// key returns a key in full: one that begins with a dot is the architecture's.
func (m *metadata) key(key string) string {
	if strings.HasPrefix(key, ".") {
		return m.architecture.name + key
	}
	return key
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
	n, ok, err := m.Uint(m.key(key))
	switch {
	case err != nil:
		m.keep(err)
	case n > math.MaxInt32:
		m.fail("%s %d is over %d", m.key(key), n, math.MaxInt32)
	case ok:
		return int(n)
	case missing == required:
		m.fail("%s is missing", m.key(key))
	default:
		return missing
	}
	return max(missing, 0)
}

func (m *metadata) float(key string, missing float64) float64 {
	x, ok, err := m.Float(m.key(key))
	m.keep(err)
	if err != nil || !ok {
		return missing
	}
	return x
}

func (m *metadata) text(key, missing string) string {
	s, ok, err := m.String(m.key(key))
	m.keep(err)
	if err != nil || !ok {
		return missing
	}
	return s
}

func (m *metadata) boolean(key string, missing bool) bool {
	b, ok, err := m.Bool(m.key(key))
	m.keep(err)
	if err != nil || !ok {
		return missing
	}
	return b
}

// texts returns nil if there is no such key.
func (m *metadata) texts(key string) []string {
	list, _, err := m.Strings(m.key(key))
	m.keep(err)
	return list
}
