package llama_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"testing/fstest"

	"github.com/sparsegonia/sparsegonia/llama"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// edited is a variant in memory with changed members of config.json; a nil value deletes one.
func edited(t testing.TB, variant string, changes object) fstest.MapFS {
	t.Helper()
	read := func(name string) []byte {
		data, err := os.ReadFile(filepath.Join(variants, variant, name))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	var config object
	if err := json.Unmarshal(read("config.json"), &config); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(merge(config, changes))
	if err != nil {
		t.Fatal(err)
	}
	return fstest.MapFS{"config.json": {Data: text}, "model.safetensors": {Data: read("model.safetensors")}}
}

func TestOpenFS(t *testing.T) {
	g := readGolden(t, filepath.Join(variants, "f32"))
	m, err := llama.OpenFS(edited(t, "f32", nil), llama.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	wantClose(t, "logits", logitsOf(t, session(t, m, llama.SessionOptions{}), g.IDs, 1), g.logits, 2e-5)
}

func TestOpenRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		changes object
		want    []string
	}{
		"a layer too many":    {object{"num_hidden_layers": 3}, []string{"model.layers.2."}},
		"4096 layers":         {object{"num_hidden_layers": 4096}, []string{"model.layers.2."}},
		"wider":               {object{"hidden_size": 64, "head_dim": 8}, []string{"model.embed_tokens.weight", "[128 32]", "[128 64]"}},
		"widest":              {object{"hidden_size": 1 << 22, "vocab_size": 1 << 26, "head_dim": 8}, []string{"model.embed_tokens.weight"}},
		"more neurons":        {object{"intermediate_size": 1 << 22}, []string{"model.layers.0.mlp.gate_proj.weight"}},
		"other heads":         {object{"num_attention_heads": 2, "num_key_value_heads": 2}, []string{"model.layers.0.self_attn"}},
		"no biases there":     {object{"attention_bias": true}, []string{"model.layers.0.self_attn.q_proj.bias"}},
		"no MLP biases there": {object{"mlp_bias": true}, []string{"model.layers.0.mlp.gate_proj.bias"}},
		"another model":       {object{"model_type": "qwen2"}, []string{"config.json", "model_type", "qwen2"}},
		"wrong type":          {object{"hidden_size": "32"}, []string{"config.json", "hidden_size"}},
	} {
		t.Run(name, func(t *testing.T) {
			fsys := edited(t, "f32", test.changes)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			m, err := llama.OpenFS(fsys, llama.Options{})
			runtime.ReadMemStats(&after)
			if err == nil {
				m.Close()
			}
			wantError(t, err, test.want...)
			if got := after.TotalAlloc - before.TotalAlloc; got > 8<<20 {
				t.Errorf("%d bytes allocated for a file of 100 KB", got)
			}
		})
	}
}

func TestGenerationConfig(t *testing.T) {
	for text, want := range map[string][]int32{
		`{}`:                                    {1},
		`{"eos_token_id": null}`:                {1},
		`{"eos_token_id": 5}`:                   {5},
		`{"eos_token_id": [7, 9], "top_k": {}}`: {7, 9},
	} {
		fsys := edited(t, "f32", nil)
		fsys["generation_config.json"] = &fstest.MapFile{Data: []byte(text)}
		m, err := llama.OpenFS(fsys, llama.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(m.Config.EOS, want) {
			t.Errorf("%s: texts end with %v, want %v", text, m.Config.EOS, want)
		}
		m.Close()
	}
}

func TestOpenRefusesPaths(t *testing.T) {
	for _, path := range []string{filepath.Join(t.TempDir(), "nothing"), t.TempDir()} {
		if m, err := llama.Open(path, llama.Options{}); err == nil {
			m.Close()
			t.Errorf("%s: no error", path)
		}
		if _, err := llama.OpenTokenizer(path); err == nil {
			t.Errorf("tokenizer of %s: no error", path)
		}
	}
	_, err := llama.Open(filepath.Join(variants, "f32"), llama.Options{Width: llama.As(weights.Int32)})
	wantError(t, err, "int32")
}

func TestRandom(t *testing.T) {
	c, err := llama.ParseConfig("config.json", with(t, object{"attention_bias": true, "mlp_bias": true}))
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range []weights.Dtype{weights.F32, weights.F16, weights.BF16} {
		m, err := llama.Random(c, d, 1, nil)
		if err != nil {
			t.Fatal(err)
		}
		again, err := llama.Random(c, d, 1, nil)
		if err != nil {
			t.Fatal(err)
		}
		ids := randomIDs(1, 20, c.VocabSize)
		logits := logitsOf(t, session(t, m, llama.SessionOptions{}), ids, 1)
		wantClose(t, "the same seed", logitsOf(t, session(t, again, llama.SessionOptions{}), ids, 1), logits, 0)
		if m.Store(1).Dtype() != d {
			t.Errorf("neurons of dtype %v, want %v", m.Store(1).Dtype(), d)
		}
		// Rows repeat after 61, so no weight may be left zero.
		for i := range c.IntermediateSize {
			row := make([]float32, c.HiddenSize)
			weights.Row(m.Store(0).Down(), i, row)
			if row[0] == 0 && row[1] == 0 {
				t.Fatalf("%v: row %d of down is not written", d, i)
			}
		}
		if _, err := m.Tokenizer(); err == nil {
			t.Error("a tokenizer of a random model")
		}
		// 2·128·H embedding and head, 2·(2·H·H + 2·H·H/2) attention, 2·3·I·H neurons, and the norms and biases in f32.
		size := int64(d.RowBytes(1)) * 32 * (2*128 + 2*3*32 + 2*3*56)
		if got := m.Bytes(); got < size || got > size+10000 {
			t.Errorf("%v: %d bytes, want a little over %d", d, got, size)
		}
	}
	bad := c
	bad.Layers = 0
	if _, err := llama.Random(bad, weights.F32, 1, nil); err == nil {
		t.Error("no error without layers")
	}
	if _, err := llama.Random(c, weights.Int64, 1, nil); err == nil {
		t.Error("no error for int64")
	}
}
