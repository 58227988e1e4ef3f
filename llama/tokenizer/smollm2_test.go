package tokenizer

import (
	"bufio"
	"encoding/binary"
	"io"
	"os"
	"testing"
)

// TestSmolLM2 compares a real vocabulary with transformers. As transformers
// reads the file, it cuts as GPT-2 does; SmolLM2 was trained with digits cut
// first, which the file names "smollm".
func TestSmolLM2(t *testing.T) {
	const env = "SPARSEGONIA_SMOLLM2"
	path := os.Getenv(env)
	if path == "" {
		t.Skipf("%s does not name SmolLM2-135M-Instruct.Q4_1.gguf", env)
	}
	metadata := readGGUF(t, path)
	v := DefaultVocabulary(metadata["tokenizer.ggml.model"].(string), metadata["tokenizer.ggml.pre"].(string))
	if v.Model != "gpt2" || v.Pre != "smollm" {
		t.Fatalf("model %q, pre %q", v.Model, v.Pre)
	}
	for _, token := range metadata["tokenizer.ggml.tokens"].([]any) {
		v.Tokens = append(v.Tokens, token.(string))
	}
	for _, kind := range metadata["tokenizer.ggml.token_type"].([]any) {
		v.Types = append(v.Types, kind.(int32))
	}
	for _, line := range metadata["tokenizer.ggml.merges"].([]any) {
		v.Merges = append(v.Merges, line.(string))
	}
	v.BOS = int32(metadata["tokenizer.ggml.bos_token_id"].(uint32))

	var golden struct{ GPT2, SmolLM [][]int32 }
	readGolden(t, "smollm2-135m.golden.json.gz", &golden)
	texts := goldenStrings(t)
	for pre, want := range map[string][][]int32{"gpt-2": golden.GPT2, "smollm": golden.SmolLM} {
		v.Pre = pre
		tok, err := FromGGUF(path, v)
		if err != nil {
			t.Fatal(err)
		}
		for i, text := range texts {
			ids, err := tok.Encode(text) // the file asks for no BOS
			checkIDs(t, pre, text, ids, err, want[i])
		}
	}
}

// readGGUF returns the metadata of a GGUF file
// (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md) that is sound.
func readGGUF(t *testing.T, path string) map[string]any {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r := bufio.NewReader(f)
	read := func(v any) {
		if err := binary.Read(r, binary.LittleEndian, v); err != nil {
			t.Fatal(err)
		}
	}
	text := func() string {
		var n uint64
		read(&n)
		b := make([]byte, n)
		if _, err := io.ReadFull(r, b); err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	number := func() uint32 { var n uint32; read(&n); return n }
	var value func(kind uint32) any
	value = func(kind uint32) any {
		switch kind {
		case 4:
			return number()
		case 5:
			return int32(number())
		case 6:
			return number() // a float32; no test looks at one
		case 7:
			b, err := r.ReadByte()
			if err != nil {
				t.Fatal(err)
			}
			return b != 0
		case 8:
			return text()
		case 9:
			kind := number()
			var n uint64
			read(&n)
			list := make([]any, n)
			for i := range list {
				list[i] = value(kind)
			}
			return list
		}
		t.Fatalf("%s: metadata of type %d", path, kind)
		return nil
	}
	var header struct {
		Magic          [4]byte
		Version        uint32
		Tensors, Pairs uint64
	}
	read(&header)
	metadata := map[string]any{}
	for range header.Pairs {
		key := text()
		metadata[key] = value(number())
	}
	return metadata
}
