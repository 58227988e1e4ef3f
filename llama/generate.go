package llama

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// GenerateOptions say how a text goes on.
type GenerateOptions struct {
	MaxTokens int // new tokens at most, 0 up

	Temperature float64 // 0: greedy
	TopP        float64 // nucleus sampling; 0 is 1, the whole vocabulary
	Seed        uint64

	Stop []int32 // end the text and are not part of it; nil: the end tokens of the model; empty: none
}

// Stats are the counts and times of one Generate.
type Stats struct {
	PromptTokens, NewTokens int

	TTFT    time.Duration // until the first new token was chosen
	Prefill time.Duration // of the prompt
	Decode  time.Duration // of the tokens after the first
}

// Generate continues a prompt, the new past of sequence 0, and yields the new tokens one by one
// until there are MaxTokens, a stop token comes or yield returns false.
//
// If prompt and new tokens together do not fit in the context, the error is ErrContextFull. That,
// and that the plan fits the model, is checked before the first token is computed. After an error,
// stats say what was done until then.
func (s *Session) Generate(ctx context.Context, prompt []int32, o GenerateOptions, yield func(id int32) bool) (stats Stats, err error) {
	stats.PromptTokens = len(prompt)
	if s.sampler, err = newSampler(o.Temperature, o.TopP, o.Seed); err != nil {
		return stats, err
	}
	if o.MaxTokens < 0 {
		return stats, fmt.Errorf("llama: %d new tokens", o.MaxTokens)
	}
	if err := s.checkPrompt(prompt, 0); err != nil {
		return stats, err
	}
	if o.MaxTokens > s.o.Context-len(prompt) {
		return stats, fmt.Errorf("llama: %w: %d new tokens after %d are more than the context of %d", ErrContextFull, o.MaxTokens, len(prompt), s.o.Context)
	}
	stop := o.Stop
	if stop == nil {
		stop = s.model.Config.EOS
	}

	if o.MaxTokens > 1 {
		if _, err := s.program(programKey{tokens: 1, rows: 1, decode: true}); err != nil {
			return stats, err
		}
	}
	start := time.Now()
	s.length[0] = 0
	logits, err := s.prefill(ctx, 0, prompt)
	stats.Prefill = time.Since(start)
	if err != nil || o.MaxTokens == 0 {
		return stats, err
	}
	id, err := s.sampler.sample(logits)
	stats.TTFT = time.Since(start)
	if err != nil {
		return stats, err
	}
	first := time.Now()
	defer func() { stats.Decode = time.Since(first) }()
	for {
		if slices.Contains(stop, id) {
			return stats, nil
		}
		stats.NewTokens++
		if !yield(id) || stats.NewTokens == o.MaxTokens {
			return stats, nil
		}
		if logits, err = s.decodeOne(ctx, 0, id); err != nil {
			return stats, err
		}
		if id, err = s.sampler.sample(logits); err != nil {
			return stats, err
		}
	}
}
