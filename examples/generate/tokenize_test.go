package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/sparsegonia/sparsegonia/examples/internal/program"
)

func tokenized(t *testing.T, model string, texts []string) [][]int32 {
	t.Helper()
	data, err := json.Marshal(texts)
	if err != nil {
		t.Fatal(err)
	}
	r := call(string(data), "-model", model, "-tokenize", "-")
	var ids [][]int32
	if err := json.Unmarshal([]byte(r.stdout), &ids); err != nil || r.code != program.ExitOK || len(ids) != len(texts) {
		t.Fatalf("%+v: %v", r, err)
	}
	return ids
}

// The tokenizer alone suffices, and no special token is added.
func TestTokenize(t *testing.T) {
	dir := t.TempDir()
	data, err := os.ReadFile(references + "tinysilu/tokenizer.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "tokenizer.json"), data, 0o666); err != nil {
		t.Fatal(err)
	}
	g := readGolden(t, "tiny-silu")
	texts := []string{""}
	want := [][]int32{{}}
	for _, p := range g.Prompts {
		texts = append(texts, p.Text)
		want = append(want, p.IDs[1:]) // without BOS
	}
	for _, model := range []string{"tinysilu", dir} {
		got := tokenized(t, model, texts)
		if !slices.EqualFunc(got, want, slices.Equal) {
			t.Errorf("%s: %v\nwant %v", model, got, want)
		}
	}
	if r := call("[]", "-tokenize", "-"); r.stdout != "[]\n" {
		t.Errorf("no strings: %+v", r)
	}
	if r := call(`[""]`, "-tokenize", "-"); r.stdout != "[[]]\n" {
		t.Errorf("an empty string: %+v", r)
	}
}

func TestTokenizeSmolLM2(t *testing.T) {
	path := smolLM2(t)
	var texts []string
	var want [][]int32
	for _, p := range readGolden(t, "smollm2-135m").Prompts {
		texts = append(texts, p.Text)
		want = append(want, p.IDs)
	}
	if got := tokenized(t, path, texts); !slices.EqualFunc(got, want, slices.Equal) {
		t.Errorf("%v\nwant %v", got, want)
	}
}

func TestTokenizeFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "texts.json")
	if err := os.WriteFile(file, []byte(" [\"func\"] \n"), 0o666); err != nil {
		t.Fatal(err)
	}
	if got, want := succeed(t, "-tokenize", file), call(`["func"]`, "-tokenize", "-").stdout; got != want || len(got) < 6 {
		t.Errorf("%q from the file, %q from stdin", got, want)
	}
}

func TestTokenizeBadInput(t *testing.T) {
	for _, text := range []string{"", " ", "null", "3", `"a"`, "{}", "[", "[1]", `["a"`, `["a",]`, `["a", null]`, `["a"] ["b"]`, `["a"]]`, "['a']"} {
		wantFailure(t, call(text, "-tokenize", "-"), program.ExitFailure, "-tokenize -: ")
	}
	wantFailure(t, call("", "-tokenize", "no/such/file"), program.ExitFailure, "no/such/file")
	wantFailure(t, call("[]", "-tokenize", "-", "-model", "no/such/model"), program.ExitFailure, "no/such/model")
}
