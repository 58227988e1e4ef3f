package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/sparsegonia/sparsegonia/examples/internal/program"
	"github.com/sparsegonia/sparsegonia/llama"
	"github.com/sparsegonia/sparsegonia/ops/kernel"
)

// maxPrompts bounds the memory of the logits of a step, which are prompts × vocabulary.
const maxPrompts = 256

// batchReport is the JSON object that -json prints for several prompts. Active is the share of the
// neurons that were active for any prompt of a step.
type batchReport struct {
	setup
	Texts []continuation `json:"texts"` // in the order of the prompts
	Steps int            `json:"steps"` // of decoding: each gives a token to every text that goes on
	timing
}

// sequence is a prompt and the text that follows it.
type sequence struct {
	prompt []int32
	most   int // new tokens
	text   *textWriter
	finish string // empty: the text goes on
}

// generateBatch continues all prompts together. Whoever interrupts it gets what there is.
func generateBatch(ctx context.Context, env *program.Env, s *settings) (err error) {
	prompts, err := readPrompts(ctx, env, s.prompts)
	if err != nil {
		return fmt.Errorf("-prompts %s: %w", s.prompts, err)
	}
	e, err := s.open(env)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.close()) }()
	sequences, err := s.sequences(prompts, e)
	if err != nil {
		return err
	}
	s.session.Sequences = len(sequences)
	session, err := s.newSession(ctx, env, e)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, session.Close()) }()

	stop := s.generate.Stop
	if stop == nil {
		stop = e.model.Config.EOS
	}
	r := &batchReport{setup: newSetup(s, e.model)}
	err = r.run(ctx, env, session, sequences, stop)
	if err != nil && !isInterrupt(ctx, err) {
		return err
	}
	if err := r.finish(sequences); err != nil {
		return err
	}
	if s.session.Plan != nil {
		r.Active = session.Density()
	}
	write := r.writeTexts
	if s.json {
		write = func(w io.Writer) error { return writeJSON(w, r) }
	}
	if err := write(env.Stdout); err != nil {
		return err
	}
	r.writeSummary(env.Stderr)
	return err
}

// readPrompts reads a JSON array of strings or, from text that does not begin with a bracket,
// lines.
func readPrompts(ctx context.Context, env *program.Env, file string) ([]string, error) {
	data, err := readInput(ctx, env, file)
	if err != nil {
		return nil, err
	}
	var prompts []string
	switch text := bytes.TrimSpace(data); {
	case len(text) == 0:
	case text[0] == '[':
		if prompts, err = parseStrings(data); err != nil {
			return nil, err
		}
	default:
		for line := range strings.Lines(string(data)) {
			prompts = append(prompts, strings.TrimRight(line, "\r\n"))
		}
	}
	switch {
	case len(prompts) == 0:
		return nil, errors.New("there is no prompt")
	case len(prompts) > maxPrompts:
		return nil, fmt.Errorf("%d prompts are more than %d", len(prompts), maxPrompts)
	}
	if i := slices.Index(prompts, ""); i >= 0 {
		return nil, fmt.Errorf("prompt %d is empty", i)
	}
	return prompts, nil
}

// sequences tokenizes the prompts and refuses those that the context has no room for.
func (s *settings) sequences(prompts []string, e *engine) ([]*sequence, error) {
	all := make([]*sequence, len(prompts))
	for i, prompt := range prompts {
		ids, err := e.tok.Encode(prompt)
		if err != nil {
			return nil, fmt.Errorf("prompt %d: %w", i, err)
		}
		most, err := s.fit(len(ids), e.model)
		if err != nil {
			return nil, fmt.Errorf("prompt %d: %w", i, err)
		}
		all[i] = &sequence{prompt: ids, most: most, text: newTextWriter(io.Discard, e.tok, ids)}
	}
	return all, nil
}

// run computes the prompts one after the other and then decodes, a token of every sequence at a
// time.
func (r *batchReport) run(
	ctx context.Context, env *program.Env, session *llama.Session, sequences []*sequence, stop []int32,
) error {
	wait := env.Wait("generating", 0)
	defer wait.Done()
	next := make([]int32, len(sequences)) // token of each sequence; −1: it has ended
	start := time.Now()
	for i, q := range sequences {
		logits, err := session.Prefill(ctx, i, q.prompt)
		if err != nil {
			return err
		}
		if next[i], err = q.next(logits, stop); err != nil {
			return err
		}
	}
	r.PrefillSeconds = time.Since(start).Seconds()
	r.TTFTSeconds = r.PrefillSeconds
	start = time.Now()
	defer func() { r.DecodeSeconds = time.Since(start).Seconds() }()
	for slices.ContainsFunc(next, func(id int32) bool { return id >= 0 }) {
		logits, err := session.Decode(ctx, next)
		if err != nil {
			return err
		}
		r.Steps++
		vocabulary := len(logits) / len(next)
		for i, q := range sequences {
			if next[i] < 0 {
				continue
			}
			if next[i], err = q.next(logits[i*vocabulary:][:vocabulary], stop); err != nil {
				return err
			}
		}
	}
	return nil
}

// next chooses the likeliest token and adds it to the text. It returns −1 if the text ends there.
func (q *sequence) next(logits []float32, stop []int32) (int32, error) {
	if q.most == 0 {
		q.finish = "length"
		return -1, nil
	}
	id := int32(kernel.Argmax(logits))
	switch highest := float64(logits[id]); {
	case math.IsNaN(highest) || math.IsInf(highest, 0):
		return 0, errors.New("the logits are not finite numbers")
	case slices.Contains(stop, id):
		q.finish = "stop"
		return -1, nil
	case !q.text.push(id):
		return 0, q.text.err
	case len(q.text.ids) == q.most:
		q.finish = "length"
		return -1, nil
	}
	return id, nil
}

// finish enters the texts.
func (r *batchReport) finish(sequences []*sequence) error {
	decoded := -len(sequences) // the first token of each comes from its prompt
	for _, q := range sequences {
		if err := q.text.end(); err != nil {
			return err
		}
		text := q.text.text.String()
		c := continuation{
			PromptIDs: q.prompt, PromptTokens: len(q.prompt),
			IDs: q.text.ids, NewTokens: len(q.text.ids), Text: &text, Finish: q.finish,
		}
		if c.Finish == "" {
			c.Finish = "interrupted"
		}
		if c.Finish == "stop" {
			decoded++ // the stop token
		}
		decoded += c.NewTokens
		r.Texts = append(r.Texts, c)
	}
	if decoded > 0 {
		r.TokensPerSecond = float64(decoded) / r.DecodeSeconds
	}
	return nil
}

// writeTexts writes each text after a line that names its prompt, or nothing if no token was
// chosen.
func (r *batchReport) writeTexts(w io.Writer) error {
	var all strings.Builder
	for i, c := range r.Texts {
		fmt.Fprintf(&all, "==> %d <==\n%s\n", i, *c.Text)
	}
	if !slices.ContainsFunc(r.Texts, func(c continuation) bool { return c.NewTokens > 0 }) {
		return nil
	}
	_, err := io.WriteString(w, all.String())
	return err
}

// writeSummary says what was done and how fast.
func (r *batchReport) writeSummary(w io.Writer) {
	r.setup.writeSummary(w)
	prompt, tokens := 0, 0
	for _, c := range r.Texts {
		prompt, tokens = prompt+c.PromptTokens, tokens+c.NewTokens
	}
	fmt.Fprintf(w, "%d prompts of %d tokens in %v, %d new tokens, %d steps",
		len(r.Texts), prompt, seconds(r.PrefillSeconds), tokens, r.Steps)
	if r.TokensPerSecond > 0 {
		fmt.Fprintf(w, ": %.1f tokens/s of all texts", r.TokensPerSecond)
	}
	if r.Active != nil {
		fmt.Fprintf(w, ", %.1f %% of the neurons active for any of them", 100*r.active())
	}
	fmt.Fprintln(w)
}
