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

// A Site is where a Selector works: an MLP of the old graph and nodes of the new one.
type Site struct {
	MLP   *MLP           // with weights that lie neuron-major
	X     *gorgonia.Node // the MLP's input, T×H, or H if it is a vector
	Score *gorgonia.Node // what look-ahead predictors see, T×H or H: X, or what WithScoreInput names
}

// A Selection is what a Selector decides. The zero Selection is all neurons, computed in one node as by All.
//
// Fill and Levels are for selectors that know values of all neurons cheaply. No op computes with them yet: Swap refuses a
// Selection that has one.
type Selection struct {
	// Mask says which neurons each token needs: bool T×I, or I for a vector. What is computed is the union over the
	// tokens. Without a Mask there is nothing else.
	Mask *gorgonia.Node

	// Gate is the exact gate values act(x·gateᵀ) of all neurons, act(x·upᵀ) in a plain MLP: T×I, or I, of the dtype of x.
	// The sparse MLP then does not compute them again. Nil: not known.
	Gate *gorgonia.Node

	// Fill is the hidden values act(x·gateᵀ) ⊙ (x·upᵀ) that neurons which are not active have, in place of zero: T×I, or I,
	// of the dtype of x. Entries of active neurons are ignored.
	Fill *gorgonia.Node

	// Levels says how exactly a neuron is read, where the store has its weights in several parts: int8 I, 0 for a neuron
	// that is not read, n for one of which the first n parts are.
	Levels *gorgonia.Node
}

// check refuses what Swap has no op for.
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

// GateSelector is the training-free selector of CATS (arXiv 2404.08763). It computes the gate value of every neuron,
// act(x·gate), or act(x·up) in a plain MLP, and makes those of magnitude τ or more active. With τ = 0 all neurons are
// active, with the smallest positive number those with an output. An MLP whose neurons are not in memory is judged by
// the copy of its gate weights that is.
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
	if s.MLP.Up.Matrix == nil { // not in memory: the values are those of a copy, not exact
		values = nil
	}
	return Selection{Mask: mask, Gate: values}, nil
}

// LowRank is the selector of Deja Vu (arXiv 2310.17157): a low-rank predictor scores the neurons, from the MLP's input or
// ahead of it.
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
