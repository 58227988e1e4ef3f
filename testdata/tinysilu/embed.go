// Package tinysilu embeds a Llama model of 3.2 million parameters with SiLU MLPs
// that writes Go source text. See the README.md one folder up for how it was
// made, how well it does and its licence.
package tinysilu

import "embed"

// FS is the Hugging Face directory of the model: 4 layers, hidden size 192,
// intermediate size 896, 6 heads, 2 key-value heads, context 512, vocabulary
// 4096, tied embeddings, F16 weights.
//
//go:embed config.json generation_config.json model.safetensors tokenizer.json tokenizer_config.json
var FS embed.FS
