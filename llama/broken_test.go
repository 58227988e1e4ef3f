package llama_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/sparsegonia/sparsegonia/llama"
)

// A broken input is made in an empty directory, and opened there.
type broken struct {
	name string
	make func(t testing.TB, dir string) (path string)
	file string   // that the error names
	want []string // parts of the error, the field among them
}

// TestOpenBrokenInputs opens broken models as a user would. Each gives one error of one line that names the file and the
// field, and makes no reader allocate more than a small multiple of what is on disk.
func TestOpenBrokenInputs(t *testing.T) {
	cases := slices.Concat(brokenPaths(), brokenSafetensors(), brokenIndexes(), brokenConfigs(), brokenGGUF())
	t.Logf("%d kinds", len(cases))
	testBroken(t, cases, func(path string) error {
		m, err := llama.Open(path, llama.Options{})
		if err == nil {
			m.Close()
		}
		return err
	})
}

// TestOpenTokenizerBrokenInputs is the same for tokenizers.
func TestOpenTokenizerBrokenInputs(t *testing.T) {
	cases := slices.Concat(brokenTokenizerJSON(), brokenVocabularies())
	t.Logf("%d kinds", len(cases))
	testBroken(t, cases, func(path string) error {
		_, err := llama.OpenTokenizer(path)
		return err
	})
}

func testBroken(t *testing.T, cases []broken, open func(path string) error) {
	names := map[string]bool{}
	for _, c := range cases {
		if names[c.name] {
			t.Errorf("two cases are called %s", c.name)
		}
		names[c.name] = true
		t.Run(c.name, func(t *testing.T) {
			path := c.make(t, t.TempDir())
			wantError(t, measured(t, path, open), append(c.want, c.file)...)
		})
	}
}

// measured opens a path and checks how much memory that took.
func measured(t testing.TB, path string, open func(path string) error) error {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	err := open(path)
	runtime.ReadMemStats(&after)
	got, size := after.TotalAlloc-before.TotalAlloc, sizeOf(t, path)
	if limit := 16*size + 4<<20; got > limit {
		t.Errorf("%d bytes allocated for %d bytes on disk", got, size)
	}
	return err
}

// sizeOf is what the regular files at a path take.
func sizeOf(t testing.TB, path string) (size uint64) {
	t.Helper()
	_ = filepath.WalkDir(path, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			info, err := d.Info()
			if err != nil {
				t.Fatal(err)
			}
			size += uint64(info.Size())
		}
		return nil
	})
	return size
}

// files are the contents of a directory.
type files map[string][]byte

func (f files) write(t testing.TB, dir string) string {
	t.Helper()
	for name, data := range f {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// variant are the files of a checkpoint in testdata/variants.
func variant(t testing.TB, name string) files {
	t.Helper()
	f := files{}
	for _, pattern := range []string{"config.json", "*.safetensors", "*.index.json"} {
		paths, err := filepath.Glob(filepath.Join(variants, name, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			if f[filepath.Base(path)], err = os.ReadFile(path); err != nil {
				t.Fatal(err)
			}
		}
	}
	return f
}

// replaced changes a part of a text that has to be there.
func replaced(t testing.TB, text []byte, old, new string) []byte {
	t.Helper()
	if !bytes.Contains(text, []byte(old)) {
		t.Fatalf("there is no %s", old)
	}
	return bytes.Replace(text, []byte(old), []byte(new), 1)
}

// Paths.

func brokenPaths() []broken {
	at := func(name string, edit func(t testing.TB, path string)) func(testing.TB, string) string {
		return func(t testing.TB, dir string) string {
			path := filepath.Join(dir, name)
			edit(t, path)
			return path
		}
	}
	write := func(text string) func(testing.TB, string) {
		return func(t testing.TB, path string) {
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	in := func(f files) func(testing.TB, string) string {
		return func(t testing.TB, dir string) string { return f.write(t, dir) }
	}
	return []broken{
		{"a path that is not there", at("nothing", func(testing.TB, string) {}), "nothing", []string{"no such file"}},
		{"a path below a file", at("file/model", func(t testing.TB, path string) { write("x")(t, filepath.Dir(path)) }), "model", []string{"not a directory"}},
		{"an empty directory", in(nil), "config.json", []string{"no such file"}},
		{"only weights", func(t testing.TB, dir string) string {
			f := variant(t, "f32")
			delete(f, "config.json")
			return f.write(t, dir)
		}, "config.json", []string{"no such file"}},
		{"only a configuration", in(files{"config.json": []byte("{}")}), "model.safetensors", []string{"neither", "index.json"}},
		{"an empty file", at("model.gguf", write("")), "model.gguf", []string{"magic"}},
		{"a text", at("model.gguf", write("once upon a time")), "model.gguf", []string{"magic: not a GGUF file"}},
		{"safetensors called gguf", func(t testing.TB, dir string) string {
			return files{"model.gguf": variant(t, "f32")["model.safetensors"]}.write(t, dir) + "/model.gguf"
		}, "model.gguf", []string{"magic", "safetensors", "directory"}},
		{"gguf called safetensors", func(t testing.TB, dir string) string {
			f := variant(t, "f32")
			f["model.safetensors"] = convert(t, filepath.Join(variants, "f32"), new(gguf))
			return f.write(t, dir)
		}, "model.safetensors", []string{"header length", "a GGUF file"}},
		{"weights that are a directory", func(t testing.TB, dir string) string {
			if err := os.Mkdir(filepath.Join(dir, "model.safetensors"), 0o700); err != nil {
				t.Fatal(err)
			}
			return files{"config.json": []byte("{}")}.write(t, dir)
		}, "model.safetensors", []string{"not a regular file"}},
	}
}

// TestOpenTakesMagicNotName opens a GGUF file of another name.
func TestOpenTakesMagicNotName(t *testing.T) {
	path := filepath.Join(t.TempDir(), "model.safetensors")
	if err := os.WriteFile(path, convert(t, filepath.Join(variants, "f32"), new(gguf)), 0o600); err != nil {
		t.Fatal(err)
	}
	open(t, path, llama.Options{})
}

// Safetensors.

// withHeader is the variant f32 with another header of its safetensors file.
func withHeader(edit func(t testing.TB, header []byte) []byte) func(testing.TB, string) string {
	return func(t testing.TB, dir string) string {
		f := variant(t, "f32")
		data := f["model.safetensors"]
		n := binary.LittleEndian.Uint64(data)
		header := edit(t, bytes.Clone(data[8:8+n]))
		f["model.safetensors"] = slices.Concat(binary.LittleEndian.AppendUint64(nil, uint64(len(header))), header, data[8+n:])
		return f.write(t, dir)
	}
}

// withInfo replaces a part of what the header says about the first query projection, which is
// "model.layers.0.self_attn.q_proj.weight":{"dtype":"F32","shape":[32,32],"data_offsets":[60672,64768]}.
func withInfo(old, new string) func(testing.TB, string) string {
	return withHeader(func(t testing.TB, header []byte) []byte {
		const name = `"` + firstQuery + `":`
		i := bytes.Index(header, []byte(name))
		if i < 0 {
			t.Fatalf("there is no %s", name)
		}
		end := i + bytes.IndexByte(header[i:], '}') + 1
		return slices.Concat(header[:i], replaced(t, header[i:end], old, new), header[end:])
	})
}

const firstQuery = "model.layers.0.self_attn.q_proj.weight"

// withFile replaces the bytes of the safetensors file.
func withFile(edit func(data []byte) []byte) func(testing.TB, string) string {
	return func(t testing.TB, dir string) string {
		f := variant(t, "f32")
		f["model.safetensors"] = edit(f["model.safetensors"])
		return f.write(t, dir)
	}
}

func brokenSafetensors() []broken {
	length := func(n uint64) func(testing.TB, string) string {
		return withFile(func(data []byte) []byte { binary.LittleEndian.PutUint64(data, n); return data })
	}
	text := func(header string) func(testing.TB, string) string {
		return withHeader(func(testing.TB, []byte) []byte { return []byte(header) })
	}
	replace := func(old, new string) func(testing.TB, string) string {
		return withHeader(func(t testing.TB, header []byte) []byte { return replaced(t, header, old, new) })
	}
	const offsets = `"data_offsets":[60672,64768]`
	cases := []broken{
		{"header length 0", length(0), "", []string{"header"}},
		{"header length 2^60", length(1 << 60), "", []string{"header length 1152921504606846976"}},
		{"header length 2^64-1", length(math.MaxUint64), "", []string{"header length 18446744073709551615"}},
		{"header length over the file by 1", withFile(func(data []byte) []byte {
			binary.LittleEndian.PutUint64(data, uint64(len(data)-7))
			return data
		}), "", []string{"header length"}},
		{"header shorter than its JSON", length(2000), "", []string{"header", "JSON"}},
		{"header longer than its JSON", length(2100), "", []string{"header"}},
		{"header over the limit of the format", func(t testing.TB, dir string) string {
			path := length(100_000_001)(t, dir)
			if err := os.Truncate(filepath.Join(path, "model.safetensors"), 200_000_000); err != nil {
				t.Fatal(err)
			}
			return path
		}, "", []string{"header length 100000001", "limit"}},
		{"header not JSON", text(`{"a": }`), "", []string{"header", "JSON", "byte 7"}},
		{"header a list", text(`[1, 2]`), "", []string{"header", "{"}},
		{"header of spaces", text(strings.Repeat(" ", 64)), "", []string{"header", "{"}},
		{"header of two objects", text(`{}{}`), "", []string{"header", "JSON"}},
		{"header without tensors", text(`{}`), "", []string{"data", "belong to no tensor"}},
		{"header not UTF-8", replace("lm_head", "lm\xffhead"), "", []string{"header", "UTF-8"}},
		{"header cut in half", withHeader(func(_ testing.TB, header []byte) []byte { return header[:len(header)/2] }), "", []string{"header", "JSON"}},
		{"header 100,000 deep", text(strings.Repeat(`{"a":`, 100_000)), "", []string{"header"}},
		{"header in UTF-16", text("{\x00\"\x00a\x00\"\x00:\x001\x00}\x00"), "", []string{"header", "JSON"}},
		{"metadata a list", replace(`{"format":"pt"}`, `["format"]`), "", []string{"__metadata__", "want an object"}},
		{"metadata key twice", replace(`{"format":"pt"}`, `{"format":"pt","format":"tf"}`), "", []string{"__metadata__", `"format" appears twice`}},
		{"tensor twice", replace(`"lm_head.weight"`, `"model.norm.weight"`), "", []string{"header", `"model.norm.weight" appears twice`}},
		{"tensor twice, escaped", replace(`"lm_head.weight"`, `"model\u002enorm.weight"`), "", []string{"header", `"model.norm.weight" appears twice`}},
		{"tensor a list", replace(`"lm_head.weight":{"dtype":"F32","shape":[128,32],"data_offsets":[0,16384]}`, `"lm_head.weight":[]`), "", []string{"lm_head.weight", "want an object"}},
		{"many tensors of no data", withHeader(func(_ testing.TB, header []byte) []byte {
			var b bytes.Buffer
			b.WriteString(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}`)
			for i := range 50_000 {
				fmt.Fprintf(&b, `,"%d":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}`, i)
			}
			b.WriteByte('}')
			return b.Bytes()
		}), "", []string{`"a"`, "data_offsets"}},
		{"many members of a tensor", withInfo(offsets, `"data_offsets":[1,0]`+strings.Repeat(`,"":0`, 200_000)), "", []string{firstQuery, `"" appears twice`}},
		{"a shape of a million sizes", withInfo(`[32,32]`, "["+strings.Repeat("1,", 1_000_000)+"1024]"), "", []string{firstQuery, "shape: more than 64 numbers"}},

		{"dtype unknown", withInfo(`"F32"`, `"F33"`), "", []string{firstQuery, `dtype: "F33" is unknown`}},
		{"dtype: is missing", withInfo(`"dtype":"F32",`, ``), "", []string{firstQuery, "dtype: is missing"}},
		{"dtype a number", withInfo(`"F32"`, `32`), "", []string{firstQuery, "dtype"}},
		{"dtype twice", withInfo(`"dtype":"F32"`, `"dtype":"F32","dtype":"F16"`), "", []string{firstQuery, `"dtype" appears twice`}},
		{"dtype of another size", withInfo(`"F32"`, `"F16"`), "", []string{firstQuery, "data_offsets", "F16", "2048"}},
		{"dtype that is no weight", withInfo(`"F32"`, `"I32"`), "", []string{firstQuery, "I32", "not supported"}},
		{"dtype of 8 bits", withInfo(`"F32","shape":[32,32]`, `"F8_E4M3","shape":[128,32]`), "", []string{firstQuery, "F8_E4M3", "not supported"}},
		{"shape: is missing", withInfo(`"shape":[32,32],`, ``), "", []string{firstQuery, "shape: is missing"}},
		{"shape a string", withInfo(`[32,32]`, `"32x32"`), "", []string{firstQuery, "shape"}},
		{"shape negative", withInfo(`[32,32]`, `[32,-32]`), "", []string{firstQuery, "shape", "-32"}},
		{"shape of fractions", withInfo(`[32,32]`, `[32,32.0]`), "", []string{firstQuery, "shape", "32.0"}},
		{"shape nested", withInfo(`[32,32]`, `[[32,32]]`), "", []string{firstQuery, "shape"}},
		{"shape 2^64", withInfo(`[32,32]`, `[18446744073709551616]`), "", []string{firstQuery, "shape"}},
		{"shape of which the product overflows", withInfo(`[32,32]`, `[4294967296,4294967296]`), "", []string{firstQuery, "shape", "overflows"}},
		{"shape of which the product overflows to 1024", withInfo(`[32,32]`, `[9223372036854775809,2,512]`), "", []string{firstQuery, "shape"}},
		{"shape of which zero hides an overflow", withInfo(`[32,32]`, `[0,4294967296,4294967296]`), "", []string{firstQuery, "shape"}},
		{"shape of another model", withInfo(`[32,32]`, `[16,64]`), "model.safetensors", []string{firstQuery, "[16 64]", "[32 32]"}},
		{"shape of one dimension", withInfo(`[32,32]`, `[1024]`), "model.safetensors", []string{firstQuery, "[1024]", "[32 32]"}},
		{"offsets missing", withInfo(`,`+offsets, ``), "", []string{firstQuery, "data_offsets: is missing"}},
		{"offsets of one number", withInfo(offsets, `"data_offsets":[60672]`), "", []string{firstQuery, "data_offsets: 1 numbers"}},
		{"offsets negative", withInfo(offsets, `"data_offsets":[-1,4095]`), "", []string{firstQuery, "data_offsets", "-1"}},
		{"offsets the other way round", withInfo(offsets, `"data_offsets":[64768,60672]`), "", []string{firstQuery, "data_offsets", "after"}},
		{"offsets past the end", withInfo(offsets, `"data_offsets":[1000000,1004096]`), "", []string{firstQuery, "data_offsets", "past the end"}},
		{"offsets 2^64-1", withInfo(offsets, `"data_offsets":[18446744073709551614,18446744073709551615]`), "", []string{firstQuery, "data_offsets", "past the end"}},
		{"offsets overlap", withInfo(offsets, `"data_offsets":[60668,64764]`), "", []string{firstQuery, "data_offsets", "inside"}},
		{"offsets of another tensor", withInfo(offsets, `"data_offsets":[56576,60672]`), "", []string{"data_offsets", "inside", "self_attn"}},
		{"offsets leave a hole", withHeader(func(t testing.TB, header []byte) []byte {
			return replaced(t, header, `,"`+firstQuery+`":{"dtype":"F32","shape":[32,32],`+offsets+`}`, ``)
		}), "", []string{"data_offsets", "from 60672 belong to no tensor"}},
		{"bytes behind the data", withFile(func(data []byte) []byte { return append(data, 0) }), "", []string{"data", "last 1 of"}},

		{"tensor missing", replace(`"`+firstQuery, `"x`), "/001", []string{firstQuery, "not found"}},
		{"head missing", replace(`"lm_head`, `"head`), "/001", []string{"lm_head.weight", "not found"}},
		{"bias that the configuration has not", func(t testing.TB, dir string) string {
			path := replace(`"lm_head.weight`, `"model.layers.0.mlp.up_proj.bias`)(t, dir)
			config := replaced(t, variant(t, "f32")["config.json"], `"tie_word_embeddings": false`, `"tie_word_embeddings": true`)
			return files{"config.json": config}.write(t, path)
		}, "/001", []string{"model.layers.0.mlp.up_proj.bias", "no such bias"}},
	}
	for i := range cases {
		if cases[i].file == "" {
			cases[i].file = "model.safetensors"
		}
		cases[i].name = "safetensors: " + cases[i].name
	}
	return cases
}

// TestOpenTruncatedSafetensors cuts the file at every byte of its header and at every boundary of a tensor.
func TestOpenTruncatedSafetensors(t *testing.T) {
	f := variant(t, "f32")
	data := f["model.safetensors"]
	n := int(binary.LittleEndian.Uint64(data))
	var header map[string]struct {
		Offsets []int `json:"data_offsets"`
	}
	if err := json.Unmarshal(data[8:8+n], &header); err != nil {
		t.Fatal(err)
	}
	var cuts []int
	for i := range 8 + n {
		cuts = append(cuts, i)
	}
	for _, tensor := range header {
		for _, end := range tensor.Offsets {
			cuts = append(cuts, 8+n+end-1, 8+n+end, 8+n+end+1)
		}
	}
	cuts = slices.DeleteFunc(cuts, func(cut int) bool { return cut >= len(data) })
	if len(cuts) < n+2*len(header) {
		t.Fatalf("%d cuts for %d tensors", len(cuts), len(header))
	}
	slices.Sort(cuts)
	dir := f.write(t, t.TempDir())
	for _, cut := range slices.Backward(cuts) {
		if err := os.Truncate(filepath.Join(dir, "model.safetensors"), int64(cut)); err != nil {
			t.Fatal(err)
		}
		_, err := llama.Open(dir, llama.Options{})
		wantError(t, err, "model.safetensors")
		if t.Failed() {
			t.Fatalf("cut after %d of %d bytes", cut, len(data))
		}
	}
}

// Indexes.

const (
	indexName  = "model.safetensors.index.json"
	firstShard = "model-00001-of-00004.safetensors"
)

func brokenIndexes() []broken {
	index := func(edit func(t testing.TB, index []byte) []byte) func(testing.TB, string) string {
		return func(t testing.TB, dir string) string {
			f := variant(t, "sharded")
			f[indexName] = edit(t, f[indexName])
			return f.write(t, dir)
		}
	}
	text := func(text string) func(testing.TB, string) string {
		return index(func(testing.TB, []byte) []byte { return []byte(text) })
	}
	const embedding = `"model.embed_tokens.weight": `
	shard := func(value string) func(testing.TB, string) string {
		return index(func(t testing.TB, index []byte) []byte {
			return replaced(t, index, embedding+`"`+firstShard+`"`, embedding+value)
		})
	}
	cases := []broken{
		{"empty", text(""), indexName, []string{"JSON"}},
		{"not JSON", text("weight_map"), indexName, []string{"JSON"}},
		{"a list", text("[]"), indexName, []string{"want an object"}},
		{"not UTF-8", text("{\"\xff\":0}"), indexName, []string{"UTF-8"}},
		{"without weight_map", text(`{"metadata": {}}`), indexName, []string{"weight_map: is missing"}},
		{"weight_map twice", text(`{"weight_map": {}, "weight_map": {}}`), indexName, []string{`"weight_map" appears twice`}},
		{"weight_map empty", text(`{"weight_map": {}}`), indexName, []string{"weight_map: is empty"}},
		{"weight_map a list", text(`{"weight_map": ["a"]}`), indexName, []string{"weight_map", "want an object"}},
		{"weight_map null", text(`{"weight_map": null}`), indexName, []string{"weight_map", "want an object"}},
		{"tensor twice", shard(`"` + firstShard + `",` + embedding + `"model-00002-of-00004.safetensors"`), indexName, []string{"weight_map", `"model.embed_tokens.weight" appears twice`}},
		{"shard a number", shard("1"), indexName, []string{"weight_map", "model.embed_tokens.weight", "want a string, got 1"}},
		{"shard without a name", shard(`""`), indexName, []string{"weight_map", "model.embed_tokens.weight", `""`}},
		{"shard outside", shard(`"../` + firstShard + `"`), indexName, []string{"weight_map", "model.embed_tokens.weight", `"../`, "in the directory"}},
		{"shard outside by a detour", shard(`"a/../../` + firstShard + `"`), indexName, []string{"weight_map", `"a/../../`, "in the directory"}},
		{"shard inside by a detour", shard(`"a/../` + firstShard + `"`), indexName, []string{"weight_map", `"a/../`, "in the directory"}},
		{"shard outside, escaped", shard(`"\u002e\u002e/x"`), indexName, []string{"weight_map", `"../x"`, "in the directory"}},
		{"shard of an absolute path", shard(`"/etc/passwd"`), indexName, []string{"weight_map", `"/etc/passwd"`, "in the directory"}},
		{"shard the directory itself", shard(`"."`), indexName, []string{"weight_map", `"."`}},
		{"shard of a name of two lines", shard(`"a\nb"`), indexName, []string{"weight_map", `"a\nb"`}},
		{"shard of a name of 100 KB", shard(`"` + strings.Repeat("x", 100_000) + `"`), indexName, []string{"weight_map", `"xxx`, "100000 bytes"}},
		{"shard missing", shard(`"model-00009.safetensors"`), "model-00009.safetensors", []string{indexName, "weight_map", "no such file"}},
		{"shard that is another file", shard(`"config.json"`), "config.json", []string{"header length"}},
		{"tensor in another shard", shard(`"model-00002-of-00004.safetensors"`), indexName, []string{"weight_map", "model.embed_tokens.weight", "is not in", "model-00002"}},
		{"tensor in two shards", func(t testing.TB, dir string) string {
			f := variant(t, "sharded")
			f["copy.safetensors"] = f[firstShard]
			f[indexName] = replaced(t, f[indexName], embedding+`"`+firstShard+`"`, embedding+`"copy.safetensors"`)
			return f.write(t, dir)
		}, firstShard, []string{"tensor", "is in", "copy.safetensors"}},
		{"tensor in no shard", index(func(t testing.TB, index []byte) []byte {
			return replaced(t, index, embedding, `"model.other.weight": "`+firstShard+`", `+embedding)
		}), indexName, []string{"weight_map", "model.other.weight", "is not in", firstShard}},
		{"shard truncated", func(t testing.TB, dir string) string {
			f := variant(t, "sharded")
			f[firstShard] = f[firstShard][:len(f[firstShard])-1]
			return f.write(t, dir)
		}, firstShard, []string{"data_offsets", "past the end"}},
		{"of thirty thousand tensors", index(func(t testing.TB, index []byte) []byte {
			var b bytes.Buffer
			for i := range 30_000 {
				fmt.Fprintf(&b, `"%d":"%s",`, i, firstShard)
			}
			return replaced(t, index, embedding, b.String()+embedding)
		}), indexName, []string{"weight_map", "is not in", firstShard}},
		{"of thirty thousand shards", index(func(t testing.TB, index []byte) []byte {
			var b bytes.Buffer
			for i := range 30_000 {
				fmt.Fprintf(&b, `"%d":"%d",`, i, i)
			}
			return replaced(t, index, embedding, b.String()+embedding)
		}), indexName, []string{"weight_map", "no such file"}},
	}
	for i := range cases {
		cases[i].name = "index: " + cases[i].name
	}
	return cases
}

// Configurations.

func brokenConfigs() []broken {
	const configName = "config.json"
	text := func(edit func(t testing.TB, config []byte) []byte) func(testing.TB, string) string {
		return func(t testing.TB, dir string) string {
			f := variant(t, "f32")
			f[configName] = edit(t, f[configName])
			return f.write(t, dir)
		}
	}
	replace := func(old, new string) func(testing.TB, string) string {
		return text(func(t testing.TB, config []byte) []byte { return replaced(t, config, old, new) })
	}
	hidden := func(value string) func(testing.TB, string) string {
		return replace(`"hidden_size": 32`, `"hidden_size": `+value)
	}
	scaling := func(value string) func(testing.TB, string) string {
		return replace(`"rope_type": "default"`, value)
	}
	cases := []broken{
		{"empty", text(func(testing.TB, []byte) []byte { return nil }), "", []string{"not JSON", "unexpected end"}},
		{"cut in half", text(func(_ testing.TB, config []byte) []byte { return config[:len(config)/2] }), "", []string{"unexpected end"}},
		{"a list", text(func(testing.TB, []byte) []byte { return []byte("[{}]") }), "", []string{"want an object"}},
		{"not UTF-8", replace(`"llama"`, "\"ll\xffama\""), "", []string{"model_type"}},
		{"a string of 100 KB", text(func(testing.TB, []byte) []byte { return []byte(`"` + strings.Repeat("x", 100_000) + `"`) }), "", []string{"want an object"}},
		{"100,000 deep", replace(`"use_cache": true`, `"use_cache": `+strings.Repeat("[", 100_000)), "", []string{"use_cache"}},
		{"no model_type", replace(`"model_type": "llama",`, ``), "", []string{"model_type is missing"}},
		{"mamba", replace(`"llama"`, `"mamba"`), "", []string{`model_type "mamba" is not supported`}},
		{"a model_type of 100 KB", replace(`"llama"`, `"`+strings.Repeat("llama", 20_000)+`"`), "", []string{`model_type "llamallama`}},
		{"a model_type of two lines", replace(`"llama"`, `"llama\nllama"`), "", []string{`model_type "llama\nllama"`}},
		{"a key of two lines twice", replace(`"use_cache": true`, `"a\nb": 1, "a\nb": 2`), "", []string{`"a\nb" appears twice`}},
		{"quantised", replace(`"use_cache": true`, `"quantization_config": {"quant_method": "awq"}`), "", []string{"quantization_config", "awq"}},
		{"hidden_size twice", hidden(`32, "hidden_size": 64`), "", []string{`"hidden_size" appears twice`}},
		{"hidden_size a string", hidden(`"32"`), "", []string{`hidden_size: want an integer, got "32"`}},
		{"hidden_size null in a list", hidden(`[null]`), "", []string{`hidden_size: want an integer, got [null]`}},
		{"hidden_size an object of lines", hidden("{\n\"a\":\n1}"), "", []string{`hidden_size: want an integer, got { "a": 1}`}},
		{"hidden_size NaN", hidden(`NaN`), "", []string{"hidden_size"}},
		{"hidden_size 1e3", hidden(`1e3`), "", []string{"hidden_size: want an integer, got 1e3"}},
		{"hidden_size negative", hidden(`-32`), "", []string{"hidden_size -32"}},
		{"hidden_size 2^22", hidden(`4194304`), "model.safetensors", []string{"model.embed_tokens.weight", "[128 4194304]"}},
		{"hidden_size 2^22+1", hidden(`4194305`), "", []string{"hidden_size 4194305 is not between 1 and 4194304"}},
		{"hidden_size 2^63", hidden(`9223372036854775808`), "", []string{"hidden_size: want an integer, got 9223372036854775808"}},
		{"hidden_size refers to itself", hidden(`{"$ref": "#/hidden_size"}`), "", []string{"hidden_size", "an integer"}},
		{"no heads", replace(`"num_attention_heads": 4`, `"num_attention_heads": 0`), "", []string{"num_attention_heads 0"}},
		{"key heads that do not divide", replace(`"num_key_value_heads": 2`, `"num_key_value_heads": 3`), "", []string{"num_key_value_heads 3", "num_attention_heads 4"}},
		{"odd heads", replace(`"head_dim": 8`, `"head_dim": 7`), "", []string{"head_dim 7 is odd"}},
		{"2^60 layers", replace(`"num_hidden_layers": 2`, `"num_hidden_layers": 1152921504606846976`), "", []string{"num_hidden_layers 1152921504606846976"}},
		{"4096 layers", replace(`"num_hidden_layers": 2`, `"num_hidden_layers": 4096`), "/001", []string{"model.layers.2.input_layernorm.weight", "not found"}},
		{"2^26 tokens", replace(`"vocab_size": 128`, `"vocab_size": 67108864`), "model.safetensors", []string{"model.embed_tokens.weight", "[67108864 32]"}},
		{"context 2^40", replace(`"max_position_embeddings": 128`, `"max_position_embeddings": 1099511627776`), "", []string{"max_position_embeddings 1099511627776"}},
		{"eps NaN", replace(`1e-05`, `NaN`), "", []string{"rms_norm_eps"}},
		{"eps negative", replace(`1e-05`, `-1e-05`), "", []string{"rms_norm_eps -1e-05"}},
		{"eps infinite", replace(`1e-05`, `1e999`), "", []string{"rms_norm_eps"}},
		{"activation unknown", replace(`"silu"`, `"mish"`), "", []string{`hidden_act: "mish"`}},
		{"tied a number", replace(`"tie_word_embeddings": false`, `"tie_word_embeddings": 0`), "", []string{"tie_word_embeddings: want true or false, got 0"}},
		{"biases that are not there", replace(`"attention_bias": false`, `"attention_bias": true`), "/001", []string{"self_attn.q_proj.bias", "not found"}},
		{"end token outside", replace(`"eos_token_id": 1`, `"eos_token_id": [1, 128]`), "", []string{"eos_token_id 128"}},
		{"start token negative", replace(`"bos_token_id": 0`, `"bos_token_id": -2`), "", []string{"bos_token_id -2"}},
		{"theta zero", replace(`10000.0`, `0`), "", []string{"rope_theta 0 is not a positive number"}},
		{"theta 1e-400", replace(`10000.0`, `1e-400`), "", []string{"rope_theta"}},
		{"scaling a list", replace("\"rope_parameters\": {", `"rope_scaling": [1], "rope_parameters": {`), "", []string{"rope_scaling"}},
		{"scaling unknown", scaling(`"rope_type": "yarn", "factor": 2`), "", []string{`rope_parameters.rope_type: "yarn" is not supported`}},
		{"scaling of itself", scaling(`"rope_type": {"rope_type": "linear"}`), "", []string{"rope_parameters.rope_type"}},
		{"scaling without factor", scaling(`"rope_type": "linear"`), "", []string{"rope_parameters.factor: is missing"}},
		{"scaling by 0", scaling(`"rope_type": "linear", "factor": 0`), "", []string{"rope_parameters.factor: 0 is not a positive number"}},
		{"scaling by 1e999", scaling(`"rope_type": "dynamic", "factor": 1e999`), "", []string{"rope_parameters.factor"}},
		{"llama3 without bands", scaling(`"rope_type": "llama3", "factor": 8`), "", []string{"rope_parameters.low_freq_factor: is missing"}},
		{"llama3 of bands the other way round", scaling(`"rope_type": "llama3", "factor": 8, "low_freq_factor": 4, "high_freq_factor": 1`), "", []string{"rope", "between frequency factors 4 and 1"}},
	}
	for text, want := range map[string]string{
		`[]`:                        "want an object",
		`{"eos_token_id": [1`:       "eos_token_id",
		`{"eos_token_id": 128}`:     "eos_token_id 128 is not in a vocabulary of 128",
		`{"eos_token_id": [1, -1]}`: "eos_token_id -1",
		`{"eos_token_id": "</s>"}`:  "eos_token_id",
	} {
		const name = "generation_config.json"
		cases = append(cases, broken{"generation " + text, func(t testing.TB, dir string) string {
			f := variant(t, "f32")
			f[name] = []byte(text)
			return f.write(t, dir)
		}, name, []string{want}})
	}
	for i := range cases {
		if cases[i].file == "" {
			cases[i].file = configName
		}
		cases[i].name = "config: " + cases[i].name
	}
	return cases
}

// GGUF.

func brokenGGUF() []broken {
	whole := func(t testing.TB, w *gguf) []byte {
		return convert(t, filepath.Join(variants, "rope-llama3"), w)
	}
	written := func(w gguf) func(testing.TB, string) string {
		return func(t testing.TB, dir string) string {
			return files{"model.gguf": whole(t, &w)}.write(t, dir) + "/model.gguf"
		}
	}
	file := func(edit func(t testing.TB, data []byte) []byte) func(testing.TB, string) string {
		return func(t testing.TB, dir string) string {
			return files{"model.gguf": edit(t, whole(t, new(gguf)))}.write(t, dir) + "/model.gguf"
		}
	}
	// put overwrites what lies some bytes behind a name, or behind the start of the file if the name is empty.
	put := func(name string, behind int, value any) func(testing.TB, string) string {
		return file(func(t testing.TB, data []byte) []byte {
			at := 0
			if name != "" {
				at = bytes.Index(data, append(binary.LittleEndian.AppendUint64(nil, uint64(len(name))), name...))
				if at < 0 {
					t.Fatalf("there is no %s", name)
				}
				at += 8 + len(name)
			}
			if _, err := binary.Encode(data[at+behind:], binary.LittleEndian, value); err != nil {
				t.Fatal(err)
			}
			return data
		})
	}
	set := func(key string, value any) func(testing.TB, string) string {
		return written(gguf{change: object{key: value}})
	}
	with := func(key string, value any) func(testing.TB, string) string {
		w := gguf{}
		w.set(key, value)
		return written(w)
	}
	without := func(name string) func(testing.TB, string) string {
		return written(gguf{skip: map[string]bool{name: true}})
	}
	const (
		query        = "blk.0.attn_q.weight"
		architecture = "general.architecture"
		huge         = uint64(1 << 60)

		// Behind the name of a tensor of two dimensions.
		dimensions, inner, outer, kind, offset = 0, 4, 12, 20, 24
	)
	var cases []broken
	for _, c := range []struct {
		name string
		make func(testing.TB, string) string
		want []string
	}{
		{"magic", put("", 0, uint32(0x46554748)), []string{"magic"}},
		{"version 0", put("", 4, uint32(0)), []string{"version 0 is not supported"}},
		{"version 1", put("", 4, uint32(1)), []string{"version 1 is not supported"}},
		{"version 2^32-1", put("", 4, uint32(math.MaxUint32)), []string{"version 4294967295 is not supported"}},
		{"big-endian", put("", 4, uint32(0x01000000)), []string{"version", "big-endian"}},
		{"2^60 tensors", put("", 8, huge), []string{"number of tensors: 1152921504606846976"}},
		{"2^60 key/values", put("", 16, huge), []string{"number of key/values: 1152921504606846976"}},
		{"a tensor too many", file(func(_ testing.TB, data []byte) []byte { data[8]++; return data }), []string{"tensor"}},
		{"a key too many", file(func(_ testing.TB, data []byte) []byte { data[16]++; return data }), []string{"name of tensor 0"}},
		{"a key too few", file(func(_ testing.TB, data []byte) []byte { data[16]--; return data }), []string{"tensor"}},
		{"key of 2^60 bytes", put("", 24, huge), []string{"key 0 of", "1152921504606846976 bytes"}},
		{"key of 2^64-1 bytes", put("", 24, uint64(math.MaxUint64)), []string{"key 0 of", "18446744073709551615 bytes"}},
		{"key without a name", put("", 24, uint64(0)), []string{"key 0 of", "is empty"}},
		{"key twice", with("llama.block_count", 2), []string{`key "llama.block_count" appears twice`}},
		{"string of 2^60 bytes", put(architecture, 4, huge), []string{architecture, "1152921504606846976 bytes"}},
		{"string of 2^63 bytes", put(architecture, 4, uint64(1<<63)), []string{architecture, "9223372036854775808 bytes"}},
		{"value of an unknown type", put(architecture, 0, uint32(13)), []string{architecture, "type of value 13 is unknown"}},
		{"value of type 2^32-1", put(architecture, 0, uint32(math.MaxUint32)), []string{architecture, "type of value"}},
		{"array of an unknown type", put(architecture, 0, []uint32{9, 99}), []string{architecture, "type of value 99 is unknown"}},
		{"array of arrays", put(architecture, 0, []uint32{9, 9}), []string{architecture, "array of arrays"}},
		{"bool that is 5", put(architecture, 0, uint32(7)), []string{architecture, "bool is 5"}},

		{"another architecture", set(architecture, "mamba"), []string{architecture, `"mamba" is not supported`}},
		{"architecture a number", set(architecture, 7), []string{architecture, "u32, want string"}},
		{"architecture of 100 KB", set(architecture, strings.Repeat("llama", 20_000)), []string{architecture, `"llamallama`}},
		{"no architecture", without(architecture), []string{architecture}},
		{"no layers", without("llama.block_count"), []string{"llama.block_count is missing"}},
		{"no width", without("llama.embedding_length"), []string{"llama.embedding_length is missing"}},
		{"no neurons", without("llama.feed_forward_length"), []string{"llama.feed_forward_length is missing"}},
		{"2^60 layers", set("llama.block_count", huge), []string{"llama.block_count 1152921504606846976 is over"}},
		{"layers a string", set("llama.block_count", "two"), []string{"llama.block_count has type string, want integer"}},
		{"layers negative", set("llama.block_count", int32(-2)), []string{"llama.block_count is -2"}},
		{"no heads", set("llama.attention.head_count", 0), []string{"llama.attention.head_count 0"}},
		{"key heads that do not divide", set("llama.attention.head_count_kv", 3), []string{"llama.attention.head_count_kv 3", "llama.attention.head_count 2"}},
		{"key heads of each layer", set("llama.attention.head_count_kv", []int32{2, 2}), []string{"llama.attention.head_count_kv", "array of i32, want integer"}},
		{"eps NaN", set("llama.attention.layer_norm_rms_epsilon", float32(math.NaN())), []string{"llama.attention.layer_norm_rms_epsilon NaN"}},
		{"theta infinite", set("llama.rope.freq_base", float32(math.Inf(1))), []string{"llama.rope.freq_base +Inf"}},
		{"theta an integer", set("llama.rope.freq_base", 10000), []string{"llama.rope.freq_base has type u32, want float"}},
		{"rotation of 5", set("llama.rope.dimension_count", 5), []string{"llama.rope.dimension_count 5"}},
		{"heads of two lengths", with("llama.attention.value_length", 24), []string{"llama.attention.value_length 24"}},
		{"experts", with("llama.expert_count", 8), []string{"llama.expert_count 8"}},
		{"one of several files", with("split.count", 3), []string{"split.count", "3 files"}},
		{"alignment 0", with("general.alignment", 0), []string{"general.alignment is 0"}},
		{"alignment 2^31", with("general.alignment", 1<<31), []string{"general.alignment is 2147483648"}},
		{"end token outside", set("tokenizer.ggml.eos_token_id", 128), []string{"tokenizer.ggml.eos_token_id 128"}},
		{"start token 2^60", set("tokenizer.ggml.bos_token_id", huge), []string{"tokenizer.ggml.bos_token_id 1152921504606846976"}},

		{"tensor without a name", file(func(t testing.TB, data []byte) []byte {
			i := bytes.Index(data, append(binary.LittleEndian.AppendUint64(nil, 17), "rope_freqs.weight"...))
			binary.LittleEndian.PutUint64(data[i:], 0)
			return data
		}), []string{"name of tensor 0 of", "is empty"}},
		{"tensor twice", file(func(t testing.TB, data []byte) []byte {
			return replaced(t, data, "blk.0.attn_k.weight", query)
		}), []string{query, "appears twice"}},
		{"tensor of no dimension", put(query, dimensions, uint32(0)), []string{query, "number of dimensions is 0"}},
		{"tensor of 2^32-1 dimensions", put(query, dimensions, uint32(math.MaxUint32)), []string{query, "number of dimensions is 4294967295"}},
		{"tensor of size 0", put(query, inner, uint64(0)), []string{query, "size of dimension 0 is 0"}},
		{"tensor of size 2^60", put(query, outer, huge), []string{query, "shape"}},
		{"tensor of which the size overflows", put(query, inner, []uint64{1 << 33, 1 << 33}), []string{query, "shape", "overflows"}},
		{"tensor of another model", put(query, inner, []uint64{16, 64}), []string{query, "[64 16]", "[32 32]"}},
		{"tensor of an unknown type", put(query, kind, uint32(99)), []string{query, "99", "not supported"}},
		{"tensor of a removed type", put(query, kind, uint32(4)), []string{query, "Q4_2 (removed)", "not supported"}},
		{"tensor of integers", put(query, kind, uint32(26)), []string{query, "I32", "not supported"}},
		{"tensor of rows that are no blocks", put("blk.0.ffn_down.weight", kind, uint32(2)), []string{"blk.0.ffn_down.weight", "rows of 56", "Q4_0"}},
		{"tensor at an offset that is not aligned", put(query, offset, uint64(33)), []string{query, "offset 33", "general.alignment"}},
		{"tensor past the end", put(query, offset, uint64(1<<20)), []string{query, "past the end"}},
		{"tensor at 2^64-32", put(query, offset, uint64(math.MaxUint64-31)), []string{query, "past the end"}},
		{"tensor of which the end overflows", file(func(t testing.TB, data []byte) []byte {
			at := bytes.Index(data, []byte(query)) + len(query)
			for i, v := range []uint64{2, 1<<61 - 2} {
				binary.LittleEndian.PutUint64(data[at+inner+8*i:], v)
			}
			binary.LittleEndian.PutUint64(data[at+offset:], 32)
			return data
		}), []string{query, "18446744073709551600 bytes at offset 32 are past the end"}},
		{"tensor over another", put(query, offset, uint64(32)), []string{"offset", "inside tensor"}},
		{"no embedding", without("token_embd.weight"), []string{"token_embd.weight", "not found"}},
		{"no gate", without("blk.1.ffn_gate.weight"), []string{"blk.1.ffn_gate.weight", "not found"}},
		{"norm of 31", written(gguf{omitRows: map[string]int{"blk.0.ffn_norm.weight": 1}}), []string{"blk.0.ffn_norm.weight", "[31]", "[32]"}},
		{"rotary factors of another length", written(gguf{omitRows: map[string]int{"rope_freqs.weight": 1}}), []string{"rope_freqs.weight", "[7]", "[8]"}},
		{"rotary factor NaN", func(t testing.TB, dir string) string {
			w := gguf{}
			w.tensor("rope_freqs.weight", []int{4}, []float32{1, 1, float32(math.NaN()), 1})
			data := convert(t, filepath.Join(variants, "f32"), &w)
			return files{"model.gguf": data}.write(t, dir) + "/model.gguf"
		}, []string{"rope_freqs.weight", "factor 2 is NaN"}},
		{"biases of some projections", file(func(t testing.TB, data []byte) []byte {
			return replaced(t, data, "rope_freqs.weight", "blk.0.attn_k.bias")
		}), []string{"blk.0.attn_k.bias", "no such bias"}},
		{"50,000 key/values", func(t testing.TB, dir string) string {
			w := gguf{}
			for i := range 50_000 {
				w.set(fmt.Sprint(i), 0)
			}
			w.set("0", 0)
			return files{"model.gguf": whole(t, &w)}.write(t, dir) + "/model.gguf"
		}, []string{`key "0" appears twice`}},
		{"30,000 tensors", func(t testing.TB, dir string) string {
			w := gguf{}
			for i := range 30_000 {
				w.tensor(fmt.Sprint(i), []int{1}, nil)
			}
			return files{"model.gguf": whole(t, &w)}.write(t, dir) + "/model.gguf"
		}, []string{"offset 0", "tensor"}},
	} {
		cases = append(cases, broken{"gguf: " + c.name, c.make, "model.gguf", c.want})
	}
	return cases
}

// TestOpenTruncatedGGUF cuts the file at every byte before the data and at every multiple of the alignment within.
func TestOpenTruncatedGGUF(t *testing.T) {
	data := convert(t, filepath.Join(variants, "rope-llama3"), new(gguf))
	path := filepath.Join(t.TempDir(), "model.gguf")
	infos := bytes.LastIndex(data, []byte("output_norm.weight")) + 18 + 4 + 8 + 4 + 8
	if infos > 4096 {
		t.Fatalf("the data begin after %d bytes", infos)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	for cut := len(data) - 1; cut >= 0; {
		if err := os.Truncate(path, int64(cut)); err != nil {
			t.Fatal(err)
		}
		_, err := llama.Open(path, llama.Options{})
		wantError(t, err, "model.gguf")
		if t.Failed() {
			t.Fatalf("cut after %d of %d bytes", cut, len(data))
		}
		if cut--; cut > infos {
			cut = max(cut-1023, infos)
		}
	}
}

// Tokenizers.

// sampleTokenizer is a small tokenizer.json that OpenTokenizer takes.
const sampleTokenizer = `{
  "version": "1.0",
  "added_tokens": [{"id": 4, "content": "<s>", "special": true}],
  "normalizer": {"type": "NFC"},
  "pre_tokenizer": {"type": "Split", "pattern": {"Regex": "\\p{N}"}, "behavior": "Isolated"},
  "post_processor": {"type": "ByteLevel"},
  "decoder": {"type": "ByteLevel"},
  "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2, "Ġ": 3}, "merges": ["a b"]}
}`

func brokenTokenizerJSON() []broken {
	const name = "tokenizer.json"
	text := func(text string) func(testing.TB, string) string {
		return func(t testing.TB, dir string) string { return files{name: []byte(text)}.write(t, dir) }
	}
	replace := func(old, new string) func(testing.TB, string) string {
		return func(t testing.TB, dir string) string {
			return files{name: replaced(t, []byte(sampleTokenizer), old, new)}.write(t, dir)
		}
	}
	long := strings.Repeat("x", 100_000)
	many := func(format string, n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, format, i+10)
		}
		return b.String()
	}
	cases := []broken{
		{"not there", func(t testing.TB, dir string) string { return variant(t, "f32").write(t, dir) }, "", []string{"no such file"}},
		{"a directory", func(t testing.TB, dir string) string {
			if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
				t.Fatal(err)
			}
			return dir
		}, "", []string{"not a regular file"}},
		{"opened by itself", func(t testing.TB, dir string) string { return text(sampleTokenizer)(t, dir) + "/" + name }, "", []string{"magic", "directory"}},
		{"empty", text(""), "", []string{"unexpected end"}},
		{"cut in half", text(sampleTokenizer[:len(sampleTokenizer)/2]), "", []string{"byte", "unexpected end"}},
		{"not UTF-8", replace(`"ab"`, "\"\xff\""), "", []string{"not UTF-8"}},
		{"100,000 deep", replace(`"1.0"`, strings.Repeat("[", 100_000)), "", []string{"byte", "depth"}},
		{"of itself", replace(`{"type": "NFC"}`, strings.Repeat(`{"type":"Sequence","normalizers":[`, 1000)+strings.Repeat(`]}`, 1000)), "", []string{"normalizer", "nested"}},
		{"version 2", replace(`"1.0"`, `"2.0"`), "", []string{`version "2.0"`}},
		{"version of 100 KB", replace(`"1.0"`, `"`+long+`"`), "", []string{`version "xxx`}},
		{"key of 100 KB twice", replace(`"version": "1.0"`, `"`+long+`": 1, "`+long+`": 2`), "", []string{`key "xxx`, "twice"}},
		{"model WordPiece", replace(`"BPE"`, `"WordPiece"`), "", []string{`model.type: "WordPiece" is not supported`}},
		{"model of 100 KB", replace(`"BPE"`, `"`+long+`"`), "", []string{`model.type: "xxx`}},
		{"id twice", replace(`"ab": 2`, `"ab": 1`), "", []string{"model.vocab", "id 1"}},
		{"id negative", replace(`"ab": 2`, `"ab": -1`), "", []string{"model.vocab.ab", "-1"}},
		{"id 2^60", replace(`"ab": 2`, `"ab": 1152921504606846976`), "", []string{"model.vocab.ab", "1152921504606846976"}},
		{"id of many digits", replace(`"ab": 2`, `"ab": `+strings.Repeat("1", 100_000)), "", []string{"model.vocab.ab", "token id 111"}},
		{"id of a token of 100 KB", replace(`"ab": 2`, `"`+long+`": -1`), "", []string{"model.vocab.xxx", "-1"}},
		{"id twice of tokens of 100 KB", replace(`"ab": 2`, `"ab": 2, "`+long+`": 0`), "", []string{"model.vocab", `"xxx`}},
		{"half a surrogate pair", replace(`"ab": 2`, `"\ud800`+long+`": 2`), "", []string{"model.vocab", "surrogate"}},
		{"no merges", replace(`, "merges": ["a b"]`, ``), "", []string{"model.merges: is missing"}},
		{"merge of one token", replace(`["a b"]`, `["a b", "ab"]`), "", []string{"model.merges[1]", `"ab"`}},
		{"merge of unknown tokens", replace(`["a b"]`, `["a c"]`), "", []string{"model.merges[0]", `"c"`}},
		{"merge of 100 KB", replace(`["a b"]`, `["a `+long+`"]`), "", []string{"model.merges[0]", `"xxx`}},
		{"merge line of 100 KB", replace(`["a b"]`, `["`+long+`"]`), "", []string{"model.merges[0]", `"xxx`}},
		{"unknown token not there", replace(`"type": "BPE"`, `"type": "BPE", "unk_token": "`+long+`"`), "", []string{"model.unk_token", `"xxx`}},
		{"added id taken", replace(`"id": 4`, `"id": 1`), "", []string{"added_tokens[0].id", "id 1"}},
		{"added id 2^60", replace(`"id": 4`, `"id": 1152921504606846976`), "", []string{"added_tokens[0].id", "1152921504606846976"}},
		{"added token twice", replace(`"special": true}`, `"special": true}, {"id": 4, "content": "<s>"}`), "", []string{"added_tokens[1]", `"<s>" is added twice`}},
		{"added tokens of 100 KB twice", replace(`"special": true}`, `"special": true}, {"id": 5, "content": "`+long+`"}, {"id": 5, "content": "`+long+`"}`), "", []string{"added_tokens[2]", "twice"}},
		{"30,000 added tokens", replace(`"added_tokens": [`, `"added_tokens": [`+many(`{"id":%[1]d,"content":"%[1]d"},`, 30_000)+`{},`), "", []string{"added_tokens[30000].content"}},
		{"100,000 tokens", replace(`"ab": 2`, many(`"%[1]d":%[1]d,`, 100_000)+`"ab": 2, "x": 2`), "", []string{"model.vocab", "id 2"}},
		{"100,000 merges", replace(`["a b"]`, `[`+strings.Repeat(`"a b",`, 100_000)+`"a"]`), "", []string{"model.merges[100000]"}},
		{"normalizer that doubles and doubles", replace(`{"type": "NFC"}`, `{"type": "Sequence", "normalizers": [`+strings.Repeat(`{"type": "Replace", "pattern": {"String": "a"}, "content": "aa"},`, 40)+`{"type": "NFC"}]}`), "", []string{"normalizer.normalizers[4].content", "16 times"}},
		{"normalizer that puts 100 KB before", replace(`{"type": "NFC"}`, `{"type": "Prepend", "prepend": "`+long+`"}`), "", []string{"normalizer.prepend", "16 times"}},
		{"pre-tokenizer that doubles and doubles", replace(`"pre_tokenizer": {`, `"pre_tokenizer": {"type": "Sequence", "pretokenizers": [`+strings.Repeat(`{"type": "ByteLevel"},`, 40)+`{"type": "ByteLevel"}]}, "x": {`), "", []string{"pre_tokenizer.pretokenizers[2]", "16 times"}},
		{"decoder that doubles and doubles", replace(`"decoder": {"type": "ByteLevel"}`, `"decoder": {"type": "Sequence", "decoders": [`+strings.Repeat(`{"type": "Replace", "pattern": {"String": "a"}, "content": "aa"},`, 40)+`{"type": "Fuse"}]}`), "", []string{"decoder.decoders[4].content", "16 times"}},
		{"template that repeats a long list", replace(`"post_processor": {"type": "ByteLevel"}`, `"post_processor": {"type": "TemplateProcessing", "special_tokens": {"a": {"ids": [0`+strings.Repeat(",0", 50)+`]}}, "single": [`+strings.Repeat(`{"SpecialToken": {"id": "a"}},`, 10_000)+`{"Sequence": {"id": "A"}}]}`), "", []string{"post_processor.single[1]", "more than 64 special tokens"}},
		{"normalizer unknown", replace(`"NFC"`, `"Lowercase"`), "", []string{`normalizer.type: "Lowercase"`}},
		{"pattern unknown", replace(`\\p{N}`, `(a+)+$`), "", []string{"pre_tokenizer.pattern.Regex", `"(a+)+$" is not known`}},
		{"pattern of 100 KB", replace(`\\p{N}`, long), "", []string{"pre_tokenizer.pattern.Regex", `"xxx`}},
		{"behaviour unknown", replace(`"Isolated"`, `"Removed"`), "", []string{`pre_tokenizer.behavior: "Removed"`}},
		{"post-processor unknown", replace(`"post_processor": {"type": "ByteLevel"}`, `"post_processor": {"type": "RobertaProcessing"}`), "", []string{`post_processor.type: "RobertaProcessing"`}},
		{"decoder unknown", replace(`"decoder": {"type": "ByteLevel"}`, `"decoder": {"type": "CTC"}`), "", []string{`decoder.type: "CTC"`}},
	}
	for i := range cases {
		cases[i].name, cases[i].file = "tokenizer.json: "+cases[i].name, name
	}
	return cases
}

// sampleVocabulary is a GGUF file of a small vocabulary that OpenTokenizer takes, with some values changed, or left out
// where they are nil.
func sampleVocabulary(changes object) []byte {
	w := gguf{change: changes, skip: map[string]bool{}}
	for key, value := range changes {
		w.skip[key] = value == nil
	}
	w.set("tokenizer.ggml.model", "llama")
	w.set("tokenizer.ggml.pre", "default")
	w.set("tokenizer.ggml.tokens", []string{"<s>", "a", "b", "ab", "<0x41>"})
	w.set("tokenizer.ggml.token_type", []int32{3, 1, 1, 1, 6})
	w.set("tokenizer.ggml.scores", []float32{0, -1, -2, -3, 0})
	w.set("tokenizer.ggml.bos_token_id", 0)
	w.set("tokenizer.ggml.merges", []string{"a b"})
	w.set("tokenizer.ggml.add_bos_token", true)
	return w.bytes()
}

func brokenVocabularies() []broken {
	vocabulary := func(changes object) func(testing.TB, string) string {
		return func(t testing.TB, dir string) string {
			return files{"model.gguf": sampleVocabulary(changes)}.write(t, dir) + "/model.gguf"
		}
	}
	const prefix = "tokenizer.ggml."
	set := func(key string, value any) func(testing.TB, string) string {
		return vocabulary(object{prefix + key: value})
	}
	gpt2 := func(key string, value any) func(testing.TB, string) string {
		return vocabulary(object{prefix + "model": "gpt2", prefix + "pre": "smollm", prefix + key: value})
	}
	tokens := make([]string, 100_000)
	for i := range tokens {
		tokens[i] = fmt.Sprint(i)
	}
	tokens[len(tokens)-1] = "0"
	cases := []broken{
		{"no model", set("model", nil), "", []string{"model"}},
		{"model unknown", set("model", "bert"), "", []string{"model", `"bert" is not supported`}},
		{"model a number", set("model", 3), "", []string{"model", "want string"}},
		{"model of 100 KB", set("model", strings.Repeat("x", 100_000)), "", []string{"model", `"xxx`}},
		{"pre unknown", gpt2("pre", "tekken"), "", []string{"pre", `"tekken" is not supported`}},
		{"no tokens", set("tokens", nil), "", []string{"tokens: is missing"}},
		{"tokens a string", set("tokens", "a b ab"), "", []string{"tokens", "want array of string"}},
		{"tokens of numbers", set("tokens", []int32{1, 2}), "", []string{"tokens", "want array of string"}},
		{"token twice", set("tokens", []string{"<s>", "a", "a", "ab", "<0x41>"}), "", []string{"tokens[2]", `"a"`}},
		{"token not UTF-8", set("tokens", []string{"<s>", "a", "\xff", "ab", "<0x41>"}), "", []string{"tokens[2]", "not UTF-8"}},
		{"token of 100 KB not UTF-8", set("tokens", []string{"<s>", "a", strings.Repeat("x", 100_000) + "\xff", "ab", "<0x41>"}), "", []string{"tokens[2]", "not UTF-8"}},
		{"a type missing", set("token_type", []int32{3, 1, 1, 1}), "", []string{"token_type", "4 types for 5 tokens"}},
		{"types of texts", set("token_type", []string{"control"}), "", []string{"token_type", "want array of integer"}},
		{"a byte that is none", set("tokens", []string{"<s>", "a", "b", "ab", "0x41"}), "", []string{"tokens[4]", "byte"}},
		{"no scores", set("scores", nil), "", []string{"scores"}},
		{"score NaN", set("scores", []float32{0, float32(math.NaN()), -2, -3, 0}), "", []string{"scores[1]"}},
		{"no merges", gpt2("merges", nil), "", []string{"merges: is missing"}},
		{"merge of one token", gpt2("merges", []string{"a b", "ab"}), "", []string{"merges[1]"}},
		{"merge of unknown tokens", gpt2("merges", []string{"a z"}), "", []string{"merges[0]", `"z"`}},
		{"start token outside", set("bos_token_id", 5), "", []string{"bos_token_id", "5"}},
		{"start token 2^60", set("bos_token_id", uint64(1<<60)), "", []string{"bos_token_id", "1152921504606846976"}},
		{"start token missing", set("bos_token_id", nil), "", []string{"bos_token_id: is missing"}},
		{"add_bos_token a number", set("add_bos_token", 1), "", []string{"add_bos_token", "want bool"}},
		{"100,000 tokens", set("tokens", tokens), "", []string{"token_type: 5 types for 100000 tokens"}},
		{"100,000 tokens, the last twice", vocabulary(object{prefix + "tokens": tokens, prefix + "token_type": nil}), "", []string{"tokens[99999]"}},
	}
	for i := range cases {
		cases[i].name, cases[i].file = "vocabulary: "+cases[i].name, "model.gguf"
		cases[i].want[0] = prefix + cases[i].want[0]
	}
	return cases
}

// TestBrokenSamplesAreOtherwiseSound opens what the cases are made from.
func TestBrokenSamplesAreOtherwiseSound(t *testing.T) {
	for _, name := range []string{"f32", "sharded", "rope-llama3"} {
		open(t, variant(t, name).write(t, t.TempDir()), llama.Options{})
	}
	dir := files{"tokenizer.json": []byte(sampleTokenizer)}.write(t, t.TempDir())
	if _, err := llama.OpenTokenizer(dir); err != nil {
		t.Error(err)
	}
	for _, changes := range []object{nil, {"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "smollm"}} {
		files{"model.gguf": sampleVocabulary(changes)}.write(t, dir)
		if _, err := llama.OpenTokenizer(filepath.Join(dir, "model.gguf")); err != nil {
			t.Error(err)
		}
	}
}
