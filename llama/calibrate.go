package llama

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/sparsegonia/sparsegonia/graph"
	"github.com/sparsegonia/sparsegonia/graph/calibrate"
	"github.com/sparsegonia/sparsegonia/ops/kernel"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// CalibrateOptions say what Calibrate runs.
type CalibrateOptions struct {
	Window int         // tokens of a window; 0 is 512, or the context of the model if that is shorter
	CPU    *kernel.CPU // nil: kernel.DefaultCPU

	// Progress, if not nil, is called after every run with the number of tokens done.
	Progress func(tokens int)

	// Visit, if not nil, sees the activations of every layer in every run, as in calibrate.Capture.
	Visit func(layer int, a calibrate.Activations) error
}

// Calibrate runs the model densely on ids, in windows that do not overlap, and returns what is
// learnt of its MLPs: Captured.Plan makes the plan of a session of it.
func (m *Model) Calibrate(ctx context.Context, ids []int32, o CalibrateOptions) (*calibrate.Captured, error) {
	if o.Window == 0 {
		o.Window = min(512, m.Config.MaxContext)
	}
	if o.Window < 1 || o.Window > m.Config.MaxContext {
		return nil, fmt.Errorf("llama: a window of %d tokens (1 to the context of %d)", o.Window, m.Config.MaxContext)
	}
	if len(ids) == 0 {
		return nil, errors.New("llama: the calibration text is empty")
	}
	for i, id := range ids {
		if id < 0 || int(id) >= m.Config.VocabSize {
			return nil, fmt.Errorf("llama: token %d of the calibration text is %d, not in the vocabulary of %d", i, id, m.Config.VocabSize)
		}
	}
	state, err := m.NewState(1, o.Window, weights.F32)
	if err != nil {
		return nil, err
	}
	tokens := min(calibrationTokens, o.Window, len(ids))
	g, err := m.BuildGraph(GraphOptions{Tokens: tokens, State: state, Gates: m.neurons != nil, CPU: o.CPU})
	if err != nil {
		return nil, err
	}
	c, err := calibrate.Capture(calibrate.Source{
		Graph: g.ExprGraph, Outputs: gorgonia.Nodes{g.Output}, Inputs: calibrationRuns(ctx, g, state, ids, o),
		Live:       g.Positions,
		ScoreInput: func(mlp *graph.MLP) *gorgonia.Node { return g.AttentionInput[g.layerOf(mlp)] },
		CPU:        o.CPU,
	}, o.Visit)
	if err != nil {
		return nil, fmt.Errorf("llama: %w", err)
	}
	return c, nil
}

// calibrationTokens are the tokens of a run: many, so that the weights are read seldom, yet few
// enough that the gate values of all layers stay small.
const calibrationTokens = 128

// calibrationRuns returns the inputs of a graph for ids, window by window.
func calibrationRuns(ctx context.Context, g *Graph, state *State, ids []int32, o CalibrateOptions) iter.Seq2[calibrate.Inputs, error] {
	tokens, positions := inputOf(g.Tokens), inputOf(g.Positions)
	inputs := calibrate.Inputs{}
	for _, n := range []*gorgonia.Node{g.Tokens, g.Positions} {
		inputs[n] = n.Value().(*tensor.Dense)
	}
	return func(yield func(calibrate.Inputs, error) bool) {
		state.rotary.SetLength(o.Window)
		for done := 0; done < len(ids); {
			if err := ctx.Err(); err != nil {
				yield(nil, err)
				return
			}
			position := done % o.Window
			n := min(len(tokens), len(ids)-done, o.Window-position)
			for t := range tokens {
				tokens[t], positions[t] = -1, -1
				if t < n {
					tokens[t], positions[t] = ids[done+t], int32(position+t)
				}
			}
			if !yield(inputs, nil) {
				return
			}
			if done += n; o.Progress != nil {
				o.Progress(done)
			}
		}
	}
}
