package calibrate

import (
	"encoding/json"
	"fmt"
	"slices"
)

// ported are the keys that sparse_transformers adds to a model's config.json.
type ported struct {
	IntermediateSize int             `json:"intermediate_size"`
	Sparsities       []float64       `json:"sparsities"`      // share of inactive neurons of each layer
	Method           string          `json:"sparsity_method"` // naive, topk or statistical_topk
	LoRASize         *float64        `json:"lora_size"`       // rank over intermediate size; 0.04 if not given
	SparseLayers     json.RawMessage `json:"sp_layers"`       // "all" or a list of numbers
}

// parsePorted returns the plan of a configuration. It names no predictors: they have random weights
// until LoRAKind.Predictor names a file.
func parsePorted(data []byte) (*Plan, error) {
	var c ported
	if err := json.Unmarshal(data, &c); err != nil {
		return nil, err
	}
	size := 0.04
	if c.LoRASize != nil {
		size = *c.LoRASize
	}
	if !(size > 0 && size <= 1) {
		return nil, fmt.Errorf("lora_size %v is not between 0 and 1", size)
	}
	kind := LoRAKind{Rank: int(float64(c.IntermediateSize) * size)}
	switch c.Method {
	case "naive", "":
		kind.Threshold = []float64{0}
	case "topk":
		kind.Method = TopK
	case "statistical_topk":
		kind.Method = Statistical
	default:
		return nil, fmt.Errorf("sparsity_method %q is not one of naive, topk, statistical_topk", c.Method)
	}
	sparse, err := c.sparseLayers()
	if err != nil {
		return nil, err
	}
	p := &Plan{Layers: make([]Layer, len(c.Sparsities))}
	for i := range p.Layers {
		p.Layers[i].Kind = DenseKind{}
		if sparse == nil || slices.Contains(sparse, i) {
			if kind.Method != "" {
				kind.Sparsity = c.Sparsities[i]
			}
			p.Layers[i].Kind = kind
		}
	}
	return p, nil
}

// sparseLayers returns the layers that are not dense, nil for all.
func (c *ported) sparseLayers() ([]int, error) {
	var all string
	if len(c.SparseLayers) == 0 || json.Unmarshal(c.SparseLayers, &all) == nil && all == "all" {
		return nil, nil
	}
	layers := []int{}
	if err := json.Unmarshal(c.SparseLayers, &layers); err != nil {
		return nil, fmt.Errorf(`sp_layers is neither "all" nor a list of numbers: %w`, err)
	}
	for _, i := range layers {
		if i < 0 || i >= len(c.Sparsities) {
			return nil, fmt.Errorf("sp_layers: %d of %d sparsities", i, len(c.Sparsities))
		}
	}
	return layers, nil
}
