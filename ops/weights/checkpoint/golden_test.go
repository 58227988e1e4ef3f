package checkpoint_test

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"hash/crc32"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nlpodyssey/safetensors"
	"github.com/x448/float16"

	"github.com/sparsegonia/sparsegonia/ops/weights/checkpoint"
)

const variants = "../../../testdata/variants"

func open(t testing.TB, path string) *checkpoint.Checkpoint {
	t.Helper()
	c, err := checkpoint.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func tensor(t testing.TB, c *checkpoint.Checkpoint, name string) checkpoint.Tensor {
	t.Helper()
	x, err := c.Tensor(name)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func float32s(t testing.TB, x checkpoint.Tensor) []float32 {
	t.Helper()
	v := make([]float32, x.Rows()*x.Cols())
	if err := x.Float32(v); err != nil {
		t.Fatal(err)
	}
	return v
}

// wantBits compares two tensors bit for bit.
func wantBits(t testing.TB, name string, got, want []float32) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d numbers, want %d", name, len(got), len(want))
	}
	for i := range want {
		if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
			t.Fatalf("%s: number %d is %v, want %v", name, i, got[i], want[i])
		}
	}
}

func TestQuantsEqualGGML(t *testing.T) {
	c := open(t, "testdata/quants.gguf")
	n := 0
	for _, name := range c.Names() {
		want := name + ".f32"
		if !c.Has(want) {
			continue
		}
		n++
		t.Run(name, func(t *testing.T) {
			x, w := tensor(t, c, name), tensor(t, c, want)
			if x.Type.String() != name || w.Type != checkpoint.F32 {
				t.Fatalf("types %v and %v", x.Type, w.Type)
			}
			if !slices.Equal(x.Shape, []int{2, 512}) || x.Rows() != 2 || x.Cols() != 512 {
				t.Fatalf("shape %v", x.Shape)
			}
			expected := float32s(t, w)
			wantBits(t, name, float32s(t, x), expected)
			row := make([]float32, 512)
			for i := range 2 {
				if err := x.Float32Row(row, i); err != nil {
					t.Fatal(err)
				}
				wantBits(t, "row", row, expected[i*512:][:512])
			}
		})
	}
	if n != 13 { // every Type but F32, which the others are compared with
		t.Errorf("%d types are compared, want 13", n)
	}
}

func TestHalfEqualsEveryPattern(t *testing.T) {
	data := make([]byte, 2<<16)
	want := make([]float32, 1<<16)
	for i := range want {
		binary.LittleEndian.PutUint16(data[2*i:], uint16(i))
		want[i] = float16.Frombits(uint16(i)).Float32()
	}
	got := make([]float32, 1<<16)
	if err := (checkpoint.Tensor{Type: checkpoint.F16, Shape: []int{1 << 16}, Data: data}).Float32(got); err != nil {
		t.Fatal(err)
	}
	for i := range want {
		if want[i] != want[i] && got[i] != got[i] { // which NaN is not defined
			continue
		}
		if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
			t.Fatalf("%#04x is %v, want %v", i, got[i], want[i])
		}
	}
}

func TestGGUFMetadata(t *testing.T) {
	m := open(t, "testdata/quants.gguf").Metadata()
	type result struct {
		Value any
		OK    bool
		Err   string // a part of it
	}
	get := func(value any, ok bool, err error) result {
		if err != nil {
			return result{nil, ok, err.Error()}
		}
		return result{value, ok, ""}
	}
	uints := func(key string) result { v, ok, err := m.Uint(key); return get(v, ok, err) }
	floats := func(key string) result { v, ok, err := m.Float(key); return get(v, ok, err) }
	lists := func(key string) result { v, ok, err := m.Ints(key); return get(v, ok, err) }
	for key, test := range map[string]struct{ got, want result }{
		"uint8":    {uints("test.uint8"), result{uint64(200), true, ""}},
		"int8":     {uints("test.int8"), result{nil, true, "test.int8 is -100"}},
		"uint16":   {uints("test.uint16"), result{uint64(60000), true, ""}},
		"int16":    {uints("test.int16"), result{nil, true, "test.int16 is -30000"}},
		"uint32":   {uints("test.uint32"), result{uint64(4000000000), true, ""}},
		"int32":    {uints("test.int32"), result{nil, true, "test.int32 is -2000000000"}},
		"uint64":   {uints("test.uint64"), result{uint64(math.MaxUint64), true, ""}},
		"int64":    {uints("test.int64"), result{nil, true, "test.int64 is -9223372036854775808"}},
		"float32":  {floats("test.float32"), result{float64(float32(0.1)), true, ""}},
		"float64":  {floats("test.float64"), result{0.1, true, ""}},
		"int32s":   {lists("test.int32s"), result{[]int64{1, -2, 3}, true, ""}},
		"missing":  {uints("test.none"), result{uint64(0), false, ""}},
		"a string": {uints("test.string"), result{nil, true, "test.string has type string, want integer"}},
		"a bool":   {uints("test.bool"), result{nil, true, "test.bool has type bool, want integer"}},
		"an int":   {floats("test.uint8"), result{nil, true, "test.uint8 has type u8, want float"}},
		"an array": {uints("test.int32s"), result{nil, true, "test.int32s has type array of i32, want integer"}},
		"no array": {lists("test.uint8"), result{nil, true, "test.uint8 has type u8, want array of integer"}},
	} {
		if test.want.Err != "" && strings.Contains(test.got.Err, test.want.Err) && strings.Contains(test.got.Err, "quants.gguf") {
			test.want.Err = test.got.Err
		}
		if diff := cmp.Diff(test.want, test.got); diff != "" {
			t.Errorf("%s: %s", key, diff)
		}
	}
	if s, ok, err := m.String("test.string"); s != "naïve ▁" || !ok || err != nil {
		t.Errorf("string: %q, %v, %v", s, ok, err)
	}
	if b, ok, err := m.Bool("test.bool"); !b || !ok || err != nil {
		t.Errorf("bool: %v, %v, %v", b, ok, err)
	}
	list, ok, err := m.Strings("test.strings")
	if diff := cmp.Diff([]string{"", "a", "▁b", "\n"}, list); diff != "" || !ok || err != nil {
		t.Errorf("strings: %s, %v, %v", diff, ok, err)
	}
	numbers, ok, err := m.Floats("test.float32s")
	if diff := cmp.Diff([]float64{0.5, -1.5, float64(float32(1e30))}, numbers); diff != "" || !ok || err != nil {
		t.Errorf("floats: %s, %v, %v", diff, ok, err)
	}
	if keys := m.Keys(); !slices.IsSorted(keys) || !slices.Contains(keys, "test.bools") {
		t.Errorf("keys: %v", keys)
	}
}

func TestMetadataOutlivesCheckpoint(t *testing.T) {
	c, err := checkpoint.Open("testdata/quants.gguf")
	if err != nil {
		t.Fatal(err)
	}
	m := c.Metadata()
	for range 2 {
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if s, _, err := m.String("test.string"); s != "naïve ▁" || err != nil {
		t.Errorf("string: %q, %v", s, err)
	}
	if _, err := c.Tensor("Q4_0"); !errors.Is(err, os.ErrClosed) {
		t.Errorf("a tensor of a closed checkpoint: %v", err)
	}
}

// hub is a directory with a file as its weights.
func hub(t testing.TB, weights string) string {
	t.Helper()
	data, err := os.ReadFile(weights)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write(t, filepath.Join(dir, "config.json"), "{}")
	write(t, filepath.Join(dir, "model.safetensors"), string(data))
	return dir
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestSafetensorsTypes(t *testing.T) {
	c := open(t, hub(t, "testdata/types.safetensors"))
	want := make([]float32, 64)
	for i := range want {
		want[i] = float32(i-32) / 4
	}
	for name, dtype := range map[string]string{
		"float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16",
		"int64": "I64", "int32": "I32", "int16": "I16", "int8": "I8", "uint8": "U8", "bool": "BOOL",
		"float8_e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2", "complex64": "C64",
	} {
		if !c.Has(name) {
			t.Errorf("%s is not listed", name)
		}
		x, err := c.Tensor(name)
		if strings.HasPrefix(dtype, "F8") || !strings.ContainsAny(dtype, "F") {
			if !errors.Is(err, checkpoint.ErrUnsupported) || !strings.Contains(err.Error(), dtype) || !strings.Contains(err.Error(), name) {
				t.Errorf("%s: error %v", name, err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if x.Type.String() != dtype || !slices.Equal(x.Shape, []int{4, 16}) {
			t.Errorf("%s: %v of shape %v", name, x.Type, x.Shape)
		}
		wantBits(t, name, float32s(t, x), want)
	}
}

// TestVariantsEqualOtherReader reads the checkpoints that transformers wrote with an independent reader too.
func TestVariantsEqualOtherReader(t *testing.T) {
	for _, variant := range []string{"f32", "f16", "bf16", "f64", "sharded"} {
		dir := filepath.Join(variants, variant)
		c := open(t, dir)
		fromFS, err := checkpoint.OpenFS(os.DirFS(dir))
		if err != nil {
			t.Fatal(err)
		}
		if c.Format() != checkpoint.HuggingFace || c.Path() != dir || fromFS.Path() != "." || c.Metadata() != nil {
			t.Errorf("%s: %v, %s", variant, c.Format(), c.Path())
		}
		if !json.Valid(c.ConfigJSON()) || !slices.Equal(c.ConfigJSON(), fromFS.ConfigJSON()) {
			t.Errorf("%s: config.json is %s", variant, c.ConfigJSON())
		}
		if !slices.Equal(c.Names(), fromFS.Names()) {
			t.Errorf("%s: other names from a file system", variant)
		}
		files, err := filepath.Glob(filepath.Join(dir, "*.safetensors"))
		if err != nil || (len(files) > 1) != (variant == "sharded") {
			t.Fatal(files, err)
		}
		var names []string
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			other, err := safetensors.Deserialize(data)
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range other.Tensors() {
				names = append(names, want.Name)
				for _, got := range []checkpoint.Tensor{tensor(t, c, want.Name), tensor(t, fromFS, want.Name)} {
					shape := make([]uint64, len(got.Shape))
					for i, n := range got.Shape {
						shape[i] = uint64(n)
					}
					if got.Type.String() != want.TensorView.DType().String() || !slices.Equal(shape, want.TensorView.Shape()) ||
						!slices.Equal(got.Data, want.TensorView.Data()) {
						t.Errorf("%s: %s differs", variant, want.Name)
					}
				}
			}
		}
		slices.Sort(names)
		if !slices.Equal(c.Names(), names) {
			t.Errorf("%s: names %v, want %v", variant, c.Names(), names)
		}
	}
}

func TestSmolLM2(t *testing.T) {
	path := os.Getenv("SPARSEGONIA_SMOLLM2")
	if path == "" {
		t.Skip("SPARSEGONIA_SMOLLM2 does not name the file SmolLM2-135M-Instruct.Q4_1.gguf")
	}
	golden, err := os.ReadFile("testdata/SmolLM2-135M-Instruct.Q4_1.gguf.crc32.json")
	if err != nil {
		t.Fatal(err)
	}
	type sum struct {
		Type  string
		Shape []int
		CRC32 uint32
	}
	var want map[string]sum
	if err := json.Unmarshal(golden, &want); err != nil {
		t.Fatal(err)
	}
	c := open(t, path)
	got := make(map[string]sum)
	for _, name := range c.Names() {
		x := tensor(t, c, name)
		v := float32s(t, x)
		x.Release()
		b := make([]byte, 4*len(v))
		for i, f := range v {
			binary.LittleEndian.PutUint32(b[4*i:], math.Float32bits(f))
		}
		got[name] = sum{x.Type.String(), x.Shape, crc32.ChecksumIEEE(b)}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}

	m := c.Metadata()
	if s, _, err := m.String("general.architecture"); s != "llama" || err != nil {
		t.Errorf("general.architecture: %q, %v", s, err)
	}
	if n, _, err := m.Uint("llama.feed_forward_length"); n != 1536 || err != nil {
		t.Errorf("llama.feed_forward_length: %d, %v", n, err)
	}
	tokens, _, err := m.Strings("tokenizer.ggml.tokens")
	if len(tokens) != 49152 || tokens[1] != "<|im_start|>" || err != nil {
		t.Errorf("%d tokens, %v", len(tokens), err)
	}
}

func TestOpenSafetensors(t *testing.T) {
	path := filepath.Join(variants, "f32", "model.safetensors")
	c, err := checkpoint.OpenSafetensors(path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if !slices.Equal(c.Names(), open(t, filepath.Dir(path)).Names()) || c.ConfigJSON() != nil {
		t.Errorf("names %v, config %q", c.Names(), c.ConfigJSON())
	}
	for path, want := range map[string]string{
		"testdata/quants.gguf":                         "a GGUF file",
		filepath.Join(variants, "f32"):                 "not a regular file",
		filepath.Join(variants, "f32", "config.json"):  "header length",
		filepath.Join(variants, "f32", "nothing.file"): "no such file",
	} {
		if _, err := checkpoint.OpenSafetensors(path); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
}
