package graph

import (
	"errors"
	"fmt"

	"gorgonia.org/gorgonia"

	"github.com/sparsegonia/sparsegonia/ops"
)

// A Selector writes the nodes that decide which neurons of an MLP are active.
type Selector interface {
	Select(s Site) (Selection, error)
}

// A Site is an MLP of the old graph, with the nodes of the new one that a Selector may use.
type Site struct {
	MLP   *MLP           // with weights that lie neuron-major
	X     *gorgonia.Node // the MLP's input, T×H, or H if it is a vector
	Score *gorgonia.Node // what look-ahead predictors see, T×H or H: X, or what WithScoreInput names
}

// A Selection is the result of a Selector. The zero Selection is all neurons in one node, as All.
//
// Fill and Levels are for selectors that know values of all neurons cheaply. No op computes with
// them yet: Swap refuses a Selection that has one.
type Selection struct {
	// Mask says which neurons each token needs: bool T×I, or I for a vector. The union over the
	// tokens is computed. Without a Mask the other fields must be nil.
	Mask *gorgonia.Node

	// Gate has the exact gate values act(x·gateᵀ) of all neurons, act(x·upᵀ) in a plain MLP: T×I,
	// or I, of the dtype of x. The sparse MLP then does not compute them again. Nil: not known.
	Gate *gorgonia.Node

	// Fill has hidden values act(x·gateᵀ) ⊙ (x·upᵀ) for neurons that are not active, in place of
	// zero: T×I, or I, of the dtype of x. Entries of active neurons are ignored.
	Fill *gorgonia.Node

	// Levels says how many parts of each neuron are read, where the store has weights in several
	// parts of increasing precision: int8 I, 0 for a neuron that is not read.
	Levels *gorgonia.Node
}

// check refuses a Selection that Swap has no op for.
func (s Selection) check() error {
	switch {
	case s.Fill != nil:
		return errors.New("selection: fill values are not supported by this version")
	case s.Levels != nil:
		return errors.New("selection: levels are not supported by this version")
	case s.Mask == nil && s.Gate != nil:
		return errors.New("selection: gate values without a mask")
	}
	return nil
}

// GateSelector is the training-free selector of CATS (arXiv 2404.08763). It computes the gate value
// of every neuron, act(x·gate), or act(x·up) in a plain MLP. Neurons whose magnitude is τ or more
// are active: all with τ = 0, those with an output with the smallest positive τ. If the neurons are
// not in memory, it uses the copy of the gate weights.
type GateSelector struct {
	Threshold []float64 // τ: one for all neurons or one for each
}

// Select implements Selector.
func (g GateSelector) Select(s Site) (Selection, error) {
	if s.MLP == nil {
		return Selection{}, errors.New("gate selector: there is no MLP")
	}
	w := s.MLP.Gate
	if !s.MLP.Gated() {
		w = s.MLP.Up
	}
	if w.Matrix == nil {
		return Selection{}, errors.New("the gate selector needs the gate in memory, or a copy of it (ops.MLP.GateCopy)")
	}
	values, err := ops.Gate(s.X, w, s.MLP.Activation)
	if err != nil {
		return Selection{}, err
	}
	mask, err := ops.Mask(values, ops.Threshold(g.Threshold...).Magnitude())
	if err != nil {
		return Selection{}, err
	}
	if s.MLP.Up.Matrix == nil { // the values of the copy are not exact
		values = nil
	}
	return Selection{Mask: mask, Gate: values}, nil
}

// LowRank is the selector of Deja Vu (arXiv 2310.17157): a predictor scores the neurons by
// Site.Score.
type LowRank struct {
	Predictor ops.Predictor
	Mask      ops.MaskMethod
}

// Select implements Selector.
func (l LowRank) Select(s Site) (Selection, error) {
	scores, err := ops.LowRankScores(s.Score, l.Predictor)
	if err != nil {
		return Selection{}, err
	}
	mask, err := ops.Mask(scores, l.Mask)
	if err != nil {
		return Selection{}, fmt.Errorf("low-rank selector: %w", err)
	}
	return Selection{Mask: mask}, nil
}
