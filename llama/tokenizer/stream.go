package tokenizer

import "strings"

// A Stream decodes ids as they come. It emits whole characters only, and what
// it emits adds up to what [Tokenizer.Decode] returns without special tokens.
type Stream struct {
	t    *Tokenizer
	out  sink
	text strings.Builder
}

// NewStream returns a stream at the start of a text.
func (t *Tokenizer) NewStream() *Stream {
	s := &Stream{t: t}
	s.start()
	return s
}

func (s *Stream) start() {
	s.out = s.t.decode(func(text string) { s.text.WriteString(text) })
}

// Push takes the next id and returns the text that it completes, which is empty
// as long as the last character, or run of byte-fallback tokens, may go on.
// An id that has no token is an error and leaves the stream as it was.
func (s *Stream) Push(id int32) (string, error) {
	if s == nil {
		return "", (*Tokenizer)(nil).check()
	}
	if err := s.t.push(s.out, id, true); err != nil {
		return "", err
	}
	return s.take(), nil
}

// Flush returns what is left, U+FFFD for a character that was cut off, and
// makes the stream ready for another text.
func (s *Stream) Flush() string {
	if s == nil || s.t == nil {
		return ""
	}
	s.out.flush()
	s.start()
	return s.take()
}

func (s *Stream) take() string {
	text := s.text.String()
	s.text.Reset()
	return text
}
