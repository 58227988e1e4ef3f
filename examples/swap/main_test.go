package main

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparsegonia/sparsegonia/examples/internal/program"
)

func call(args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	env := &program.Env{Name: "swap", Args: args, Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs}
	code = env.Run(context.Background(), run)
	return code, out.String(), errs.String()
}

func reported(t *testing.T, args ...string) (r report) {
	t.Helper()
	code, stdout, stderr := call(append(args, "-json")...)
	require.Equal(t, program.ExitOK, code, stderr)
	d := json.NewDecoder(strings.NewReader(stdout))
	d.DisallowUnknownFields()
	require.NoError(t, d.Decode(&r))
	return r
}

// The exact-zero test changes nothing, and about the share of neurons that was asked for is active.
func TestSwap(t *testing.T) {
	for _, share := range []string{"0.1", "0.6"} {
		r := reported(t, "-width", "200", "-n", "20", "-active", share)
		assert.Equal(t, []int{784, 200, 200, 10}, r.Layers)
		require.Len(t, r.Arms, 4)
		for _, a := range r.Arms {
			assert.Positive(t, a.Milliseconds, a.Name)
			assert.Positive(t, a.Speedup, a.Name)
			assert.Positive(t, a.OverTape, a.Name)
		}
		assert.EqualValues(t, 1, r.Arms[0].Speedup)
		assert.EqualValues(t, 1, r.Arms[2].Speedup)
		assert.InDelta(t, 1, r.Agreement, 1e-9)
		assert.Less(t, r.Change, 1e-5)
		assert.InDelta(t, r.DenseAccuracy, r.SparseAccuracy, 1e-9)
		assert.Greater(t, r.DenseAccuracy, 0.3, "the network has learnt nothing")
		want := map[string]float64{"0.1": 0.1, "0.6": 0.6}[share]
		assert.InDelta(t, want, r.Active, 0.1)
		assert.Less(t, r.SparseBytes, r.DenseBytes)
	}
}

func TestSeed(t *testing.T) {
	one, again, other := reported(t, "-width", "50", "-n", "10"), reported(t, "-width", "50", "-n", "10"), reported(t, "-width", "50", "-n", "10", "-seed", "2")
	assert.Equal(t, one.Active, again.Active)
	assert.NotEqual(t, one.Active, other.Active)
}

func TestTable(t *testing.T) {
	code, stdout, stderr := call("-width", "50", "-n", "3")
	require.Equal(t, program.ExitOK, code, stderr)
	for _, want := range []string{"784–50–50–10", "graph.NewMachine, sparse", "agree on 100.0 %", "largest change of an output"} {
		assert.Contains(t, stdout, want)
	}
}

func TestUsage(t *testing.T) {
	for _, line := range []string{"-n 0", "-active 0", "-active 1", "-active NaN", "-width 0", "-threads -1", "-seed x", "stray", "-n 1 stray"} {
		code, stdout, stderr := call(strings.Fields(line)...)
		assert.Equal(t, program.ExitUsage, code, line)
		assert.Empty(t, stdout)
		assert.Equal(t, 1, strings.Count(stderr, "\n"), stderr)
	}
	code, stdout, _ := call("-h")
	assert.Equal(t, program.ExitOK, code)
	assert.Contains(t, stdout, "go run ./examples/swap -active 0.5")
}

func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	var out, errs bytes.Buffer
	env := &program.Env{Name: "swap", Args: []string{"-width", "50"}, Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs}
	assert.Equal(t, program.ExitInterrupted, env.Run(ctx, run))
	assert.Empty(t, out.String())
}
