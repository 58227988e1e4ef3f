package main

import (
	"context"
	"fmt"

	"github.com/sparsegonia/sparsegonia/graph/calibrate"
	"github.com/sparsegonia/sparsegonia/llama"
	"github.com/sparsegonia/sparsegonia/ops/kernel"
)

// The arms of a model.
const (
	stockArm  = "stock"
	denseArm  = "dense"
	sparseArm = "sparse"
)

// armKinds are the sessions of the arms, without what depends on the command line.
var armKinds = map[string]llama.SessionOptions{
	stockArm:  {Stock: true, Machine: llama.Tape},
	denseArm:  {},
	sparseArm: {},
}

// arm is a way to run the model.
type arm struct {
	name    string
	session *llama.Session
}

// armRow is what was measured of an arm.
type armRow struct {
	Name  string `json:"name"`
	Dtype string `json:"dtype"` // of the weights

	TTFT      summary `json:"ttft"`       // seconds until the first new token is chosen
	OutputTPS summary `json:"output_tps"` // tokens after the first, a second of decoding
	TotalTPS  summary `json:"total_tps"`  // tokens of prompt and output, a second

	Active        float64 `json:"active"`          // mean fraction of the neurons that were active when decoding
	BytesPerToken int64   `json:"bytes_per_token"` // of weights read to decode a token
	GBPerSecond   float64 `json:"gb_per_second"`   // of weights read when decoding, at the median
	Perplexity    float64 `json:"perplexity"`      // 0: not measured

	WeightBytes  int64 `json:"weight_bytes"`   // that the graphs are bound to
	KVBytes      int64 `json:"kv_bytes"`       // of the tokens of a run
	PeakRSSBytes int64 `json:"peak_rss_bytes"` // of a process with only this arm; 0: unknown

	runs []llama.Stats
}

func (b *bench) newArm(m *llama.Model, name string, plan *calibrate.Plan) (*arm, error) {
	o := armKinds[name]
	o.Pool = b.pool
	o.Context = min(m.Config.MaxContext, max(b.promptTokens+b.newTokens, perplexityWindow(m.Config.MaxContext, b.evaluatedTokens())))
	if name == sparseArm {
		o.Plan = plan
	}
	s, err := m.NewSession(o)
	if err != nil {
		return nil, fmt.Errorf("arm %s: %w", name, err)
	}
	return &arm{name, s}, nil
}

// evaluatedTokens are those that perplexity is measured on, if the text has as many.
func (b *bench) evaluatedTokens() int {
	if b.perplexityTokens >= 0 {
		return b.perplexityTokens
	}
	return b.evaluated
}

// generate is one run.
func (b *bench) generate(ctx context.Context, a *arm, prompt []int32, round int) (llama.Stats, error) {
	stats, err := a.session.Generate(ctx, prompt, llama.GenerateOptions{
		MaxTokens: b.newTokens, Temperature: b.temperature, Seed: b.seed + uint64(round),
		Stop: []int32{}, // every run is equally long
	}, func(int32) bool { return true })
	if err != nil {
		return stats, fmt.Errorf("arm %s: %w", a.name, err)
	}
	return stats, nil
}

func ttft(s llama.Stats) float64      { return s.TTFT.Seconds() }
func outputTPS(s llama.Stats) float64 { return float64(s.NewTokens-1) / s.Decode.Seconds() }
func totalTPS(s llama.Stats) float64 {
	return float64(s.PromptTokens+s.NewTokens) / (s.TTFT + s.Decode).Seconds()
}

// each applies f to the runs.
func (r *armRow) each(f func(llama.Stats) float64) []float64 {
	values := make([]float64, len(r.runs))
	for i, s := range r.runs {
		values[i] = f(s)
	}
	return values
}

// describe fills in what does not change from run to run.
func (b *bench) describe(r *armRow, m *llama.Model, d kernel.Dtype, plan *calibrate.Plan, density []float64) {
	if r.Name == stockArm {
		d = kernel.F32
	}
	c := &m.Config
	r.Dtype = d.String()
	r.WeightBytes = weightBytes(c, d, false)
	r.KVBytes = kvBytes(c, b.promptTokens+b.newTokens)
	r.BytesPerToken = r.WeightBytes
	if !c.TieEmbeddings { // of which a token reads one row
		r.BytesPerToken -= int64(c.VocabSize-1) * int64(d.RowBytes(c.HiddenSize))
	}
	r.Active = 1
	if r.Name != sparseArm {
		return
	}
	r.Active = 0
	row := int64(d.RowBytes(c.HiddenSize))
	neurons := int64(c.IntermediateSize)
	for i, active := range density {
		r.Active += active / float64(len(density))
		rows := 3 * active
		switch l := &plan.Layers[i]; l.Selector {
		case calibrate.Gate: // whose rows are all read
			rows = 1 + 2*active
		case calibrate.LoRA: // in float32
			r.BytesPerToken += 4 * int64(l.Rank) * (int64(c.HiddenSize) + neurons)
		}
		r.BytesPerToken -= int64((3 - rows) * float64(neurons*row))
	}
}
