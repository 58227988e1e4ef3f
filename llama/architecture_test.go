package llama

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/sparsegonia/sparsegonia/ops/weights/checkpoint"
)

// An architecture may fuse q, k and v, and gate and up, as Phi-3 does: the rows go where they belong.
func TestFusedTensors(t *testing.T) {
	const dir = "../testdata/variants/bias"
	c, err := checkpoint.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fused := llama
	fused.name, fused.types = "fused", []string{"fused"}
	fused.layer = func(c *Config, l *layer) []spec {
		list := llamaLayer(c, l)
		merge := func(at, n int, name string) {
			for _, s := range list[at+1 : at+n] {
				list[at].parts = append(list[at].parts, s.parts...)
			}
			list[at].json = "model.layers.%d." + name
			list = slices.Delete(list, at+1, at+n)
		}
		merge(1, 3, "qkv_proj")
		merge(4, 2, "gate_up_proj")
		return list
	}
	architectures = append(architectures, &fused)
	defer func() { architectures = architectures[:len(architectures)-1] }()

	// The same numbers under the names of the other table.
	header, data := map[string]any{}, []byte{}
	add := func(name string, dtype checkpoint.Type, shape []int, parts ...[]byte) {
		begin := len(data)
		data = append(data, bytes.Join(parts, nil)...)
		header[name] = map[string]any{"dtype": dtype.String(), "shape": shape, "data_offsets": []int{begin, len(data)}}
	}
	get := func(name string) checkpoint.Tensor {
		x, err := c.Tensor(name)
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	for _, name := range c.Names() {
		var rest []string
		to := ""
		switch {
		case strings.Contains(name, "q_proj"):
			rest, to = []string{"k_proj", "v_proj"}, strings.Replace(name, "self_attn.q_proj", "qkv_proj", 1)
		case strings.Contains(name, "gate_proj"):
			rest, to = []string{"up_proj"}, strings.Replace(name, "mlp.gate_proj", "gate_up_proj", 1)
		case strings.Contains(name, "k_proj"), strings.Contains(name, "v_proj"), strings.Contains(name, "up_proj"):
			continue
		default:
			to = name
		}
		first := get(name)
		shape, parts := slices.Clone(first.Shape), [][]byte{first.Data}
		for _, other := range rest {
			x := get(strings.NewReplacer("q_proj", other, "gate_proj", other).Replace(name))
			shape[0] += x.Shape[0]
			parts = append(parts, x.Data)
		}
		add(to, first.Type, shape, parts...)
	}
	text, err := json.Marshal(header)
	if err != nil {
		t.Fatal(err)
	}
	file := slices.Concat(binary.LittleEndian.AppendUint64(nil, uint64(len(text))), text, data)
	config := bytes.Replace(c.ConfigJSON(), []byte(`"model_type": "llama"`), []byte(`"model_type": "fused"`), 1)

	logits := func(m *Model, err error) []float32 {
		if err != nil {
			t.Fatal(err)
		}
		s, err := m.NewSession(SessionOptions{})
		if err != nil {
			t.Fatal(err)
		}
		l, err := s.Prefill(t.Context(), 0, []int32{1, 2, 3, 4, 5})
		if err != nil {
			t.Fatal(err)
		}
		return slices.Clone(l)
	}
	want := logits(Open(dir, Options{}))
	m, err := OpenFS(fstest.MapFS{"config.json": {Data: config}, "model.safetensors": {Data: file}}, Options{})
	if got := logits(m, err); !slices.Equal(got, want) {
		t.Error("other logits")
	}
	plain, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if m.Config.Architecture != "fused" || m.Bytes() != plain.Bytes() {
		t.Errorf("%s of %d bytes, want %d", m.Config.Architecture, m.Bytes(), plain.Bytes())
	}
}
