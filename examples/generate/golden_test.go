package main

import (
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sparsegonia/sparsegonia/examples/internal/program"
	"github.com/sparsegonia/sparsegonia/graph/calibrate"
)

// The text on stdout is that of transformers, to the byte, by every way to ask for it.
func TestTinyTexts(t *testing.T) {
	for model, name := range map[string]string{"tinysilu": "tiny-silu", "tinyrelu": "tiny-relu"} {
		g := readGolden(t, name)
		for i, p := range g.Prompts {
			n := fmt.Sprint(len(p.Greedy))
			ways := [][]string{{"-prompt", p.Text}}
			if i == 0 {
				ways = append(ways,
					[]string{"-ids", list(p.IDs)},
					[]string{"-prompt", p.Text, "-machine", "tape"},
					[]string{"-prompt", p.Text, "-machine", "tape", "-stock", "True"},
					[]string{"-prompt", p.Text, "-threads", "1", "-dtype", "f32", "-kv", "f16"},
				)
			}
			for _, way := range ways {
				args := append([]string{"-model", model, "-n", n}, way...)
				if got := succeed(t, args...); got != p.Result+"\n" {
					t.Errorf("%q\n got %q\nwant %q", args, got, p.Result)
				}
			}
		}
	}
}

// smolLM2 is the path of the real model, which is not part of the repository.
func smolLM2(t *testing.T) string {
	t.Helper()
	const env = "SPARSEGONIA_SMOLLM2"
	path := os.Getenv(env)
	if path == "" {
		t.Skipf("%s does not name SmolLM2-135M-Instruct.Q4_1.gguf (README.md says where it comes from)", env)
	}
	return path
}

// The goldens go on after the end token and show special tokens; the program does neither unless
// told.
func TestSmolLM2Texts(t *testing.T) {
	path := smolLM2(t)
	const end = "<|im_end|>"
	hide := strings.NewReplacer(end, "", "<|im_start|>", "")
	ended := false
	for _, p := range readGolden(t, "smollm2-135m").Prompts {
		r := reported(t, "-model", path, "-prompt", p.Text, "-n", fmt.Sprint(len(p.Greedy)), "-stop", "none")
		if !slices.Equal(r.PromptIDs, p.IDs) || !slices.Equal(r.IDs, p.Greedy) || *r.Text != hide.Replace(p.Result) {
			t.Errorf("%q: %+v\nwant %v", p.Text, r, p)
		}
		if text, _, ok := strings.Cut(p.Result, end); ok && !ended {
			ended = true
			if got := succeed(t, "-model", path, "-prompt", p.Text); got != text+"\n" {
				t.Errorf("%q: %q, want %q", p.Text, got, text)
			}
		}
	}
	if !ended {
		t.Error("no text of the goldens ends")
	}
}

func TestReport(t *testing.T) {
	p := readGolden(t, "tiny-silu").Prompts[1]
	r := reported(t, "-prompt", p.Text, "-n", "32", "-threads", "2", "-context", "100")
	if !slices.Equal(r.IDs, p.Greedy) || !slices.Equal(r.PromptIDs, p.IDs) || *r.Text != p.Result || r.Finish != "length" {
		t.Errorf("%+v, want %+v", r, p)
	}
	if r.Model != "tinysilu" || r.Dtype != "stored" || r.KV != "f32" || r.Machine != "lean" || r.Stock || r.Context != 100 ||
		r.Threads != 2 || r.Kernels == "" || r.Vocabulary != 4096 || r.Bytes < 6e6 || r.TopP != 1 || r.Logits != "" {
		t.Errorf("settings %+v", r)
	}
	if r.PromptTokens != len(p.IDs) || r.NewTokens != 32 ||
		!(r.PrefillSeconds > 0 && r.TTFTSeconds >= r.PrefillSeconds && r.DecodeSeconds > 0) ||
		math.Abs(r.TokensPerSecond*r.DecodeSeconds/31-1) > 1e-9 {
		t.Errorf("counts and times %+v", r)
	}

	// The fifth token, made a stop token, ends the text before it.
	stop := slices.Index(p.Greedy, p.Greedy[4])
	r = reported(t, "-ids", list(p.IDs), "-stop", fmt.Sprint(p.Greedy[4]), "-dtype", "f16", "-kv", "f16", "-machine", "tape", "-stock")
	if !slices.Equal(r.IDs, p.Greedy[:stop]) || r.Finish != "stop" || stop == 0 ||
		math.Abs(r.TokensPerSecond*r.DecodeSeconds/float64(stop)-1) > 1e-9 ||
		r.Machine != "tape" || !r.Stock || r.Dtype != "f16" || r.KV != "f16" {
		t.Errorf("stopped: %+v", r)
	}

	// A model without a tokenizer continues ids.
	r = reported(t, "-model", references+"variants/minimal", "-ids", "1,2,3", "-n", "4", "-stop", "none")
	if len(r.IDs) != 4 || r.Text != nil {
		t.Errorf("without a tokenizer: %+v", r)
	}
}

// Leaving out neurons that are exactly zero changes nothing; leaving out more leaves about as many
// as asked for.
func TestSparsity(t *testing.T) {
	p := readGolden(t, "tiny-relu").Prompts[1]
	args := []string{"-model", "tinyrelu", "-prompt", p.Text, "-n", "32"}
	exact := reported(t, append(args, "-sparsity", "0.01")...)
	if *exact.Text != p.Result || exact.Sparsity != 0.01 || len(exact.Active) != 4 {
		t.Errorf("%+v, want %q", exact, p.Result)
	}
	for i, active := range exact.Active { // of eval.txt 53 %, 23 %, 30 % and 48 % are not zero
		if !(active > 0.1 && active < 0.75) {
			t.Errorf("layer %d: a share of %v is active", i, active)
		}
	}

	run := call("", append(args, "-sparsity", "0.9", "-machine", "tape", "-json")...)
	r := decodeReport(t, run.stdout)
	for i, active := range r.Active {
		if !(active > 0.02 && active < 0.25) {
			t.Errorf("layer %d: a share of %v is active, want about 0.1", i, active)
		}
	}
	if r.Machine != "tape" || len(r.Active) != 4 || *r.Text == p.Result {
		t.Errorf("%+v", r)
	}
	if !strings.Contains(run.stderr, " % of the neurons active\n") {
		t.Errorf("stderr %q", run.stderr)
	}
}

// A plan from a file does what the same plan does.
func TestPlan(t *testing.T) {
	p := readGolden(t, "tiny-silu").Prompts[0]
	file := filepath.Join(t.TempDir(), "plan.json")
	layer := calibrate.Layer{Kind: calibrate.GateKind{Threshold: []float64{0}}}
	plan := calibrate.Plan{Layers: []calibrate.Layer{layer, {Kind: calibrate.DenseKind{}}, layer, layer}}
	if err := plan.Write(file); err != nil {
		t.Fatal(err)
	}
	r := reported(t, "-prompt", p.Text, "-n", "32", "-plan", file)
	if *r.Text != p.Result || r.Plan != file || !slices.Equal(r.Active, []float64{1, 1, 1, 1}) {
		t.Errorf("%+v, want %q", r, p.Result)
	}
	plan.Layers[1] = calibrate.Layer{Kind: calibrate.GateKind{Threshold: []float64{1e9}}}
	if err := plan.Write(file); err != nil {
		t.Fatal(err)
	}
	if r = reported(t, "-prompt", p.Text, "-plan", file); !slices.Equal(r.Active, []float64{1, 0, 1, 1}) {
		t.Errorf("with a layer that is silent: %+v", r)
	}
}

// Equal seeds give equal texts; others do not; n is the length of the text.
func TestSampling(t *testing.T) {
	sample := func(seed string) string {
		return succeed(t, "-prompt", "func ", "-temperature", "1", "-top-p", "0.95", "-seed", seed, "-n", "40")
	}
	if a, b := sample("7"), sample("7"); a != b {
		t.Errorf("seed 7 gives %q and %q", a, b)
	}
	if a, b := sample("7"), sample("8"); a == b {
		t.Errorf("seeds 7 and 8 give %q", a)
	}
}

// The smallest nucleus is the most likely token.
func TestNucleus(t *testing.T) {
	args := []string{"-prompt", "func ", "-n", "20", "-stop", "none"}
	greedy := succeed(t, args...)
	if got := succeed(t, append(args, "-temperature", "2", "-top-p", "1e-9")...); got != greedy {
		t.Errorf("%q, greedy %q", got, greedy)
	}
}

// With -n 0 nothing is chosen: the logits are all there is.
func TestLogits(t *testing.T) {
	g := readGolden(t, "tiny-silu")
	file := filepath.Join(t.TempDir(), "logits")
	if out := succeed(t, "-ids", list(g.Logits.IDs), "-n", "0", "-logits", file); out != "" {
		t.Errorf("stdout %q", out)
	}
	if r := reported(t, "-ids", "1,2,3", "-n", "0", "-logits", file+"0"); len(r.IDs) != 0 || r.PrefillSeconds != 0 {
		t.Errorf("-n 0: %+v", r)
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	const vocabulary = 4096
	if want := len(g.Logits.IDs) * vocabulary * 4; len(got) != want || g.Logits.Columns != 1 || len(g.logits) != want {
		t.Fatalf("%d bytes, golden %d (every column %d), want %d", len(got), len(g.logits), g.Logits.Columns, want)
	}
	var worst, scale float64
	for i := 0; i < len(got); i += 4 {
		x := float64(math.Float32frombits(binary.LittleEndian.Uint32(got[i:])))
		y := float64(math.Float32frombits(binary.LittleEndian.Uint32(g.logits[i:])))
		worst, scale = max(worst, math.Abs(x-y)), max(scale, math.Abs(y))
	}
	if !(worst <= 2e-3*scale) {
		t.Errorf("logits differ by %.2e of the largest", worst/scale)
	}

	r := reported(t, "-ids", list(g.Logits.IDs), "-n", "3", "-stop", "none", "-logits", file)
	if len(r.IDs) != 3 || r.Logits != file || !(r.LogitsSeconds > 0) {
		t.Errorf("logits and tokens: %+v", r)
	}
	if again, err := os.ReadFile(file); err != nil || !slices.Equal(again, got) {
		t.Errorf("the logits are others when tokens follow (%v)", err)
	}
}

// A run that fails leaves the old logits.
func TestLogitsAreWhole(t *testing.T) {
	file := filepath.Join(t.TempDir(), "logits")
	if err := os.WriteFile(file, []byte("old"), 0o666); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"-ids", "1,4096"}, {"-ids", "1", "-n", "512"}, {"-ids", "1", "-model", "no"}} {
		if r := call("", append(args, "-logits", file)...); r.code != program.ExitFailure {
			t.Errorf("%q: exit code %d", args, r.code)
		}
	}
	names, err := os.ReadDir(filepath.Dir(file))
	if data, _ := os.ReadFile(file); string(data) != "old" || err != nil || len(names) != 1 {
		t.Errorf("the file holds %q beside %v, %v", data, names, err)
	}
}
