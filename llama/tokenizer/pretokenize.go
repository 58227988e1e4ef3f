package tokenizer

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// A piece is text that no merge reaches out of.
type piece struct {
	text  string
	first bool // at the start of the whole
}

// A preTokenizer cuts pieces into smaller ones, which it appends to out. None of them is empty.
type preTokenizer interface {
	split(out []piece, p piece) []piece
}

// isolate cuts text where a scanner says: each match is a piece of its own.
type isolate struct{ scan scanner }

func (s isolate) split(out []piece, p piece) []piece {
	for p.text != "" {
		n := s.scan(p.text)
		out = append(out, piece{p.text[:n], p.first})
		p = piece{text: p.text[n:]}
	}
	return out
}

// byteLevel spells text in the byte alphabet of GPT-2.
type byteLevel struct {
	prefixSpace bool    // a space before text that does not start with one
	scan        scanner // cuts before spelling; nil: does not cut
}

func (b byteLevel) split(out []piece, p piece) []piece {
	if b.prefixSpace && !strings.HasPrefix(p.text, " ") {
		p.text = " " + p.text
	}
	from := len(out)
	if b.scan == nil {
		out = append(out, p)
	} else {
		out = isolate{b.scan}.split(out, p)
	}
	for i := from; i < len(out); i++ {
		out[i].text = spell(out[i].text)
	}
	return out
}

// metaspace writes spaces as a mark and, with cut, begins a piece at each mark.
type metaspace struct {
	mark   string
	scheme prependScheme
	cut    bool
}

// A prependScheme says which pieces get a mark before them when they do not start with one.
type prependScheme int

const (
	prependNever prependScheme = iota
	prependToFirst
	prependAlways
)

func (m metaspace) split(out []piece, p piece) []piece {
	text := strings.ReplaceAll(p.text, " ", m.mark)
	if (m.scheme == prependAlways || m.scheme == prependToFirst && p.first) && !strings.HasPrefix(text, m.mark) {
		text = m.mark + text
	}
	p.text = text
	if !m.cut {
		return append(out, p)
	}
	return isolate{m.scan}.split(out, p)
}

// scan ends a piece before the next mark.
func (m metaspace) scan(s string) int {
	_, size := utf8.DecodeRuneInString(s)
	if i := strings.Index(s[size:], m.mark); i >= 0 {
		return size + i
	}
	return len(s)
}

// A scanner returns the length of the first piece of a non-empty text; it is at least 1.
type scanner func(s string) int

// The split patterns that the package knows, by their exact text. Each scanner cuts as the pattern
// does when matched at the start of the text again and again; text between matches is a piece too.
const (
	patternGPT2   = `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
	patternLlama3 = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	patternQwen2  = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	patternDigit  = `\p{N}`
	patternDigits = `\p{N}{1,3}`
)

var patterns = map[string]scanner{
	patternGPT2:   scanGPT2,
	patternLlama3: scanLlama3,
	patternQwen2:  scanQwen2,
	patternDigit:  scanDigit,
	patternDigits: scanDigits,
}

// scanGPT2 is patternGPT2.
func scanGPT2(s string) int {
	if n := contraction(s, false); n > 0 {
		return n
	}
	from := 0
	if s[0] == ' ' {
		from = 1
	}
	for _, class := range []func(rune) bool{unicode.IsLetter, unicode.IsNumber, isSymbol} {
		if end := run(s, from, class); end > from {
			return end
		}
	}
	return spaces(s)
}

// scanLlama3 is patternLlama3.
func scanLlama3(s string) int { return scanCL100K(s, 3) }

// scanQwen2 is patternQwen2.
func scanQwen2(s string) int { return scanCL100K(s, 1) }

// scanCL100K is the family of patterns that goes back to OpenAI's cl100k_base;
// they differ in how many digits make a piece.
func scanCL100K(s string, digits int) int {
	if n := contraction(s, true); n > 0 {
		return n
	}
	r, size := utf8.DecodeRuneInString(s)
	if unicode.IsLetter(r) {
		return run(s, size, unicode.IsLetter)
	}
	if unicode.IsNumber(r) {
		return numbers(s, digits)
	}
	if !isNewline(r) {
		if end := run(s, size, unicode.IsLetter); end > size {
			return end
		}
	}
	from := 0
	if r == ' ' {
		from = 1
	}
	if end := run(s, from, isSymbol); end > from {
		return run(s, end, isNewline)
	}
	if i := strings.LastIndexAny(s[:run(s, 0, unicode.IsSpace)], "\r\n"); i >= 0 {
		return i + 1
	}
	return spaces(s)
}

// scanDigit is patternDigit.
func scanDigit(s string) int { return digitsOr(s, 1) }

// scanDigits is patternDigits.
func scanDigits(s string) int { return digitsOr(s, 3) }

// scanNumbers cuts runs of numbers from what is not a number.
func scanNumbers(s string) int { return digitsOr(s, len(s)) }

// digitsOr returns the length of up to most numbers, or else of the run that is none.
func digitsOr(s string, most int) int {
	if n := numbers(s, most); n > 0 {
		return n
	}
	return run(s, 0, func(r rune) bool { return !unicode.IsNumber(r) })
}

// contraction returns the length of 's, 't, 're, 've, 'm, 'll or 'd at the start
// of s. Without regard to case, ſ is an s, as Unicode folds it.
func contraction(s string, fold bool) int {
	if s[0] != '\'' {
		return 0
	}
	if fold && strings.HasPrefix(s, "'ſ") {
		return len("'ſ")
	}
	for _, end := range []string{"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"} {
		n := len(end)
		if len(s) >= n && (s[:n] == end || fold && strings.EqualFold(s[:n], end)) {
			return n
		}
	}
	return 0
}

// run returns the end of the run of a class that starts at from.
func run(s string, from int, class func(rune) bool) int {
	for from < len(s) {
		r, size := utf8.DecodeRuneInString(s[from:])
		if !class(r) {
			break
		}
		from += size
	}
	return from
}

// numbers returns the length of up to most numbers at the start of s.
func numbers(s string, most int) int {
	end := 0
	for ; most > 0 && end < len(s); most-- {
		r, size := utf8.DecodeRuneInString(s[end:])
		if !unicode.IsNumber(r) {
			break
		}
		end += size
	}
	return end
}

// spaces is \s+(?!\S)|\s+ for s that starts with white space: the run without
// its last space, which goes with what follows, if anything does.
func spaces(s string) int {
	end := run(s, 0, unicode.IsSpace)
	if end < len(s) {
		if _, size := utf8.DecodeLastRuneInString(s[:end]); end > size {
			return end - size
		}
	}
	return end
}

// isSymbol reports whether a rune is in [^\s\p{L}\p{N}].
func isSymbol(r rune) bool {
	return !unicode.IsSpace(r) && !unicode.IsLetter(r) && !unicode.IsNumber(r)
}

func isNewline(r rune) bool { return r == '\r' || r == '\n' }
