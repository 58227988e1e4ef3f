package tokenizer

import (
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// A normalizer rewrites text step by step before it is cut into pieces.
type normalizer []normalizerStep

// A normalizerStep is told whether the text is the start of the whole.
type normalizerStep func(text string, first bool) string

func (n normalizer) normalize(text string, first bool) string {
	for _, step := range n {
		text = step(text, first)
	}
	return text
}

// nfc is Unicode's canonical composition. Package norm reports only when there is
// nothing to do: it would also break runs of more than 30 marks with a U+034F
// (Unicode Standard Annex 15, section 13), which Hugging Face does not.
func nfc(text string, _ bool) string {
	if norm.NFC.IsNormalString(text) {
		return text
	}
	var out strings.Builder
	for text != "" {
		end := 0
		for end < len(text) {
			r, size := utf8.DecodeRuneInString(text[end:])
			if r == utf8.RuneError && size == 1 {
				break
			}
			end += size
		}
		out.WriteString(string(compose(decompose(text[:end]))))
		if end < len(text) {
			out.WriteByte(text[end]) // not UTF-8: stays as it is
			end++
		}
		text = text[end:]
	}
	return out.String()
}

// A mark is a rune with its canonical combining class, 0 for a starter.
type mark struct {
	r     rune
	class uint8
}

// decompose returns the canonical decomposition of text, its marks in canonical order.
func decompose(text string) []mark {
	var marks []mark
	for _, c := range text {
		if c < '\u00C0' { // nothing below decomposes
			marks = append(marks, mark{c, 0})
			continue
		}
		for _, r := range norm.NFD.String(string(c)) {
			marks = append(marks, mark{r, norm.NFD.PropertiesString(string(r)).CCC()})
		}
	}
	for from := 0; from < len(marks); from++ {
		end := from
		for end < len(marks) && marks[end].class > 0 {
			end++
		}
		slices.SortStableFunc(marks[from:end], func(a, b mark) int { return int(a.class) - int(b.class) })
		from = end
	}
	return marks
}

// compose joins marks with the starter before them (Unicode 15, section 3.11, D117).
func compose(marks []mark) []rune {
	var out []rune
	starter := -1     // place in out of the last starter
	last := uint8(0)  // class of the rune before
	adjacent := false // nothing is between the starter and this rune
	for _, m := range marks {
		// Nothing below U+0300 is the second rune of a composition.
		if starter >= 0 && m.r >= '\u0300' && (adjacent || last < m.class) {
			pair := []rune(norm.NFC.String(string([]rune{out[starter], m.r})))
			if len(pair) == 1 {
				out[starter] = pair[0]
				continue
			}
		}
		if m.class == 0 {
			starter = len(out)
		}
		out = append(out, m.r)
		last, adjacent = m.class, m.class == 0
	}
	return out
}

// prepend puts prefix before every text between added tokens.
func prepend(prefix string) normalizerStep {
	return func(text string, _ bool) string {
		if text == "" {
			return text
		}
		return prefix + text
	}
}

// prependFirst puts prefix before the start of the whole only.
func prependFirst(prefix string) normalizerStep {
	return func(text string, first bool) string {
		if text == "" || !first {
			return text
		}
		return prefix + text
	}
}

func replace(old, new string) normalizerStep {
	return func(text string, _ bool) string { return strings.ReplaceAll(text, old, new) }
}
