//go:build !race

// The race detector makes a sync.Pool forget now and then, which allocates.

package llama_test

import (
	"testing"

	"github.com/sparsegonia/sparsegonia/graph/calibrate"
	"github.com/sparsegonia/sparsegonia/llama"
	"github.com/sparsegonia/sparsegonia/ops/weights"
	"github.com/sparsegonia/sparsegonia/testdata/tinysilu"
)

// A token allocates nothing once its graph has run, dense or sparse. What the growth of the KV cache takes is less than
// an allocation a token.
func TestDecodeAllocatesNothing(t *testing.T) {
	sparse := func(l calibrate.Layer) func(*llama.Model) llama.SessionOptions {
		return func(m *llama.Model) llama.SessionOptions { return llama.SessionOptions{Plan: everywhere(m, l)} }
	}
	for name, options := range map[string]func(*llama.Model) llama.SessionOptions{
		"dense":     func(*llama.Model) llama.SessionOptions { return llama.SessionOptions{} },
		"half KV":   func(*llama.Model) llama.SessionOptions { return llama.SessionOptions{KV: weights.F16} },
		"batch":     func(*llama.Model) llama.SessionOptions { return llama.SessionOptions{Sequences: 3} },
		"gate":      sparse(calibrate.Layer{Kind: calibrate.GateKind{Threshold: []float64{0.05}}}),
		"threshold": sparse(calibrate.Layer{Kind: calibrate.LoRAKind{Rank: 8, Threshold: []float64{0.01}}}),
		"topk":      sparse(calibrate.Layer{Kind: calibrate.LoRAKind{Rank: 8, Method: calibrate.TopK, Sparsity: 0.5}}),
	} {
		t.Run(name, func(t *testing.T) {
			for _, d := range []weights.Dtype{weights.F16, weights.Int8} {
				m, err := llama.OpenFS(tinysilu.FS, llama.Options{Width: llama.As(d)})
				if err != nil {
					t.Fatal(err)
				}
				o := options(m)
				s := session(t, m, o)
				ids := make([]int32, max(o.Sequences, 1))
				for i := range ids {
					if _, err := s.Prefill(background, i, randomIDs(1, 50, m.Config.VocabSize)); err != nil {
						t.Fatal(err)
					}
				}
				if n := testing.AllocsPerRun(30, func() {
					if _, err := s.Decode(background, ids); err != nil {
						t.Fatal(err)
					}
				}); n != 0 {
					t.Errorf("%v: %v allocations a token, want none", d, n)
				}
			}
		})
	}
}

// Nor does the choice of the token: what a text of 60 tokens allocates more than one of 30 is the KV cache.
func TestGenerateAllocatesNothing(t *testing.T) {
	m := tinySiLU(t)
	s := session(t, m, llama.SessionOptions{})
	for name, o := range map[string]llama.GenerateOptions{
		"greedy":      {},
		"temperature": {Temperature: 0.8},
		"nucleus":     {Temperature: 0.8, TopP: 0.9},
	} {
		o.Stop = []int32{}
		allocations := func(tokens int) float64 {
			o.MaxTokens = tokens
			return testing.AllocsPerRun(1, func() {
				if _, err := s.Generate(background, []int32{1, 2, 3}, o, func(int32) bool { return true }); err != nil {
					t.Fatal(err)
				}
			})
		}
		few, many := allocations(30), allocations(60)
		if many-few > 10 {
			t.Errorf("%s: %v allocations for 30 tokens, %v for 60", name, few, many)
		}
	}
}
