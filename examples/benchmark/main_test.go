package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparsegonia/sparsegonia/examples/internal/program"
	"github.com/sparsegonia/sparsegonia/graph/calibrate"
	"github.com/sparsegonia/sparsegonia/ops/weights"
	"github.com/sparsegonia/sparsegonia/ops/weights/wholefile"
)

// child makes the test binary the program, as a process of its own.
const child = "BENCHMARK_TEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(child) != "" {
		program.Main("benchmark", small.run)
	}
	os.Exit(m.Run())
}

// small measurements take no time and mean nothing.
var small = scale{
	shape: shape{64, 256}, roofBytes: 1 << 20, coldBytes: 1 << 18, positions: 128, evaluated: 64,
	command: func(ctx context.Context, args []string) (*exec.Cmd, error) {
		self, err := os.Executable()
		cmd := exec.CommandContext(ctx, self, args...)
		cmd.Env = append(os.Environ(), child+"=1")
		return cmd, err
	},
}

// run is the program in this process.
func run(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	env := &program.Env{Name: "benchmark", Args: args, Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs}
	code = env.Run(t.Context(), small.run)
	return code, out.String(), errs.String()
}

// runJSON also reads the file of -json into result.
func runJSON(t *testing.T, result any, args ...string) (stdout string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "result.json")
	code, stdout, stderr := run(t, append(args, "-json", file)...)
	require.Equal(t, program.ExitOK, code, stderr)
	data, err := os.ReadFile(file)
	require.NoError(t, err)
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	require.NoError(t, d.Decode(result))
	return stdout
}

// tiny is what a run of the embedded model is cut down to.
var tiny = []string{"-num_runs", "2", "-prompt_tokens", "8", "-new_tokens", "4"}

var speedupLines = regexp.MustCompile(`(?m)^TTFT Speedup: \d+\.\d\dx against stock, \d+\.\d\dx against dense
Output TPS Speedup: \d+\.\d\dx against stock, \d+\.\d\dx against dense
Total Throughput Speedup: \d+\.\d\dx against stock, \d+\.\d\dx against dense$`)

func TestEmbeddedModel(t *testing.T) {
	var r modelSuite
	stdout := runJSON(t, &r, tiny...)
	assert.Regexp(t, speedupLines, stdout)
	assert.NotContains(t, stdout, "run 1 of", "not verbose")
	assert.Equal(t, "tinyrelu", r.Model.Name)
	assert.False(t, r.Model.Random)
	assert.Equal(t, "gate", r.Model.Selector)
	assert.Equal(t, 2, r.Rounds)
	assert.Equal(t, small.evaluated, r.PerplexityTokens)
	require.Len(t, r.Arms, 3)
	for i, name := range []string{"stock", "dense", "sparse"} {
		a := r.Arms[i]
		assert.Equal(t, name, a.Name)
		assert.Equal(t, "f32", a.Dtype)
		for _, s := range []summary{a.TTFT, a.OutputTPS, a.TotalTPS} {
			assert.Equal(t, 2, s.N)
			assert.Positive(t, s.Min)
		}
		assert.InEpsilon(t, r.Arms[0].Perplexity, a.Perplexity, 1e-3, "this model is sparse by itself")
		assert.EqualValues(t, 4*3245760, a.WeightBytes)
		assert.EqualValues(t, 2*4*2*32*4*(8+4), a.KVBytes)
		if peakRSS() > 0 {
			assert.Greater(t, a.PeakRSSBytes, a.WeightBytes)
		}
	}
	assert.Equal(t, 1.0, r.Arms[1].Active)
	assert.Equal(t, r.Arms[1].WeightBytes, r.Arms[1].BytesPerToken)
	sparse := r.Arms[2]
	assert.Less(t, sparse.Active, 0.6)
	// Of the MLPs, 4 layers of 3×896 rows of 192 floats, the gates and the active rows of up and
	// down are read.
	skipped := (1 - sparse.Active) * 4 * 2 * 896 * 192 * 4
	assert.InDelta(t, float64(sparse.WeightBytes)-skipped, float64(sparse.BytesPerToken), 8)
	assert.Len(t, r.Speedups, 6)
	assert.NotEmpty(t, r.MLP)
}

func TestOneArm(t *testing.T) {
	var r modelSuite
	stdout := runJSON(t, &r, append(tiny, "-arms", "tape", "-model", "tinysilu", "-ppl_tokens", "0", "-verbose")...)
	require.Len(t, r.Arms, 1)
	assert.Equal(t, "stock", r.Arms[0].Name)
	assert.Zero(t, r.Arms[0].Perplexity)
	assert.Empty(t, r.Speedups)
	assert.Empty(t, r.MLP)
	assert.NotContains(t, stdout, "Speedup")
	assert.Contains(t, stdout, "run 2 of 2, stock: TTFT")
}

func TestNarrowWeights(t *testing.T) {
	var r modelSuite
	runJSON(t, &r, append(tiny, "-arms", "dense,stock", "-dtype", "int8")...)
	assert.Equal(t, "int8", r.Arms[0].Dtype)
	assert.Equal(t, "f32", r.Arms[1].Dtype)
	assert.Less(t, 3*r.Arms[0].WeightBytes, r.Arms[1].WeightBytes)
	assert.Less(t, r.Arms[0].BytesPerToken, r.Arms[1].BytesPerToken)
	require.Len(t, r.Speedups, 3)
	assert.Equal(t, speedup{"TTFT", "stock", "dense", r.Speedups[0].Times}, r.Speedups[0])
}

// With the threshold at the sparsity of the model or more, its perplexity suffers: what is left out
// matters.
func TestSparsity(t *testing.T) {
	var some, most modelSuite
	args := append(tiny, "-arms", "sparse", "-model", "tinysilu")
	runJSON(t, &some, append(args, "-sparsity", "0.1")...)
	runJSON(t, &most, append(args, "-sparsity", "0.9")...)
	assert.InDelta(t, 0.9, some.Arms[0].Active, 0.1)
	assert.InDelta(t, 0.1, most.Arms[0].Active, 0.1)
	assert.Greater(t, most.Arms[0].Perplexity, some.Arms[0].Perplexity)
}

func TestWindow(t *testing.T) {
	var r modelSuite
	stdout := runJSON(t, &r, append(tiny, "-arms", "window,dense,sparse", "-sparsity", "0.9", "-budget", "0.4", "-model", "tinysilu")...)
	require.Len(t, r.Arms, 3)
	window, dense, sparse := r.Arms[0], r.Arms[1], r.Arms[2]
	assert.Equal(t, dense.WeightBytes-dense.MLPBytes, window.WeightBytes-window.MLPBytes)
	assert.EqualValues(t, 4*3*896*192*4, dense.MLPBytes)
	assert.Less(t, window.MLPBytes, dense.MLPBytes, "the budget, the gates and the blocks of the prompt")
	assert.Positive(t, window.FileBytesPerToken)
	assert.Greater(t, window.HitRate, sparse.HitRate, "a window holds more than the last token")
	assert.Zero(t, dense.HitRate)
	assert.InDelta(t, sparse.Active, window.Active, 0.05, "its gates have a byte a weight")
	assert.InEpsilon(t, sparse.Perplexity, window.Perplexity, 0.05)
	assert.Contains(t, stdout, "TTFT Speedup: ")
	assert.Len(t, r.Speedups, 3)
	if peakRSS() > 0 {
		assert.Positive(t, window.PeakRSSBytes)
	}

	code, _, stderr := run(t, append(tiny, "-arms", "window", "-budget", "1e-6")...)
	assert.Equal(t, program.ExitFailure, code)
	assert.Contains(t, stderr, "a neuron has")
}

func TestPlanFile(t *testing.T) {
	plan := filepath.Join(t.TempDir(), "plan.json")
	layer := `{"selector": "gate", "threshold": [1e9]}`
	require.NoError(t, os.WriteFile(plan, []byte(`{"sparsegonia_plan": 1, "layers": [`+
		strings.Join(slices.Repeat([]string{layer}, 4), ",")+`]}`), 0o600))
	var r modelSuite
	runJSON(t, &r, append(tiny, "-arms", "sparse", "-plan", plan)...)
	assert.Zero(t, r.Arms[0].Active, "no neuron reaches this threshold")

	code, _, stderr := run(t, append(tiny, "-plan", plan+"x")...)
	assert.Equal(t, program.ExitFailure, code)
	assert.Contains(t, stderr, "plan.jsonx")
}

func TestCommandLineErrors(t *testing.T) {
	for _, test := range []struct {
		args string
		want string
	}{
		{"extra", `unexpected argument "extra"`},
		{"--verbose True extra", `unexpected argument "extra"`},
		{"-suite nothing", "model, kernels, cache"},
		{"-dtype f8", "f32"},
		{"-arms dense,fast", `"fast"`},
		{"-arms dense,", `""`},
		{"-num_runs 0", "-num_runs 0"},
		{"-num_runs many", "-num_runs"},
		{"-prompt_tokens 0", "-prompt_tokens 0"},
		{"-new_tokens 1", "-new_tokens 1"},
		{"-ppl_tokens 1", "-ppl_tokens 1"},
		{"-temperature NaN", "-temperature NaN"},
		{"-sparsity 1.5", "-sparsity 1.5"},
		{"-sparsity NaN", "-sparsity NaN"},
		{"-threads -1", "-threads -1"},
		{"-model tinyrelu -config configs/llama_skip_causal_1b.json", "exclude"},
		{"-device tpu", "cpu, cuda"},
		{"-unknown", "-unknown"},
		{"-budget 1.1", "-budget 1.1"},
		{"-arms window -config configs/llama_skip_causal_1b.json", "-model"},
		{"-arms dense,dense", "twice"},
	} {
		code, stdout, stderr := run(t, strings.Fields(test.args)...)
		assert.Equal(t, program.ExitUsage, code, test.args)
		assert.Empty(t, stdout, test.args)
		assert.Contains(t, stderr, test.want, test.args)
	}
}

func TestFailures(t *testing.T) {
	folder := t.TempDir()
	config := func(name, json string) string {
		file := filepath.Join(folder, name)
		require.NoError(t, os.WriteFile(file, []byte(json), 0o600))
		return file
	}
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"-config", "configs/llama_skip_causal_5b.json"}, "configs/llama_skip_causal_3b.json"},
		{[]string{"-config", config("type.json", `{"model_type": "gpt"}`)}, "type.json: model_type"},
		{[]string{"-config", config("width.json", tinyConfig(`"torch_dtype": "int8"`))}, "width.json: torch_dtype"},
		{[]string{"-config", config("short.json", tinyConfig(`"sparsities": [0.5]`))}, "1 layers"},
		{[]string{"-config", config("share.json", tinyConfig(`"sparsities": [0.5, 2], "sparsity_method": "topk"`))}, "share.json: "},
		{[]string{"-model", filepath.Join(folder, "none")}, "none"},
		{[]string{"-json", filepath.Join(folder, "none", "x.json")}, "-json: "},
		{[]string{"-prompt_tokens", "600"}, "context of 512"},
	} {
		code, stdout, stderr := run(t, test.args...)
		assert.Equal(t, program.ExitFailure, code, test.args)
		assert.Empty(t, stdout, test.args)
		assert.Contains(t, stderr, test.want, test.args)
	}
}

// A report that JSON has no form for leaves the file that was there.
func TestUnwritableReport(t *testing.T) {
	path := filepath.Join(t.TempDir(), "report.json")
	require.NoError(t, os.WriteFile(path, []byte("old"), 0o600))
	file, err := wholefile.Create(path)
	require.NoError(t, err)
	defer file.Discard()
	require.Error(t, writeJSON(file, infinite{math.Inf(1)}))
	got, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, "old", string(got))
}

type infinite struct{ X float64 }

func (infinite) print(io.Writer) {}

func TestNotEnoughMemory(t *testing.T) {
	if availableMemory() == 0 {
		t.Skip("this system does not tell how much memory there is")
	}
	file := filepath.Join(t.TempDir(), "huge.json")
	require.NoError(t, os.WriteFile(file, []byte(`{"model_type": "llama", "hidden_size": 65536, "intermediate_size": 262144,
		"num_hidden_layers": 100, "num_attention_heads": 512}`), 0o600))
	for _, arms := range [][]string{nil, {"-arms", "stock"}, {"-arms", "dense"}} {
		code, stdout, stderr := run(t, append([]string{"-config", file}, arms...)...)
		assert.Equal(t, program.ExitFailure, code)
		assert.Empty(t, stdout)
		assert.Regexp(t, `huge.json: arms .* with f32 weights need \d+ GB \(\d+ bytes\) of memory, .* \(\d+ bytes\) are available`, stderr)
	}
}

// tinyConfig is a shape that takes no time.
func tinyConfig(keys string) string {
	return `{"model_type": "llama-skip", "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
		"num_attention_heads": 2, "vocab_size": 100, "max_position_embeddings": 128, ` + keys + `}`
}

// The command line of the ported system, word for word, in a folder that has such a file.
func TestCommandLineOfThePortedSystem(t *testing.T) {
	t.Chdir(t.TempDir())
	require.NoError(t, os.Mkdir("configs", 0o700))
	require.NoError(t, os.WriteFile("configs/llama_skip_causal_3b.json",
		[]byte(tinyConfig(`"torch_dtype": "float32", "sparsity_method": "topk", "sparsities": [0.75, 0.5]`)), 0o600))
	args := strings.Fields("--device cpu --config configs/llama_skip_causal_3b.json --num_runs 50 --verbose True")
	code, stdout, stderr := run(t, args...)
	require.Equal(t, program.ExitOK, code, stderr)
	assert.Contains(t, stdout, "configs/llama_skip_causal_3b.json: 2 layers, hidden 64, intermediate 128, vocabulary 100, random weights: speed only")
	assert.Len(t, regexp.MustCompile(`(?m)^run \d+ of 50, (stock|dense|sparse): TTFT `).FindAllString(stdout, -1), 150)
	assert.Regexp(t, speedupLines, stdout)
	// 32 and 64 neurons of 128, by top-k.
	assert.Contains(t, stdout, "37.5%")
}

func TestEmbeddedConfigs(t *testing.T) {
	t.Chdir(t.TempDir())
	for name, want := range map[string]struct {
		layers, hidden int
		dtype          weights.Dtype
		bytes          int64
	}{
		"configs/llama_skip_causal_1b.json":   {16, 2048, weights.BF16, 2471628800 + 33*2*2048},
		"./configs/llama_skip_causal_3b.json": {28, 3072, weights.F32, 12850999296},
	} {
		o := &options{config: name}
		src, err := o.source()
		require.NoError(t, err)
		assert.Equal(t, want.layers, src.config.Layers)
		assert.Equal(t, want.hidden, src.config.HiddenSize)
		assert.Equal(t, want.dtype, src.dtype)
		// Of the parameters, norms included, which stay float32.
		assert.Equal(t, want.bytes, weightBytes(&src.config, src.dtype, false))

		plan, err := src.plan(-1)
		require.NoError(t, err)
		require.Len(t, plan.Layers, want.layers)
		for _, l := range plan.Layers {
			assert.Equal(t, 327, l.Kind.(calibrate.LoRAKind).Rank)
			assert.InDelta(t, 0.65, l.Kind.(calibrate.LoRAKind).Sparsity, 0.2)
		}
		plan, err = src.plan(0.9)
		require.NoError(t, err)
		assert.Equal(t, 0.9, plan.Layers[3].Kind.(calibrate.LoRAKind).Sparsity)
		plan, err = src.plan(0)
		require.NoError(t, err)
		assert.EqualValues(t, "dense", plan.Layers[3].Kind.Name())
	}
}

// writer calls a function with everything that is written.
type writer func(string)

func (w writer) Write(p []byte) (int, error) {
	w(string(p))
	return len(p), nil
}

func TestInterrupt(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var stdout, stderr strings.Builder
	env := &program.Env{
		Name: "benchmark", Args: []string{"-num_runs", "1000", "-verbose", "-json", filepath.Join(t.TempDir(), "x.json")},
		Stdout: writer(func(s string) {
			if stdout.WriteString(s); strings.Contains(s, "run 3 of 1000, ") {
				cancel()
			}
		}),
		Stderr: &stderr,
	}
	assert.Equal(t, program.ExitInterrupted, env.Run(ctx, small.run))
	assert.Contains(t, stderr.String(), "benchmark: interrupted\n")
	assert.Contains(t, stdout.String(), "2 runs of every arm")
	assert.Regexp(t, speedupLines, stdout.String())
	assert.NoFileExists(t, env.Args[4])

	ctx, cancel = context.WithCancel(t.Context())
	cancel()
	for _, suite := range []string{"model", "kernels", "cache"} {
		stdout.Reset()
		env.Args = []string{"-suite", suite}
		assert.Equal(t, program.ExitInterrupted, env.Run(ctx, small.run))
		assert.Empty(t, stdout.String(), "nothing was measured")
	}
}

func TestKernels(t *testing.T) {
	var s kernelSuite
	stdout := runJSON(t, &s, "-suite", "kernels", "-num_runs", "1")
	assert.Contains(t, stdout, "MLP sparse + f16 predictor + mask + refresh")
	count := map[string]int{}
	for _, r := range s.Rows {
		count[r.Kernel]++
		assert.Equal(t, 1, r.Seconds.N, r.Kernel)
		assert.Positive(t, r.Seconds.Median, r.Kernel)
		assert.NotEmpty(t, r.Variant)
		if r.Unit != "" {
			assert.Positive(t, r.Rate, r.Kernel)
			assert.Positive(t, r.Roof, r.Kernel)
			assert.InEpsilon(t, r.Rate/r.Roof, r.Ratio, 1e-9, r.Kernel)
		}
		if r.Active < 1 {
			assert.InEpsilon(t, 1/(r.VersusDense*r.Active), r.PerActive, 1e-9)
		}
		switch {
		case r.Kernel == denseMLP:
			assert.Equal(t, 1.0, r.VersusDense)
		case r.Kernel == stockMLP:
			assert.Equal(t, s.fastestStock() == r.Seconds.Median, r.VersusStock == 1, "the fastest counts")
		}
		assert.Equal(t, strings.HasPrefix(r.Kernel, "MLP"), r.VersusDense > 0, r.Kernel)
		assert.Equal(t, strings.HasPrefix(r.Kernel, "MLP") && r.Dtype == "f32", r.VersusStock > 0, r.Kernel)
	}
	assert.Equal(t, len(weightDtypes), count[denseMLP])
	assert.Equal(t, 3*len(weightDtypes), count[sparseMLP])
	assert.Equal(t, 2, count[stockMLP])
	assert.Equal(t, 2, count["attention"])
}

func (s *kernelSuite) fastestStock() float64 {
	fastest := math.Inf(1)
	for _, r := range s.Rows {
		if r.Kernel == stockMLP {
			fastest = min(fastest, r.Seconds.Median)
		}
	}
	return fastest
}

func TestCaches(t *testing.T) {
	var s cacheSuite
	stdout := runJSON(t, &s, "-suite", "cache", "-num_runs", "2")
	assert.Contains(t, stdout, "fastest")
	winners := map[[3]any]int{}
	for _, r := range s.Rows {
		kind := [3]any{r.Dtype, r.Active, r.Changed}
		winners[kind] += 0
		if r.Winner {
			winners[kind]++
		}
		assert.Equal(t, 2, r.Refresh.N)
		d, err := weights.ParseDtype(r.Dtype)
		require.NoError(t, err)
		row := int64(3 * d.RowBytes(small.shape.hidden))
		active := int64(float64(small.shape.intermediate) * r.Active)
		arrived := min(int64(activeOf(int(active), r.Changed)), int64(small.shape.intermediate)-active) * row
		assert.Equal(t, arrived, r.ArrivedBytes, r)
		switch r.Policy {
		case inPlacePolicy:
			assert.Zero(t, r.MovedBytes)
		case packedPolicy:
			assert.Equal(t, arrived, r.MovedBytes, r)
		case windowPolicy:
			assert.LessOrEqual(t, r.ReadBytes, 2*arrived, "alignment is read too")
		default:
			assert.Equal(t, active*row, r.MovedBytes, r)
		}
	}
	assert.Len(t, winners, 3*2*5)
	for kind, n := range winners {
		assert.Equal(t, 1, n, kind)
	}
}

// README.md documents every key of every suite, and no other.
func TestKeysAreDocumented(t *testing.T) {
	text, err := os.ReadFile("README.md")
	require.NoError(t, err)
	_, section, found := strings.Cut(string(text), "## Keys of `-json`")
	require.True(t, found)
	documented := map[string]bool{}
	for line := range strings.Lines(section) {
		if cells := strings.Split(line, "|"); len(cells) > 2 {
			for _, name := range regexp.MustCompile("`([a-z0-9_]+)`").FindAllStringSubmatch(cells[1], -1) {
				documented[name[1]] = true
			}
		}
	}
	printed := map[string]bool{}
	for _, suite := range []string{"model", "kernels", "cache"} {
		var result any
		args := []string{"-suite", suite, "-num_runs", "1"}
		runJSON(t, &result, append(args, tiny[2:]...)...)
		collectKeys(result, printed)
	}
	assert.Equal(t, printed, documented)
}

func collectKeys(v any, keys map[string]bool) {
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			keys[key] = true
			collectKeys(value, keys)
		}
	case []any:
		for _, value := range v {
			collectKeys(value, keys)
		}
	}
}
