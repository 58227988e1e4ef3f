package llama_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sparsegonia/sparsegonia/cache"
	"github.com/sparsegonia/sparsegonia/graph/calibrate"
	"github.com/sparsegonia/sparsegonia/llama"
	"github.com/sparsegonia/sparsegonia/ops/weights"
	"github.com/sparsegonia/sparsegonia/testdata/tinysilu"
)

// A model whose MLPs lie in a file says what the same model in memory says: to the last bit where it decodes with the
// same active neurons, within the rounding of sums in another order where it passes over all of them.
func TestNeuronFileEqualsMemory(t *testing.T) {
	var stored llama.Width
	for name, test := range map[string]struct {
		variant string
		width   llama.Width
	}{
		"f32": {"f32", stored}, "f16": {"f16", stored}, "bf16": {"bf16", stored}, "relu": {"relu", stored}, "bias": {"bias", stored},
		"int8g": {"f32", llama.As(weights.Int8G)}, "int4": {"f32", llama.As(weights.Int4)}, "odd-shapes": {"odd-shapes", stored},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(variants, test.variant)
			memory := open(t, path, llama.Options{Width: test.width})
			file := open(t, path, llama.Options{Width: test.width, NeuronFile: filepath.Join(t.TempDir(), "neurons")})
			if file.Store(0) != nil {
				t.Error("the neurons are in memory")
			}
			ids := randomIDs(7, 40, memory.Config.VocabSize)
			wantClose(t, "a prompt", logitsOf(t, session(t, file, llama.SessionOptions{}), ids, 1),
				logitsOf(t, session(t, memory, llama.SessionOptions{}), ids, 1), 2e-5)
			wantClose(t, "dense", decoded(t, session(t, file, llama.SessionOptions{}), ids),
				decoded(t, session(t, memory, llama.SessionOptions{}), ids), 2e-5)
			for name, o := range arms {
				if o.Stock {
					continue
				}
				o.Plan = everywhere(memory, calibrate.Layer{Kind: calibrate.LoRAKind{Rank: 3, Threshold: []float64{0}}})
				want := decoded(t, session(t, memory, o), ids)
				o.Window = cache.WindowOptions{Tokens: 2}
				s := session(t, file, o)
				if got := decoded(t, s, ids); !slices.Equal(got, want) {
					t.Errorf("%s: sparse logits differ", name)
				}
				if stats := s.CacheStats(1); stats.BytesRead == 0 || stats.Hits == 0 {
					t.Errorf("%s: %+v", name, stats)
				}
				o.Plan = everywhere(memory, calibrate.Layer{Kind: calibrate.GateKind{Threshold: []float64{0}}})
				wantClose(t, name+": every gate", decoded(t, session(t, file, o), ids),
					decoded(t, session(t, memory, llama.SessionOptions{}), ids), 2e-5)
			}
		})
	}
}

// A plan by gates finds nearly the same neurons by the copies of the gates in memory.
func TestNeuronFileGates(t *testing.T) {
	memory := tinySiLU(t)
	file, err := llama.OpenFS(tinysilu.FS, llama.Options{NeuronFile: filepath.Join(t.TempDir(), "neurons")})
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	ids := readGolden(t, goldens+"tiny-silu").Perplexity.IDs
	plan := planFor(t, memory, ids[:600], 0.5)
	perplexity := func(m *llama.Model) (float64, []float64) {
		s := session(t, m, llama.SessionOptions{Plan: plan})
		ppl, err := s.Perplexity(background, ids[:400], 200)
		if err != nil {
			t.Fatal(err)
		}
		return ppl, s.Density()
	}
	want, density := perplexity(memory)
	got, copied := perplexity(file)
	if diff := got/want - 1; diff < -0.01 || diff > 0.01 {
		t.Errorf("perplexity %.4f, in memory %.4f", got, want)
	}
	for i := range density {
		if diff := copied[i] - density[i]; diff < -0.02 || diff > 0.02 {
			t.Errorf("layer %d: density %.3f, in memory %.3f", i, copied[i], density[i])
		}
	}
	// Calibration sees the copies too.
	c, err := file.Calibrate(background, ids[:600], llama.CalibrateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	again, err := c.Plan(0.5)
	if err != nil {
		t.Fatal(err)
	}
	for i, l := range again.Layers {
		got, want := l.Kind.(calibrate.GateKind).Threshold, plan.Layers[i].Kind.(calibrate.GateKind).Threshold
		if ratio := got[0] / want[0]; ratio < 0.97 || ratio > 1.03 {
			t.Errorf("layer %d: threshold %v, in memory %v", i, got, want)
		}
	}
}

func TestNeuronFileIsKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "neurons")
	modified := func() int64 {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return info.ModTime().UnixNano()
	}
	f16 := weights.F16
	open(t, filepath.Join(variants, "f32"), llama.Options{NeuronFile: path})
	first := modified()
	open(t, filepath.Join(variants, "f32"), llama.Options{NeuronFile: path})
	if modified() != first {
		t.Error("the file was written again")
	}
	_, err := llama.Open(filepath.Join(variants, "relu"), llama.Options{NeuronFile: path})
	wantError(t, err, path, "remove it")
	_, err = llama.Open(filepath.Join(variants, "f32"), llama.Options{NeuronFile: path, Width: llama.As(f16)})
	wantError(t, err, path, "remove it")
	if err := os.WriteFile(path, []byte("not a neuron file"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = llama.Open(filepath.Join(variants, "f32"), llama.Options{NeuronFile: path})
	wantError(t, err, path, "corrupt neuron file")
	if text, err := os.ReadFile(path); err != nil || string(text) != "not a neuron file" {
		t.Errorf("%q, %v", text, err)
	}
}

func TestNeuronFileErrors(t *testing.T) {
	path := filepath.Join(t.TempDir(), "neurons")
	m := open(t, filepath.Join(variants, "f32"), llama.Options{NeuronFile: path})
	_, err := session(t, m, llama.SessionOptions{Stock: true}).Prefill(background, 0, []int32{1})
	wantError(t, err, "stock")
	o := llama.SessionOptions{Plan: everywhere(m, calibrate.Layer{Kind: calibrate.LoRAKind{Rank: 3, Threshold: []float64{0}}})}
	o.Window.Budget = 1
	_, err = session(t, m, o).Decode(background, []int32{1})
	wantError(t, err, "a budget of 1 bytes")
	o.Window = cache.WindowOptions{Tokens: -1}
	_, err = session(t, m, o).Decode(background, []int32{1})
	wantError(t, err, "-1 tokens")

	// The file is cut off while a session uses it: its tokens fail, and its past stays.
	o.Window = cache.WindowOptions{}
	s := session(t, m, o)
	if _, err := s.Decode(background, []int32{1}); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 8192); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		_, err = s.Prefill(background, 0, []int32{2, 3})
		wantError(t, err, path, "corrupt neuron file")
		if n := s.Length(0); n != 1 {
			t.Errorf("%d tokens", n)
		}
	}
}

// A label can be written over anything: the layers are compared, too.
func TestNeuronFileOfOtherShapes(t *testing.T) {
	good, bad := filepath.Join(t.TempDir(), "good"), filepath.Join(t.TempDir(), "bad")
	m, err := llama.OpenFS(tinysilu.FS, llama.Options{NeuronFile: good})
	if err != nil {
		t.Fatal(err)
	}
	layers, intermediate, hidden := m.Config.Layers, m.Config.IntermediateSize, m.Config.HiddenSize
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := cache.OpenFile(good)
	if err != nil {
		t.Fatal(err)
	}
	label := f.Label()
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		layers, intermediate, hidden int
		gated                        bool
	}{
		"layers":  {layers - 1, intermediate, hidden, true},
		"neurons": {layers, intermediate - 1, hidden, true},
		"hidden":  {layers, intermediate, hidden + 1, true},
		"gate":    {layers, intermediate, hidden, false},
	} {
		os.Remove(bad)
		err := cache.WriteFile(bad, label, c.layers, func(int) (*weights.Neurons, error) {
			return weights.AllocateNeurons(weights.F32, c.intermediate, c.hidden, c.gated)
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := llama.OpenFS(tinysilu.FS, llama.Options{NeuronFile: bad}); err == nil || !strings.Contains(err.Error(), bad) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
