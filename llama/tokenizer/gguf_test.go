package tokenizer

import (
	"encoding/json"
	"testing"
)

// TestGGUFVocabularies builds GGUF vocabularies from tokenizer.json files, which
// must give the same ids.
func TestGGUFVocabularies(t *testing.T) {
	texts := goldenStrings(t)
	for kind, pre := range map[string]string{"llama3": "llama-bpe", "gpt2": "gpt-2", "qwen2": "qwen2", "smollm2": "smollm"} {
		t.Run(pre, func(t *testing.T) {
			v := vocabularyOf(t, kind, pre)
			tok, err := FromGGUF(kind, v)
			if err != nil {
				t.Fatal(err)
			}
			var golden struct {
				IDs  [][]int32
				Text []string
			}
			readGolden(t, kind+".golden.json.gz", &golden)
			for i, text := range texts {
				ids, err := tok.Encode(text)
				checkIDs(t, "Encode", text, ids, err, golden.IDs[i])
				got, err := tok.Decode(golden.IDs[i], true)
				checkText(t, "Decode", golden.IDs[i], got, err, golden.Text[i])
			}
		})
	}
}

// vocabularyOf is the vocabulary of a tokenizer.json as a GGUF file has it.
func vocabularyOf(t *testing.T, kind, pre string) Vocabulary {
	t.Helper()
	var file struct {
		AddedTokens []struct {
			ID      int32
			Content string
			Special bool
		} `json:"added_tokens"`
		Model struct {
			Vocab  map[string]int32
			Merges []any
		}
	}
	if err := json.Unmarshal(readTestdata(t, kind+".tokenizer.json.gz"), &file); err != nil {
		t.Fatal(err)
	}
	v := DefaultVocabulary("gpt2", pre)
	for _, a := range file.AddedTokens {
		file.Model.Vocab[a.Content] = a.ID
	}
	v.Tokens = make([]string, len(file.Model.Vocab))
	v.Types = make([]int32, len(v.Tokens))
	for token, id := range file.Model.Vocab {
		v.Tokens[id], v.Types[id] = token, 1
	}
	for _, a := range file.AddedTokens {
		v.Types[a.ID] = ggufUserDefined
		if a.Special {
			v.Types[a.ID] = ggufControl
		}
		if a.Content == "<|begin_of_text|>" {
			v.BOS = a.ID
		}
	}
	for _, m := range file.Model.Merges {
		line, ok := m.(string)
		if !ok {
			pair := m.([]any)
			line = pair[0].(string) + " " + pair[1].(string)
		}
		v.Merges = append(v.Merges, line)
	}
	return v
}

// The prefix is one more mark before the text, and before nothing else.
func TestSpacePrefix(t *testing.T) {
	v := DefaultVocabulary("llama", "")
	v.Tokens = []string{"<unk>", "<s>", "▁", "a", "▁a"}
	v.Types = []int32{ggufUnknown, ggufControl, 1, 1, 1}
	v.Scores = []float32{0, 0, -2, -3, -1}
	v.BOS, v.Unknown = 1, 0
	for _, c := range []struct {
		prefix bool
		text   string
		want   []int32
	}{
		{true, "a", []int32{1, 4}},
		{true, " a", []int32{1, 2, 4}},
		{true, "", []int32{1}},
		{true, "<s>a", []int32{1, 1, 3}},
		{true, "a<s> a<unk>", []int32{1, 4, 1, 4, 0}},
		{true, "日本b", []int32{1, 2, 0}},
		{false, "a", []int32{1, 3}},
	} {
		v.AddSpacePrefix = c.prefix
		tok, err := FromGGUF("x", v)
		if err != nil {
			t.Fatal(err)
		}
		ids, err := tok.Encode(c.text)
		checkIDs(t, "Encode", c.text, ids, err, c.want)
		if c.text == " a" {
			got, err := tok.Decode(ids, true)
			checkText(t, "Decode", ids, got, err, c.text)
		}
	}
}

// Merges make neither control nor byte tokens.
func TestOnlyNormalTokensMerge(t *testing.T) {
	v := DefaultVocabulary("llama", "")
	v.Tokens = []string{"<s>", "▁", "a", "▁a", "<", "0", "x", "4", "1", ">", "<0", "<0x", "41", "41>", "<0x41>"}
	v.Types = make([]int32, len(v.Tokens))
	v.Types[0], v.Types[3], v.Types[14] = ggufControl, ggufControl, ggufByte
	v.Scores = make([]float32, len(v.Tokens))
	v.BOS = 0
	tok, err := FromGGUF("x", v)
	if err != nil {
		t.Fatal(err)
	}
	ids, err := tok.EncodePlain("a<0x41>")
	checkIDs(t, "EncodePlain", "a<0x41>", ids, err, []int32{1, 2, 11, 13})
}
