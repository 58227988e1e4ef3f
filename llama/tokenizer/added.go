package tokenizer

import (
	"iter"
	"slices"
	"sort"
	"strings"
	"unicode"
	"unicode/utf8"
)

// An addedToken is a token that is recognised in the text before the model sees it.
type addedToken struct {
	content    string // what is matched
	id         int32
	singleWord bool // no word character may touch it
	lstrip     bool // takes the white space before it along
	rstrip     bool // and after it
}

// addedTokens finds added tokens in a text. A nil *addedTokens finds none.
type addedTokens struct {
	tokens []addedToken // by content
	start  [256]bool    // bytes that a token begins with
}

// newAddedTokens returns the matcher of tokens with distinct, non-empty contents.
func newAddedTokens(tokens []addedToken) *addedTokens {
	if len(tokens) == 0 {
		return nil
	}
	slices.SortFunc(tokens, func(a, b addedToken) int { return strings.Compare(a.content, b.content) })
	a := &addedTokens{tokens: tokens}
	for _, t := range tokens {
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
				start = len(strings.TrimRightFunc(text[:start], unicode.IsSpace))
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

// find returns the first added token in text at or after from, the longest one there.
func (a *addedTokens) find(text string, from int) (start, end int, t *addedToken) {
	for start = from; start < len(text); start++ {
		if !a.start[text[start]] {
			continue
		}
		if t := a.longest(text[start:]); t != nil {
			return start, start + len(t.content), t
		}
	}
	return 0, 0, nil
}

// longest returns the longest added token that text begins with.
func (a *addedTokens) longest(text string) (best *addedToken) {
	// The tokens that begin with the first n bytes of text, in order.
	tokens := a.tokens
	for n := 0; len(tokens) > 0; n++ {
		if len(tokens[0].content) == n {
			best, tokens = &tokens[0], tokens[1:]
		}
		if n == len(text) {
			break
		}
		lo := sort.Search(len(tokens), func(i int) bool { return tokens[i].content[n] >= text[n] })
		hi := sort.Search(len(tokens), func(i int) bool { return tokens[i].content[n] > text[n] })
		tokens = tokens[lo:hi]
	}
	return best
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
