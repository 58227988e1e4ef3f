package calibrate

import (
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/sparsegonia/sparsegonia/graph"
	"github.com/sparsegonia/sparsegonia/ops"
	"github.com/sparsegonia/sparsegonia/ops/kernel"
)

// A Source is a graph with inputs to run it on.
type Source struct {
	Graph   *gorgonia.ExprGraph
	Outputs gorgonia.Nodes

	// Inputs yields the inputs of each run. An error ends the runs and is returned.
	Inputs iter.Seq2[Inputs, error]

	// Live, if not nil, is an int32 input of length T; rows with a negative entry are padding and
	// do not count.
	Live *gorgonia.Node

	// ScoreInput, if not nil, returns the node that predictors of an MLP see: graph.WithScoreInput.
	ScoreInput func(*graph.MLP) *gorgonia.Node

	CPU *kernel.CPU // nil: kernel.DefaultCPU
}

// Inputs are values for input nodes of a graph. Other input nodes keep their values.
type Inputs map[*gorgonia.Node]gorgonia.Value

// Activations of an MLP in one run. They are valid until the function that they were passed to
// returns. If the input of the MLP is a vector, T is 1 and the tensors are vectors.
type Activations struct {
	MLP   *graph.MLP
	X     tensor.Tensor // T×H, the input
	Score tensor.Tensor // T×H, what predictors see; X without a Source.ScoreInput
	Gate  tensor.Tensor // T×I, act(x·gate), or act(x·up) without a gate
	Live  []int32       // length T, negative for padding; nil: every row counts
}

var errNoInputs = errors.New("there are no inputs")

// Captured holds what Capture has learnt.
type Captured struct {
	MLPs    []*graph.MLP
	Skipped []graph.Skipped
	Runs    int

	magnitudes []distribution // of the gate values of each MLP
}

// Capture runs a copy of a graph densely on inputs and collects the magnitudes of the gate values
// of each MLP. If visit is not nil, it is called in every run with the activations of MLP i, in the
// order of graph.FindMLPs. An error of visit ends the runs.
func Capture(src Source, visit func(i int, a Activations) error) (*Captured, error) {
	r, err := newRecorder(src)
	if err != nil {
		return nil, fmt.Errorf("calibrate: %w", err)
	}
	defer r.machine.Close()
	c := &Captured{MLPs: r.mlps, Skipped: r.skipped, magnitudes: make([]distribution, len(r.mlps))}
	for inputs, err := range src.Inputs {
		if err != nil {
			return nil, err
		}
		if err := r.run(inputs); err != nil {
			return nil, fmt.Errorf("calibrate: run %d: %w", c.Runs, err)
		}
		for i := range r.sites {
			a := r.activations(i)
			if err := c.magnitudes[i].add(a); err != nil {
				return nil, fmt.Errorf("calibrate: run %d: %s: %w", c.Runs, a.MLP.Name, err)
			}
			if visit != nil {
				if err := visit(i, a); err != nil {
					return nil, err
				}
			}
		}
		c.Runs++
	}
	if c.Runs == 0 {
		return nil, fmt.Errorf("calibrate: %w", errNoInputs)
	}
	return c, nil
}

// Plan returns a plan that leaves the share density, 0 < density ≤ 1, of the neurons of every MLP
// active. Below 1, neurons that are exactly zero, as many of a ReLU model are, are never active.
func (c *Captured) Plan(density float64) (*Plan, error) {
	if !(density > 0 && density <= 1) {
		return nil, fmt.Errorf("calibrate: density %v is not above 0 and at most 1", density)
	}
	if c == nil || len(c.magnitudes) == 0 || len(c.magnitudes) != len(c.MLPs) {
		return nil, errors.New("calibrate: there are no MLPs that Capture has seen")
	}
	p := &Plan{Layers: make([]Layer, len(c.MLPs))}
	for i, m := range c.MLPs {
		l := Layer{Name: m.Name, Kind: DenseKind{}, Density: 1}
		if density < 1 {
			tau := c.magnitudes[i].threshold(density)
			l.Kind, l.Density = GateKind{Threshold: []float64{float64(tau)}}, c.magnitudes[i].above(tau)
		}
		p.Layers[i] = l
	}
	return p, nil
}

// Density returns the share of the neurons of MLP i whose gate values are not zero.
func (c *Captured) Density(i int) float64 { return c.magnitudes[i].above(math.SmallestNonzeroFloat32) }

// recorder is a copy of a graph that also computes the gate values of its MLPs.
type recorder struct {
	arm
	mlps    []*graph.MLP
	skipped []graph.Skipped
	sites   []site
	live    *gorgonia.Node
}

// site has the nodes of an MLP in the copy.
type site struct{ x, score, gate *gorgonia.Node }

func newRecorder(src Source) (*recorder, error) {
	if src.Inputs == nil {
		return nil, errNoInputs
	}
	r := new(recorder)
	var err error
	if r.mlps, r.skipped, err = graph.FindMLPs(src.Graph, src.Outputs...); err != nil {
		return nil, err
	}
	if r.Swapped, err = graph.Swap(src.Graph, src.Outputs, graph.Choose{}); err != nil {
		return nil, err
	}
	outputs := slices.Clone(r.Outputs)
	for _, m := range r.mlps {
		x := r.Node(m.Input)
		s := site{x: x, score: x}
		if src.ScoreInput != nil {
			if n := src.ScoreInput(m); n != nil {
				if s.score = r.Node(n); s.score == nil {
					return nil, fmt.Errorf("%s: the score input %v is not in the graph", m.Name, n)
				}
			}
		}
		w := m.Gate
		if w.Matrix == nil {
			w = m.Up
		}
		if s.gate, err = ops.Gate(x, w, m.Activation); err != nil {
			return nil, fmt.Errorf("%s: %w", m.Name, err)
		}
		r.sites = append(r.sites, s)
		outputs = append(outputs, s.x, s.score, s.gate)
	}
	if src.Live != nil {
		if r.live = r.Node(src.Live); r.live == nil {
			return nil, fmt.Errorf("the live input %v is not in the graph", src.Live)
		}
	}
	r.machine, err = graph.NewMachine(r.Graph, outputs, graph.WithCPU(src.CPU))
	return r, err
}

func (r *recorder) activations(i int) Activations {
	s := r.sites[i]
	a := Activations{MLP: r.mlps[i], X: tensorOf(s.x), Score: tensorOf(s.score), Gate: tensorOf(s.gate)}
	if r.live != nil {
		a.Live, _ = r.live.Value().Data().([]int32)
	}
	return a
}

func tensorOf(n *gorgonia.Node) tensor.Tensor {
	t, _ := n.Value().(tensor.Tensor)
	return t
}
