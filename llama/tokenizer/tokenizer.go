package tokenizer

import (
	"errors"
	"fmt"
	"math"
	"os"
	"strings"
)

// A Tokenizer encodes text to ids and decodes ids to text.
type Tokenizer struct {
	model         model
	normalizer    normalizer
	preTokenizers []preTokenizer
	literal       *addedTokens // matched in the text as it is
	normalized    *addedTokens // matched in the normalized text
	prefix        []int32      // ids that the post-processor puts before the text
	suffix        []int32      // and after it
	decoder       []stage

	tokens  map[int32]string
	ids     map[string]int32
	size    int
	special map[int32]bool
	// surface holds what the decoder sees of the added tokens whose normalized
	// form is not their content.
	surface map[int32]string
}

// A model encodes one piece of the pre-tokenized text.
type model interface {
	encode(ids []int32, piece string, m *merger) []int32
}

// Open reads a tokenizer.json file.
func Open(path string) (*Tokenizer, error) {
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() { // a pipe would block, a device never end
		err = fmt.Errorf("%s: not a regular file", path)
	}
	if err != nil {
		return nil, fmt.Errorf("tokenizer: %w", err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("tokenizer: %w", err)
	}
	return Parse(path, data)
}

// Encode returns the ids of text between the special tokens that the
// post-processor adds. Added tokens written in the text become their ids.
//
// A character that has no token, in a vocabulary with neither an unknown token nor bytes, is left
// out, as Hugging Face does. Text of 2 GiB and more is an error.
func (t *Tokenizer) Encode(text string) ([]int32, error) {
	return t.encode(text, true)
}

// EncodePlain is Encode without the special tokens of the post-processor.
func (t *Tokenizer) EncodePlain(text string) ([]int32, error) {
	return t.encode(text, false)
}

// check returns an error of a Tokenizer that nothing has read: nil or zero.
func (t *Tokenizer) check() error {
	if t == nil || t.model == nil {
		return errors.New("tokenizer: there is no vocabulary: use Open, Parse or FromGGUF")
	}
	return nil
}

// encode returns the ids of text, never nil, between those of the post-processor if special.
func (t *Tokenizer) encode(text string, special bool) ([]int32, error) {
	if err := t.check(); err != nil {
		return nil, err
	}
	// Positions in a piece are 32 bits wide, and the byte alphabet and ▁ make a
	// piece up to three times as long as its text.
	if len(text) > math.MaxInt32/3 {
		return nil, fmt.Errorf("tokenizer: text of %d bytes is too long", len(text))
	}
	var prefix, suffix []int32
	if special {
		prefix, suffix = t.prefix, t.suffix
	}
	ids := append(make([]int32, 0, len(prefix)+len(text)/4), prefix...)
	var m merger
	var pieces, next []piece
	for outer := range t.literal.split(text) {
		if outer.id >= 0 {
			ids = append(ids, outer.id)
			continue
		}
		first := outer.start == 0
		normal := t.normalizer.normalize(text[outer.start:outer.end], first)
		for inner := range t.normalized.split(normal) {
			if inner.id >= 0 {
				ids = append(ids, inner.id)
				continue
			}
			pieces = append(pieces[:0], piece{
				text:  normal[inner.start:inner.end],
				first: first && inner.start == 0,
			})
			for _, p := range t.preTokenizers {
				next = next[:0]
				for _, q := range pieces {
					next = p.split(next, q)
				}
				pieces, next = next, pieces
			}
			for _, p := range pieces {
				ids = t.model.encode(ids, p.text, &m)
			}
		}
	}
	return append(ids, suffix...), nil
}

// Decode returns the text of ids, always valid UTF-8; with skipSpecial without
// the special tokens. An id that has no token is an error.
func (t *Tokenizer) Decode(ids []int32, skipSpecial bool) (string, error) {
	if err := t.check(); err != nil {
		return "", err
	}
	var text strings.Builder
	out := t.decode(func(s string) { text.WriteString(s) })
	for _, id := range ids {
		if err := t.push(out, id, skipSpecial); err != nil {
			return "", err
		}
	}
	out.flush()
	return text.String(), nil
}

// decode returns the decoder's chain of stages, ending in emit.
func (t *Tokenizer) decode(emit func(string)) sink {
	out := sink{push: emit, flush: func() {}}
	if t == nil {
		return out
	}
	for i := len(t.decoder) - 1; i >= 0; i-- {
		out = t.decoder[i](out)
	}
	return out
}

func (t *Tokenizer) push(out sink, id int32, skipSpecial bool) error {
	if err := t.check(); err != nil {
		return err
	}
	token, ok := t.tokens[id]
	if !ok {
		return fmt.Errorf("tokenizer: id %d is not in the vocabulary of %d tokens", id, t.size)
	}
	if skipSpecial && t.special[id] {
		return nil
	}
	if s, ok := t.surface[id]; ok {
		token = s
	}
	out.push(token)
	return nil
}

// Size returns one more than the largest id.
func (t *Tokenizer) Size() int { return t.size }

// Token returns the token of an id as the vocabulary writes it: a byte-level
// token in the byte alphabet, in which "Ġ" is a space.
func (t *Tokenizer) Token(id int32) (string, bool) {
	token, ok := t.tokens[id]
	return token, ok
}

// ID returns the id of a token written as in the vocabulary.
func (t *Tokenizer) ID(token string) (int32, bool) {
	id, ok := t.ids[token]
	return id, ok
}

// add enters a token that the maps do not hold yet.
func (t *Tokenizer) add(token string, id int32) error {
	if other, ok := t.tokens[id]; ok {
		return fmt.Errorf("id %d of token %.60q is also the id of %.60q", id, token, other)
	}
	if other, ok := t.ids[token]; ok {
		return fmt.Errorf("token %.60q has the ids %d and %d", token, other, id)
	}
	t.tokens[id], t.ids[token] = token, id
	t.size = max(t.size, int(id)+1)
	return nil
}
