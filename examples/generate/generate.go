package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"

	"github.com/sparsegonia/sparsegonia/examples/internal/program"
	"github.com/sparsegonia/sparsegonia/llama"
	"github.com/sparsegonia/sparsegonia/llama/tokenizer"
)

// generate continues the prompt.
func generate(ctx context.Context, env *program.Env, s *settings) (err error) {
	var logits *program.File
	if s.logits != "" {
		if logits, err = program.Create(s.logits); err != nil {
			return fmt.Errorf("-logits: %w", err)
		}
		defer logits.Discard()
	}
	pool, err := s.threads()
	if err != nil {
		return err
	}
	defer pool.Close()

	loading := env.Wait("loading the model", 0)
	defer loading.Done()
	model, err := models.Open(s.model, llama.Options{Dtype: s.dtype, Pool: pool})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, model.Close()) }()
	tok, err := s.tokenizer(model)
	if err != nil {
		return err
	}
	loading.Done()

	prompt, err := s.promptIDs(ctx, env, tok)
	if err != nil {
		return err
	}
	s.session.Pool = pool
	if s.session.Context == 0 {
		s.session.Context = model.Config.MaxContext
	}
	if err := s.fit(len(prompt)); err != nil {
		return err
	}
	if s.session.Plan, err = s.makePlan(ctx, env, model, tok); err != nil {
		return err
	}
	session, err := model.NewSession(s.session)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, session.Close()) }()

	r := newReport(s, model, prompt)
	if logits != nil {
		wait := env.Wait("computing logits", len(prompt))
		start := time.Now()
		err := writeLogits(ctx, session, prompt, logits, wait)
		wait.Done()
		if err != nil {
			return fmt.Errorf("-logits: %w", err)
		}
		r.LogitsSeconds = time.Since(start).Seconds()
	}

	out := env.Stdout
	if s.json {
		out = io.Discard
	}
	w := newTextWriter(out, tok, prompt)
	var stats llama.Stats
	if s.generate.MaxTokens > 0 || logits == nil {
		stats, err = session.Generate(ctx, prompt, s.generate, w.push)
	}
	interrupted := err != nil && ctx.Err() != nil && errors.Is(err, ctx.Err())
	if err != nil && !interrupted {
		return err
	}
	if err := w.end(); err != nil {
		return err
	}
	r.finish(stats, w, interrupted, s.generate.MaxTokens)
	if s.session.Plan != nil {
		r.Active = session.Density()
	}
	if s.json {
		if err := r.writeJSON(env.Stdout); err != nil {
			return err
		}
	}
	r.writeSummary(env.Stderr)
	return err
}

// tokenizer is the tokenizer of the model. Who gives ids and wants ids can do without: it is nil then, if there is none.
func (s *settings) tokenizer(model *llama.Model) (*tokenizer.Tokenizer, error) {
	tok, err := model.Tokenizer()
	if errors.Is(err, fs.ErrNotExist) && s.prompt == nil && s.sparsity == 0 && (s.json || s.newTokens != nil && *s.newTokens == 0) {
		return nil, nil
	}
	return tok, err
}

var errEmptyPrompt = errors.New("the prompt is empty")

// promptIDs are the ids of the prompt.
func (s *settings) promptIDs(ctx context.Context, env *program.Env, tok *tokenizer.Tokenizer) ([]int32, error) {
	if s.prompt == nil {
		return s.ids, nil
	}
	text := *s.prompt
	if text == "-" {
		data, err := env.ReadStdin(ctx)
		if err != nil {
			return nil, fmt.Errorf("-prompt -: %w", err)
		}
		text = string(data)
	}
	if text == "" {
		return nil, errEmptyPrompt
	}
	return tok.Encode(text)
}

// fit decides how many new tokens there can be after a prompt, and refuses what the context has no room for before any
// work is done.
func (s *settings) fit(prompt int) error {
	room := s.session.Context - prompt
	switch {
	case room < 0:
		return fmt.Errorf("a prompt of %d tokens is more than the context of %d", prompt, s.session.Context)
	case s.newTokens == nil && room == 0:
		return fmt.Errorf("a prompt of %d tokens leaves no room in the context of %d", prompt, s.session.Context)
	case s.newTokens == nil:
		s.generate.MaxTokens = min(defaultTokens, room)
	case *s.newTokens > room:
		return fmt.Errorf("-n %d: a prompt of %d tokens leaves room for %d in the context of %d",
			*s.newTokens, prompt, room, s.session.Context)
	default:
		s.generate.MaxTokens = *s.newTokens
	}
	return nil
}

// textWriter writes the text of tokens as they come.
type textWriter struct {
	out    io.Writer
	stream *tokenizer.Stream // nil: ids only

	ids  []int32
	text strings.Builder // all of it
	err  error
}

// newTextWriter starts a text that follows the prompt. The stream decodes the prompt too, for what the first new token
// means depends on it: a token of Llama 2 begins with a space unless it begins the text.
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

// push takes the next token and tells whether to go on.
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
