package llama_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"testing"

	"github.com/sparsegonia/sparsegonia/graph"
	"github.com/sparsegonia/sparsegonia/graph/calibrate"
	"github.com/sparsegonia/sparsegonia/llama"
	"github.com/sparsegonia/sparsegonia/ops/kernel"
)

// everywhere is a plan of the same layer for every layer of m.
func everywhere(m *llama.Model, l calibrate.Layer) *calibrate.Plan {
	return &calibrate.Plan{Layers: slices.Repeat([]calibrate.Layer{l}, m.Config.Layers)}
}

// decoded are the logits that follow each of ids, token by token.
func decoded(t testing.TB, s *llama.Session, ids []int32) []float32 {
	t.Helper()
	s.Reset()
	var all []float32
	for i, id := range ids {
		row, err := s.Decode(background, []int32{id})
		if err != nil {
			t.Fatalf("token %d: %v", i, err)
		}
		all = append(all, row...)
	}
	return all
}

// Every selector that lets every neuron through gives the dense model, however the graph is written and whatever runs it.
func TestSparseWithEveryNeuronIsDense(t *testing.T) {
	for _, variant := range []string{"f32", "f16", "bf16", "relu", "gelu", "gelu-tanh", "bias", "odd-shapes", "mqa"} {
		m := open(t, filepath.Join(variants, variant), llama.Options{})
		ids := randomIDs(7, 20, m.Config.VocabSize)
		for name, o := range arms {
			want := decoded(t, session(t, m, o), ids)
			for selector, plan := range map[string]*calibrate.Plan{
				"dense":     everywhere(m, calibrate.Layer{Kind: calibrate.DenseKind{}}),
				"gate":      everywhere(m, calibrate.Layer{Kind: calibrate.GateKind{Threshold: []float64{0}}}),
				"threshold": everywhere(m, calibrate.Layer{Kind: calibrate.LoRAKind{Rank: 3, Threshold: []float64{-1e30}}}),
				"topk":      everywhere(m, calibrate.Layer{Kind: calibrate.LoRAKind{Rank: 3, Method: calibrate.TopK}}),
			} {
				o.Plan = plan
				s := session(t, m, o)
				what := fmt.Sprintf("%s, %s, %s", variant, name, selector)
				wantClose(t, what, decoded(t, s, ids), want, 2e-5)
				for layer, density := range s.Density() {
					if density != 1 {
						t.Errorf("%s: layer %d: density %v", what, layer, density)
					}
				}
				if stats := s.CacheStats(1); selector != "dense" && stats.Refreshes != int64(len(ids)) {
					t.Errorf("%s: %d refreshes for %d tokens", what, stats.Refreshes, len(ids))
				}
			}
		}
	}
}

// Thresholds above every score leave the attention and the biases of down projections.
func TestSparseWithoutNeurons(t *testing.T) {
	for _, variant := range []string{"f32", "bias"} {
		m := open(t, filepath.Join(variants, variant), llama.Options{})
		ids := randomIDs(7, 10, m.Config.VocabSize)
		dense := decoded(t, session(t, m, llama.SessionOptions{}), ids)
		none := everywhere(m, calibrate.Layer{Kind: calibrate.GateKind{Threshold: []float64{1e30}}})
		var want []float32
		for name, o := range arms {
			o.Plan = none
			s := session(t, m, o)
			got := decoded(t, s, ids)
			if want == nil {
				want = got
			}
			wantClose(t, name, got, want, 1e-5)
			if d := difference(got, dense); d < 1e-2 {
				t.Errorf("%s, %s: without MLPs the logits differ by %.1e only", variant, name, d)
			}
			if slices.Max(s.Density()) != 0 {
				t.Errorf("%s, %s: density %v", variant, name, s.Density())
			}
		}
	}
}

// The same neurons are active on any machine and however the graph is written.
func TestSparseArmsAgree(t *testing.T) {
	m := tinySiLU(t)
	ids := readGolden(t, goldens+"tiny-silu").Perplexity.IDs
	plan := planFor(t, m, ids[1000:1500], 0.4)
	var want []float32
	var density []float64
	for _, name := range []string{"lean", "tape", "stock", "stock tape"} {
		o := arms[name]
		o.Plan = plan
		s := session(t, m, o)
		got := decoded(t, s, ids[:30])
		if want == nil {
			want, density = got, s.Density()
		}
		wantClose(t, name, got, want, 1e-2) // a neuron at the threshold may fall on either side
		for i, d := range s.Density() {
			if math.Abs(d-density[i]) > 1e-3 {
				t.Errorf("%s: layer %d: density %v, want %v", name, i, d, density[i])
			}
		}
	}
}

func planFor(t testing.TB, m *llama.Model, ids []int32, density float64) *calibrate.Plan {
	t.Helper()
	c, err := m.Calibrate(background, ids, llama.CalibrateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	plan, err := c.Plan(density)
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

// A ReLU model computes about a third of its neurons and says the same.
func TestSparseReLUIsExact(t *testing.T) {
	m := tinyReLU(t)
	g := readGolden(t, goldens+"tiny-relu")
	s := session(t, m, llama.SessionOptions{Plan: planFor(t, m, g.Perplexity.IDs[:1000], 0.9999)})
	dense := session(t, m, llama.SessionOptions{})
	ids := g.Perplexity.IDs[1000:1200]
	wantClose(t, "logits", decoded(t, s, ids), decoded(t, dense, ids), 1e-5)
	// testdata/README.md has the shares of active neurons.
	for i, want := range []float64{0.526, 0.225, 0.302, 0.475} {
		if got := s.Density()[i]; math.Abs(got-want) > 0.05 {
			t.Errorf("layer %d: density %.3f, want about %.3f", i, got, want)
		}
	}
}

// Thresholds from one text keep their share of the neurons of another. At 40 % this model loses next to nothing, and at
// 5 % much.
func TestSparseSiLUKeepsItsDensity(t *testing.T) {
	m := tinySiLU(t)
	ids := readGolden(t, goldens+"tiny-silu").Perplexity.IDs
	dense, err := session(t, m, llama.SessionOptions{}).Perplexity(background, ids[:600], 300)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ density, least, most float64 }{{0.7, -0.05, 0.05}, {0.4, -0.05, 0.1}, {0.05, 0.1, 2}} {
		s := session(t, m, llama.SessionOptions{Plan: planFor(t, m, ids[1000:3000], test.density)})
		sparse, err := s.Perplexity(background, ids[:600], 300)
		if err != nil {
			t.Fatal(err)
		}
		nats := math.Log(sparse / dense)
		t.Logf("density %v: perplexity %.3f, dense %.3f: %+.3f nats; active %.3f", test.density, sparse, dense, nats, s.Density())
		if !(nats > test.least && nats < test.most) {
			t.Errorf("density %v costs %+.3f nats, want %v to %v", test.density, nats, test.least, test.most)
		}
		for i, d := range s.Density() {
			if math.Abs(d-test.density) > 0.06 {
				t.Errorf("layer %d: density %.3f, want about %v", i, d, test.density)
			}
		}
	}
}

// Perplexity under a plan of one active share, on the real model.
func TestSmolLM2Sparse(t *testing.T) {
	m := open(t, smolLM2(t), llama.Options{})
	ids := readGolden(t, goldens+"smollm2-135m").Perplexity.IDs
	dense, err := session(t, m, llama.SessionOptions{}).Perplexity(background, ids[:512], 512)
	if err != nil {
		t.Fatal(err)
	}
	s := session(t, m, llama.SessionOptions{Plan: planFor(t, m, ids[1024:3072], 0.7)})
	sparse, err := s.Perplexity(background, ids[:512], 512)
	if err != nil {
		t.Fatal(err)
	}
	nats := math.Log(sparse / dense)
	t.Logf("density 0.7: perplexity %.3f, dense %.3f: %+.3f nats", sparse, dense, nats)
	if !(nats > -0.02 && nats < 0.15) {
		t.Errorf("density 0.7 costs %+.3f nats", nats)
	}
	for i, d := range s.Density() {
		if math.Abs(d-0.7) > 0.06 {
			t.Errorf("layer %d: density %.3f", i, d)
		}
	}
}

// Predictors see the input of the attention of their own layer.
func TestPredictorsLookAhead(t *testing.T) {
	m := tiny(t)
	plan := everywhere(m, calibrate.Layer{Kind: calibrate.LoRAKind{Rank: 4, Threshold: []float64{0}}})
	ids := randomIDs(3, 40, m.Config.VocabSize)
	s := session(t, m, llama.SessionOptions{Plan: plan})
	decoded(t, s, ids)

	// What the first layer's attention sees does not depend on which neurons are active.
	var want float64
	_, err := m.Calibrate(background, ids, llama.CalibrateOptions{Visit: func(layer int, a calibrate.Activations) error {
		if layer > 0 {
			return nil
		}
		selector, err := plan.Selector(0, a.MLP)
		if err != nil {
			return err
		}
		want = share(t, selector, a.Score.Data().([]float32), len(ids))
		if other := share(t, selector, a.X.Data().([]float32), len(ids)); other == want {
			return errors.New("the input of the MLP has as many scores above zero: the test proves nothing")
		}
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Density()[0]; math.Abs(got-want) > 1e-6 {
		t.Errorf("density %v, the scores above zero are %v", got, want)
	}
}

// Rows of idle sequences do not make neurons active, and those of others do.
func TestSparseBatch(t *testing.T) {
	m := tinyReLU(t)
	ids := readGolden(t, goldens+"tiny-relu").Perplexity.IDs
	plan := planFor(t, m, ids[:500], 0.9999)
	one := session(t, m, llama.SessionOptions{Plan: plan})
	two := session(t, m, llama.SessionOptions{Plan: plan, Sequences: 2})
	v := m.Config.VocabSize

	alone := slices.Clone(decoded(t, one, ids[:20]))
	for i, id := range ids[:20] {
		got, err := two.Decode(background, []int32{-1, id})
		if err != nil {
			t.Fatal(err)
		}
		wantClose(t, "beside an idle sequence", got[v:], alone[i*v:(i+1)*v], 1e-5)
	}
	if got, want := two.Density(), one.Density(); !slices.Equal(got, want) {
		t.Errorf("density beside an idle sequence %v, alone %v", got, want)
	}
	if _, err := two.Prefill(background, 0, ids[100:120]); err != nil {
		t.Fatal(err)
	}
	active := func(s *llama.Session) int64 { stats := s.CacheStats(1); return stats.Hits + stats.Misses }
	before, beforeOne := active(two), active(one)
	for _, id := range ids[20:40] {
		if _, err := two.Decode(background, []int32{ids[50], id}); err != nil {
			t.Fatal(err)
		}
		if _, err := one.Decode(background, []int32{id}); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := active(two)-before, active(one)-beforeOne; got <= want {
		t.Errorf("%d active neurons of two sequences, %d of one", got, want)
	}
}

func TestPlanMustFit(t *testing.T) {
	m := tiny(t)
	decode := func(p *calibrate.Plan) error {
		_, err := session(t, m, llama.SessionOptions{Plan: p}).Decode(background, []int32{1})
		return err
	}
	gate := calibrate.Layer{Kind: calibrate.GateKind{Threshold: []float64{0}}}
	named := everywhere(m, gate)
	named.Layers[1].Name = "layers.0.mlp.down_proj"
	wantError(t, decode(named), "layers[1]", "layers.0.mlp.down_proj", "layers.1.mlp.down_proj")
	wantError(t, decode(&calibrate.Plan{Layers: []calibrate.Layer{gate}}), "1 layers", "2")
	gate.Kind = calibrate.GateKind{Threshold: []float64{1, 2, 3}}
	wantError(t, decode(everywhere(m, gate)), "layers[0]", "threshold", "3")
	wantError(t, decode(everywhere(m, calibrate.Layer{})), "layers[0]", "selector is missing")
	wantError(t, decode(everywhere(m, calibrate.Layer{Kind: calibrate.LoRAKind{Threshold: []float64{0}, Predictor: "none.safetensors"}})), "none.safetensors")
}

func TestCalibrateRefuses(t *testing.T) {
	m := tiny(t)
	calibrateWith := func(ids []int32, o llama.CalibrateOptions) error {
		_, err := m.Calibrate(background, ids, o)
		return err
	}
	wantError(t, calibrateWith(nil, llama.CalibrateOptions{}), "empty")
	wantError(t, calibrateWith([]int32{1, -1}, llama.CalibrateOptions{}), "token 1", "-1")
	wantError(t, calibrateWith([]int32{1, 1 << 30}, llama.CalibrateOptions{}), "token 1", "vocabulary")
	wantError(t, calibrateWith([]int32{1}, llama.CalibrateOptions{Window: -1}), "window")
	wantError(t, calibrateWith([]int32{1}, llama.CalibrateOptions{Window: 1 << 20}), "window")

	stop := errors.New("stop")
	err := calibrateWith([]int32{1}, llama.CalibrateOptions{Visit: func(int, calibrate.Activations) error { return stop }})
	if !errors.Is(err, stop) {
		t.Errorf("error %v, want that of Visit", err)
	}
	ctx, cancel := context.WithCancel(background)
	cancel()
	if _, err := m.Calibrate(ctx, []int32{1}, llama.CalibrateOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want that of the context", err)
	}
}

// The padding of the last run and the size of windows change nothing but the past that tokens see.
func TestCalibrateCountsEveryToken(t *testing.T) {
	m := tiny(t)
	for _, n := range []int{1, 5, 127, 128, 129, 300} {
		ids := randomIDs(1, n, m.Config.VocabSize)
		tokens, done := 0, 0
		_, err := m.Calibrate(background, ids, llama.CalibrateOptions{
			Window:   100,
			Progress: func(n int) { done = n },
			Visit: func(layer int, a calibrate.Activations) error {
				if layer == 0 {
					for _, position := range a.Live {
						if position >= 0 {
							tokens++
						}
					}
				}
				return nil
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		if tokens != n || done != n {
			t.Errorf("%d tokens seen, %d reported, want %d", tokens, done, n)
		}
	}
}

// share of the scores of n rows of x that are at least zero.
func share(t testing.TB, selector graph.Selector, x []float32, n int) float64 {
	t.Helper()
	p := selector.(graph.LowRank).Predictor
	hidden := p.Down.Cols()
	low, scores := make([]float32, n*p.Down.Rows()), make([]float32, n*p.Up.Rows())
	cpu := kernel.DefaultCPU()
	kernel.Linear(cpu, low, x[:n*hidden], p.Down, nil)
	kernel.Linear(cpu, scores, low, p.Up, nil)
	active := 0
	for _, s := range scores {
		if s >= 0 {
			active++
		}
	}
	return float64(active) / float64(len(scores))
}
