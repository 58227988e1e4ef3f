package main

import (
	"context"
	"fmt"

	"github.com/sparsegonia/sparsegonia/cache"
	"github.com/sparsegonia/sparsegonia/graph/calibrate"
	"github.com/sparsegonia/sparsegonia/llama"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// The arms of a model.
const (
	stockArm  = "stock"
	denseArm  = "dense"
	sparseArm = "sparse"
	windowArm = "window"
)

// armKinds are the sessions of the arms, without what depends on the command line.
var armKinds = map[string]llama.SessionOptions{
	stockArm:  {Stock: true, Machine: llama.Tape},
	denseArm:  {},
	sparseArm: {},
	windowArm: {}, // over a model of its own, whose MLPs lie in a neuron file
}

// planned reports whether an arm has a plan.
func planned(name string) bool { return name == sparseArm || name == windowArm }

// arm is a way to run the model.
type arm struct {
	name    string
	model   *llama.Model
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

	HitRate           float64 `json:"hit_rate"`             // of the weight cache, 0 without one
	FileBytesPerToken int64   `json:"file_bytes_per_token"` // read from a neuron file to decode a token

	WeightBytes  int64 `json:"weight_bytes"`   // in memory, that the graphs read
	MLPBytes     int64 `json:"mlp_bytes"`      // of them, those of the MLPs
	KVBytes      int64 `json:"kv_bytes"`       // of the tokens of a run
	PeakRSSBytes int64 `json:"peak_rss_bytes"` // of a process with only this arm; 0: unknown

	runs []llama.Stats
}

func (b *bench) newArm(m *llama.Model, name string, d weights.Dtype, plan *calibrate.Plan) (*arm, error) {
	o := armKinds[name]
	o.CPU = b.cpu
	o.Context = min(m.Config.MaxContext, max(b.promptTokens+b.newTokens, perplexityWindow(m.Config.MaxContext, b.evaluatedTokens())))
	if planned(name) {
		o.Plan = plan
	}
	if name == windowArm {
		o.Window = cache.WindowOptions{Budget: int64(b.budget * float64(weightBytes(&m.Config, d, true)))}
	}
	s, err := m.NewSession(o)
	if err != nil {
		return nil, fmt.Errorf("arm %s: %w", name, err)
	}
	return &arm{name, m, s}, nil
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
func (b *bench) describe(r *armRow, a *arm, d weights.Dtype, plan *calibrate.Plan) {
	if r.Name == stockArm {
		d = weights.F32
	}
	c := &a.model.Config
	r.Dtype = d.String()
	r.WeightBytes, r.MLPBytes = weightBytes(c, d, false), weightBytes(c, d, true)
	r.KVBytes = kvBytes(c, b.promptTokens+b.newTokens)
	r.BytesPerToken = r.WeightBytes
	if !c.TieEmbeddings { // of which a token reads one row
		r.BytesPerToken -= int64(c.VocabSize-1) * int64(d.RowBytes(c.HiddenSize))
	}
	r.Active = 1
	if !planned(r.Name) {
		return
	}
	var stats cache.Stats
	for i := range c.Layers {
		stats.Add(a.session.CacheStats(i))
	}
	r.HitRate = stats.HitRate()
	if r.Name == windowArm {
		others := r.WeightBytes - r.MLPBytes
		r.MLPBytes = a.model.Bytes() - others + stats.ResidentBytes
		r.WeightBytes = others + r.MLPBytes
		r.FileBytesPerToken = stats.BytesRead * int64(c.Layers) / max(stats.Refreshes, 1)
	}
	r.Active = 0
	density := a.session.Density()
	mlp := weights.MLPShape(d, c.IntermediateSize, c.HiddenSize, true)
	for i, active := range density {
		r.Active += active / float64(len(density))
		r.BytesPerToken += plan.Layers[i].Kind.Bytes(mlp, active) - calibrate.DenseKind{}.Bytes(mlp, 1)
	}
}
