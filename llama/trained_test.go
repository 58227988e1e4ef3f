package llama_test

import (
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/sparsegonia/sparsegonia/llama"
	"github.com/sparsegonia/sparsegonia/ops/weights"
	"github.com/sparsegonia/sparsegonia/testdata/tinyrelu"
	"github.com/sparsegonia/sparsegonia/testdata/tinysilu"
)

// tinySiLU and tinyReLU are the embedded models.
func tinySiLU(t testing.TB) *llama.Model {
	t.Helper()
	m, err := llama.OpenFS(tinysilu.FS, llama.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func tinyReLU(t testing.TB) *llama.Model {
	t.Helper()
	m, err := llama.OpenFS(tinyrelu.FS, llama.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// smolLM2 is the path of the real model, which is not part of the repository.
func smolLM2(t testing.TB) string {
	t.Helper()
	const env = "SPARSEGONIA_SMOLLM2"
	path := os.Getenv(env)
	if path == "" {
		t.Skipf("%s does not name SmolLM2-135M-Instruct.Q4_1.gguf (README.md says where it comes from)", env)
	}
	return path
}

func TestTinySiLU(t *testing.T) { testTrained(t, tinySiLU(t), readGolden(t, goldens+"tiny-silu")) }
func TestTinyReLU(t *testing.T) { testTrained(t, tinyReLU(t), readGolden(t, goldens+"tiny-relu")) }

const goldens = "../testdata/golden/"

func TestSmolLM2(t *testing.T) {
	testTrained(t, open(t, smolLM2(t), llama.Options{}), readGolden(t, goldens+"smollm2-135m"))
}

// The prompts of the goldens through the tokenizer of each model.
func TestTokenizersOfModels(t *testing.T) {
	for name, m := range map[string]*llama.Model{"tiny-silu": tinySiLU(t), "tiny-relu": tinyReLU(t)} {
		testTokenizer(t, m, readGolden(t, goldens+name))
	}
}

func TestTokenizerOfSmolLM2(t *testing.T) {
	testTokenizer(t, open(t, smolLM2(t), llama.Options{}), readGolden(t, goldens+"smollm2-135m"))
}

func testTokenizer(t *testing.T, m *llama.Model, g *golden) {
	t.Helper()
	tok, err := m.Tokenizer()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range g.Prompts {
		ids, err := tok.Encode(p.Text)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(ids, p.IDs) {
			t.Errorf("%q: ids %v, want %v", p.Text, ids, p.IDs)
		}
		text, err := tok.Decode(ids, false) // with the tokens that Encode has added in front
		if err != nil || !strings.HasSuffix(text, p.Text) {
			t.Errorf("%q decodes to %q, %v", p.Text, text, err)
		}
	}
}

// Rounding every weight to f16 or bf16 moves the logits by what the rounding explains: 2^-11 and 2^-8 relative to each
// weight, independent from weight to weight, through 30 layers.
func TestSmolLM2Narrow(t *testing.T) {
	g := readGolden(t, goldens+"smollm2-135m")
	for _, test := range []struct {
		dtype              weights.Dtype
		logits, perplexity float64
	}{{weights.F16, 5e-3, 2e-3}, {weights.BF16, 4e-2, 1e-2}} {
		m := open(t, smolLM2(t), llama.Options{Width: llama.As(test.dtype)})
		s := session(t, m, llama.SessionOptions{Context: 512})
		d := difference(logitsOf(t, s, g.Logits.IDs, g.Logits.Columns), g.logits)
		ids := g.Perplexity.IDs[:1024]
		ppl, err := s.Perplexity(background, ids, g.Perplexity.Window)
		if err != nil {
			t.Fatal(err)
		}
		exact, err := session(t, open(t, smolLM2(t), llama.Options{}), llama.SessionOptions{Context: 512}).
			Perplexity(background, ids, g.Perplexity.Window)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%v: logits differ by %.2e of the largest, perplexity %.4f for %.4f", test.dtype, d, ppl, exact)
		if !(d <= test.logits) || !(math.Abs(ppl/exact-1) <= test.perplexity) {
			t.Errorf("%v: logits differ by %.2e (want %.0e), perplexity %.4f for %.4f (want %.1f %%)",
				test.dtype, d, test.logits, ppl, exact, 100*test.perplexity)
		}
	}
}
