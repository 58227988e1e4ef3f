package llama_test

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/sparsegonia/sparsegonia/llama"
	"github.com/sparsegonia/sparsegonia/ops/simd"
)

// golden is what transformers computes in fp32, as testdata/golden.py and testdata/variants.py write it.
type golden struct {
	// Of a variant.
	IDs     []int32
	Greedy  []int32
	Margins []float64

	// Of a trained model.
	Prompts []struct {
		Text    string
		IDs     []int32
		Greedy  []int32
		Margins []float64
	}
	Perplexity struct {
		IDs        []int32
		Window     int
		Perplexity float64
	}

	Logits struct {
		IDs     []int32
		File    string
		Shape   [2]int
		Columns int       // of the vocabulary, every which column is in the file
		MaxAbs  []float64 `json:"max_abs"`
		Argmax  []int
	}
	logits []float32 // of Logits.Shape
}

func readGolden(t testing.TB, dir string) *golden {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "golden.json"))
	if err != nil {
		t.Fatal(err)
	}
	g := new(golden)
	if err := json.Unmarshal(data, g); err != nil {
		t.Fatalf("%s: %v", dir, err)
	}
	raw, err := os.ReadFile(filepath.Join(dir, g.Logits.File))
	if err != nil {
		t.Fatal(err)
	}
	g.logits = make([]float32, len(raw)/4)
	if _, err := binary.Decode(raw, binary.LittleEndian, g.logits); err != nil {
		t.Fatal(err)
	}
	if len(g.logits) != g.Logits.Shape[0]*g.Logits.Shape[1] || len(g.logits) == 0 {
		t.Fatalf("%s: %d logits, want %v", dir, len(g.logits), g.Logits.Shape)
	}
	g.Logits.Columns = max(g.Logits.Columns, 1)
	if g.Logits.IDs == nil {
		g.Logits.IDs = g.IDs
	}
	return g
}

// logitsOf are the logits at every position of ids, every so many columns.
func logitsOf(t testing.TB, s *llama.Session, ids []int32, columns int) []float32 {
	t.Helper()
	var all []float32
	next := 0
	err := s.Logits(context.Background(), ids, func(position int, logits []float32) error {
		if position != next {
			return fmt.Errorf("position %d after %d rows", position, next)
		}
		next++
		for i := 0; i < len(logits); i += columns {
			all = append(all, logits[i])
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if next != len(ids) {
		t.Fatalf("logits of %d positions, want %d", next, len(ids))
	}
	return all
}

// difference is the largest absolute difference over the largest absolute value of want, infinite if anything is NaN.
func difference(got, want []float32) float64 {
	if len(got) != len(want) {
		return math.Inf(1)
	}
	var worst, scale float64
	for i := range got {
		d := math.Abs(float64(got[i]) - float64(want[i]))
		if math.IsNaN(d) {
			return math.Inf(1)
		}
		worst, scale = max(worst, d), max(scale, math.Abs(float64(want[i])))
	}
	return worst / scale
}

func wantClose(t testing.TB, what string, got, want []float32, tolerance float64) {
	t.Helper()
	if d := difference(got, want); !(d <= tolerance) {
		t.Errorf("%s: differs by %.2e of the largest logit, want at most %.0e", what, d, tolerance)
	}
}

// wantGreedy compares greedy tokens. They may part where the reference's two best logits nearly tie.
func wantGreedy(t testing.TB, what string, got, want []int32, margins []float64, tie float64) {
	t.Helper()
	for i := range min(len(got), len(want)) {
		if got[i] == want[i] {
			continue
		}
		if margins[i] <= tie {
			t.Logf("%s: token %d is %d, not %d: a near-tie, margin %.2e", what, i, got[i], want[i], margins[i])
			return
		}
		t.Errorf("%s: token %d is %d, want %d (margin %.2e)\n got %v\nwant %v", what, i, got[i], want[i], margins[i], got, want)
		return
	}
	if len(got) != len(want) {
		t.Errorf("%s: %d tokens, want %d", what, len(got), len(want))
	}
}

func greedy(t testing.TB, s *llama.Session, prompt []int32, n int) []int32 {
	t.Helper()
	var ids []int32
	stats, err := s.Generate(context.Background(), prompt, llama.GenerateOptions{MaxTokens: n, Stop: []int32{}}, func(id int32) bool {
		ids = append(ids, id)
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	if stats.PromptTokens != len(prompt) || stats.NewTokens != len(ids) || len(ids) != n {
		t.Fatalf("stats %+v after %d tokens, want %d", stats, len(ids), n)
	}
	return ids
}

func open(t testing.TB, path string, o llama.Options) *llama.Model {
	t.Helper()
	m, err := llama.Open(path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

func session(t testing.TB, m *llama.Model, o llama.SessionOptions) *llama.Session {
	t.Helper()
	s, err := m.NewSession(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

const variants = "../testdata/variants"

func variantNames(t testing.TB) []string {
	t.Helper()
	entries, err := os.ReadDir(variants)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	if len(names) < 20 {
		t.Fatalf("only the variants %v", names)
	}
	return names
}

// arms are the ways to run a graph.
var arms = map[string]llama.SessionOptions{
	"lean":       {},
	"tape":       {Machine: llama.Tape},
	"stock":      {Stock: true},
	"stock tape": {Stock: true, Machine: llama.Tape},
}

func TestVariants(t *testing.T) {
	// The weights are half as wide as the reference's. AMX then takes 16 bits of the activations.
	eps := 2e-5
	if simd.Variants()[0] == "amx" {
		eps = 1e-4
	}
	for _, name := range variantNames(t) {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(variants, name)
			g := readGolden(t, dir)
			m := open(t, dir, llama.Options{})
			for arm, o := range arms {
				// Dynamic RoPE goes beyond the context that the model was trained for.
				o.Context = max(m.Config.MaxContext, len(g.IDs)+len(g.Greedy))
				s := session(t, m, o)
				wantClose(t, arm, logitsOf(t, s, g.IDs, 1), g.logits, eps)
				wantGreedy(t, arm, greedy(t, s, g.IDs, len(g.Greedy)), g.Greedy, g.Margins, 1e-4)
			}
		})
	}
}

// testTrained compares a trained model with its golden results.
func testTrained(t *testing.T, m *llama.Model, g *golden) {
	s := session(t, m, llama.SessionOptions{Context: 512})
	got := logitsOf(t, s, g.Logits.IDs, g.Logits.Columns)
	d := difference(got, g.logits)
	t.Logf("logits of %d positions differ by %.2e of the largest", len(g.Logits.IDs), d)
	if !(d <= 2e-3) {
		t.Errorf("logits differ by %.2e of the largest, want at most 2e-3", d)
	}
	tie := 2e-3 * slices.Max(g.Logits.MaxAbs)
	if len(g.Prompts) < 5 {
		t.Errorf("only %d prompts", len(g.Prompts))
	}
	for _, p := range g.Prompts {
		wantGreedy(t, fmt.Sprintf("%q", p.Text), greedy(t, s, p.IDs, len(p.Greedy)), p.Greedy, p.Margins, tie)
	}
	ppl, err := s.Perplexity(context.Background(), g.Perplexity.IDs, g.Perplexity.Window)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("perplexity of %d tokens %.4f, transformers %.4f", len(g.Perplexity.IDs), ppl, g.Perplexity.Perplexity)
	if !(math.Abs(ppl/g.Perplexity.Perplexity-1) <= 1e-3) {
		t.Errorf("perplexity %.5f, want %.5f within 0.1 %%", ppl, g.Perplexity.Perplexity)
	}
}
