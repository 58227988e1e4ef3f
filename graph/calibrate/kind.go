package calibrate

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"

	"github.com/sparsegonia/sparsegonia/graph"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// A Kind is a way to select the active neurons of an MLP, with its parameters. In a plan's file
// they stand beside the fields of Layer. Any Kind works in a Plan; ReadPlan knows DenseKind,
// GateKind and LoRAKind.
type Kind interface {
	// Name returns the value of "selector" in a plan's file.
	Name() string

	// Check refuses invalid parameters. Its errors begin with the name of a field.
	Check() error

	// Selector returns the selector of checked parameters, nil if the MLP stays dense.
	Selector(at Place) (graph.Selector, error)

	// Bytes returns the bytes of weights, the selector's included, that an MLP of shape s reads for
	// a token if the share density of its neurons is active.
	Bytes(s weights.Shape, density float64) int64

	// NeedsGate reports whether the selector reads the gate weights of all neurons. If the neurons
	// lie in a file, memory must have a copy of them.
	NeedsGate() bool
}

// kinds are those that ReadPlan knows.
var kinds = []Kind{DenseKind{}, GateKind{}, LoRAKind{}}

// readKind returns the kind of a name with parameters from the JSON of a layer.
func readKind(name string, layer []byte) (Kind, error) {
	var known []string
	for _, k := range kinds {
		if k.Name() == name {
			v := reflect.New(reflect.TypeOf(k))
			err := json.Unmarshal(layer, v.Interface())
			return v.Elem().Interface().(Kind), err
		}
		known = append(known, k.Name())
	}
	return nil, fmt.Errorf("selector %q is not one of %s", name, strings.Join(known, ", "))
}

// isField reports whether key is a field of v in JSON.
func isField(v any, key string) bool {
	object, err := json.Marshal(map[string]any{key: nil})
	d := json.NewDecoder(bytes.NewReader(object))
	d.DisallowUnknownFields()
	return err == nil && d.Decode(reflect.New(reflect.TypeOf(v)).Interface()) == nil
}

// A Place is an MLP that a Kind makes a selector for.
type Place struct {
	Layer int // in the plan
	MLP   *graph.MLP

	plan *Plan
}

// Path returns the path of a file that the plan names, beside the plan unless name is absolute.
func (p Place) Path(name string) string { return p.plan.path(name) }

// Share returns the result of the first call for the layer: all graphs of a plan share it.
func (p Place) Share(make func() (any, error)) (any, error) {
	if p.plan == nil {
		return make()
	}
	return p.plan.shared.of(p.Layer, make)
}

// checkThreshold refuses a threshold that is missing or not finite.
func checkThreshold(threshold []float64) error {
	for _, t := range threshold {
		if math.IsNaN(t) || math.IsInf(t, 0) {
			return fmt.Errorf("threshold %v is not a finite number", t)
		}
	}
	if len(threshold) == 0 {
		return errors.New("threshold is missing")
	}
	return nil
}

// checkThresholdOf refuses a threshold that is neither one number nor one for each neuron of m.
func checkThresholdOf(threshold []float64, m *graph.MLP) error {
	if m == nil {
		return errors.New("there is no MLP")
	}
	if n := len(threshold); n > 1 && n != m.Shape().Intermediate {
		return fmt.Errorf("threshold has %d numbers, %s has %d neurons", n, m.Name, m.Shape().Intermediate)
	}
	return nil
}

// bytesOf returns the bytes of all rows of part read and of the share density of the others.
func bytesOf(s weights.Shape, density float64, read string) (bytes int64) {
	for _, p := range s.Parts {
		all := int64(s.Intermediate) * int64(p.Dtype.RowBytes(p.Cols))
		if p.Name == read {
			bytes += all
		} else {
			bytes += int64(density * float64(all))
		}
	}
	return bytes
}
