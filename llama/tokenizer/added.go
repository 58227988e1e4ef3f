package tokenizer

import (
	"iter"
	"strings"
	"unicode"
	"unicode/utf8"
)

// An addedToken is a token that is recognised in the text before the model sees
// it.
type addedToken struct {
	content    string // what is matched
	id         int32
	singleWord bool // no word character may touch it
	lstrip     bool // takes the white space before it along
	rstrip     bool // and after it
}

// addedTokens finds added tokens in a text. A nil *addedTokens finds none.
type addedTokens struct {
	tokens []addedToken
	// trie holds the contents byte by byte: the child of a node by its byte,
	// keyed by node<<8 | byte. Node 0 is the root.
	trie  map[uint64]uint32
	token map[uint32]int // node → index of the token that ends there
	start [256]bool      // bytes that a token begins with
}

// newAddedTokens returns the matcher of tokens with distinct, non-empty
// contents.
func newAddedTokens(tokens []addedToken) *addedTokens {
	if len(tokens) == 0 {
		return nil
	}
	a := &addedTokens{tokens: tokens, trie: map[uint64]uint32{}, token: map[uint32]int{}}
	for i, t := range tokens {
		node := uint32(0)
		for j := range len(t.content) {
			key := uint64(node)<<8 | uint64(t.content[j])
			child, ok := a.trie[key]
			if !ok {
				child = uint32(len(a.trie) + 1)
				a.trie[key] = child
			}
			node = child
		}
		a.token[node] = i
		a.start[t.content[0]] = true
	}
	return a
}

// A segment is a stretch of text: an added token or, with id −1, text between.
type segment struct {
	start, end int
	id         int32
}

// split cuts text at its added tokens: the longest of the leftmost ones first.
// The segments that are not tokens are never empty.
func (a *addedTokens) split(text string) iter.Seq[segment] {
	return func(yield func(segment) bool) {
		from := 0 // end of the last segment
		for at := 0; a != nil; {
			start, end, t := a.find(text, at)
			if t == nil {
				break
			}
			// The search goes on after the match even if white space after it
			// is taken along or the match is dropped, as in Hugging Face's.
			at = end
			if t.singleWord && (endsInWord(text[:start]) || startsWithWord(text[end:])) {
				continue
			}
			if t.lstrip {
				start = max(from, len(strings.TrimRightFunc(text[:start], unicode.IsSpace)))
			}
			if t.rstrip {
				end = len(text) - len(strings.TrimLeftFunc(text[end:], unicode.IsSpace))
			}
			if from < start && !yield(segment{from, start, -1}) {
				return
			}
			if !yield(segment{start, end, t.id}) {
				return
			}
			from = end
		}
		if from < len(text) {
			yield(segment{from, len(text), -1})
		}
	}
}

// find returns the first added token in text at or after from, the longest one
// there.
func (a *addedTokens) find(text string, from int) (start, end int, t *addedToken) {
	for start = from; start < len(text); start++ {
		if !a.start[text[start]] {
			continue
		}
		node := uint32(0)
		for i := start; i < len(text); i++ {
			child, ok := a.trie[uint64(node)<<8|uint64(text[i])]
			if !ok {
				break
			}
			node = child
			if k, ok := a.token[node]; ok {
				end, t = i+1, &a.tokens[k]
			}
		}
		if t != nil {
			return start, end, t
		}
	}
	return 0, 0, nil
}

func endsInWord(s string) bool {
	r, size := utf8.DecodeLastRuneInString(s)
	return size > 0 && isWord(r)
}

func startsWithWord(s string) bool {
	r, size := utf8.DecodeRuneInString(s)
	return size > 0 && isWord(r)
}

// isWord reports \w as Unicode Technical Standard 18 defines it, annex C.
func isWord(r rune) bool {
	return unicode.In(r, unicode.L, unicode.M, unicode.Nd, unicode.Nl, unicode.Pc,
		unicode.Other_Alphabetic, unicode.Join_Control)
}
