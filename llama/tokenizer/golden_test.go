package tokenizer

import (
	"compress/gzip"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// kinds are the tokenizers that testdata/tokenizer/make_goldens.py makes.
var kinds = []string{
	"llama3", "gpt2", "qwen2", "smollm2", "llama2-legacy", "llama2-metaspace",
	"metaspace-always", "metaspace-never", "bare", "flags",
}

// readTestdata returns a file of testdata/tokenizer, unzipped.
func readTestdata(t testing.TB, name string) []byte {
	t.Helper()
	f, err := os.Open(filepath.Join("..", "..", "testdata", "tokenizer", name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var r io.Reader = f
	if strings.HasSuffix(name, ".gz") {
		if r, err = gzip.NewReader(f); err != nil {
			t.Fatal(err)
		}
	}
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func readGolden(t testing.TB, name string, v any) {
	t.Helper()
	if err := json.Unmarshal(readTestdata(t, name), v); err != nil {
		t.Fatal(name, err)
	}
}

func goldenStrings(t testing.TB) []string {
	t.Helper()
	var s []string
	readGolden(t, "strings.json", &s)
	if len(s) < 300 {
		t.Fatalf("%d strings", len(s))
	}
	return s
}

func open(t testing.TB, kind string) *Tokenizer {
	t.Helper()
	tok, err := Parse(kind, readTestdata(t, kind+".tokenizer.json.gz"))
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// short quotes the start of a text.
func short(s string) string {
	if len(s) > 60 {
		s = s[:60]
	}
	return s
}

func checkIDs(t *testing.T, what, text string, got []int32, err error, want []int32) {
	t.Helper()
	if err != nil {
		t.Errorf("%s %q: %v", what, short(text), err)
	} else if !slices.Equal(got, want) {
		t.Errorf("%s %q:\ngot  %v\nwant %v", what, short(text), got[:min(40, len(got))], want[:min(40, len(want))])
	}
}

func checkText(t *testing.T, what string, ids []int32, got string, err error, want string) {
	t.Helper()
	if err != nil {
		t.Errorf("%s %v: %v", what, ids[:min(40, len(ids))], err)
	} else if got != want {
		t.Errorf("%s %v:\ngot  %q\nwant %q", what, ids[:min(40, len(ids))], short(got), short(want))
	}
}

func TestGolden(t *testing.T) {
	texts := goldenStrings(t)
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			var golden struct {
				IDs         [][]int32
				Plain       [][]int32
				Text        []string
				TextSpecial []string  `json:"text_special"`
				RandomIDs   [][]int32 `json:"random_ids"`
				RandomText  []string  `json:"random_text"`
			}
			readGolden(t, kind+".golden.json.gz", &golden)
			if len(golden.IDs) != len(texts) || len(golden.RandomIDs) < 200 {
				t.Fatalf("ids of %d texts, want %d; %d random lists", len(golden.IDs), len(texts), len(golden.RandomIDs))
			}
			tok := open(t, kind)
			for i, text := range texts {
				ids, err := tok.Encode(text)
				checkIDs(t, "Encode", text, ids, err, golden.IDs[i])
				ids, err = tok.EncodePlain(text)
				checkIDs(t, "EncodePlain", text, ids, err, golden.Plain[i])
				got, err := tok.Decode(golden.IDs[i], true)
				checkText(t, "Decode without special tokens", golden.IDs[i], got, err, golden.Text[i])
				got, err = tok.Decode(golden.IDs[i], false)
				checkText(t, "Decode", golden.IDs[i], got, err, golden.TextSpecial[i])
				checkText(t, "Stream", golden.IDs[i], stream(t, tok, golden.IDs[i]), nil, golden.Text[i])
			}
			for i, ids := range golden.RandomIDs {
				got, err := tok.Decode(ids, true)
				checkText(t, "Decode of random", ids, got, err, golden.RandomText[i])
				checkText(t, "Stream of random", ids, stream(t, tok, ids), nil, golden.RandomText[i])
			}
		})
	}
}

// stream is the text that a Stream emits, which must be valid UTF-8 at every
// step.
func stream(t testing.TB, tok *Tokenizer, ids []int32) string {
	t.Helper()
	var text strings.Builder
	emit := func(part string) {
		if !utf8.ValidString(part) {
			t.Errorf("stream of %v emits %q", ids, part)
		}
		text.WriteString(part)
	}
	s := tok.NewStream()
	for _, id := range ids {
		part, err := s.Push(id)
		if err != nil {
			t.Fatal(err)
		}
		emit(part)
	}
	emit(s.Flush())
	return text.String()
}

// TestSentencePiece compares a GGUF vocabulary of the model "llama" with
// sentencepiece itself.
func TestSentencePiece(t *testing.T) {
	var golden struct {
		Tokens            []string
		Scores            []float32
		Types             []int32
		BOS, EOS, Unknown int32
		Strings           []string
		IDs               [][]int32
		Text              []string
	}
	readGolden(t, "sentencepiece.golden.json.gz", &golden)
	if len(golden.Strings) < 300 {
		t.Fatalf("%d strings", len(golden.Strings))
	}
	v := DefaultVocabulary("llama", "")
	v.Tokens, v.Scores, v.Types = golden.Tokens, golden.Scores, golden.Types
	v.BOS, v.EOS, v.Unknown = golden.BOS, golden.EOS, golden.Unknown
	tok, err := FromGGUF("sentencepiece", v)
	if err != nil {
		t.Fatal(err)
	}
	for i, text := range golden.Strings {
		ids, err := tok.EncodePlain(text)
		checkIDs(t, "EncodePlain", text, ids, err, golden.IDs[i])
		ids, err = tok.Encode(text)
		checkIDs(t, "Encode", text, ids, err, append([]int32{v.BOS}, golden.IDs[i]...))
		got, err := tok.Decode(golden.IDs[i], false)
		checkText(t, "Decode", golden.IDs[i], got, err, golden.Text[i])
	}
}
