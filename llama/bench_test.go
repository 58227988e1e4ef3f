package llama_test

import (
	"testing"

	"github.com/sparsegonia/sparsegonia/llama"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// BenchmarkSmolLM2Decode decodes after a prompt of 128 tokens. MB/s are the bytes of all weights, read once a token.
func BenchmarkSmolLM2Decode(b *testing.B) {
	for _, d := range []weights.Dtype{weights.F32, weights.F16, weights.BF16, weights.Int8, weights.Int8G, weights.Int4, weights.Int4M} {
		b.Run(d.String(), func(b *testing.B) {
			m := open(b, smolLM2(b), llama.Options{Width: llama.As(d)})
			s := session(b, m, llama.SessionOptions{})
			if _, err := s.Prefill(background, 0, randomIDs(1, 128, m.Config.VocabSize)); err != nil {
				b.Fatal(err)
			}
			token := []int32{7}
			if _, err := s.Decode(background, token); err != nil { // which builds the graph
				b.Fatal(err)
			}
			b.SetBytes(m.Bytes())
			b.ReportAllocs()
			for b.Loop() {
				if s.Length(0) > 1000 {
					b.StopTimer()
					s.Reset()
					if _, err := s.Prefill(background, 0, randomIDs(1, 128, m.Config.VocabSize)); err != nil {
						b.Fatal(err)
					}
					b.StartTimer()
				}
				if _, err := s.Decode(background, token); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkSmolLM2Prefill runs prompts of 128 tokens.
func BenchmarkSmolLM2Prefill(b *testing.B) {
	for _, d := range []weights.Dtype{weights.F32, weights.F16, weights.BF16, weights.Int8, weights.Int8G, weights.Int4, weights.Int4M} {
		b.Run(d.String(), func(b *testing.B) {
			m := open(b, smolLM2(b), llama.Options{Width: llama.As(d)})
			s := session(b, m, llama.SessionOptions{})
			ids := randomIDs(1, 128, m.Config.VocabSize)
			for b.Loop() {
				s.Reset()
				if _, err := s.Prefill(background, 0, ids); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N*len(ids))/b.Elapsed().Seconds(), "tokens/s")
		})
	}
}
