package main

import (
	"errors"
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

// A text that cannot go on stops the generation.
func TestTextWriterFails(t *testing.T) {
	tok, err := models.Tokenizer("tinysilu")
	if err != nil {
		t.Fatal(err)
	}
	w := newTextWriter(new(chunks), tok, nil)
	if w.push(1 << 20) {
		t.Error("an id without a token is taken")
	}
	if err := w.end(); err == nil || !strings.Contains(err.Error(), "id 1048576") {
		t.Errorf("error %v", err)
	}
	w = newTextWriter(&failingWriter{}, tok, nil)
	if w.push(500) {
		t.Error("goes on after stdout failed")
	}
	if err := w.end(); !errors.Is(err, errFull) {
		t.Errorf("error %v", err)
	}
}
