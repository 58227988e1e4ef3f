package llama_test

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sparsegonia/sparsegonia/llama"
	"github.com/sparsegonia/sparsegonia/ops/kernel"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

var background = context.Background()

// randomIDs are n tokens of a vocabulary.
func randomIDs(seed uint64, n, vocabulary int) []int32 {
	r := rand.New(rand.NewPCG(seed, 0))
	ids := make([]int32, n)
	for i := range ids {
		ids[i] = int32(r.IntN(vocabulary))
	}
	return ids
}

// tiny is a checkpoint with grouped heads and room for 128 tokens.
func tiny(t testing.TB) *llama.Model { return open(t, filepath.Join(variants, "f32"), llama.Options{}) }

func TestPrefillInChunksEqualsTokenByToken(t *testing.T) {
	m := tiny(t)
	whole := session(t, m, llama.SessionOptions{Context: 400})
	single := session(t, m, llama.SessionOptions{Context: 400})
	// All sizes of chunks, full and padded: 1, 8, 32, 128.
	for _, n := range []int{1, 2, 3, 5, 8, 15, 16, 31, 33, 64, 100, 129, 200, 300} {
		ids := randomIDs(uint64(n), n, m.Config.VocabSize)
		want := logitsOf(t, single, ids[:1], 1)
		for i, id := range ids[1:] {
			row, err := single.Decode(background, []int32{id})
			if err != nil {
				t.Fatalf("token %d of %d: %v", i+1, n, err)
			}
			want = append(want, row...)
		}
		wantClose(t, "Logits", logitsOf(t, whole, ids, 1), want, 1e-5)

		whole.Reset()
		last, err := whole.Prefill(background, 0, ids)
		if err != nil {
			t.Fatal(err)
		}
		wantClose(t, "Prefill", last, want[len(want)-m.Config.VocabSize:], 1e-5)
		if whole.Length(0) != n {
			t.Errorf("length %d after %d tokens", whole.Length(0), n)
		}
	}
}

func TestPrefillAppends(t *testing.T) {
	m := tiny(t)
	ids := randomIDs(1, 50, m.Config.VocabSize)
	s := session(t, m, llama.SessionOptions{})
	want, err := s.Prefill(background, 0, ids)
	if err != nil {
		t.Fatal(err)
	}
	want = slices.Clone(want)
	s.Reset()
	var got []float32
	for _, part := range [][]int32{ids[:7], ids[7:8], ids[8:]} {
		if got, err = s.Prefill(background, 0, part); err != nil {
			t.Fatal(err)
		}
	}
	wantClose(t, "in three parts", got, want, 1e-5)
}

func TestBatchEqualsEachAlone(t *testing.T) {
	m := tiny(t)
	const sequences, tokens = 4, 12
	batch := session(t, m, llama.SessionOptions{Sequences: sequences})
	var prompts, next [sequences][]int32
	var alone [sequences]*llama.Session
	for i := range sequences {
		prompts[i] = randomIDs(uint64(i), 3+5*i, m.Config.VocabSize)
		next[i] = randomIDs(uint64(100+i), tokens, m.Config.VocabSize)
		alone[i] = session(t, m, llama.SessionOptions{})
		if _, err := alone[i].Prefill(background, 0, prompts[i]); err != nil {
			t.Fatal(err)
		}
		if _, err := batch.Prefill(background, i, prompts[i]); err != nil {
			t.Fatal(err)
		}
	}
	v := m.Config.VocabSize
	for step := range tokens {
		ids := make([]int32, sequences)
		for i := range ids {
			ids[i] = next[i][step]
			if (step+i)%5 == 0 { // now and then a sequence idles
				ids[i] = -1
			}
		}
		got, err := batch.Decode(background, ids)
		if err != nil {
			t.Fatal(err)
		}
		for i, id := range ids {
			if id == -1 {
				continue
			}
			want, err := alone[i].Decode(background, []int32{id})
			if err != nil {
				t.Fatal(err)
			}
			wantClose(t, "sequence", got[i*v:(i+1)*v], want, 1e-5)
		}
	}
}

func TestNarrowWeights(t *testing.T) {
	// The dimensions are small, so that rounding a weight moves a logit by about the rounding error itself: 2^-11
	// for f16 and 2^-8 for bf16, times a small factor for the layers.
	for _, test := range []struct {
		dtype     weights.Dtype
		tolerance float64
	}{{weights.F16, 8. / (1 << 11)}, {weights.BF16, 8. / (1 << 8)}} {
		g := readGolden(t, filepath.Join(variants, "f32"))
		m := open(t, filepath.Join(variants, "f32"), llama.Options{Width: llama.As(test.dtype)})
		got := logitsOf(t, session(t, m, llama.SessionOptions{}), g.IDs, 1)
		wantClose(t, test.dtype.String(), got, g.logits, test.tolerance)
		if d := difference(got, g.logits); d < test.tolerance/1000 {
			t.Errorf("%v: differs by only %.1e: were the weights rounded at all?", test.dtype, d)
		}
	}
}

func TestWiderWeightsAreTheSame(t *testing.T) {
	for _, name := range []string{"f16", "bf16", "f32", "odd-shapes", "bias"} {
		g := readGolden(t, filepath.Join(variants, name))
		m := open(t, filepath.Join(variants, name), llama.Options{Width: llama.As(weights.F32)})
		wantClose(t, name, logitsOf(t, session(t, m, llama.SessionOptions{}), g.IDs, 1), g.logits, 2e-5)
	}
}

func TestHalfKeysAndValues(t *testing.T) {
	g := readGolden(t, filepath.Join(variants, "f32"))
	s := session(t, tiny(t), llama.SessionOptions{KV: weights.F16})
	wantClose(t, "f16 keys and values", logitsOf(t, s, g.IDs, 1), g.logits, 8./(1<<11))
}

func TestSessionRefuses(t *testing.T) {
	m := tiny(t)
	for name, o := range map[string]llama.SessionOptions{
		"sequences": {Sequences: -1}, "context": {Context: -1}, "huge": {Sequences: 1 << 16, Context: 1 << 30},
		"kv dtype": {KV: weights.Int4},
	} {
		if _, err := m.NewSession(o); err == nil {
			t.Errorf("%s: no error", name)
		} else {
			wantError(t, err, "llama")
		}
	}

	s := session(t, m, llama.SessionOptions{Sequences: 2, Context: 16})
	if _, err := s.Prefill(background, 0, randomIDs(1, 10, 128)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Prefill(background, 1, randomIDs(2, 16, 128)); err != nil {
		t.Fatal(err)
	}
	generate := func(prompt []int32, o llama.GenerateOptions) error {
		_, err := s.Generate(background, prompt, o, func(int32) bool { t.Error("a token"); return false })
		return err
	}
	cancelled, cancel := context.WithCancel(background)
	cancel()
	one := []int32{1}
	for name, test := range map[string]struct {
		call func() error
		want string
	}{
		"empty prompt":       {func() error { _, err := s.Prefill(background, 0, nil); return err }, "empty"},
		"overflow":           {func() error { _, err := s.Prefill(background, 0, randomIDs(1, 7, 128)); return err }, "context of 16"},
		"id too large":       {func() error { _, err := s.Prefill(background, 0, []int32{1, 128}); return err }, "token 1 of the prompt is 128"},
		"negative id":        {func() error { _, err := s.Prefill(background, 0, []int32{-1}); return err }, "token 0 of the prompt is -1"},
		"no such sequence":   {func() error { _, err := s.Prefill(background, 2, one); return err }, "sequence 2 of 2"},
		"negative sequence":  {func() error { _, err := s.Prefill(background, -1, one); return err }, "sequence -1"},
		"decode: count":      {func() error { _, err := s.Decode(background, one); return err }, "1 tokens for 2 sequences"},
		"decode: id":         {func() error { _, err := s.Decode(background, []int32{128, -1}); return err }, "token 128 of sequence 0"},
		"decode: negative":   {func() error { _, err := s.Decode(background, []int32{-2, -1}); return err }, "token -2"},
		"decode: overflow":   {func() error { _, err := s.Decode(background, []int32{1, 1}); return err }, "sequence 1 has reached the context of 16"},
		"decode: all idle":   {func() error { _, err := s.Decode(background, []int32{-1, -1}); return err }, "idle"},
		"logits: empty":      {func() error { return s.Logits(background, nil, nil) }, "empty"},
		"logits: overflow":   {func() error { return s.Logits(background, make([]int32, 17), nil) }, "context of 16"},
		"temperature":        {func() error { return generate(one, llama.GenerateOptions{Temperature: math.NaN()}) }, "temperature NaN"},
		"top-p":              {func() error { return generate(one, llama.GenerateOptions{TopP: 2}) }, "top-p 2"},
		"generate: empty":    {func() error { return generate(nil, llama.GenerateOptions{MaxTokens: 1}) }, "empty"},
		"generate: negative": {func() error { return generate(one, llama.GenerateOptions{MaxTokens: -1}) }, "-1 new tokens"},
		"generate: overflow": {func() error { return generate(one, llama.GenerateOptions{MaxTokens: math.MaxInt}) }, "context of 16"},
		"generate: id":       {func() error { return generate([]int32{500}, llama.GenerateOptions{MaxTokens: 1}) }, "500"},
		"window":             {func() error { _, err := s.Perplexity(background, one, 1); return err }, "window of 1"},
		"window too large":   {func() error { _, err := s.Perplexity(background, one, 17); return err }, "window of 17"},
		"one token":          {func() error { _, err := s.Perplexity(background, one, 8); return err }, "1 tokens"},
		"cancelled prefill":  {func() error { _, err := s.Prefill(cancelled, 0, one); return err }, "canceled"},
		"cancelled decode":   {func() error { _, err := s.Decode(cancelled, []int32{1, -1}); return err }, "canceled"},
	} {
		t.Run(name, func(t *testing.T) {
			wantError(t, test.call(), test.want)
			if s.Length(0) != 10 || s.Length(1) != 16 {
				t.Errorf("lengths %d and %d after the error, want 10 and 16", s.Length(0), s.Length(1))
			}
		})
	}
}

func TestCancelDuringPrefill(t *testing.T) {
	m := tiny(t)
	ids := randomIDs(1, 100, m.Config.VocabSize)
	s := session(t, m, llama.SessionOptions{})
	if _, err := s.Prefill(background, 0, ids[:9]); err != nil {
		t.Fatal(err)
	}
	// The context ends after the first chunk of 32: what that chunk wrote must not show.
	stop := &countdown{Context: background, calls: 1}
	if _, err := s.Prefill(stop, 0, ids[50:]); !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v, want a cancellation", err)
	}
	if s.Length(0) != 9 {
		t.Errorf("length %d after the cancellation, want 9", s.Length(0))
	}
	got, err := s.Prefill(background, 0, ids[9:50])
	if err != nil {
		t.Fatal(err)
	}
	want := logitsOf(t, session(t, m, llama.SessionOptions{}), ids[:50], 1)
	wantClose(t, "after a cancellation", got, want[len(want)-m.Config.VocabSize:], 1e-5)
}

// countdown is a context that is cancelled after some calls of Err.
type countdown struct {
	context.Context
	calls int
}

func (c *countdown) Err() error {
	if c.calls--; c.calls < 0 {
		return context.Canceled
	}
	return nil
}

func TestGenerateStops(t *testing.T) {
	m := tiny(t)
	s := session(t, m, llama.SessionOptions{})
	prompt := randomIDs(3, 5, m.Config.VocabSize)
	all := greedy(t, s, prompt, 20)

	stop := all[7]
	first := slices.Index(all, stop)
	var got []int32
	collect := func(id int32) bool { got = append(got, id); return true }
	if _, err := s.Generate(background, prompt, llama.GenerateOptions{MaxTokens: 20, Stop: []int32{stop}}, collect); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got, all[:first]) {
		t.Errorf("stopped at %d: %v, want %v", stop, got, all[:first])
	}

	got = nil
	stats, err := s.Generate(background, prompt, llama.GenerateOptions{MaxTokens: 20, Stop: []int32{}}, func(id int32) bool {
		got = append(got, id)
		return len(got) < 3
	})
	if err != nil || !slices.Equal(got, all[:3]) || stats.NewTokens != 3 {
		t.Errorf("yield stopped after 3: %v, %+v, %v", got, stats, err)
	}

	stats, err = s.Generate(background, prompt, llama.GenerateOptions{}, func(int32) bool { t.Error("a token"); return true })
	if err != nil || stats.NewTokens != 0 || stats.Prefill <= 0 {
		t.Errorf("no tokens wanted: %+v, %v", stats, err)
	}
}

func TestSampledTextIsSeeded(t *testing.T) {
	m := tiny(t)
	s := session(t, m, llama.SessionOptions{})
	text := func(seed uint64) (ids []int32) {
		o := llama.GenerateOptions{MaxTokens: 20, Temperature: 1.5, TopP: 0.95, Seed: seed, Stop: []int32{}}
		if _, err := s.Generate(background, []int32{5}, o, func(id int32) bool { ids = append(ids, id); return true }); err != nil {
			t.Fatal(err)
		}
		return ids
	}
	if !slices.Equal(text(1), text(1)) {
		t.Error("equal seeds give different texts")
	}
	if slices.Equal(text(1), text(2)) {
		t.Error("seeds 1 and 2 give the same text")
	}
}

// Gorgonia's machine knows no CPU: a session that could not keep its promise says so.
func TestTapeRunsOnTheDefaultCPU(t *testing.T) {
	m := tinyReLU(t)
	cpu := kernel.NewCPU(1)
	defer cpu.Close()
	o := llama.SessionOptions{Machine: llama.Tape, CPU: cpu}
	s := session(t, m, o)
	if _, err := s.Prefill(background, 0, []int32{1}); err == nil || !strings.Contains(err.Error(), "kernel.SetDefaultCPU") {
		t.Errorf("another CPU than the default: error %v", err)
	}
	kernel.SetDefaultCPU(cpu)
	defer kernel.SetDefaultCPU(nil)
	if _, err := s.Prefill(background, 0, []int32{1}); err != nil {
		t.Error(err)
	}
}
