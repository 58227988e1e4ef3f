package calibrate

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2/maybe"

	"github.com/sparsegonia/sparsegonia/graph"
	"github.com/sparsegonia/sparsegonia/ops"
)

// Plan says for every MLP of a graph how its active neurons are found. Its method Selector is what graph.Swap asks.
type Plan struct {
	Layers []Layer // in the order of graph.FindMLPs

	file       string // that it was read from
	predictors predictors
}

// Layer is the plan for one MLP.
type Layer struct {
	Name     string   `json:"name,omitempty"` // of the MLP; not empty: Selector checks that it is this one
	Selector Selector `json:"selector"`

	// Threshold is what the magnitude of a gate value, or the score of a predictor, must reach: one number, or one for
	// every neuron.
	Threshold []float64 `json:"threshold,omitempty"`

	Method    Method  `json:"method,omitempty"`    // of LoRA; empty: ByThreshold
	Sparsity  float64 `json:"sparsity,omitempty"`  // of TopK and Statistical: the share of neurons to leave out
	Predictor string  `json:"predictor,omitempty"` // of LoRA: a safetensors file, beside the plan unless absolute

	// Rank of a predictor with random weights, which is what a LoRA layer without a file has. It finds nothing and shows
	// only what a predictor costs.
	Rank int `json:"rank,omitempty"`

	Density float64 `json:"density,omitempty"` // share of neurons that were active in calibration, for the reader
}

// Selector is a way to find the active neurons.
type Selector string

const (
	Dense Selector = "dense" // all are
	Gate  Selector = "gate"  // by the exact gate values: graph.Gate
	LoRA  Selector = "lora"  // by the scores of a low-rank predictor: graph.LowRank
)

// Method is how the scores of a predictor become a mask.
type Method string

const (
	ByThreshold Method = "threshold"   // ops.Threshold
	TopK        Method = "topk"        // ops.TopK
	Statistical Method = "statistical" // ops.Statistical
)

// planFile is the JSON of a plan.
type planFile struct {
	Version int     `json:"sparsegonia_plan"`
	Layers  []Layer `json:"layers"`
}

const (
	planVersion = 1
	maxPlanFile = 1 << 28 // bytes
	maxLayers   = 1 << 16
	maxRank     = 1 << 20
)

// ReadPlan reads the file that Write makes, or a configuration of sparse_transformers: a model's config.json with the keys
// sparsities and sparsity_method, and lora_size and sp_layers if they are there.
func ReadPlan(file string) (*Plan, error) {
	data, err := readFile(file)
	if err != nil {
		return nil, fmt.Errorf("calibrate: %w", err)
	}
	p, err := parsePlan(data)
	if err == nil {
		err = p.validate()
	}
	if err != nil {
		return nil, fmt.Errorf("calibrate: %s: %w", file, err)
	}
	p.file = file
	return p, nil
}

func readFile(file string) ([]byte, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxPlanFile {
		return nil, fmt.Errorf("%s: not a file of at most %d bytes", file, maxPlanFile)
	}
	return os.ReadFile(file)
}

func parsePlan(data []byte) (*Plan, error) {
	var keys map[string]json.RawMessage
	if err := json.Unmarshal(data, &keys); err != nil {
		return nil, err
	}
	if _, ok := keys["sparsities"]; ok {
		return parsePorted(data)
	}
	var f planFile
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("more follows the plan")
	}
	if f.Version != planVersion {
		return nil, fmt.Errorf("sparsegonia_plan is %d, want %d", f.Version, planVersion)
	}
	return &Plan{Layers: f.Layers}, nil
}

// Write replaces the file by the plan. Names of predictors are kept as they are.
func (p *Plan) Write(file string) error {
	if err := p.validate(); err != nil {
		return fmt.Errorf("calibrate: %s: %w", file, err)
	}
	data, err := json.MarshalIndent(planFile{planVersion, p.Layers}, "", "\t")
	if err != nil {
		return fmt.Errorf("calibrate: %s: %w", file, err)
	}
	if err := maybe.WriteFile(file, append(data, '\n'), 0o644); err != nil {
		return fmt.Errorf("calibrate: %s: %w", file, err)
	}
	return nil
}

func (p *Plan) validate() error {
	if len(p.Layers) == 0 || len(p.Layers) > maxLayers {
		return fmt.Errorf("layers: %d (1 to %d)", len(p.Layers), maxLayers)
	}
	for i := range p.Layers {
		if err := p.Layers[i].validate(); err != nil {
			return fmt.Errorf("layers[%d]: %w", i, err)
		}
	}
	return nil
}

func (l *Layer) validate() error {
	for _, t := range l.Threshold {
		if math.IsNaN(t) || math.IsInf(t, 0) {
			return fmt.Errorf("threshold %v is not a finite number", t)
		}
	}
	if !(l.Density >= 0 && l.Density <= 1) {
		return fmt.Errorf("density %v is not between 0 and 1", l.Density)
	}
	switch l.Selector {
	case Dense:
		return nil
	case Gate:
		if len(l.Threshold) == 0 {
			return errors.New("threshold is missing")
		}
		return nil
	case LoRA:
		if l.Predictor == "" && (l.Rank < 1 || l.Rank > maxRank) {
			return fmt.Errorf("neither a predictor nor a rank from 1 to %d", maxRank)
		}
		_, err := l.mask()
		return err
	default:
		return fmt.Errorf("selector %q is not one of %s, %s, %s", l.Selector, Dense, Gate, LoRA)
	}
}

// mask is how the scores of a predictor become a mask.
func (l *Layer) mask() (ops.MaskMethod, error) {
	switch l.Method {
	case "", ByThreshold:
		if len(l.Threshold) == 0 {
			return ops.MaskMethod{}, errors.New("threshold is missing")
		}
		return ops.Threshold(l.Threshold...), nil
	case TopK:
		if !(l.Sparsity >= 0 && l.Sparsity <= 1) {
			return ops.MaskMethod{}, fmt.Errorf("sparsity %v is not between 0 and 1", l.Sparsity)
		}
		return ops.TopK(l.Sparsity), nil
	case Statistical:
		if !(l.Sparsity > 0 && l.Sparsity < 1) {
			return ops.MaskMethod{}, fmt.Errorf("sparsity %v is not between 0 and 1", l.Sparsity)
		}
		return ops.Statistical(l.Sparsity), nil
	default:
		return ops.MaskMethod{}, fmt.Errorf("method %q is not one of %s, %s, %s", l.Method, ByThreshold, TopK, Statistical)
	}
}

// Selector is the selector of MLP i, nil if it stays dense. It is made to be passed to graph.Swap.
func (p *Plan) Selector(i int, m *graph.MLP) (graph.Selector, error) {
	if i < 0 || i >= len(p.Layers) {
		return nil, p.errorf("layer %d of %d", i, len(p.Layers))
	}
	s, err := p.selector(i, m)
	if err != nil {
		return nil, p.errorf("layers[%d]: %w", i, err)
	}
	return s, nil
}

func (p *Plan) selector(i int, m *graph.MLP) (graph.Selector, error) {
	l := &p.Layers[i]
	if err := l.validate(); err != nil {
		return nil, err
	}
	if l.Name != "" && l.Name != m.Name {
		return nil, fmt.Errorf("the plan is for %s, the graph has %s", l.Name, m.Name)
	}
	if n := len(l.Threshold); n > 1 && n != m.Shape().Intermediate {
		return nil, fmt.Errorf("threshold has %d numbers, %s has %d neurons", n, m.Name, m.Shape().Intermediate)
	}
	switch l.Selector {
	case Gate:
		return graph.GateSelector{Threshold: l.Threshold}, nil
	case LoRA:
		predictor, err := p.predictors.of(p, i, m)
		if err != nil {
			return nil, err
		}
		mask, err := l.mask()
		return graph.LowRank{Predictor: predictor, Mask: mask}, err
	default:
		return nil, nil
	}
}

func (p *Plan) errorf(format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	if p.file != "" {
		err = fmt.Errorf("%s: %w", p.file, err)
	}
	return fmt.Errorf("calibrate: %w", err)
}

// path is where a file that the plan names lies.
func (p *Plan) path(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(filepath.Dir(p.file), name)
}
