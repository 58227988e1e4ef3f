package tokenizer

import (
	"strings"
	"unicode/utf8"
)

// The byte alphabet of GPT-2 writes every byte as a printable rune: the
// printable Latin-1 ones as themselves, the others as U+0100 and up in order
// (https://github.com/openai/gpt-2, src/encoder.py).
var (
	runeOfByte [256]string
	byteOfRune = map[rune]byte{}
)

func init() {
	next := rune(256)
	for b := range 256 {
		r := rune(b)
		if b <= ' ' || 0x7F <= b && b <= 0xA0 || b == 0xAD {
			r = next
			next++
		}
		runeOfByte[b] = string(r)
		byteOfRune[r] = byte(b)
	}
}

// spell writes the bytes of text in the byte alphabet.
func spell(text string) string {
	var b strings.Builder
	b.Grow(len(text) * 2)
	for i := range len(text) {
		b.WriteString(runeOfByte[text[i]])
	}
	return b.String()
}

// appendBytes appends the bytes that token spells, or token itself when it is
// not written in the byte alphabet.
func appendBytes(dst []byte, token string) []byte {
	n := len(dst)
	for i := 0; i < len(token); {
		r, size := utf8.DecodeRuneInString(token[i:])
		b, ok := byteOfRune[r]
		if !ok {
			return append(dst[:n], token...)
		}
		dst = append(dst, b)
		i += size
	}
	return dst
}
