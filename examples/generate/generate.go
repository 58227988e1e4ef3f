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
	"github.com/sparsegonia/sparsegonia/ops/kernel"
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
	e, err := s.open(env)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.close()) }()
	if s.prompt != nil {
		if s.ids, err = e.tok.Encode(*s.prompt); err != nil {
			return err
		}
	}
	if s.generate.MaxTokens, err = s.fit(len(s.ids), e.model); err != nil {
		return err
	}
	session, err := s.newSession(ctx, env, e)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, session.Close()) }()

	r := newReport(s, e.model)
	if logits != nil {
		if err := computeLogits(ctx, env, session, s.ids, logits, r); err != nil {
			return fmt.Errorf("-logits: %w", err)
		}
	}
	return continuePrompt(ctx, env, session, e.tok, s, r)
}

// engine is what every session needs.
type engine struct {
	cpu   *kernel.CPU
	model *llama.Model
	tok   *tokenizer.Tokenizer // nil: the model has none
}

// open starts the threads and opens the model and its tokenizer. The caller must close the engine.
func (s *settings) open(env *program.Env) (e *engine, err error) {
	e = new(engine)
	if e.cpu, err = s.threads(); err != nil {
		return nil, err
	}
	s.session.CPU = e.cpu
	loading := env.Wait("loading the model", 0)
	defer loading.Done()
	o := llama.Options{Pool: e.cpu.Pool()}
	if s.dtype != nil {
		o.Width = llama.As(*s.dtype)
	}
	if e.model, err = models.Open(s.model, o); err == nil {
		e.tok, err = s.tokenizer(e.model)
	}
	if err != nil {
		return nil, errors.Join(err, e.close())
	}
	return e, nil
}

// close ends what open started.
func (e *engine) close() error {
	defer e.cpu.Close()
	if e.model == nil {
		return nil
	}
	return e.model.Close()
}

// newSession finds the plan that the command line asks for and starts a session with it. The caller
// must close it.
func (s *settings) newSession(ctx context.Context, env *program.Env, e *engine) (session *llama.Session, err error) {
	if s.session.Plan, err = s.makePlan(ctx, env, e.model, e.tok); err != nil {
		return nil, err
	}
	return e.model.NewSession(s.session)
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

// continuePrompt puts out the new text, or the report in its place, and statistics. Whoever
// interrupts it gets what there is.
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
	interrupted := isInterrupt(ctx, err)
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
		if err := writeJSON(env.Stdout, r); err != nil {
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

// tokenizer is the tokenizer of the model. Who gives ids and wants ids can do without: it is nil
// then, if there is none.
func (s *settings) tokenizer(model *llama.Model) (*tokenizer.Tokenizer, error) {
	tok, err := model.Tokenizer()
	if errors.Is(err, fs.ErrNotExist) && s.prompt == nil && s.sparsity == 0 && (s.json || s.newTokens != nil && *s.newTokens == 0) {
		return nil, nil
	}
	return tok, err
}

// isInterrupt reports whether err comes from Ctrl-C.
func isInterrupt(ctx context.Context, err error) bool {
	return err != nil && ctx.Err() != nil && errors.Is(err, ctx.Err())
}

// fit returns how many new tokens may follow a prompt. It refuses what the context has no room for
// before any work is done.
func (s *settings) fit(prompt int, model *llama.Model) (int, error) {
	if s.session.Context == 0 {
		s.session.Context = model.Config.MaxContext
	}
	room := s.session.Context - prompt
	switch {
	case room < 0:
		return 0, fmt.Errorf("a prompt of %d tokens is more than the context of %d", prompt, s.session.Context)
	case s.newTokens == nil && room == 0:
		return 0, fmt.Errorf("a prompt of %d tokens leaves no room in the context of %d", prompt, s.session.Context)
	case s.newTokens == nil:
		return min(defaultTokens, room), nil
	case *s.newTokens > room:
		return 0, fmt.Errorf("-n %d: a prompt of %d tokens leaves room for %d in the context of %d",
			*s.newTokens, prompt, room, s.session.Context)
	default:
		return *s.newTokens, nil
	}
}
