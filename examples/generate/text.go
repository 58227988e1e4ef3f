package main

import (
	"io"
	"strings"

	"github.com/sparsegonia/sparsegonia/llama/tokenizer"
)

// textWriter writes the text of tokens as they come.
type textWriter struct {
	out    io.Writer
	stream *tokenizer.Stream // nil: ids only

	ids  []int32
	text strings.Builder // all of it
	err  error
}

// newTextWriter starts a text that follows the prompt. The stream decodes the prompt too, for what
// the first new token means depends on it: a token of Llama 2 begins with a space unless it begins
// the text.
func newTextWriter(out io.Writer, tok *tokenizer.Tokenizer, prompt []int32) *textWriter {
	w := &textWriter{out: out, ids: []int32{}}
	if tok != nil {
		w.stream = tok.NewStream()
		for _, id := range prompt {
			_, _ = w.stream.Push(id) // an id without a token is as good as none
		}
	}
	return w
}

// push takes the next token and reports whether to go on.
func (w *textWriter) push(id int32) bool {
	w.ids = append(w.ids, id)
	if w.stream == nil {
		return true
	}
	text, err := w.stream.Push(id)
	if err != nil {
		w.err = err
		return false
	}
	w.write(text)
	return w.err == nil
}

// end writes what is left of the text, and a line feed if there is any token.
func (w *textWriter) end() error {
	if w.stream == nil || len(w.ids) == 0 || w.err != nil {
		return w.err
	}
	w.write(w.stream.Flush())
	if w.err == nil {
		_, w.err = io.WriteString(w.out, "\n")
	}
	return w.err
}

func (w *textWriter) write(text string) {
	if text == "" {
		return
	}
	w.text.WriteString(text)
	_, w.err = io.WriteString(w.out, text)
}
