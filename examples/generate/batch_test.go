package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sparsegonia/sparsegonia/examples/internal/program"
)

// batchReported is what a run over prompts with -json prints.
func batchReported(t *testing.T, prompts []string, args ...string) (r batchReport) {
	t.Helper()
	run := call(marshal(t, prompts), append([]string{"-prompts", "-", "-json"}, args...)...)
	if run.code != program.ExitOK {
		t.Fatalf("%q: %+v", args, run)
	}
	decodeJSON(t, run.stdout, &r)
	return r
}

func marshal(t *testing.T, v any) string {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// prompts are the texts of the goldens, and their continuations.
func (g *golden) prompts() (texts, results []string) {
	for _, p := range g.Prompts {
		texts, results = append(texts, p.Text), append(results, p.Result)
	}
	return texts, results
}

func (r batchReport) texts() (texts []string) {
	for _, c := range r.Texts {
		texts = append(texts, *c.Text)
	}
	return texts
}

// Prompts of different lengths that decode together give the texts of transformers, each as if it
// were alone, with few sequences and with so many that the kernels for many tokens run.
func TestBatchTexts(t *testing.T) {
	for model, name := range map[string]string{"tinysilu": "tiny-silu", "tinyrelu": "tiny-relu"} {
		g := readGolden(t, name)
		texts, want := g.prompts()
		for _, way := range [][]string{nil, {"-machine", "tape"}, {"-threads", "1", "-kv", "f16"}} {
			r := batchReported(t, texts, append(way, "-model", model, "-n", "32")...)
			if diff := cmp.Diff(want, r.texts()); diff != "" {
				t.Errorf("%s %q: (-want +got)\n%s", model, way, diff)
			}
			for i, c := range r.Texts {
				p := g.Prompts[i]
				if !slices.Equal(c.PromptIDs, p.IDs) || !slices.Equal(c.IDs, p.Greedy) || c.Finish != "length" ||
					c.PromptTokens != len(p.IDs) || c.NewTokens != 32 {
					t.Errorf("%s: text %d: %+v, want %+v", model, i, c, p)
				}
			}
			if r.Steps != 31 || !(r.PrefillSeconds > 0 && r.TTFTSeconds > 0 && r.DecodeSeconds > 0 && r.TokensPerSecond > 0) {
				t.Errorf("%s: %+v", model, r)
			}
		}
		many := slices.Repeat(texts, 4)
		if diff := cmp.Diff(slices.Repeat(want, 4), batchReported(t, many, "-model", model, "-n", "32").texts()); diff != "" {
			t.Errorf("%s: %d prompts: (-want +got)\n%s", model, len(many), diff)
		}
	}
}

// A text that ends early leaves the rest as it is.
func TestBatchTextsEnd(t *testing.T) {
	g := readGolden(t, "tiny-silu")
	texts, _ := g.prompts()
	stop := g.Prompts[1].Greedy[4]
	r := batchReported(t, texts, "-n", "32", "-stop", fmt.Sprint(stop))
	ended := 0
	for i, c := range r.Texts {
		want, finish := g.Prompts[i].Greedy, "length"
		if end := slices.Index(want, stop); end >= 0 {
			want, finish = want[:end], "stop"
			ended++
		}
		if !slices.Equal(c.IDs, want) || c.Finish != finish {
			t.Errorf("text %d: %v (%s), want %v (%s)", i, c.IDs, c.Finish, want, finish)
		}
	}
	if ended == 0 || ended == len(texts) {
		t.Errorf("%d of %d texts end early: the test shows nothing", ended, len(texts))
	}
}

// A step reads the union of what its sequences need: no less than any of them alone, no more than
// all of them together. Equal prompts need what one of them does.
func TestBatchUnion(t *testing.T) {
	g := readGolden(t, "tiny-relu")
	texts, want := g.prompts()
	args := []string{"-model", "tinyrelu", "-n", "32", "-sparsity", "0.01"}
	alone := make([]float64, 4) // sum of the shares of each layer
	most := make([]float64, 4)
	for _, text := range texts {
		for l, active := range reported(t, append(args, "-prompt", text)...).Active {
			alone[l] += active
			most[l] = max(most[l], active)
		}
	}
	r := batchReported(t, texts, args...)
	if diff := cmp.Diff(want, r.texts()); diff != "" {
		t.Errorf("leaving out zeros gives other texts: (-want +got)\n%s", diff)
	}
	for l, active := range r.Active {
		if !(active > most[l] && active < min(alone[l], 1)) {
			t.Errorf("layer %d: a share of %v is active for any of the texts, %v for one, %v for all summed", l, active, most[l], alone[l])
		}
	}
	once := reported(t, append(args, "-prompt", texts[0])...)
	twice := batchReported(t, []string{texts[0], texts[0]}, args...)
	if diff := cmp.Diff(once.Active, twice.Active); diff != "" {
		t.Errorf("the same prompt twice: %s", diff)
	}
	run := call(marshal(t, texts), append(args, "-prompts", "-")...)
	if !strings.Contains(run.stderr, " % of the neurons active for any of them\n") {
		t.Errorf("stderr %q", run.stderr)
	}
}

// Prompts come as an array or as lines, from a file or stdin, and texts go out behind their
// numbers.
func TestPromptsAsLines(t *testing.T) {
	file := filepath.Join(t.TempDir(), "prompts")
	if err := os.WriteFile(file, []byte("func main() {\r\n// Copy copies\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	var want strings.Builder
	for i, prompt := range []string{"func main() {", "// Copy copies"} {
		fmt.Fprintf(&want, "==> %d <==\n%s", i, succeed(t, "-prompt", prompt, "-n", "12"))
	}
	if got := succeed(t, "-prompts", file, "-n", "12"); got != want.String() {
		t.Errorf("lines of a file give %q, want %q", got, &want)
	}
	if got := call(` ["func main() {", "// Copy copies"]`, "-prompts", "-", "-n", "12"); got.stdout != want.String() {
		t.Errorf("an array on stdin gives %+v, want %q", got, &want)
	}
	if got := call("x", "-prompts", "-", "-n", "0"); got.code != program.ExitOK || got.stdout != "" {
		t.Errorf("-n 0: %+v", got)
	}
}

func TestBadPrompts(t *testing.T) {
	long := strings.Repeat("x ", 600)
	for _, test := range []struct {
		stdin, message string
		args           []string
	}{
		{"", "-prompts -: there is no prompt", nil},
		{" \n\n", "-prompts -: there is no prompt", nil},
		{"[]", "-prompts -: there is no prompt", nil},
		{"[1]", "-prompts -: not a JSON array of strings", nil},
		{`["a"`, "-prompts -: not a JSON array of strings", nil},
		{`["a", ""]`, "-prompts -: prompt 1 is empty", nil},
		{"a\n\nb\n", "-prompts -: prompt 1 is empty", nil},
		{strings.Repeat("x\n", maxPrompts+1), "-prompts -: 257 prompts are more than 256", nil},
		{"a\nb\n" + long, "prompt 2: a prompt of ", nil},
		{"a\nb c d", "prompt 1: -n 8: a prompt of 4 tokens leaves room for 6 in the context of 10", []string{"-n", "8", "-context", "10"}},
		{"a", "tokenizer.json", []string{"-model", references + "variants/minimal"}},
	} {
		wantFailure(t, call(test.stdin, append(test.args, "-prompts", "-")...), program.ExitFailure, test.message)
	}
	wantFailure(t, call("", "-prompts", "no/such/file"), program.ExitFailure, "-prompts no/such/file: ")
}

// cancelAfter interrupts the program after some calls of Err, so in the midst of its work.
type cancelAfter struct {
	context.Context
	calls int
}

func (c *cancelAfter) Err() error {
	if c.calls--; c.calls < 0 {
		return context.Canceled
	}
	return nil
}

// Whoever interrupts a batch gets what there is: beginnings of the whole texts.
func TestInterruptedBatch(t *testing.T) {
	texts, want := readGolden(t, "tiny-silu").prompts()
	stdin := marshal(t, texts)
	args := []string{"-prompts", "-", "-n", "32", "-json"}
	begun := false
	for _, calls := range []int{0, 3, 12, 20} {
		var out, stderr bytes.Buffer
		ctx := &cancelAfter{context.Background(), calls}
		if code := callWith(ctx, strings.NewReader(stdin), &out, &stderr, args...); code != program.ExitInterrupted {
			t.Fatalf("%d calls: exit code %d, stderr %q", calls, code, &stderr)
		}
		var r batchReport
		decodeJSON(t, out.String(), &r)
		for i, c := range r.Texts {
			if c.Finish != "interrupted" || !strings.HasPrefix(want[i], *c.Text) || c.NewTokens >= 32 {
				t.Errorf("%d calls: text %d is %+v, want a beginning of %q", calls, i, c, want[i])
			}
			begun = begun || c.NewTokens > 1
		}
	}
	if !begun {
		t.Error("no text had begun")
	}
	var out bytes.Buffer
	if code := callWith(&cancelAfter{context.Background(), 0}, strings.NewReader(stdin), &out, io.Discard, args[:4]...); code != program.ExitInterrupted || out.Len() > 0 {
		t.Errorf("before the first token: exit code %d, stdout %q", code, &out)
	}
}
