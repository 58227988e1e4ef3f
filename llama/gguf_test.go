package llama_test

import (
	"bytes"
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sparsegonia/sparsegonia/llama"
	"github.com/sparsegonia/sparsegonia/ops/weights/checkpoint"
)

// gguf writes a GGUF file (version 3, https://github.com/ggml-org/ggml/blob/master/docs/gguf.md) of float32 tensors.
type gguf struct {
	metadata, infos, data bytes.Buffer
	pairs, tensors        int
	skip                  map[string]bool // keys and tensors to leave out
	change                map[string]any  // values to write instead
	omitRows              map[string]int  // rows of a tensor to leave out
}

func (w *gguf) text(b *bytes.Buffer, s string) {
	binary.Write(b, binary.LittleEndian, uint64(len(s)))
	b.WriteString(s)
}

func (w *gguf) set(key string, value any) {
	if w.skip[key] {
		return
	}
	if v, ok := w.change[key]; ok {
		value = v
	}
	w.pairs++
	w.text(&w.metadata, key)
	kind := func(k uint32) { binary.Write(&w.metadata, binary.LittleEndian, k) }
	switch v := value.(type) {
	case int:
		kind(4)
		binary.Write(&w.metadata, binary.LittleEndian, uint32(v))
	case uint64:
		kind(10)
		binary.Write(&w.metadata, binary.LittleEndian, v)
	case float32:
		kind(6)
		binary.Write(&w.metadata, binary.LittleEndian, v)
	case string:
		kind(8)
		w.text(&w.metadata, v)
	case int32:
		kind(5)
		binary.Write(&w.metadata, binary.LittleEndian, v)
	case bool:
		kind(7)
		binary.Write(&w.metadata, binary.LittleEndian, v)
	case []int32:
		kind(9)
		kind(5)
		binary.Write(&w.metadata, binary.LittleEndian, uint64(len(v)))
		binary.Write(&w.metadata, binary.LittleEndian, v)
	case []float32:
		kind(9)
		kind(6)
		binary.Write(&w.metadata, binary.LittleEndian, uint64(len(v)))
		binary.Write(&w.metadata, binary.LittleEndian, v)
	case []string:
		kind(9)
		kind(8)
		binary.Write(&w.metadata, binary.LittleEndian, uint64(len(v)))
		for _, s := range v {
			w.text(&w.metadata, s)
		}
	default:
		panic("unknown type of a metadata value")
	}
}

func (w *gguf) tensor(name string, shape []int, data []float32) {
	if w.skip[name] {
		return
	}
	w.tensors++
	w.text(&w.infos, name)
	binary.Write(&w.infos, binary.LittleEndian, uint32(len(shape)))
	for i := len(shape) - 1; i >= 0; i-- {
		n := shape[i]
		if i == 0 {
			n -= w.omitRows[name]
		}
		binary.Write(&w.infos, binary.LittleEndian, uint64(n))
	}
	binary.Write(&w.infos, binary.LittleEndian, uint32(0)) // F32
	pad(&w.data)
	binary.Write(&w.infos, binary.LittleEndian, uint64(w.data.Len()))
	binary.Write(&w.data, binary.LittleEndian, data)
}

func pad(b *bytes.Buffer) { b.Write(make([]byte, -b.Len()&31)) }

func (w *gguf) bytes() []byte {
	var b bytes.Buffer
	b.WriteString("GGUF")
	binary.Write(&b, binary.LittleEndian, uint32(3))
	binary.Write(&b, binary.LittleEndian, []uint64{uint64(w.tensors), uint64(w.pairs)})
	b.Write(w.metadata.Bytes())
	b.Write(w.infos.Bytes())
	pad(&b)
	b.Write(w.data.Bytes())
	return b.Bytes()
}

// convert writes a Hugging Face checkpoint as llama.cpp's convert_hf_to_gguf.py does: the rows of q and k reordered for
// rotary pairs that are neighbours, llama3 scaling as a table of factors.
func convert(t testing.TB, dir string, w *gguf) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	c, err := llama.ParseConfig("config.json", data)
	if err != nil {
		t.Fatal(err)
	}
	hf, err := checkpoint.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer hf.Close()

	w.set("general.architecture", "llama")
	w.set("llama.block_count", c.Layers)
	w.set("llama.context_length", c.MaxContext)
	w.set("llama.embedding_length", c.HiddenSize)
	w.set("llama.feed_forward_length", c.IntermediateSize)
	w.set("llama.attention.head_count", c.Heads)
	w.set("llama.attention.head_count_kv", c.KVHeads)
	w.set("llama.attention.layer_norm_rms_epsilon", c.RMSNormEps)
	w.set("llama.attention.key_length", c.HeadDim)
	w.set("llama.rope.dimension_count", c.HeadDim)
	w.set("llama.rope.freq_base", float32(c.RoPE.Theta))
	w.set("llama.vocab_size", c.VocabSize)
	w.set("tokenizer.ggml.bos_token_id", int(c.BOS))
	w.set("tokenizer.ggml.eos_token_id", int(c.EOS[0]))
	switch c.RoPE.Scaling {
	case "linear":
		w.set("llama.rope.scaling.type", "linear")
		w.set("llama.rope.scaling.factor", float32(c.RoPE.Factor))
	case "llama3":
		factors := llama3Factors(c)
		w.tensor("rope_freqs.weight", []int{len(factors)}, factors)
	}
	for _, name := range hf.Names() {
		x, err := hf.Tensor(name)
		if err != nil {
			t.Fatal(err)
		}
		n := 1
		for _, d := range x.Shape {
			n *= d
		}
		values := make([]float32, n)
		if err := x.Float32(values); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(name, "q_proj") || strings.Contains(name, "k_proj") {
			values = interleave(values, c.HeadDim, x.Shape[0])
		}
		w.tensor(ggufName.Replace(name), x.Shape, values)
	}
	return w.bytes()
}

var ggufName = strings.NewReplacer(
	"model.embed_tokens", "token_embd", "model.norm", "output_norm", "lm_head", "output", "model.layers", "blk",
	"input_layernorm", "attn_norm", "post_attention_layernorm", "ffn_norm",
	"self_attn.q_proj", "attn_q", "self_attn.k_proj", "attn_k", "self_attn.v_proj", "attn_v", "self_attn.o_proj", "attn_output",
	"mlp.gate_proj", "ffn_gate", "mlp.up_proj", "ffn_up", "mlp.down_proj", "ffn_down",
)

// interleave puts row j of the second half of each head behind row j of the first.
func interleave(values []float32, headDim, rows int) []float32 {
	width := len(values) / rows
	out := make([]float32, 0, len(values))
	for head := 0; head < rows; head += headDim {
		for j := range headDim / 2 {
			for _, row := range []int{head + j, head + headDim/2 + j} {
				out = append(out, values[row*width:(row+1)*width]...)
			}
		}
	}
	return out
}

// llama3Factors are what the frequencies are divided by.
func llama3Factors(c llama.Config) []float32 {
	var factors []float32
	r := c.RoPE
	for i := 0; i < c.HeadDim; i += 2 {
		wavelength := 2 * math.Pi * math.Pow(r.Theta, float64(i)/float64(c.HeadDim))
		factor := 1.0
		switch old := float64(r.OriginalContext); {
		case wavelength > old/r.LowFreqFactor:
			factor = r.Factor
		case wavelength >= old/r.HighFreqFactor:
			smooth := (old/wavelength - r.LowFreqFactor) / (r.HighFreqFactor - r.LowFreqFactor)
			factor = 1 / ((1-smooth)/r.Factor + smooth)
		}
		factors = append(factors, float32(factor))
	}
	return factors
}

func TestGGUFEqualsHuggingFace(t *testing.T) {
	for _, name := range []string{"f32", "mha", "bias", "head-dim", "odd-shapes", "tied", "rope-theta", "rope-linear", "rope-llama3"} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(variants, name)
			g := readGolden(t, dir)
			path := filepath.Join(t.TempDir(), "model.gguf")
			if err := os.WriteFile(path, convert(t, dir, new(gguf)), 0o600); err != nil {
				t.Fatal(err)
			}
			m := open(t, path, llama.Options{})
			s := session(t, m, llama.SessionOptions{})
			wantClose(t, "logits", logitsOf(t, s, g.IDs, 1), g.logits, 2e-5)
			wantGreedy(t, "text", greedy(t, s, g.IDs, len(g.Greedy)), g.Greedy, g.Margins, 1e-4)
		})
	}
}

func TestOpenGGUFRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		edit gguf
		want []string
	}{
		"another architecture": {gguf{change: object{"general.architecture": "falcon"}}, []string{"general.architecture", "falcon"}},
		"no architecture":      {gguf{skip: map[string]bool{"general.architecture": true}}, []string{"general.architecture"}},
		"no layers":            {gguf{skip: map[string]bool{"llama.block_count": true}}, []string{"llama.block_count"}},
		"2^60 layers":          {gguf{change: object{"llama.block_count": uint64(1 << 60)}}, []string{"llama.block_count 1152921504606846976"}},
		"heads a string":       {gguf{change: object{"llama.attention.head_count": "9"}}, []string{"llama.attention.head_count"}},
		"eps NaN":              {gguf{change: object{"llama.attention.layer_norm_rms_epsilon": float32(math.NaN())}}, []string{"llama.attention.layer_norm_rms_epsilon NaN"}},
		"theta infinite":       {gguf{change: object{"llama.rope.freq_base": float32(math.Inf(1))}}, []string{"llama.rope.freq_base +Inf"}},
		"yarn":                 {gguf{change: object{"llama.rope.freq_base": float32(1e4), "llama.rope.scaling.type": "yarn"}}, []string{"llama.rope.scaling.type", "yarn"}},
		"rotation too wide":    {gguf{change: object{"llama.rope.dimension_count": 64}}, []string{"llama.rope.dimension_count 64"}},
		"kv heads by layer":    {gguf{change: object{"llama.attention.head_count_kv": []int32{2, 1}}}, []string{"llama.attention.head_count_kv"}},
		"no embedding":         {gguf{skip: map[string]bool{"token_embd.weight": true}}, []string{"token_embd.weight"}},
		"no gate":              {gguf{skip: map[string]bool{"blk.1.ffn_gate.weight": true}}, []string{"blk.1.ffn_gate.weight"}},
		"short norm":           {gguf{omitRows: map[string]int{"blk.0.ffn_norm.weight": 1}}, []string{"blk.0.ffn_norm.weight", "31"}},
		"short down":           {gguf{omitRows: map[string]int{"blk.0.ffn_down.weight": 2}}, []string{"blk.0.ffn_down.weight", "30"}},
		"more tokens":          {gguf{change: object{"llama.vocab_size": 129}}, []string{"token_embd.weight"}},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "bad.gguf")
			dir := filepath.Join(variants, "rope-linear")
			if err := os.WriteFile(path, convert(t, dir, &test.edit), 0o600); err != nil {
				t.Fatal(err)
			}
			m, err := llama.Open(path, llama.Options{})
			if err == nil {
				m.Close()
			}
			wantError(t, err, append(test.want, "bad.gguf")...)
		})
	}
}
