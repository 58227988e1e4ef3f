package main

import (
	"context"

	"github.com/sparsegonia/sparsegonia/examples/internal/program"
	"github.com/sparsegonia/sparsegonia/graph/calibrate"
	"github.com/sparsegonia/sparsegonia/llama"
	"github.com/sparsegonia/sparsegonia/llama/tokenizer"
	"github.com/sparsegonia/sparsegonia/testdata"
)

// calibrationTokens of Go source are enough for a threshold per layer.
const calibrationTokens = 1024

// makePlan says which neurons are active when the model decodes, nil for all: what -plan says, or
// those with the largest gate values.
func (s *settings) makePlan(ctx context.Context, env *program.Env, model *llama.Model, tok *tokenizer.Tokenizer) (*calibrate.Plan, error) {
	if s.plan != "" {
		return calibrate.ReadPlan(s.plan)
	}
	if s.sparsity == 0 {
		return nil, nil
	}
	ids, err := tok.EncodePlain(testdata.Calibration)
	if err != nil {
		return nil, err
	}
	ids = ids[:min(len(ids), calibrationTokens)]
	wait := env.Wait("calibrating", len(ids))
	defer wait.Done()
	done := 0
	captured, err := model.Calibrate(ctx, ids, llama.CalibrateOptions{CPU: s.session.CPU, Progress: func(tokens int) {
		wait.Add(tokens - done)
		done = tokens
	}})
	if err != nil {
		return nil, err
	}
	return captured.Plan(1 - s.sparsity)
}
