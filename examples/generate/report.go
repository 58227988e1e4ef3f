package main

import (
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"time"

	"github.com/sparsegonia/sparsegonia/llama"
)

// report is the JSON object that -json prints for one prompt.
type report struct {
	setup
	continuation
	timing

	Logits        string  `json:"logits,omitempty"` // file, prompt_tokens × vocabulary float32
	LogitsSeconds float64 `json:"logits_seconds,omitempty"`
}

// setup is what ran.
type setup struct {
	Model      string `json:"model"` // as -model says
	Vocabulary int    `json:"vocabulary"`
	Dtype      string `json:"dtype"`   // of the weights: "stored" or what -dtype says
	Bytes      int64  `json:"bytes"`   // of all weights
	KV         string `json:"kv"`      // dtype of keys and values
	Machine    string `json:"machine"` // "lean" or "tape"
	Stock      bool   `json:"stock"`   // linears are Gorgonia's own nodes
	Context    int    `json:"context"` // most tokens of prompt and text
	Threads    int    `json:"threads"`
	Kernels    string `json:"kernels"` // variant: "generic", "avx2", …
	Go         string `json:"go"`      // version and platform

	Sparsity float64   `json:"sparsity"`         // as -sparsity says
	Plan     string    `json:"plan,omitempty"`   // file
	Active   []float64 `json:"active,omitempty"` // share of the neurons of each layer that decoded, if that is sparse

	Temperature float64 `json:"temperature"`
	TopP        float64 `json:"top_p"`
	Seed        uint64  `json:"seed"`
}

// continuation is a prompt and the text that follows it.
type continuation struct {
	PromptIDs []int32 `json:"prompt_ids"`
	IDs       []int32 `json:"ids"`            // that were chosen
	Text      *string `json:"text,omitempty"` // of ids; missing if the model has no tokenizer
	Finish    string  `json:"finish"`         // "length", "stop" (a stop token was chosen, which is not in ids) or "interrupted"

	PromptTokens int `json:"prompt_tokens"`
	NewTokens    int `json:"new_tokens"`
}

// timing is how long it took, in seconds.
type timing struct {
	PrefillSeconds  float64 `json:"prefill_seconds"` // of the prompt, or of all
	TTFTSeconds     float64 `json:"ttft_seconds"`    // until the first new token was chosen, of every prompt; 0: none was
	DecodeSeconds   float64 `json:"decode_seconds"`  // of all after it
	TokensPerSecond float64 `json:"tokens_per_second"`
}

func newReport(s *settings, model *llama.Model) *report {
	return &report{
		setup:        newSetup(s, model),
		continuation: continuation{PromptIDs: s.ids, PromptTokens: len(s.ids)},
		Logits:       s.logits,
	}
}

func newSetup(s *settings, model *llama.Model) setup {
	r := setup{
		Model: s.model, Vocabulary: model.Config.VocabSize,
		Dtype: "stored", Bytes: model.Bytes(), KV: s.session.KV.String(),
		Machine: s.machine, Stock: s.session.Stock, Context: s.session.Context,
		Threads: s.session.CPU.Threads(), Kernels: s.session.CPU.Variant(),
		Go:          fmt.Sprintf("%s %s/%s", runtime.Version(), runtime.GOOS, runtime.GOARCH),
		Temperature: s.generate.Temperature, TopP: s.generate.TopP, Seed: s.generate.Seed,
		Sparsity: s.sparsity, Plan: s.plan,
	}
	if s.dtype != nil {
		r.Dtype = s.dtype.String()
	}
	return r
}

// finish enters what was generated.
func (r *report) finish(stats llama.Stats, w *textWriter, interrupted bool, most int) {
	r.IDs = w.ids
	if w.stream != nil {
		text := w.text.String()
		r.Text = &text
	}
	// Every decoded token gives one choice: a new token or the stop token.
	decoded := stats.NewTokens - 1
	switch {
	case interrupted:
		r.Finish = "interrupted"
	case stats.NewTokens < most:
		r.Finish = "stop"
		decoded = stats.NewTokens
	default:
		r.Finish = "length"
	}
	r.NewTokens = stats.NewTokens
	r.PrefillSeconds = stats.Prefill.Seconds()
	r.TTFTSeconds = stats.TTFT.Seconds()
	r.DecodeSeconds = stats.Decode.Seconds()
	if decoded > 0 {
		r.TokensPerSecond = float64(decoded) / r.DecodeSeconds
	}
}

// writeJSON writes a report as a line of JSON.
func writeJSON(w io.Writer, report any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e.Encode(report)
}

// writeSummary says what was done and how fast.
func (r *report) writeSummary(w io.Writer) {
	r.setup.writeSummary(w)
	if r.Logits != "" {
		fmt.Fprintf(w, "logits of %d positions × %d in %v\n", r.PromptTokens, r.Vocabulary, seconds(r.LogitsSeconds))
	}
	if r.PrefillSeconds == 0 {
		return
	}
	fmt.Fprintf(w, "%d prompt tokens in %v", r.PromptTokens, seconds(r.PrefillSeconds))
	if r.NewTokens > 0 {
		fmt.Fprintf(w, ", %d new tokens: the first after %v", r.NewTokens, seconds(r.TTFTSeconds))
	}
	if r.TokensPerSecond > 0 {
		fmt.Fprintf(w, ", then %.1f tokens/s", r.TokensPerSecond)
	}
	if r.Active != nil {
		fmt.Fprintf(w, ", %.1f %% of the neurons active", 100*r.active())
	}
	fmt.Fprintln(w)
}

// writeSummary says what ran.
func (r *setup) writeSummary(w io.Writer) {
	fmt.Fprintf(w, "%s: %s weights (%.1f MB), %s keys and values, %s machine, %d threads, %s kernels\n",
		r.Model, r.Dtype, float64(r.Bytes)/1e6, r.KV, r.Machine, r.Threads, r.Kernels)
}

// active is the share of the neurons of all layers that were active.
func (r *setup) active() float64 {
	sum := 0.0
	for _, a := range r.Active {
		sum += a
	}
	return sum / float64(len(r.Active))
}

// seconds is a time with three digits or so.
func seconds(s float64) time.Duration {
	d := time.Duration(s * float64(time.Second))
	switch {
	case d > 10*time.Second:
		return d.Round(100 * time.Millisecond)
	case d > 100*time.Millisecond:
		return d.Round(time.Millisecond)
	default:
		return d.Round(10 * time.Microsecond)
	}
}
