package tokenizer

import (
	"math/rand"
	"strings"
	"testing"

	"golang.org/x/text/unicode/norm"
)

// Package norm is right about short runs of marks that follow their starter.
func TestComposeIsNFC(t *testing.T) {
	alphabet := []rune("aeszqAÅǺKΩº\u0301\u0307\u0316\u0323\u0327\u0345\u0338\u0958\u0915\u093c각각가\u0f71\u0f72\ufb2c\U0001d15e가")
	rng := rand.New(rand.NewSource(1))
	for range 50000 {
		b := make([]rune, rng.Intn(9))
		for i := range b {
			b[i] = alphabet[rng.Intn(len(alphabet))]
		}
		text := string(b)
		if got, want := string(compose(decompose(text))), norm.NFC.String(text); got != want {
			t.Fatalf("%+q: got %+q want %+q", text, got, want)
		}
	}
}

func TestNFCKeepsLongRuns(t *testing.T) {
	text := "a" + strings.Repeat("\u0316", 100)
	if got := nfc(text, true); got != text {
		t.Errorf("got %+q", got)
	}
	if got, want := nfc("e\u0301"+text, true), "é"+text; got != want {
		t.Errorf("got %+q want %+q", got, want)
	}
}

func TestNFCKeepsBytes(t *testing.T) {
	if got, want := nfc("\xffe\u0301\xe6\x97e\u0301\x80", true), "\xffé\xe6\x97é\x80"; got != want {
		t.Errorf("got %q want %q", got, want)
	}
}
