package main

import (
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// chunks keeps every write.
type chunks []string

func (c *chunks) Write(p []byte) (int, error) {
	*c = append(*c, string(p))
	return len(p), nil
}

// However a text is cut into prompt and new tokens, what comes out is whole characters and adds up.
func TestTextWriter(t *testing.T) {
	tok, err := models.Tokenizer("tinysilu")
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringOf(rapid.SampledFrom([]rune("aé€😀漢 \n\t\u0301"))).Draw(t, "text")
		ids, err := tok.EncodePlain(text)
		if err != nil {
			t.Fatal(err)
		}
		cut := rapid.IntRange(0, len(ids)).Draw(t, "cut")
		end := rapid.IntRange(cut, len(ids)).Draw(t, "end")

		var prompt chunks
		p := newTextWriter(&prompt, tok, nil)
		for _, id := range ids[:cut] {
			p.push(id)
		}
		before := p.text.String() // the whole characters of the prompt

		var out chunks
		w := newTextWriter(&out, tok, ids[:cut])
		for _, id := range ids[cut:end] {
			if !w.push(id) {
				t.Fatal(w.err)
			}
		}
		if err := w.end(); err != nil {
			t.Fatal(err)
		}
		for _, c := range out {
			if !utf8.ValidString(c) {
				t.Fatalf("%q is not whole", c)
			}
		}
		if end == cut {
			if len(out) > 0 {
				t.Fatalf("%q without a token", out)
			}
			return
		}
		want, err := tok.Decode(ids[:end], true)
		if err != nil {
			t.Fatal(err)
		}
		if got := before + strings.Join(out, ""); got != want+"\n" || got != before+w.text.String()+"\n" {
			t.Fatalf("%q, want %q", got, want)
		}
	})
}
