package llama

import (
	"github.com/sparsegonia/sparsegonia/ops"
	"github.com/sparsegonia/sparsegonia/ops/activation"
)

// llama is Llama 1 to 3 and what computes the same: SmolLM, TinyLlama, ReluLLaMA. "llama-skip" is
// what NimbleEdge's sparse_transformers calls it.
var llama = architecture{
	name:    "llama",
	types:   []string{"llama", "llama-skip"},
	json:    llamaJSON,
	gguf:    llamaGGUF,
	outer:   llamaOuter,
	layer:   llamaLayer,
	forward: llamaForward,
}

// llamaJSON reads a config.json with the defaults of transformers' LlamaConfig.
func llamaJSON(f fields) Config {
	c := f.decoder(Config{
		HiddenSize: 4096, IntermediateSize: 11008, Layers: 32, Heads: 32, VocabSize: 32000, MaxContext: 2048,
		RMSNormEps: 1e-6, Activation: activation.SiLU, BOS: 1, EOS: []int32{2},
	})
	c.AttentionBias = f.boolean("attention_bias", false)
	c.MLPBias = f.boolean("mlp_bias", false)
	return c
}

// llamaGGUF reads a GGUF file, which has the rows of q and k in the order of interleaved pairs. It
// shows by its tensors whether there are biases.
func llamaGGUF(m *metadata) Config {
	c := m.decoder(Config{RMSNormEps: 1e-5, Activation: activation.SiLU})
	c.RoPE.Interleaved = true
	c.AttentionBias = m.has(func(_ *Model, l *layer) *ops.Weight { return &l.q }, ".bias")
	c.MLPBias = m.has(func(_ *Model, l *layer) *ops.Weight { return &l.gate }, ".bias")
	return c
}

func llamaOuter(m *Model) []spec {
	vocabulary, h := m.Config.VocabSize, m.Config.HiddenSize
	list := []spec{
		matrix(&m.embedding, "model.embed_tokens", "token_embd", vocabulary, h, false),
		vector(&m.norm, "model.norm", "output_norm", h),
	}
	if !m.Config.TieEmbeddings {
		list = append(list, matrix(&m.head, "lm_head", "output", vocabulary, h, false))
	}
	return list
}

func llamaLayer(c *Config, l *layer) []spec {
	h, i, q, kv := c.HiddenSize, c.IntermediateSize, c.Heads*c.HeadDim, c.KVHeads*c.HeadDim
	const in, gguf = "model.layers.%d.", "blk.%d."
	return []spec{
		vector(&l.attentionNorm, in+"input_layernorm", gguf+"attn_norm", h),
		matrix(&l.q, in+"self_attn.q_proj", gguf+"attn_q", q, h, c.AttentionBias),
		matrix(&l.k, in+"self_attn.k_proj", gguf+"attn_k", kv, h, c.AttentionBias),
		matrix(&l.v, in+"self_attn.v_proj", gguf+"attn_v", kv, h, c.AttentionBias),
		matrix(&l.o, in+"self_attn.o_proj", gguf+"attn_output", h, q, c.AttentionBias),

		vector(&l.mlpNorm, in+"post_attention_layernorm", gguf+"ffn_norm", h),
		matrix(&l.gate, in+"mlp.gate_proj", gguf+"ffn_gate", i, h, c.MLPBias),
		matrix(&l.up, in+"mlp.up_proj", gguf+"ffn_up", i, h, c.MLPBias),
		matrix(&l.down, in+"mlp.down_proj", gguf+"ffn_down", h, i, c.MLPBias),
	}
}

func llamaForward(b *builder) {
	x := b.embed()
	for i := range b.layers {
		x = b.attention(x, i)
		x = b.mlp(x, i)
	}
	b.logits(x)
}
