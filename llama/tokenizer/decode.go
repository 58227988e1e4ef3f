package tokenizer

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// A sink takes the tokens of a text one by one; flush ends the text.
type sink struct {
	push  func(token string)
	flush func()
}

// A stage of a decoder rewrites tokens on their way into next. It is called for
// every text, so it may keep state.
type stage func(next sink) sink

// replaceToken replaces old by new within each token.
func replaceToken(old, new string) stage {
	return func(next sink) sink {
		return sink{
			push:  func(token string) { next.push(strings.ReplaceAll(token, old, new)) },
			flush: next.flush,
		}
	}
}

// strip removes up to n leading runes c from each token, or only from the text
// as a whole when a stage before has fused the tokens.
func strip(c rune, n int, fused bool) stage {
	return func(next sink) sink {
		left := n
		return sink{
			push: func(token string) {
				if !fused {
					left = n
				}
				for left > 0 && token != "" {
					r, size := utf8.DecodeRuneInString(token)
					if r != c {
						left = 0
						break
					}
					token = token[size:]
					left--
				}
				next.push(token)
			},
			flush: next.flush,
		}
	}
}

// byteFallback decodes each run of tokens such as "<0xE2>" into the text of its
// bytes. A run that is not UTF-8 becomes one U+FFFD for each of its bytes, so
// nothing of a run is known before it ends.
func byteFallback(next sink) sink {
	var run []byte
	end := func() {
		if len(run) == 0 {
			return
		}
		text := string(run)
		if !utf8.Valid(run) {
			text = strings.Repeat("\uFFFD", len(run))
		}
		run = run[:0]
		next.push(text)
	}
	return sink{
		push: func(token string) {
			if b, ok := byteOf(token); ok {
				run = append(run, b)
				return
			}
			end()
			next.push(token)
		},
		flush: func() {
			end()
			next.flush()
		},
	}
}

// byteOf returns the byte that a token such as "<0x0A>" stands for.
func byteOf(token string) (byte, bool) {
	if len(token) != 6 || token[:3] != "<0x" || token[5] != '>' {
		return 0, false
	}
	b, err := strconv.ParseUint(token[3:5], 16, 8)
	return byte(b), err == nil
}

// metaspaceDecoder replaces the mark by a space, and by nothing in the first
// token where the pre-tokenizer put it there.
func metaspaceDecoder(mark string, prepended bool) stage {
	return func(next sink) sink {
		space := " "
		if prepended {
			space = ""
		}
		return sink{
			push: func(token string) {
				next.push(strings.ReplaceAll(token, mark, space))
				space = " "
			},
			flush: next.flush,
		}
	}
}

// byteLevelDecoder decodes tokens in the byte alphabet to the text of their
// bytes. A token with a rune outside the alphabet stands for itself.
func byteLevelDecoder(next sink) sink {
	var pending []byte
	return sink{
		push: func(token string) {
			pending = appendBytes(pending, token)
			text, rest := decodeWhole(pending)
			pending = append(pending[:0], rest...)
			next.push(text)
		},
		flush: func() {
			if len(pending) > 0 {
				next.push("\uFFFD")
			}
			next.flush()
		},
	}
}

// decodeWhole returns the text of b up to an incomplete character at its end, and its bytes. Each
// maximal part of a character that is not valid becomes one U+FFFD (Unicode 15, section 3.9,
// "U+FFFD Substitution of Maximal Subparts").
func decodeWhole(b []byte) (string, []byte) {
	var text strings.Builder
	for len(b) > 0 && utf8.FullRune(b) {
		r, size := utf8.DecodeRune(b)
		if r == utf8.RuneError && size == 1 {
			for size+1 < len(b) && !utf8.FullRune(b[:size+1]) {
				size++
			}
		}
		text.WriteRune(r)
		b = b[size:]
	}
	return text.String(), b
}

// joinSpaces puts a space between tokens, as Hugging Face does without a decoder.
func joinSpaces(next sink) sink {
	started := false
	return sink{
		push: func(token string) {
			if started {
				next.push(" ")
			}
			started = true
			next.push(token)
		},
		flush: next.flush,
	}
}
