package llama_test

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/sparsegonia/sparsegonia/cache"
	"github.com/sparsegonia/sparsegonia/graph/calibrate"
	"github.com/sparsegonia/sparsegonia/llama"
	"github.com/sparsegonia/sparsegonia/ops/weights"
	"github.com/sparsegonia/sparsegonia/ops/weights/checkpoint"
	"github.com/sparsegonia/sparsegonia/testdata/tinysilu"
)

func wantIs(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: error %v, want one that is %q", what, err, want)
	}
}

func TestErrContextFull(t *testing.T) {
	s := session(t, tinySiLU(t), llama.SessionOptions{Context: 4, Sequences: 2})
	_, err := s.Prefill(background, 0, []int32{1, 2, 3, 4, 5})
	wantIs(t, "a long prompt", err, llama.ErrContextFull)
	if _, err := s.Prefill(background, 1, []int32{1, 2, 3, 4}); err != nil {
		t.Fatal(err)
	}
	_, err = s.Decode(background, []int32{1, 1})
	wantIs(t, "a token too many", err, llama.ErrContextFull)
	if s.Length(0) != 0 || s.Length(1) != 4 {
		t.Errorf("%d and %d tokens, want 0 and 4", s.Length(0), s.Length(1))
	}
	_, err = s.Generate(background, []int32{1, 2}, llama.GenerateOptions{MaxTokens: 3}, func(int32) bool { return true })
	wantIs(t, "many new tokens", err, llama.ErrContextFull)
	_, err = s.Generate(background, []int32{1, 2, 3, 4, 5}, llama.GenerateOptions{}, nil)
	wantIs(t, "a long prompt of Generate", err, llama.ErrContextFull)
	wantIs(t, "Logits", s.Logits(background, []int32{1, 2, 3, 4, 5}, nil), llama.ErrContextFull)
	if _, err := s.Decode(background, []int32{1, -1}); err != nil {
		t.Error(err)
	}
}

func TestErrClosed(t *testing.T) {
	m, err := llama.OpenFS(tinysilu.FS, llama.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s, other := session(t, m, llama.SessionOptions{}), session(t, m, llama.SessionOptions{})
	state, err := m.NewState(1, 4, weights.F32)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	use := func(what string, s *llama.Session) {
		t.Helper()
		_, err := s.Prefill(background, 0, []int32{1})
		wantIs(t, what+": Prefill", err, llama.ErrClosed)
		_, err = s.Decode(background, []int32{1})
		wantIs(t, what+": Decode", err, llama.ErrClosed)
		_, err = s.Generate(background, []int32{1}, llama.GenerateOptions{MaxTokens: 1}, nil)
		wantIs(t, what+": Generate", err, llama.ErrClosed)
		_, err = s.Perplexity(background, []int32{1, 2}, 2)
		wantIs(t, what+": Perplexity", err, llama.ErrClosed)
	}
	use("a closed session", s)
	if err := s.Close(); err != nil {
		t.Errorf("closed twice: %v", err)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	use("a session of a closed model", other)
	_, err = m.NewSession(llama.SessionOptions{})
	wantIs(t, "NewSession", err, llama.ErrClosed)
	_, err = m.BuildGraph(llama.GraphOptions{Tokens: 1, State: state})
	wantIs(t, "BuildGraph", err, llama.ErrClosed)
	_, err = m.Calibrate(background, []int32{1}, llama.CalibrateOptions{})
	wantIs(t, "Calibrate", err, llama.ErrClosed)
}

// A graph is stock or has fused MLPs, not both.
func TestStockIsNotFused(t *testing.T) {
	m := tiny(t)
	state, err := m.NewState(1, 8, weights.F32)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range []llama.GraphOptions{{Stock: true}, {Fuse: true}, {Stock: true, Fuse: true}} {
		o.Tokens, o.State = 1, state
		if _, err := m.BuildGraph(o); (err != nil) != (o.Stock && o.Fuse) {
			t.Errorf("stock %t, fused %t: %v", o.Stock, o.Fuse, err)
		}
	}
}

func TestErrUnsupported(t *testing.T) {
	for name, changes := range map[string]object{
		"architecture":      {"model_type": "mamba"},
		"activation":        {"hidden_act": "swish7"},
		"rotary embedding":  {"rope_scaling": object{"rope_type": "yarn", "factor": 2}},
		"partial rotation":  {"rope_scaling": object{"rope_type": "linear", "factor": 2, "partial_rotary_factor": 0.5}},
		"quantised weights": {"quantization_config": object{"quant_method": "gptq"}},
	} {
		_, err := llama.ParseConfig("config.json", with(t, changes))
		wantIs(t, name, err, llama.ErrUnsupported)
	}
	c, err := llama.ParseConfig("config.json", with(t, nil))
	if err != nil {
		t.Fatal(err)
	}
	c.Architecture = "mamba"
	wantIs(t, "Validate", c.Validate(), llama.ErrUnsupported)
	_, err = llama.Random(c, weights.F32, 1, nil)
	wantIs(t, "Random", err, llama.ErrUnsupported)
}

// A model without a tensor that its configuration needs says so.
func TestErrNotFound(t *testing.T) {
	_, err := llama.OpenFS(edited(t, "f32", object{"num_hidden_layers": 9}), llama.Options{})
	wantIs(t, "a missing layer", err, checkpoint.ErrNotFound)
}

func TestOptionsWithoutEffect(t *testing.T) {
	m := tinySiLU(t)
	plan := everywhere(m, calibrate.Layer{Kind: calibrate.GateKind{Threshold: []float64{0}}})
	window := cache.WindowOptions{Budget: 1 << 20}
	policy := func(_ int, n weights.Source) (cache.Cache, error) { return cache.NewPacked(n.(*weights.Neurons), nil) }
	for name, o := range map[string]llama.SessionOptions{
		"Cache: there is no Plan":                     {Cache: policy},
		"Window: there is no Plan":                    {Window: window},
		"Window: Cache makes":                         {Plan: plan, Cache: policy, Window: window},
		"Window: the neurons of the model are in mem": {Plan: plan, Window: window},
	} {
		_, err := m.NewSession(o)
		wantError(t, err, "session", name)
	}
}

// The programs of a session share one cache for each layer, so that the budget holds for all of them.
func TestWindowBudgetIsOfTheSession(t *testing.T) {
	const budget = 1 << 20
	m, err := llama.OpenFS(tinysilu.FS, llama.Options{NeuronFile: filepath.Join(t.TempDir(), "neurons")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	o := llama.SessionOptions{
		Sequences: 2,
		Plan:      everywhere(m, calibrate.Layer{Kind: calibrate.LoRAKind{Rank: 4, Method: calibrate.TopK, Sparsity: 0.9}}),
	}
	o.Window.Budget = budget
	s := session(t, m, o)
	resident := func(what string) {
		t.Helper()
		var bytes int64
		for i := range m.Config.Layers {
			bytes += s.CacheStats(i).ResidentBytes
		}
		if bytes < budget/4 || bytes > budget {
			t.Errorf("%s: %d bytes are resident of a budget of %d", what, bytes, budget)
		}
	}
	ids := randomIDs(3, 24, m.Config.VocabSize)
	for i := 0; i < len(ids); i += 2 {
		if _, err := s.Decode(background, ids[i:i+2]); err != nil {
			t.Fatal(err)
		}
	}
	resident("decoding two sequences")
	if _, err := s.Perplexity(background, ids, 12); err != nil {
		t.Fatal(err)
	}
	resident("scoring one")
	if got, want := s.CacheStats(0).Refreshes, int64(len(ids)/2+2*11); got != want {
		t.Errorf("%d refreshes of layer 0, want %d", got, want)
	}
}

// counted is a policy of a user.
type counted struct {
	cache.Cache
	closed *int
}

func (c *counted) Close() error { *c.closed++; return nil }

func TestSessionCache(t *testing.T) {
	m := tinySiLU(t)
	plan := everywhere(m, calibrate.Layer{Kind: calibrate.GateKind{Threshold: []float64{0.05}}})
	ids := randomIDs(5, 20, m.Config.VocabSize)
	want := decoded(t, session(t, m, llama.SessionOptions{Plan: plan}), ids)
	var made []int
	closed := 0
	s := session(t, m, llama.SessionOptions{Plan: plan, Cache: func(layer int, n weights.Source) (cache.Cache, error) {
		made = append(made, layer)
		c, err := cache.NewPacked(n.(*weights.Neurons), nil)
		return &counted{c, &closed}, err
	}})
	wantClose(t, "packed", decoded(t, s, ids), want, 0)
	if _, err := s.Perplexity(background, ids, 10); err != nil {
		t.Fatal(err)
	}
	if len(made) != m.Config.Layers || s.CacheStats(1).Misses == 0 {
		t.Errorf("caches of layers %v, %d misses", made, s.CacheStats(1).Misses)
	}
	if err := s.Close(); err != nil || closed != m.Config.Layers {
		t.Errorf("%d caches closed, %v", closed, err)
	}

	s = session(t, m, llama.SessionOptions{Plan: plan, Cache: func(int, weights.Source) (cache.Cache, error) { return nil, nil }})
	_, err := s.Decode(background, []int32{1})
	wantError(t, err, "layer 0", "no cache")
}
