package llama_test

import (
	"math"
	"path/filepath"
	"testing"

	"github.com/sparsegonia/sparsegonia/llama"
	"github.com/sparsegonia/sparsegonia/ops/weights"
	"github.com/sparsegonia/sparsegonia/ops/weights/checkpoint"
)

// quantised are the widths below 16 bits, with what they may add to the negative log-likelihood of a token of SmolLM2.
// The file has 4-bit weights already. int4m takes over its blocks, but for the down projections, which are stored with a
// row per neuron and so on another grid; int4 puts all of them on another grid.
var quantised = []struct {
	dtype weights.Dtype
	nats  float64
}{
	{weights.Int8, 0.06}, {weights.Int8G, 0.02}, {weights.Int4, 0.35}, {weights.Int4M, 0.17},
}

func TestSmolLM2Quantised(t *testing.T) {
	g := readGolden(t, goldens+"smollm2-135m")
	ids := g.Perplexity.IDs[:1024]
	perplexity := func(o llama.Options) float64 {
		m := open(t, smolLM2(t), o)
		ppl, err := session(t, m, llama.SessionOptions{Context: 512}).Perplexity(background, ids, g.Perplexity.Window)
		if err != nil {
			t.Fatal(err)
		}
		return ppl
	}
	exact := perplexity(llama.Options{})
	for _, q := range quantised {
		got := perplexity(llama.Options{Width: llama.As(q.dtype)})
		nats := math.Log(got / exact)
		t.Logf("%v: perplexity %.3f for %.3f, %+.4f nats a token", q.dtype, got, exact, nats)
		if !(nats <= q.nats) {
			t.Errorf("%v: %+.4f nats a token, want at most %v", q.dtype, nats, q.nats)
		}
	}
}

// Blocks that a kernel can read are taken over bit for bit.
func TestSmolLM2BlocksAreTakenOver(t *testing.T) {
	path := smolLM2(t)
	c, err := checkpoint.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	x, err := c.Tensor("blk.3.ffn_gate.weight")
	if err != nil {
		t.Fatal(err)
	}
	if x.Type != checkpoint.Q4_1 {
		t.Fatalf("the file has %v", x.Type)
	}
	m := open(t, path, llama.Options{Width: llama.As(weights.Int4M)})
	want, got := make([]float32, x.Cols()), make([]float32, x.Cols())
	for i := range x.Rows() {
		if err := x.Float32Row(want, i); err != nil {
			t.Fatal(err)
		}
		weights.Row(m.Store(3).Gate(), i, got)
		if difference(got, want) != 0 {
			t.Fatalf("row %d differs", i)
		}
	}
}

func TestQuantisedVariants(t *testing.T) {
	for _, name := range []string{"f32", "bias", "odd-shapes", "relu", "tied"} {
		g := readGolden(t, filepath.Join(variants, name))
		for _, test := range []struct {
			dtype     weights.Dtype
			tolerance float64
		}{{weights.Int8, 0.1}, {weights.Int8G, 0.1}, {weights.Int4, 0.9}, {weights.Int4M, 0.9}} {
			m := open(t, filepath.Join(variants, name), llama.Options{Width: llama.As(test.dtype)})
			got := logitsOf(t, session(t, m, llama.SessionOptions{}), g.IDs, 1)
			d := difference(got, g.logits)
			t.Logf("%s %v: %.3f", name, test.dtype, d)
			if !(d <= test.tolerance) || d == 0 {
				t.Errorf("%s in %v: logits differ by %.3f of the largest, want at most %v", name, test.dtype, d, test.tolerance)
			}
		}
	}
}
