package tokenizer

import (
	"strings"

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

func nfc(text string, _ bool) string { return norm.NFC.String(text) }

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
