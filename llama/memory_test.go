package llama_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/sparsegonia/sparsegonia/cache"
	"github.com/sparsegonia/sparsegonia/graph/calibrate"
	"github.com/sparsegonia/sparsegonia/llama"
	"github.com/sparsegonia/sparsegonia/ops/kernel"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// memoryRun is what a child process of TestSmolLM2Memory is to do and what it has done.
type memoryRun struct {
	Dtype   weights.Dtype
	Neurons string // path of the neuron file; empty: the MLPs are in memory
	Plan    string // path; empty: dense
	Budget  int64

	Weights int64 // bytes of all weights in memory but for the windows
	Windows int64
	Peak    int64 // of the resident memory, in bytes
	Density float64
	HitRate float64
	Rate    float64 // tokens per second
	Text    []int32
}

const memoryChild = "SPARSEGONIA_MEMORY_CHILD"

// With its MLPs in a neuron file, SmolLM2 runs with at most half of the bytes that they take in memory: the blocks of
// the prompt's dense passes, the copies of the gates and the windows. The resident memory of the process shows it.
func TestSmolLM2Memory(t *testing.T) {
	if job := os.Getenv(memoryChild); job != "" {
		runMemoryChild(t, job)
		return
	}
	path := smolLM2(t)
	if testing.Short() {
		t.Skip("converts a real model")
	}
	directory := t.TempDir()
	d := weights.F32
	m := open(t, path, llama.Options{Width: llama.As(d)})
	mlp := int64(m.Config.Layers) * m.Store(0).Bytes()
	ids := readGolden(t, goldens+"smollm2-135m").Perplexity.IDs
	plan := filepath.Join(directory, "plan.json")
	if err := planFor(t, m, ids[:512], 0.2).Write(plan); err != nil {
		t.Fatal(err)
	}
	neurons := filepath.Join(directory, "neurons")
	open(t, path, llama.Options{Width: llama.As(d), NeuronFile: neurons}) // writes it

	dense := memoryRun{Dtype: d}.do(t)
	inPlace := memoryRun{Dtype: d, Plan: plan}.do(t)
	window := memoryRun{Dtype: d, Plan: plan, Neurons: neurons, Budget: mlp * 40 / 100}.do(t)
	if fmt.Sprint(window.Text) == fmt.Sprint(dense.Text) {
		t.Error("the sparse text is the dense one, the plan has no effect")
	}
	held := window.Windows + window.Weights - (dense.Weights - mlp)
	t.Logf("MLPs in memory: dense %d MB, windows %d MB (%.0f %%), density %.2f, hits %.2f",
		mlp>>20, held>>20, 100*float64(held)/float64(mlp), window.Density, window.HitRate)
	for name, r := range map[string]memoryRun{"dense": dense, "in place": inPlace, "window": window} {
		t.Logf("%-8s peak %4d MB, %5.1f tokens/s", name, r.Peak>>20, r.Rate)
	}
	if held > mlp/2 {
		t.Errorf("%d bytes of MLPs are held, of %d", held, mlp)
	}
	if saved := dense.Peak - window.Peak; saved < mlp*40/100 {
		t.Errorf("the peak is %d bytes lower than that of the dense model, want 40 %% of %d", saved, mlp)
	}
}

// do runs r in a process of its own.
func (r memoryRun) do(t *testing.T) memoryRun {
	t.Helper()
	job, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	executable, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	child := exec.Command(executable, "-test.run=^TestSmolLM2Memory$", "-test.v")
	child.Env = append(os.Environ(), memoryChild+"="+string(job))
	out, err := child.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	_, line, ok := bytes.Cut(out, []byte(memoryResult))
	if !ok {
		t.Fatalf("no result\n%s", out)
	}
	line, _, _ = bytes.Cut(line, []byte("\n"))
	if err := json.Unmarshal(line, &r); err != nil {
		t.Fatal(err)
	}
	return r
}

const memoryResult = "memory result: "

func runMemoryChild(t *testing.T, job string) {
	var r memoryRun
	if err := json.Unmarshal([]byte(job), &r); err != nil {
		t.Fatal(err)
	}
	m := open(t, smolLM2(t), llama.Options{Width: llama.As(r.Dtype), NeuronFile: r.Neurons})
	o := llama.SessionOptions{Context: 256}
	if r.Neurons != "" {
		o.Window = cache.WindowOptions{Tokens: 5, Budget: r.Budget}
	}
	if r.Plan != "" {
		var err error
		if o.Plan, err = calibrate.ReadPlan(r.Plan); err != nil {
			t.Fatal(err)
		}
	}
	debug.FreeOSMemory()
	s := session(t, m, o)
	ids := readGolden(t, goldens+"smollm2-135m").Perplexity.IDs
	if _, err := s.Prefill(background, 0, ids[:64]); err != nil {
		t.Fatal(err)
	}
	var elapsed time.Duration
	for i, id := range ids[64:160] {
		start := time.Now()
		logits, err := s.Decode(background, []int32{id})
		if err != nil {
			t.Fatal(err)
		}
		if i >= 16 {
			elapsed += time.Since(start)
		}
		r.Text = append(r.Text, int32(kernel.Argmax(logits)))
	}
	r.Rate = float64(len(r.Text)-16) / elapsed.Seconds()
	var total cache.Stats
	for i := range m.Config.Layers {
		total.Add(s.CacheStats(i))
		r.Density += s.Density()[i] / float64(m.Config.Layers)
	}
	r.HitRate = total.HitRate()
	if r.Neurons != "" {
		r.Windows = total.ResidentBytes
	}
	r.Weights = m.Bytes()
	r.Peak = peakBytes(t)
	result, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println(memoryResult + string(result))
}

// peakBytes is the most memory that this process had resident.
func peakBytes(t *testing.T) int64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Skip("no /proc: ", err)
	}
	for line := range strings.Lines(string(status)) {
		var kilobytes int64
		if _, err := fmt.Sscanf(line, "VmHWM: %d kB", &kilobytes); err == nil {
			return kilobytes << 10
		}
	}
	t.Skip("no VmHWM in /proc/self/status")
	return 0
}
