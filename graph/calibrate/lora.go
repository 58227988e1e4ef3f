package calibrate

import (
	"fmt"

	"github.com/sparsegonia/sparsegonia/graph"
	"github.com/sparsegonia/sparsegonia/ops"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// LoRAKind selects neurons by the scores of a low-rank predictor, which may look ahead of the MLP's
// input: graph.LowRank.
type LoRAKind struct {
	// Threshold is the least score of an active neuron by ByThreshold: one number, or one a neuron.
	Threshold []float64 `json:"threshold,omitempty"`

	Method    Method  `json:"method,omitempty"`    // empty: ByThreshold
	Sparsity  float64 `json:"sparsity,omitempty"`  // of TopK and Statistical: the share of neurons to leave out
	Predictor string  `json:"predictor,omitempty"` // a safetensors file, beside the plan unless absolute

	// Rank is the rank of a predictor with random weights, for a layer without a file. It predicts
	// nothing and shows only the cost of a predictor.
	Rank int `json:"rank,omitempty"`
}

// A Method says how the scores of a predictor become a mask.
type Method string

// The methods are those of ops.MaskMethod of the same names.
const (
	ByThreshold Method = "threshold"
	TopK        Method = "topk"
	Statistical Method = "statistical"
)

const maxRank = 1 << 20

// Name implements Kind.
func (LoRAKind) Name() string { return "lora" }

// Check implements Kind.
func (k LoRAKind) Check() error {
	if k.Predictor == "" && (k.Rank < 1 || k.Rank > maxRank) {
		return fmt.Errorf("neither a predictor nor a rank from 1 to %d", maxRank)
	}
	_, err := k.mask()
	return err
}

// mask returns the method that makes a mask of scores.
func (k LoRAKind) mask() (m ops.MaskMethod, err error) {
	switch k.Method {
	case "", ByThreshold:
		return ops.Threshold(k.Threshold...), checkThreshold(k.Threshold)
	case TopK:
		if !(k.Sparsity >= 0 && k.Sparsity <= 1) {
			return m, fmt.Errorf("sparsity %v is not between 0 and 1", k.Sparsity)
		}
		return ops.TopK(k.Sparsity), nil
	case Statistical:
		if !(k.Sparsity > 0 && k.Sparsity < 1) {
			return m, fmt.Errorf("sparsity %v is not between 0 and 1", k.Sparsity)
		}
		return ops.Statistical(k.Sparsity), nil
	default:
		return m, fmt.Errorf("method %q is not one of %s, %s, %s", k.Method, ByThreshold, TopK, Statistical)
	}
}

// Selector implements Kind.
func (k LoRAKind) Selector(at Place) (graph.Selector, error) {
	m := at.MLP
	if err := checkThresholdOf(k.Threshold, m); err != nil {
		return nil, err
	}
	shared, err := at.Share(func() (any, error) {
		if k.Predictor != "" {
			return readPredictor(at.Path(k.Predictor), at.Layer)
		}
		return randomPredictor(k.Rank, m, uint64(at.Layer))
	})
	if err != nil {
		return nil, err
	}
	predictor := shared.(ops.Predictor)
	if got, want := predictor.Down.Cols(), m.Shape().Hidden(); got != want {
		return nil, fmt.Errorf("the predictor takes %d inputs, %s has %d", got, m.Name, want)
	}
	if got, want := predictor.Up.Rows(), m.Shape().Intermediate; got != want {
		return nil, fmt.Errorf("the predictor scores %d neurons, %s has %d", got, m.Name, want)
	}
	mask, err := k.mask()
	return graph.LowRank{Predictor: predictor, Mask: mask}, err
}

// Bytes implements Kind. A predictor from a file is not counted, one with random weights is
// float32.
func (k LoRAKind) Bytes(s weights.Shape, density float64) int64 {
	return bytesOf(s, density, "") + 4*int64(k.Rank)*int64(s.Hidden()+s.Intermediate)
}

// NeedsGate implements Kind.
func (LoRAKind) NeedsGate() bool { return false }
