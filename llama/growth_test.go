package llama_test

import (
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"

	"github.com/sparsegonia/sparsegonia/llama"
	"github.com/sparsegonia/sparsegonia/ops/kernel"
)

// Ten thousand tokens in successive texts and sessions, sparse and dense: memory and goroutines stay what they were.
func TestNothingGrows(t *testing.T) {
	m := tinyReLU(t)
	ids := readGolden(t, goldens+"tiny-relu").Perplexity.IDs
	plan := planFor(t, m, ids[:300], 0.9)
	cpu := kernel.NewCPU(2)
	generate := func(texts int) {
		for text := range texts {
			o := llama.SessionOptions{CPU: cpu}
			if text%2 == 0 {
				o.Plan = plan
			}
			s, err := m.NewSession(o)
			if err != nil {
				t.Fatal(err)
			}
			for range 4 { // in one session
				stats, err := s.Generate(background, ids[text:text+9], llama.GenerateOptions{
					MaxTokens: 125, Temperature: 0.8, Seed: uint64(text), Stop: []int32{},
				}, func(int32) bool { return true })
				if err != nil {
					t.Fatal(err)
				}
				if stats.NewTokens != 125 {
					t.Fatalf("%d new tokens, want 125", stats.NewTokens)
				}
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	measure := func() (heap, resident, goroutines int) {
		debug.FreeOSMemory()
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		return int(stats.HeapAlloc), residentBytes(t), runtime.NumGoroutine()
	}
	generate(4)
	heap, resident, goroutines := measure()
	generate(20)
	heapAfter, residentAfter, goroutinesAfter := measure()
	t.Logf("heap %d → %d, resident %d → %d bytes, goroutines %d → %d",
		heap, heapAfter, resident, residentAfter, goroutines, goroutinesAfter)
	if goroutinesAfter > goroutines {
		t.Errorf("goroutines %d → %d", goroutines, goroutinesAfter)
	}
	if heapAfter > heap+1<<20 {
		t.Errorf("heap %d → %d bytes", heap, heapAfter)
	}
	if residentAfter > resident+32<<20 { // of a process that other tests have used
		t.Errorf("resident %d → %d bytes", resident, residentAfter)
	}
	runtime.KeepAlive(m)
}

// residentBytes is the resident memory of this process, 0 where the system does not say.
func residentBytes(t testing.TB) int {
	data, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Logf("resident memory is not measured: %v", err)
		return 0
	}
	pages, err := strconv.Atoi(strings.Fields(string(data))[1])
	if err != nil {
		t.Fatal(err)
	}
	return pages * os.Getpagesize()
}
