package llama_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/sparsegonia/sparsegonia/llama"
)

// Nothing that is opened may panic, allocate more than a small multiple of its size, or give an error that does not name
// the file.

// bounded calls read and checks what it returned and allocated for size bytes.
func bounded(t *testing.T, size int, file string, read func() error) error {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	err := read()
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > uint64(16*size)+8<<20 {
		t.Errorf("%d bytes allocated for %d", got, size)
	}
	if err != nil && (!strings.Contains(err.Error(), file) || strings.Contains(err.Error(), "\n") || len(err.Error()) > 600) {
		t.Errorf("error %q", err)
	}
	return err
}

func FuzzParseConfig(f *testing.F) {
	f.Add(with(f, nil))
	f.Add(with(f, object{"eos_token_id": []int{1, 2}, "rope_scaling": object{"type": "linear", "factor": 2}}))
	f.Add(with(f, object{"rope_parameters": object{
		"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1, "high_freq_factor": 4.0, "rope_theta": 5e5,
	}}))
	f.Add([]byte(`{"model_type":"llama"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var c llama.Config
		err := bounded(t, len(data), "dir/config.json", func() (err error) {
			c, err = llama.ParseConfig("dir/config.json", data)
			return err
		})
		if err != nil {
			return
		}
		// What is accepted is a Llama: every size is positive and every product of two fits.
		if err := c.Validate(); err != nil {
			t.Fatalf("accepted, but %v", err)
		}
		if sizes := []int{c.HiddenSize, c.IntermediateSize, c.Layers, c.Heads, c.KVHeads, c.HeadDim, c.VocabSize, c.MaxContext}; slices.Min(sizes) < 1 || slices.Max(sizes) > math.MaxInt32 {
			t.Fatalf("sizes %v", sizes)
		}
	})
}

// smallest are the tensors of the smallest Llama there is, all of one layer, which fuzzing can change in little time.
var smallest = []struct {
	name, gguf string
	shape      []int
}{
	{"lm_head.weight", "output.weight", []int{3, 2}},
	{"model.embed_tokens.weight", "token_embd.weight", []int{3, 2}},
	{"model.layers.0.input_layernorm.weight", "blk.0.attn_norm.weight", []int{2}},
	{"model.layers.0.mlp.down_proj.weight", "blk.0.ffn_down.weight", []int{2, 1}},
	{"model.layers.0.mlp.gate_proj.weight", "blk.0.ffn_gate.weight", []int{1, 2}},
	{"model.layers.0.mlp.up_proj.weight", "blk.0.ffn_up.weight", []int{1, 2}},
	{"model.layers.0.post_attention_layernorm.weight", "blk.0.ffn_norm.weight", []int{2}},
	{"model.layers.0.self_attn.k_proj.weight", "blk.0.attn_k.weight", []int{2, 2}},
	{"model.layers.0.self_attn.o_proj.weight", "blk.0.attn_output.weight", []int{2, 2}},
	{"model.layers.0.self_attn.q_proj.weight", "blk.0.attn_q.weight", []int{2, 2}},
	{"model.layers.0.self_attn.v_proj.weight", "blk.0.attn_v.weight", []int{2, 2}},
	{"model.norm.weight", "output_norm.weight", []int{2}},
}

func FuzzOpenHuggingFace(f *testing.F) {
	var header, data bytes.Buffer
	header.WriteString(`{"__metadata__":{}`)
	for _, x := range smallest {
		begin, n := data.Len(), 1
		for _, d := range x.shape {
			n *= d
		}
		data.Write(make([]byte, 4*n))
		header.WriteString(`,"` + x.name + `":{"dtype":"F32","shape":` + strings.ReplaceAll(fmt.Sprint(x.shape), " ", ",") +
			`,"data_offsets":[` + fmt.Sprint(begin) + `,` + fmt.Sprint(data.Len()) + `]}`)
	}
	header.WriteByte('}')
	config := object{
		"hidden_size": 2, "intermediate_size": 1, "num_hidden_layers": 1, "num_attention_heads": 1, "num_key_value_heads": 1,
		"vocab_size": 3,
	}
	f.Add(with(f, config), header.Bytes())
	f.Add(with(f, merge(config, object{"tie_word_embeddings": true, "attention_bias": true})), header.Bytes())
	weights := func(header []byte) []byte {
		return slices.Concat(binary.LittleEndian.AppendUint64(nil, uint64(len(header))), header, data.Bytes())
	}
	open := func(config, weights []byte) (*llama.Model, error) {
		return llama.OpenFS(fstest.MapFS{"config.json": {Data: config}, "model.safetensors": {Data: weights}}, llama.Options{})
	}
	if m, err := open(with(f, config), weights(header.Bytes())); err != nil {
		f.Fatal(err)
	} else {
		m.Close()
	}
	f.Fuzz(func(t *testing.T, config, header []byte) {
		w := weights(header)
		bounded(t, len(config)+len(w), "", func() error {
			m, err := open(config, w)
			if err == nil {
				err = m.Close()
			}
			return err
		})
	})
}

func FuzzOpenGGUF(f *testing.F) {
	write := func(change object) []byte {
		w := gguf{change: change}
		w.set("general.architecture", "llama")
		w.set("llama.block_count", 1)
		w.set("llama.context_length", 8)
		w.set("llama.embedding_length", 2)
		w.set("llama.feed_forward_length", 1)
		w.set("llama.attention.head_count", 1)
		w.set("llama.rope.freq_base", float32(1e4))
		w.set("tokenizer.ggml.model", "llama")
		w.set("tokenizer.ggml.pre", "default")
		w.set("tokenizer.ggml.tokens", []string{"<s>", "a", "<0x41>"})
		w.set("tokenizer.ggml.token_type", []int32{3, 1, 6})
		w.set("tokenizer.ggml.scores", []float32{0, -1, 0})
		w.set("tokenizer.ggml.merges", []string{"a a"})
		w.set("tokenizer.ggml.bos_token_id", 0)
		for _, x := range smallest {
			n := 1
			for _, d := range x.shape {
				n *= d
			}
			w.tensor(x.gguf, x.shape, make([]float32, n))
		}
		w.tensor("rope_freqs.weight", []int{1}, []float32{1})
		return w.bytes()
	}
	path := filepath.Join(f.TempDir(), "x.gguf")
	open := func(data []byte) (model, tokenizer error) {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			return err, err
		}
		m, err := llama.Open(path, llama.Options{})
		if err == nil {
			err = m.Close()
		}
		_, errTokenizer := llama.OpenTokenizer(path)
		return err, errTokenizer
	}
	if err, errTokenizer := open(write(nil)); err != nil || errTokenizer != nil {
		f.Fatal(err, errTokenizer)
	}
	f.Add(write(nil))
	f.Add(write(object{"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "smollm", "tokenizer.ggml.tokens": []string{"a", "aa", "b"}}))
	f.Fuzz(func(t *testing.T, data []byte) {
		var errTokenizer error
		bounded(t, 2*len(data), path, func() (err error) {
			err, errTokenizer = open(data)
			return err
		})
		bounded(t, 0, path, func() error { return errTokenizer })
	})
}
