package calibrate

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/sparsegonia/sparsegonia/ops/weights/checkpoint/strictjson"
	"github.com/sparsegonia/sparsegonia/ops/weights/wholefile"

	"github.com/sparsegonia/sparsegonia/graph"
)

// A Plan says for every MLP of a graph how its active neurons are selected. Its method Selector is
// a graph.Choose.MLP.
type Plan struct {
	Layers []Layer // in the order of graph.FindMLPs

	file   string // that it was read from
	shared shared
}

// A Layer is the plan for one MLP.
type Layer struct {
	Name    string  // of the MLP; Plan.Selector checks it unless it is empty
	Kind    Kind    // in a file "selector" is its name, and its parameters stand beside it
	Density float64 // share of the neurons that were active in calibration, for the reader
}

// layerFields are the fields of a Layer in a file, besides those of its Kind.
type layerFields struct {
	Name     string  `json:"name,omitempty"`
	Selector string  `json:"selector"`
	Density  float64 `json:"density,omitempty"`
}

// MarshalJSON implements json.Marshaler.
func (l Layer) MarshalJSON() ([]byte, error) {
	if l.Kind == nil {
		return nil, errNoKind
	}
	kind, err := json.Marshal(l.Kind)
	if err != nil {
		return nil, err
	}
	fields, err := json.Marshal(layerFields{l.Name, l.Kind.Name(), l.Density})
	if err != nil {
		return nil, err
	}
	if len(kind) > len("{}") {
		fields = append(append(fields[:len(fields)-1], ','), kind[1:]...)
	}
	return fields, nil
}

// UnmarshalJSON implements json.Unmarshaler.
func (l *Layer) UnmarshalJSON(data []byte) error {
	var fields layerFields
	if err := json.Unmarshal(data, &fields); err != nil {
		return err
	}
	kind, err := readKind(fields.Selector, data)
	if err != nil {
		return err
	}
	*l = Layer{fields.Name, kind, fields.Density}
	return checkKeys(data)
}

// checkKeys refuses keys that no kind of layer has. Those of another kind are allowed and ignored.
func checkKeys(layer []byte) error {
	var keys map[string]json.RawMessage
	if err := json.Unmarshal(layer, &keys); err != nil {
		return err
	}
	for key := range keys {
		inKind := func(k Kind) bool { return isField(k, key) }
		if !isField(layerFields{}, key) && !slices.ContainsFunc(kinds, inKind) {
			return fmt.Errorf("unknown field %q", key)
		}
	}
	return nil
}

var (
	errNoKind = errors.New("selector is missing")
	errNoPlan = errors.New("there is no plan")
)

// shared holds what kinds have made for the layers so far.
type shared struct {
	mu   sync.Mutex
	made map[int]any
}

func (s *shared) of(layer int, make func() (any, error)) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if v, ok := s.made[layer]; ok {
		return v, nil
	}
	v, err := make()
	if err != nil {
		return nil, err
	}
	if s.made == nil {
		s.made = map[int]any{}
	}
	s.made[layer] = v
	return v, nil
}

// planFile is the JSON of a plan.
type planFile[L any] struct {
	Version int `json:"sparsegonia_plan"`
	Layers  []L `json:"layers"`
}

const (
	planVersion = 1
	maxPlanFile = 1 << 28 // bytes
	maxLayers   = 1 << 16
)

// ReadPlan reads a file of Write, or a configuration of sparse_transformers: a model's config.json
// with the keys sparsities and sparsity_method, and possibly lora_size and sp_layers.
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
	if err := strictjson.Check(data); err != nil {
		return nil, err
	}
	var keys map[string]json.RawMessage
	if err := json.Unmarshal(data, &keys); err != nil {
		return nil, err
	}
	if _, ok := keys["sparsities"]; ok {
		return parsePorted(data)
	}
	var f planFile[json.RawMessage]
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil {
		return nil, err
	}
	if f.Version != planVersion {
		return nil, fmt.Errorf("sparsegonia_plan is %d, want %d", f.Version, planVersion)
	}
	p := &Plan{Layers: make([]Layer, len(f.Layers))}
	for i, data := range f.Layers {
		if err := p.Layers[i].UnmarshalJSON(data); err != nil {
			return nil, fmt.Errorf("layers[%d]: %w", i, err)
		}
	}
	return p, nil
}

// Write writes the plan to file, whole or not at all. It does not change the names of predictors.
func (p *Plan) Write(file string) error {
	if err := p.validate(); err != nil {
		return fmt.Errorf("calibrate: %s: %w", file, err)
	}
	data, err := json.MarshalIndent(planFile[Layer]{planVersion, p.Layers}, "", "\t")
	if err != nil {
		return fmt.Errorf("calibrate: %s: %w", file, err)
	}
	if err := wholefile.Write(file, append(data, '\n')); err != nil {
		return fmt.Errorf("calibrate: %s: %w", file, err)
	}
	return nil
}

func (p *Plan) validate() error {
	if p == nil {
		return errNoPlan
	}
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
	if !(l.Density >= 0 && l.Density <= 1) {
		return fmt.Errorf("density %v is not between 0 and 1", l.Density)
	}
	if l.Kind == nil {
		return errNoKind
	}
	return l.Kind.Check()
}

// NeedsGate reports whether the Kind of any layer needs the gate.
func (p *Plan) NeedsGate() bool {
	return p != nil && slices.ContainsFunc(p.Layers, func(l Layer) bool { return l.Kind != nil && l.Kind.NeedsGate() })
}

// Selector returns the selector of MLP i, nil if it stays dense. It is a graph.Choose.MLP.
func (p *Plan) Selector(i int, m *graph.MLP) (graph.Selector, error) {
	if p == nil {
		return nil, fmt.Errorf("calibrate: %w", errNoPlan)
	}
	if i < 0 || i >= len(p.Layers) {
		return nil, p.errorf("layer %d of %d", i, len(p.Layers))
	}
	if m == nil {
		return nil, p.errorf("layers[%d]: there is no MLP", i)
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
	return l.Kind.Selector(Place{i, m, p})
}

func (p *Plan) errorf(format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	if p.file != "" {
		err = fmt.Errorf("%s: %w", p.file, err)
	}
	return fmt.Errorf("calibrate: %w", err)
}

// path returns the path of a file that the plan names.
func (p *Plan) path(name string) string {
	if p == nil || filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(filepath.Dir(p.file), name)
}
