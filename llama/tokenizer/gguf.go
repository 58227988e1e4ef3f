package tokenizer

import (
	"fmt"
	"math"
	"strings"
	"unicode/utf8"
)

// A Vocabulary is what a GGUF file says about its tokenizer; the comments name
// the metadata keys, all under "tokenizer.ggml.". Start from
// [DefaultVocabulary], which knows what a missing key means.
type Vocabulary struct {
	Model  string    // model: "gpt2" (byte-level BPE) or "llama" (SentencePiece BPE)
	Pre    string    // pre: how a gpt2 vocabulary cuts text; "" is "gpt-2"
	Tokens []string  // tokens
	Types  []int32   // token_type; nil: all are normal
	Scores []float32 // scores: of a llama vocabulary
	Merges []string  // merges: of a gpt2 vocabulary

	// bos_token_id, eos_token_id, unknown_token_id, eot_token_id; −1 is none.
	BOS, EOS, Unknown, EOT int32

	AddBOS         bool // add_bos_token: BOS before the text
	AddEOS         bool // add_eos_token: EOS after it
	AddSpacePrefix bool // add_space_prefix: of a llama vocabulary
}

// DefaultVocabulary returns the vocabulary of a GGUF file that has no other key
// than model and pre: no special tokens, BOS added for llama and for the Llama 3
// pre-tokenizers, a space before the text for llama.
func DefaultVocabulary(model, pre string) Vocabulary {
	llama := model == "llama"
	return Vocabulary{
		Model: model, Pre: pre,
		BOS: -1, EOS: -1, Unknown: -1, EOT: -1,
		AddBOS:         llama || ggufPres[pre].bos,
		AddSpacePrefix: llama,
	}
}

// Token types (llama.cpp, enum llama_token_type).
const (
	ggufUnknown     = 2
	ggufControl     = 3
	ggufUserDefined = 4
	ggufByte        = 6
)

// A ggufPre is what a value of tokenizer.ggml.pre stands for.
type ggufPre struct {
	normalizer   normalizer
	cut          []preTokenizer
	ignoreMerges bool
	bos          bool // BOS is added when the file does not say
}

var ggufPres = map[string]ggufPre{
	"":          ggufGPT2,
	"gpt-2":     ggufGPT2,
	"smollm":    {cut: []preTokenizer{isolate{scanDigit}, isolate{scanGPT2}}},
	"llama-bpe": ggufLlama3,
	"llama3":    ggufLlama3,
	"llama-v3":  ggufLlama3,
	"qwen2":     {normalizer: normalizer{nfc}, cut: []preTokenizer{isolate{scanQwen2}}},
}

var (
	ggufGPT2   = ggufPre{cut: []preTokenizer{isolate{scanGPT2}}}
	ggufLlama3 = ggufPre{cut: []preTokenizer{isolate{scanLlama3}}, ignoreMerges: true, bos: true}
)

// FromGGUF builds a tokenizer from a GGUF file's vocabulary; name stands for the file in errors.
//
// A gpt2 vocabulary is cut and normalized as the tokenizer.json of the models that its pre names:
// digits apart for "smollm", NFC for "qwen2", which not all readers of GGUF files do.
//
// Control tokens are special and recognised in the text; user-defined ones are
// recognised only. The space prefix of a llama vocabulary goes before the text,
// as in SentencePiece, not after special tokens within it.
func FromGGUF(name string, v Vocabulary) (*Tokenizer, error) {
	t, err := fromGGUF(v)
	if err != nil {
		return nil, fmt.Errorf("tokenizer: %s: tokenizer.ggml.%w", name, err)
	}
	return t, nil
}

func fromGGUF(v Vocabulary) (*Tokenizer, error) {
	t := newTokenizer(len(v.Tokens))
	if err := t.addGGUFTokens(v); err != nil {
		return nil, err
	}
	for _, special := range []struct {
		key string
		id  int32
	}{
		{"bos_token_id", v.BOS}, {"eos_token_id", v.EOS}, {"unknown_token_id", v.Unknown}, {"eot_token_id", v.EOT},
	} {
		if special.id < -1 || int(special.id) >= len(v.Tokens) {
			return nil, fmt.Errorf("%s: %d is outside the vocabulary of %d tokens", special.key, special.id, len(v.Tokens))
		}
	}
	if v.AddBOS {
		if v.BOS < 0 {
			return nil, fmt.Errorf("bos_token_id: is missing, but add_bos_token is true")
		}
		t.prefix = []int32{v.BOS}
	}
	if v.AddEOS {
		if v.EOS < 0 {
			return nil, fmt.Errorf("eos_token_id: is missing, but add_eos_token is true")
		}
		t.suffix = []int32{v.EOS}
	}
	switch v.Model {
	case "gpt2":
		return t, t.addGPT2(v)
	case "llama":
		return t, t.addLlama(v)
	}
	return nil, fmt.Errorf("model: %.60q is not supported", v.Model)
}

// addGGUFTokens enters the tokens and finds those to recognise in the text.
func (t *Tokenizer) addGGUFTokens(v Vocabulary) error {
	if len(v.Tokens) == 0 {
		return fmt.Errorf("tokens: is missing or empty")
	}
	if len(v.Tokens) > math.MaxInt32 {
		return fmt.Errorf("tokens: %d are too many", len(v.Tokens))
	}
	if v.Types != nil && len(v.Types) != len(v.Tokens) {
		return fmt.Errorf("token_type: %d types for %d tokens", len(v.Types), len(v.Tokens))
	}
	var literal, normalized []addedToken
	for i, token := range v.Tokens {
		if !utf8.ValidString(token) {
			return fmt.Errorf("tokens[%d]: %.60q is not UTF-8", i, token)
		}
		id := int32(i)
		if err := t.add(token, id); err != nil {
			return fmt.Errorf("tokens[%d]: %w", i, err)
		}
		kind := int32(0)
		if v.Types != nil {
			kind = v.Types[i]
		}
		switch kind {
		case ggufUnknown, ggufControl, ggufUserDefined:
			if token == "" {
				return fmt.Errorf("tokens[%d]: is empty, of type %d", i, kind)
			}
			a := addedToken{content: token, id: id}
			switch {
			case kind != ggufUserDefined:
				t.special[id] = true
				literal = append(literal, a)
			case v.Model == "llama":
				// SentencePiece looks for them where spaces are marks already.
				a.content = strings.ReplaceAll(token, " ", spaceMark)
				normalized = append(normalized, a)
			default:
				literal = append(literal, a)
			}
		}
	}
	t.literal, t.normalized = newAddedTokens(literal), newAddedTokens(normalized)
	return nil
}

// addGPT2 completes a byte-level BPE.
func (t *Tokenizer) addGPT2(v Vocabulary) error {
	pre, ok := ggufPres[v.Pre]
	if !ok {
		return fmt.Errorf("pre: %.60q is not supported", v.Pre)
	}
	if len(v.Merges) == 0 {
		return fmt.Errorf("merges: is missing or empty")
	}
	b := &bpe{vocab: t.ids, merges: make(map[[2]int32]merge, len(v.Merges)), unknown: -1, ignoreMerges: pre.ignoreMerges}
	for i, line := range v.Merges {
		left, right, err := cutMerge(line)
		if err == nil {
			err = b.addMerge(i, left, right)
		}
		if err != nil {
			return fmt.Errorf("merges[%d]: %w", i, err)
		}
	}
	t.model = b
	t.normalizer = pre.normalizer
	t.preTokenizers = append(t.preTokenizers, pre.cut...)
	t.preTokenizers = append(t.preTokenizers, byteLevel{})
	t.decoder = []stage{byteLevelDecoder}
	return nil
}

// spaceMark is what SentencePiece writes for a space.
const spaceMark = "▁"

// addLlama completes a SentencePiece BPE.
func (t *Tokenizer) addLlama(v Vocabulary) error {
	if len(v.Scores) != len(v.Tokens) {
		return fmt.Errorf("scores: %d scores for %d tokens", len(v.Scores), len(v.Tokens))
	}
	s := &spm{vocab: make(map[string]int32, len(v.Tokens)), scores: v.Scores, bytes: byteTokens(nil), unknown: v.Unknown}
	for i, token := range v.Tokens {
		if v.Scores[i] != v.Scores[i] {
			return fmt.Errorf("scores[%d]: is not a number", i)
		}
		kind := int32(0)
		if v.Types != nil {
			kind = v.Types[i]
		}
		switch kind {
		case ggufByte:
			b, ok := byteOf(token)
			if !ok {
				return fmt.Errorf("tokens[%d]: %.60q is of the byte type but no byte", i, token)
			}
			s.bytes[b] = int32(i)
		case ggufUnknown, ggufControl:
		default:
			s.vocab[token] = int32(i)
			s.longest = max(s.longest, len(token))
		}
	}
	t.model = s
	t.normalizer = normalizer{replace(" ", spaceMark)}
	t.decoder = []stage{replaceToken(spaceMark, " "), byteFallback}
	if v.AddSpacePrefix {
		t.normalizer = append(t.normalizer, prependFirst(spaceMark))
		t.decoder = append(t.decoder, strip(' ', 1, true))
	}
	return nil
}
