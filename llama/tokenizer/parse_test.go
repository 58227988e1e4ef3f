package tokenizer

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// sample is a small tokenizer.json that Parse takes.
const sample = `{
  "version": "1.0",
  "added_tokens": [{"id": 4, "content": "<s>", "special": true}, {"id": 5, "content": "<x>", "normalized": true}],
  "normalizer": {"type": "NFC"},
  "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
    {"type": "Digits", "individual_digits": true},
    {"type": "ByteLevel", "add_prefix_space": false, "use_regex": true}]},
  "post_processor": {"type": "TemplateProcessing",
    "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
    "special_tokens": {"<s>": {"id": "<s>", "ids": [4], "tokens": ["<s>"]}}},
  "decoder": {"type": "ByteLevel"},
  "model": {"type": "BPE", "unk_token": null, "vocab": {"a": 0, "b": 1, "ab": 2, "Ġ": 3}, "merges": ["a b"]}
}`

func TestParseSample(t *testing.T) {
	tok, err := Parse("sample", []byte(sample))
	if err != nil {
		t.Fatal(err)
	}
	ids, err := tok.Encode("ab <x>a<s>")
	if err != nil || !slices.Equal(ids, []int32{4, 2, 3, 5, 0, 4}) {
		t.Errorf("ids %v, %v", ids, err)
	}
	if text, err := tok.Decode(ids, true); err != nil || text != "ab <x>a" {
		t.Errorf("text %q, %v", text, err)
	}
	if tok.Size() != 6 {
		t.Errorf("size %d", tok.Size())
	}
	if token, ok := tok.Token(3); !ok || token != "Ġ" {
		t.Errorf("token %q", token)
	}
	if _, ok := tok.Token(6); ok {
		t.Error("token of id 6")
	}
	if id, ok := tok.ID("<x>"); !ok || id != 5 {
		t.Errorf("id %d", id)
	}
}

// brokenFiles are tokenizer.json files made by replacing a part of sample, and
// what the error must say.
var brokenFiles = []struct{ name, old, new, want string }{
	{"white space", sample, " \n\t" + strings.ReplaceAll(strings.ReplaceAll(sample, ":", "\r\n : "), ",", " \n, ") + "\n ", ""},
	{"truncated", `"model": {`, `"model": {` + "\x00", "byte "},
	{"empty", sample, ``, "unexpected end"},
	{"not an object", sample, `[1]`, "want an object"},
	{"trailing data", `["a b"]` + "}\n}", `["a b"]` + "}\n} x", "after top-level value"},
	{"not UTF-8", `"ab": 2`, "\"\xff\": 2", "not UTF-8"},
	{"half a surrogate pair", `"ab": 2`, `"\ud800": 2`, "model.vocab: "},
	{"deep nesting", `{"type": "NFC"}`, strings.Repeat("[", 20000), "depth"},
	{"deep Sequences", `{"type": "NFC"}`, strings.Repeat(`{"type":"Sequence","normalizers":[`, 500) + strings.Repeat(`]}`, 500), "nested more than"},
	{"version", `"1.0"`, `"2.0"`, `version: version "2.0"`},
	{"key twice", `"version": "1.0",`, `"version": "1.0", "version": "1.0",`, `key "version" appears twice`},

	{"no model", `"model": {`, `"modell": {`, "model: is missing"},
	{"model of a wrong kind", `"model": {"type"`, `"model": 7, "m": {"type"`, "model: want an object, got 7"},
	{"model WordPiece", `"BPE"`, `"WordPiece"`, `model.type: "WordPiece" is not supported`},
	{"model Unigram", `"BPE"`, `"Unigram"`, `model.type: "Unigram" is not supported`},
	{"model without type", `"type": "BPE", "unk_token": null, "vocab"`, `"vocab"`, ""},
	{"dropout", `"unk_token": null`, `"dropout": 0.1`, "model.dropout: "},
	{"subword prefix", `"unk_token": null`, `"continuing_subword_prefix": "##"`, "model.continuing_subword_prefix: "},
	{"word suffix", `"unk_token": null`, `"end_of_word_suffix": "</w>"`, "model.end_of_word_suffix: "},
	{"flag of a wrong kind", `"unk_token": null`, `"byte_fallback": 1`, "model.byte_fallback: want true or false, got 1"},
	{"unknown token not there", `"unk_token": null`, `"unk_token": "<unk>"`, `model.unk_token: token "<unk>" is not in the vocabulary`},
	{"no vocabulary", `"vocab": {`, `"vocabulary": {`, "model.vocab: is missing"},
	{"vocabulary of a wrong kind", `{"a": 0, "b": 1, "ab": 2, "Ġ": 3}`, `["a", "b"]`, "model.vocab: want an object"},
	{"empty vocabulary", `{"a": 0, "b": 1, "ab": 2, "Ġ": 3}`, `{}`, "model.vocab: is empty"},
	{"id twice", `"ab": 2`, `"ab": 1`, `model.vocab: id 1 of token "ab" is also the id of "b"`},
	{"token twice", `"ab": 2`, `"ab": 2, "ab": 7`, `model.vocab: token "ab" has the ids 2 and 7`},
	{"id negative", `"ab": 2`, `"ab": -2`, "model.vocab.ab: token id -2 is outside"},
	{"id 2^31", `"ab": 2`, `"ab": 2147483648`, "model.vocab.ab: token id 2147483648 is outside"},
	{"id 2^60", `"ab": 2`, `"ab": 1152921504606846976`, "model.vocab.ab: "},
	{"id 1e99", `"ab": 2`, `"ab": 1e99`, "model.vocab.ab: want a token id"},
	{"id a string", `"ab": 2`, `"ab": "2"`, `model.vocab.ab: want a token id, got "2"`},
	{"id a fraction", `"ab": 2`, `"ab": 2.5`, "model.vocab.ab: want a token id"},
	{"version line of merges", `["a b"]`, `["#version: 0.2", "a b"]`, ""},
	{"no merges", `"merges"`, `"merge"`, "model.merges: is missing"},
	{"merges of a wrong kind", `["a b"]`, `"a b"`, "model.merges: want a list"},
	{"merge of one token", `["a b"]`, `["ab"]`, `model.merges[0]: merge "ab" is not two`},
	{"merge of three tokens", `["a b"]`, `["a b", "a b a"]`, `model.merges[1]: merge "a b a"`},
	{"merge list of three", `["a b"]`, `[["a", "b", "a"]]`, "model.merges[0]: a merge has two tokens, not 3"},
	{"merge of numbers", `["a b"]`, `[[0, 1]]`, "model.merges[0]: want a string, got 0"},
	{"merge of an empty token", `["a b"]`, `[["", "b"]]`, "model.merges[0]: "},
	{"merge of unknown tokens", `["a b"]`, `["a z"]`, `model.merges[0]: token "z" is not in the vocabulary`},
	{"merge to an unknown token", `["a b"]`, `["b a"]`, `model.merges[0]: token "ba" is not in the vocabulary`},

	{"added tokens of a wrong kind", `"added_tokens": [`, `"added_tokens": 1, "x": [`, "added_tokens: want a list"},
	{"added token of a wrong kind", `"added_tokens": [`, `"added_tokens": [null, `, "added_tokens[0]: want an object, got null"},
	{"added token without content", `"content": "<s>", `, ``, "added_tokens[0].content: is missing"},
	{"added token empty", `"content": "<s>"`, `"content": ""`, "added_tokens[0].content: is empty"},
	{"added token id taken", `"id": 5`, `"id": 1`, `added_tokens[1].id: id 1 of token "<x>" is also the id of "b"`},
	{"added token with another id", `"content": "<x>"`, `"content": "ab"`, `added_tokens[1].id: token "ab" has the ids 2 and 5`},
	{"added token twice", `{"id": 5, "content": "<x>"`, `{"id": 4, "content": "<s>"`, `added_tokens[1]: token "<s>" is added twice`},
	{"added tokens of one normal form", `{"id": 5, "content": "<x>", "normalized": true}`, `{"id": 5, "content": "é", "normalized": true}, {"id": 6, "content": "e\u0301", "normalized": true}`, "added_tokens[2]: "},
	{"added token id 2^60", `"id": 5`, `"id": 1152921504606846976`, "added_tokens[1].id: token id"},
	{"added token flag", `"special": true`, `"special": "yes"`, `added_tokens[0].special: want true or false, got "yes"`},

	{"normalizer unknown", `{"type": "NFC"}`, `{"type": "NFKC"}`, `normalizer.type: "NFKC" is not supported`},
	{"normalizer without type", `{"type": "NFC"}`, `{}`, "normalizer.type: is missing"},
	{"normalizer of a wrong kind", `{"type": "NFC"}`, `"NFC"`, "normalizer: want an object"},
	{"Replace by pattern", `{"type": "NFC"}`, `{"type": "Sequence", "normalizers": [{"type": "Replace", "pattern": {"Regex": "a+"}, "content": "b"}]}`, "normalizer.normalizers[0].pattern.Regex: "},
	{"Replace of nothing", `{"type": "NFC"}`, `{"type": "Replace", "pattern": {"String": ""}, "content": "b"}`, "normalizer.pattern.String: is empty"},
	{"Prepend without text", `{"type": "NFC"}`, `{"type": "Prepend"}`, "normalizer.prepend: is missing"},

	{"pre-tokenizer unknown", `"Digits"`, `"Whitespace"`, `pre_tokenizer.pretokenizers[0].type: "Whitespace" is not supported`},
	{"pre-tokenizer flag", `"individual_digits": true`, `"individual_digits": "x"`, "pre_tokenizer.pretokenizers[0].individual_digits: want true or false"},
	{"pre-tokenizer list", `"pretokenizers": [`, `"pretokenizers": 1, "x": [`, "pre_tokenizer.pretokenizers: want a list"},
	{"pattern unknown", `"Digits"`, `"Split", "behavior": "Isolated", "pattern": {"Regex": "\\p{L}+|."}`, `pre_tokenizer.pretokenizers[0].pattern.Regex: pattern "\\p{L}+|." is not known`},
	{"pattern that is text", `"Digits"`, `"Split", "behavior": "Isolated", "pattern": {"String": " "}`, "pre_tokenizer.pretokenizers[0].pattern.Regex: is missing"},
	{"split behaviour", `"Digits"`, `"Split", "behavior": "Removed", "pattern": {"Regex": "\\p{N}"}`, `behavior: "Removed" is not supported`},
	{"split inverted", `"Digits"`, `"Split", "behavior": "Isolated", "invert": true, "pattern": {"Regex": "\\p{N}"}`, "invert: true is not supported"},
	{"Metaspace mark", `"Digits"`, `"Metaspace", "replacement": "▁▁"`, "replacement: "},
	{"Metaspace scheme", `"Digits"`, `"Metaspace", "replacement": "▁", "prepend_scheme": "often"`, `prepend_scheme: "often" is not known`},
	{"Metaspace contradiction", `"Digits"`, `"Metaspace", "replacement": "▁", "add_prefix_space": false`, "add_prefix_space: "},

	{"post-processor unknown", `"TemplateProcessing"`, `"BertProcessing"`, `post_processor.type: "BertProcessing" is not supported`},
	{"template without text", `{"Sequence": {"id": "A", "type_id": 0}}`, `{"SpecialToken": {"id": "<s>", "type_id": 0}}`, "post_processor.single: holds the text 0 times"},
	{"template of a pair", `"id": "A"`, `"id": "B"`, "post_processor.single[1].Sequence.id: "},
	{"template token missing", `"special_tokens": {"<s>"`, `"special_tokens": {"<t>"`, `post_processor.special_tokens."<s>": is missing`},
	{"template id missing", `"ids": [4]`, `"ids": [4, 9]`, `ids[1]: id 9 is not in the vocabulary`},
	{"template id of a wrong kind", `"ids": [4]`, `"ids": ["<s>"]`, `ids[0]: want a token id`},
	{"template piece of a wrong kind", `{"SpecialToken": {"id": "<s>", "type_id": 0}}`, `"<s>"`, "post_processor.single[0]: want an object"},

	{"decoder unknown", `"decoder": {"type": "ByteLevel"}`, `"decoder": {"type": "WordPiece"}`, `decoder.type: "WordPiece" is not supported`},
	{"decoder Strip at the end", `"decoder": {"type": "ByteLevel"}`, `"decoder": {"type": "Strip", "content": " ", "start": 0, "stop": 1}`, "decoder.stop: want 0, got 1"},
	{"decoder Strip of two", `"decoder": {"type": "ByteLevel"}`, `"decoder": {"type": "Strip", "content": "ab", "start": 1, "stop": 0}`, "decoder.content: "},
	{"decoder bytes after Fuse", `"decoder": {"type": "ByteLevel"}`, `"decoder": {"type": "Sequence", "decoders": [{"type": "Fuse"}, {"type": "ByteFallback"}]}`, "decoder.decoders[1].type: "},
	{"decoder Replace after Fuse", `"decoder": {"type": "ByteLevel"}`, `"decoder": {"type": "Sequence", "decoders": [{"type": "Fuse"}, {"type": "Replace", "pattern": {"String": "ab"}, "content": ""}]}`, "decoder.decoders[1].pattern: "},
}

func TestParseBrokenFiles(t *testing.T) {
	for _, c := range brokenFiles {
		t.Run(c.name, func(t *testing.T) {
			if !strings.Contains(sample, c.old) {
				t.Fatalf("sample has no %s", c.old)
			}
			_, err := Parse("some/tokenizer.json", []byte(strings.Replace(sample, c.old, c.new, 1)))
			checkError(t, err, "tokenizer: some/tokenizer.json: ", c.want)
		})
	}
	t.Run("every truncation", func(t *testing.T) {
		for n := range len(sample) {
			if _, err := Parse("x", []byte(sample[:n])); err == nil {
				t.Errorf("%d bytes are taken", n)
			}
		}
	})
}

// checkError wants one line that names the file and the field; with no field it
// wants no error.
func checkError(t *testing.T, err error, file, field string) {
	t.Helper()
	if field == "" {
		if err != nil {
			t.Error(err)
		}
		return
	}
	if err == nil {
		t.Fatal("no error")
	}
	if s := err.Error(); !strings.HasPrefix(s, file) || !strings.Contains(s, field) || strings.Contains(s, "\n") || len(s) > 300 {
		t.Errorf("error %q\nwant one line with %q", s, field)
	}
}

func TestOpen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokenizer.json")
	if _, err := Open(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("missing file: %v", err)
	}
	if err := os.WriteFile(path, []byte(sample), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path); err != nil {
		t.Error(err)
	}
}

func sampleVocabulary(model string) Vocabulary {
	v := DefaultVocabulary(model, "")
	v.Tokens = []string{"<s>", "a", "b", "ab", "<0x41>"}
	v.Types = []int32{ggufControl, 1, 1, 1, ggufByte}
	v.Scores = []float32{0, -1, -2, -3, 0}
	v.Merges = []string{"a b"}
	v.BOS = 0
	return v
}

func TestFromGGUFBroken(t *testing.T) {
	for _, c := range []struct {
		name, model string
		change      func(*Vocabulary)
		want        string
	}{
		{"gpt2", "gpt2", func(*Vocabulary) {}, ""},
		{"llama", "llama", func(*Vocabulary) {}, ""},
		{"without types", "llama", func(v *Vocabulary) { v.Types = nil }, ""},
		{"model", "bert", func(*Vocabulary) {}, `model: "bert" is not supported`},
		{"no model", "", func(*Vocabulary) {}, `model: "" is not supported`},
		{"pre", "gpt2", func(v *Vocabulary) { v.Pre = "tekken" }, `pre: "tekken" is not supported`},
		{"pre default", "gpt2", func(v *Vocabulary) { v.Pre = "default" }, `pre: "default" is not supported`},
		{"no tokens", "gpt2", func(v *Vocabulary) { v.Tokens = nil }, "tokens: is missing or empty"},
		{"token twice", "gpt2", func(v *Vocabulary) { v.Tokens[2] = "a" }, `tokens[2]: token "a" has the ids 1 and 2`},
		{"token not UTF-8", "llama", func(v *Vocabulary) { v.Tokens[2] = "\xff" }, "tokens[2]: "},
		{"control token empty", "llama", func(v *Vocabulary) { v.Tokens[0] = "" }, "tokens[0]: is empty"},
		{"types", "gpt2", func(v *Vocabulary) { v.Types = v.Types[:2] }, "token_type: 2 types for 5 tokens"},
		{"no merges", "gpt2", func(v *Vocabulary) { v.Merges = nil }, "merges: is missing"},
		{"merge", "gpt2", func(v *Vocabulary) { v.Merges = []string{"ab"} }, "merges[0]: "},
		{"merge unknown", "gpt2", func(v *Vocabulary) { v.Merges = []string{"a b", "a z"} }, `merges[1]: token "z"`},
		{"no scores", "llama", func(v *Vocabulary) { v.Scores = nil }, "scores: 0 scores for 5 tokens"},
		{"score NaN", "llama", func(v *Vocabulary) { v.Scores[1] = float32(math.NaN()) }, "scores[1]: "},
		{"byte", "llama", func(v *Vocabulary) { v.Tokens[4] = "0x41" }, `tokens[4]: "0x41" is of the byte type`},
		{"BOS outside", "llama", func(v *Vocabulary) { v.BOS = 5 }, "bos_token_id: 5 is outside"},
		{"EOS outside", "llama", func(v *Vocabulary) { v.EOS = -2 }, "eos_token_id: -2 is outside"},
		{"EOT outside", "llama", func(v *Vocabulary) { v.EOT = math.MaxInt32 }, "eot_token_id: "},
		{"no BOS", "llama", func(v *Vocabulary) { v.BOS = -1 }, "bos_token_id: is missing"},
		{"no EOS", "llama", func(v *Vocabulary) { v.AddEOS = true }, "eos_token_id: is missing"},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := sampleVocabulary(c.model)
			c.change(&v)
			_, err := FromGGUF("x.gguf", v)
			checkError(t, err, "tokenizer: x.gguf: tokenizer.ggml.", c.want)
		})
	}
}

func TestDefaultVocabulary(t *testing.T) {
	for _, c := range []struct {
		model, pre string
		bos, space bool
	}{
		{"llama", "", true, true},
		{"llama", "default", true, true},
		{"gpt2", "gpt-2", false, false},
		{"gpt2", "smollm", false, false},
		{"gpt2", "llama-bpe", true, false},
	} {
		v := DefaultVocabulary(c.model, c.pre)
		if v.AddBOS != c.bos || v.AddSpacePrefix != c.space || v.AddEOS || v.BOS != -1 || v.EOS != -1 {
			t.Errorf("%+v", v)
		}
	}
}

// A vocabulary with distant ids must not take memory for those between.
func TestDistantIDs(t *testing.T) {
	data := strings.Replace(sample, `"ab": 2`, fmt.Sprintf(`"ab": %d`, math.MaxInt32), 1)
	tok, err := Parse("x", []byte(data))
	if err != nil {
		t.Fatal(err)
	}
	if ids, err := tok.EncodePlain("ab"); err != nil || !slices.Equal(ids, []int32{math.MaxInt32}) {
		t.Errorf("%v, %v", ids, err)
	}
}
