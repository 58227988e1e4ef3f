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

// Site is where a Selector works: an MLP of the old graph and nodes of the new one.
type Site struct {
	MLP   *MLP           // with weights that lie neuron-major
	X     *gorgonia.Node // the MLP's input, T×H, or H if it is a vector
	Score *gorgonia.Node // what look-ahead predictors see, T×H or H: X, or what WithScoreInput names
}

// Selection is what a Selector decides.
type Selection struct {
	Mask *gorgonia.Node // bool T×I, or I: the neurons that each token needs; nil: all, computed in one node as by All
	Gate *gorgonia.Node // exact act(x·gate), or act(x·up) in a plain MLP, of all neurons, T×I or I; nil: not known
}

// Gate is the training-free selector: it computes the gate of every neuron, act(x·gate), or in a plain MLP act(x·up),
// and makes those of magnitude τ or more active. With τ = 0 all neurons are active; with the smallest positive number
// just those with an output. An MLP whose neurons are not in memory is judged by the copy of its gate that is.
type Gate struct {
	Threshold []float64 // τ: one for all neurons or one for each
}

// Select implements Selector.
func (g Gate) Select(s Site) (Selection, error) {
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
