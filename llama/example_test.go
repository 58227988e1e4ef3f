package llama_test

import (
	"context"
	"fmt"
	"log"

	"github.com/sparsegonia/sparsegonia/llama"
	"github.com/sparsegonia/sparsegonia/ops/weights"
	"github.com/sparsegonia/sparsegonia/testdata"
	"github.com/sparsegonia/sparsegonia/testdata/tinyrelu"
)

// A Session continues a prompt, here greedily.
func Example() {
	m, err := llama.OpenFS(tinyrelu.FS, llama.Options{}) // or Open, for a directory or a GGUF file
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close()
	text, err := m.Tokenizer()
	if err != nil {
		log.Fatal(err)
	}
	prompt, err := text.Encode("func main() {\n\tfmt.")
	if err != nil {
		log.Fatal(err)
	}
	s, err := m.NewSession(llama.SessionOptions{})
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()
	var ids []int32
	o := llama.GenerateOptions{MaxTokens: 8}
	stats, err := s.Generate(context.Background(), prompt, o, func(id int32) bool {
		ids = append(ids, id)
		return true
	})
	if err != nil {
		log.Fatal(err)
	}
	more, err := text.Decode(ids, true)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%d tokens: %q\n", stats.NewTokens, more)
	// Output:
	// 8 tokens: "Default()\n\tfmt.Fprintf(os.Stderr, \""
}

// A plan says which neurons a token needs. Calibrate learns thresholds for one; this model has ReLU MLPs,
// whose neurons are exactly 0 unless their gate is positive.
func Example_sparse() {
	m, err := llama.OpenFS(tinyrelu.FS, llama.Options{Width: llama.As(weights.F32)})
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close()
	text, err := m.Tokenizer()
	if err != nil {
		log.Fatal(err)
	}
	ids, err := text.Encode(testdata.Calibration[:4000])
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	captured, err := m.Calibrate(ctx, ids, llama.CalibrateOptions{})
	if err != nil {
		log.Fatal(err)
	}
	plan, err := captured.Plan(0.1) // a tenth of the neurons of each layer
	if err != nil {
		log.Fatal(err)
	}
	s, err := m.NewSession(llama.SessionOptions{Plan: plan})
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()
	stats, err := s.Generate(ctx, ids[:16], llama.GenerateOptions{MaxTokens: 32}, func(int32) bool { return true })
	if err != nil {
		log.Fatal(err)
	}
	sparse := true
	for _, density := range s.Density() {
		sparse = sparse && density < 0.2
	}
	fmt.Println(stats.NewTokens, "tokens; every layer under 20 % active:", sparse)
	// Output:
	// 32 tokens; every layer under 20 % active: true
}
