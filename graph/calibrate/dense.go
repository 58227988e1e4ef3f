package calibrate

import (
	"github.com/sparsegonia/sparsegonia/graph"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// DenseKind makes all neurons active.
type DenseKind struct{}

// Name implements Kind.
func (DenseKind) Name() string { return "dense" }

// Check implements Kind.
func (DenseKind) Check() error { return nil }

// Selector implements Kind.
func (DenseKind) Selector(Place) (graph.Selector, error) { return nil, nil }

// Bytes implements Kind.
func (DenseKind) Bytes(s weights.Shape, _ float64) int64 { return bytesOf(s, 1, "") }

// NeedsGate implements Kind.
func (DenseKind) NeedsGate() bool { return false }
