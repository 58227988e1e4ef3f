package llama

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sparsegonia/sparsegonia/ops"
	"github.com/sparsegonia/sparsegonia/ops/weights/checkpoint"
)

// An architecture is a family of decoders: how its files are read and what it computes. All that
// is done with weights (check, load, random weights, sizes, labels) iterates its tensors.
type architecture struct {
	name  string   // general.architecture of a GGUF file and the prefix of its keys
	types []string // model_type of a config.json

	// json and gguf read a configuration. What is wrong with it stays in the reader.
	json func(f fields) Config
	gguf func(m *metadata) Config

	outer func(m *Model) []spec            // around the layers
	layer func(c *Config, l *layer) []spec // of one layer

	forward func(b *builder) // the network from top to bottom
}

var architectures = []*architecture{&llama}

// A spec is a row of an architecture's table: what both formats call it, its shape and where it
// goes. A tensor with several parts is fused: its rows are those of the parts, one after the other.
type spec struct {
	json, gguf string // without ".weight" and ".bias"; %d is the number of the layer
	inputs     int    // columns, or the length of a vector
	bias       bool   // there is a bias as well
	parts      []part
}

// A part is where rows of a tensor go. Those of the MLP's gate, up and down go to a neuron store.
type part struct {
	to      *ops.Weight
	outputs int // rows; 0: it is a vector, which is kept in float32
}

// matrix is the row of the table of a linear map.
func matrix(to *ops.Weight, json, gguf string, outputs, inputs int, bias bool) spec {
	return spec{json, gguf, inputs, bias, []part{{to, outputs}}}
}

// vector is the row of the table of a norm.
func vector(to *ops.Weight, json, gguf string, n int) spec {
	return spec{json, gguf, n, false, []part{{to: to}}}
}

// name returns what a format calls the tensor of a layer, −1 for one around the layers.
func (t spec) name(f checkpoint.Format, layer int) string {
	name := t.json
	if f == checkpoint.GGUF {
		name = t.gguf
	}
	if layer >= 0 {
		name = fmt.Sprintf(name, layer)
	}
	return name
}

// shape returns the shape of the tensor and that of its bias.
func (t spec) shape() (weight, bias []int) {
	outputs := 0
	for _, p := range t.parts {
		outputs += p.outputs
	}
	if outputs == 0 {
		return []int{t.inputs}, []int{t.inputs}
	}
	return []int{outputs, t.inputs}, []int{outputs}
}

// tensors calls f with every row of the tables; the layer is −1 around the layers. In a model
// without layers yet, the places of their weights are scratch.
func (m *Model) tensors(f func(layer int, t spec) error) error {
	for _, t := range m.arch.outer(m) {
		if err := f(-1, t); err != nil {
			return err
		}
	}
	for i := range m.Config.Layers {
		to := &layer{}
		if m.layers != nil {
			to = &m.layers[i]
		}
		for _, t := range m.arch.layer(&m.Config, to) {
			if err := f(i, t); err != nil {
				return err
			}
		}
	}
	return nil
}

// stores reports whether a weight of a layer is kept in the layer's neuron store.
func (m *Model) stores(layer int, w *ops.Weight) bool { return layer >= 0 && m.layers[layer].stores(w) }

func (l *layer) stores(w *ops.Weight) bool { return w == &l.gate || w == &l.up || w == &l.down }

// gated reports whether the MLPs have a gate.
func (m *Model) gated() bool {
	var l layer
	return slices.ContainsFunc(m.arch.layer(&m.Config, &l), func(t spec) bool {
		return slices.ContainsFunc(t.parts, func(p part) bool { return p.to == &l.gate })
	})
}

// ggufName returns what GGUF files call the tensor of a weight of the first layer, or of one around
// the layers.
func (a *architecture) ggufName(of func(m *Model, l *layer) *ops.Weight) string {
	m := Model{arch: a, Config: Config{Layers: 1}, layers: make([]layer, 1)}
	var name string
	_ = m.tensors(func(i int, t spec) error {
		if slices.ContainsFunc(t.parts, func(p part) bool { return p.to == of(&m, &m.layers[0]) }) {
			name = t.name(checkpoint.GGUF, i)
		}
		return nil
	})
	return name
}

// findArchitecture returns the architecture with a name for which is is true. field is what a file
// calls the name.
func findArchitecture(field, name string, is func(a *architecture, name string) bool) (*architecture, error) {
	want := make([]string, len(architectures))
	for i, a := range architectures {
		if is(a, name) {
			return a, nil
		}
		want[i] = fmt.Sprintf("%q", a.name)
	}
	if name == "" {
		return nil, fmt.Errorf("%s is missing (want %s)", field, strings.Join(want, " or "))
	}
	return nil, fmt.Errorf("%s %.60q is %w (want %s)", field, name, ErrUnsupported, strings.Join(want, " or "))
}

func hasType(a *architecture, name string) bool { return slices.Contains(a.types, name) }

func hasName(a *architecture, name string) bool { return a.name == name }

// architecture returns that of c; none is a Llama's.
func (c *Config) architecture() (*architecture, error) {
	return findArchitecture("architecture", c.Architecture, func(a *architecture, name string) bool {
		return a.name == name || name == "" && a == &llama
	})
}
