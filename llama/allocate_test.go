package llama_test

import (
	"testing"

	"github.com/sparsegonia/sparsegonia/llama"
	"github.com/sparsegonia/sparsegonia/ops/kernel"
	"github.com/sparsegonia/sparsegonia/testdata/tinysilu"
)

// A token allocates nothing once the graph is built, whatever the machine does for the first one. What the garbage
// collector and the growth of the KV cache take is less than one allocation a token.
func TestDecodeAllocatesNothing(t *testing.T) {
	for _, d := range []kernel.Dtype{kernel.F16, kernel.F32, kernel.Int8, kernel.Int4} {
		m, err := llama.OpenFS(tinysilu.FS, llama.Options{Dtype: &d})
		if err != nil {
			t.Fatal(err)
		}
		s := session(t, m, llama.SessionOptions{Context: 512})
		if _, err := s.Prefill(background, 0, randomIDs(1, 100, m.Config.VocabSize)); err != nil {
			t.Fatal(err)
		}
		ids := []int32{1}
		if n := testing.AllocsPerRun(100, func() {
			if _, err := s.Decode(background, ids); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("%v: %v allocations a token, want none", d, n)
		}
	}
}
