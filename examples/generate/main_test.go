package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sparsegonia/sparsegonia/examples/internal/program"
)

// child makes the test binary the program.
const child = "GENERATE_TEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(child) != "" {
		main()
	}
	os.Exit(m.Run())
}

// result is what a run of the program gave.
type result struct {
	code           int
	stdout, stderr string
}

// call runs the program in this process.
func call(stdin string, args ...string) result {
	var out, errs bytes.Buffer
	code := callWith(context.Background(), strings.NewReader(stdin), &out, &errs, args...)
	return result{code, out.String(), errs.String()}
}

func callWith(ctx context.Context, stdin io.Reader, stdout, stderr io.Writer, args ...string) int {
	env := &program.Env{Name: "generate", Args: args, Stdin: stdin, Stdout: stdout, Stderr: stderr}
	return env.Run(ctx, run)
}

// succeed is the stdout of a run that must succeed.
func succeed(t *testing.T, args ...string) string {
	t.Helper()
	r := call("", args...)
	if r.code != program.ExitOK {
		t.Fatalf("%q: exit code %d, stderr %q", args, r.code, r.stderr)
	}
	return r.stdout
}

// reported is what a run with -json prints.
func reported(t *testing.T, args ...string) report {
	t.Helper()
	return decodeReport(t, succeed(t, append(args, "-json")...))
}

func decodeReport(t *testing.T, text string) (r report) {
	t.Helper()
	decodeJSON(t, text, &r)
	return r
}

// decodeJSON reads the one value that is text.
func decodeJSON(t *testing.T, text string, v any) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	if _, err := d.Token(); err != io.EOF {
		t.Fatalf("more than an object: %s", text)
	}
}

// golden is what transformers computes in fp32: see testdata/golden.py.
type golden struct {
	Prompts []struct {
		Text   string
		IDs    []int32
		Greedy []int32
		Result string `json:"greedy_text"`
	}
	Logits struct {
		IDs     []int32
		Shape   [2]int
		Columns int
	}
	logits []byte
}

const references = "../../testdata/"

func readGolden(t *testing.T, name string) *golden {
	t.Helper()
	dir := filepath.Join(references, "golden", name)
	data, err := os.ReadFile(filepath.Join(dir, "golden.json"))
	if err != nil {
		t.Fatal(err)
	}
	g := new(golden)
	if err := json.Unmarshal(data, g); err != nil {
		t.Fatal(err)
	}
	if len(g.Prompts) < 5 {
		t.Fatalf("only %d prompts", len(g.Prompts))
	}
	if g.logits, err = os.ReadFile(filepath.Join(dir, "logits.f32")); err != nil {
		t.Fatal(err)
	}
	return g
}

func list(ids []int32) string {
	return strings.ReplaceAll(strings.Trim(fmt.Sprint(ids), "[]"), " ", ",")
}
