package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/sparsegonia/sparsegonia/ops/weights/wholefile"

	"github.com/sparsegonia/sparsegonia/examples/internal/program"
	"github.com/sparsegonia/sparsegonia/llama"
	"github.com/sparsegonia/sparsegonia/llama/tokenizer"
)

// generate continues the prompt.
func generate(ctx context.Context, env *program.Env, s *settings) (err error) {
	var logits *wholefile.File
	if s.logits != "" {
		if logits, err = wholefile.Create(s.logits); err != nil {
			return fmt.Errorf("-logits: %w", err)
		}
		defer logits.Discard()
	}
	if s.prompt != nil {
		if err := s.readPrompt(ctx, env); err != nil {
			return err
		}
	}
	cpu, err := s.threads()
	if err != nil {
		return err
	}
	defer cpu.Close()
	s.session.CPU = cpu

	loading := env.Wait("loading the model", 0)
	defer loading.Done()
	o := llama.Options{Pool: cpu.Pool()}
	if s.dtype != nil {
		o.Width = llama.As(*s.dtype)
	}
	model, err := models.Open(s.model, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, model.Close()) }()
	tok, err := s.tokenizer(model)
	if err != nil {
		return err
	}
	loading.Done()

	if s.prompt != nil {
		if s.ids, err = tok.Encode(*s.prompt); err != nil {
			return err
		}
	}
	if err := s.fit(model); err != nil {
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

	r := newReport(s, model)
	if logits != nil {
		if err := computeLogits(ctx, env, session, s.ids, logits, r); err != nil {
			return fmt.Errorf("-logits: %w", err)
		}
	}
	return continuePrompt(ctx, env, session, tok, s, r)
}

// computeLogits writes the logits of the prompt into their file.
func computeLogits(ctx context.Context, env *program.Env, session *llama.Session, prompt []int32, f *wholefile.File, r *report) error {
	wait := env.Wait("computing logits", len(prompt))
	defer wait.Done()
	start := time.Now()
	err := writeLogits(ctx, session, prompt, f, wait)
	r.LogitsSeconds = time.Since(start).Seconds()
	return err
}

// continuePrompt puts out the new text, or the report in its place, and statistics. Whoever interrupts it gets what there is.
func continuePrompt(ctx context.Context, env *program.Env, session *llama.Session, tok *tokenizer.Tokenizer, s *settings, r *report) (err error) {
	out := env.Stdout
	if s.json {
		out = io.Discard
	}
	w := newTextWriter(out, tok, s.ids)
	var stats llama.Stats
	if s.generate.MaxTokens > 0 || s.logits == "" {
		stats, err = session.Generate(ctx, s.ids, s.generate, w.push)
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

// readPrompt reads the prompt from stdin if that is where it is.
func (s *settings) readPrompt(ctx context.Context, env *program.Env) error {
	if *s.prompt == "-" {
		data, err := env.ReadStdin(ctx)
		if err != nil {
			return fmt.Errorf("-prompt -: %w", err)
		}
		text := string(data)
		s.prompt = &text
	}
	if *s.prompt == "" {
		return errors.New("the prompt is empty")
	}
	return nil
}

// tokenizer is the tokenizer of the model. Who gives ids and wants ids can do without: it is nil then, if there is none.
func (s *settings) tokenizer(model *llama.Model) (*tokenizer.Tokenizer, error) {
	tok, err := model.Tokenizer()
	if errors.Is(err, fs.ErrNotExist) && s.prompt == nil && s.sparsity == 0 && (s.json || s.newTokens != nil && *s.newTokens == 0) {
		return nil, nil
	}
	return tok, err
}

// fit decides how many new tokens there can be after the prompt, and refuses what the context has no room for before any
// work is done.
func (s *settings) fit(model *llama.Model) error {
	if s.session.Context == 0 {
		s.session.Context = model.Config.MaxContext
	}
	prompt := len(s.ids)
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
