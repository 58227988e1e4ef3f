package calibrate

import (
	"github.com/sparsegonia/sparsegonia/graph"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// GateKind selects neurons by their exact gate values: graph.GateSelector.
type GateKind struct {
	// Threshold is the least magnitude of an active gate value: one number, or one a neuron.
	Threshold []float64 `json:"threshold,omitempty"`
}

// Name implements Kind.
func (GateKind) Name() string { return "gate" }

// Check implements Kind.
func (k GateKind) Check() error { return checkThreshold(k.Threshold) }

// Selector implements Kind.
func (k GateKind) Selector(at Place) (graph.Selector, error) {
	return graph.GateSelector{Threshold: k.Threshold}, checkThresholdOf(k.Threshold, at.MLP)
}

// Bytes implements Kind. The gate rows of all neurons are read, in a plain MLP the up rows.
func (GateKind) Bytes(s weights.Shape, density float64) int64 {
	if s.Gated() {
		return bytesOf(s, density, weights.PartGate)
	}
	return bytesOf(s, density, weights.PartUp)
}

// NeedsGate implements Kind.
func (GateKind) NeedsGate() bool { return true }
