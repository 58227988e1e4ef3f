package calibrate

import (
	"errors"
	"fmt"
	"math"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/sparsegonia/sparsegonia/graph"
)

// Change is the effect of a plan on a graph.
type Change struct {
	// Density is the share of the neurons of each MLP that were computed, in the order of
	// graph.FindMLPs: the union over the rows of a run. It is 1 for a dense MLP.
	Density []float64

	// MaxAbs is the largest change of an output over the largest magnitude of the dense outputs.
	// RMS is the root mean square of the changes over that of the dense outputs.
	MaxAbs, RMS float64
}

// Compare runs a graph densely and with a plan on the same inputs. A graph with a state, such as a
// KV cache, sees each input twice.
func Compare(src Source, p *Plan) (Change, error) {
	c, err := newComparison(src, p)
	if err != nil {
		return Change{}, fmt.Errorf("calibrate: %w", err)
	}
	defer c.close()
	runs := 0
	for inputs, err := range src.Inputs {
		if err != nil {
			return Change{}, err
		}
		if err := c.run(inputs); err != nil {
			return Change{}, fmt.Errorf("calibrate: run %d: %w", runs, err)
		}
		runs++
	}
	if runs == 0 {
		return Change{}, fmt.Errorf("calibrate: %w", errNoInputs)
	}
	return c.change(), nil
}

type comparison struct {
	mlps          []*graph.MLP
	dense, sparse arm

	largest, largestChange float64
	squares, changeSquares float64
}

// arm is a copy of a graph that is ready to run.
type arm struct {
	*graph.Swapped
	machine *graph.Machine
}

func newComparison(src Source, p *Plan) (*comparison, error) {
	switch {
	case p == nil:
		return nil, errNoPlan
	case src.Inputs == nil:
		return nil, errNoInputs
	}
	c := new(comparison)
	var err error
	if c.mlps, _, err = graph.FindMLPs(src.Graph, src.Outputs...); err != nil {
		return nil, err
	}
	if len(p.Layers) != len(c.mlps) {
		return nil, fmt.Errorf("the plan has %d layers, the graph %d MLPs", len(p.Layers), len(c.mlps))
	}
	var options []graph.Option
	if src.Live != nil {
		options = append(options, graph.WithLive(src.Live))
	}
	if src.ScoreInput != nil {
		options = append(options, graph.WithScoreInput(src.ScoreInput))
	}
	if c.dense, err = newArm(src, graph.Choose{}); err != nil {
		return nil, err
	}
	if c.sparse, err = newArm(src, graph.Choose{MLP: p.Selector}, options...); err != nil {
		return nil, errors.Join(err, c.dense.close())
	}
	return c, nil
}

func newArm(src Source, choose graph.Choose, options ...graph.Option) (a arm, err error) {
	if a.Swapped, err = graph.Swap(src.Graph, src.Outputs, choose, options...); err != nil {
		return a, err
	}
	if a.machine, err = graph.NewMachine(a.Graph, a.Outputs, graph.WithCPU(src.CPU)); err != nil {
		return a, errors.Join(err, a.Swapped.Close())
	}
	return a, nil
}

func (a *arm) close() error { return errors.Join(a.machine.Close(), a.Swapped.Close()) }

// run runs the copy on inputs of the graph that it was made from.
func (a *arm) run(inputs Inputs) error {
	for old, v := range inputs {
		n := a.Node(old)
		if n == nil {
			return fmt.Errorf("the input %v is not in the graph", old)
		}
		if err := gorgonia.Let(n, v); err != nil {
			return fmt.Errorf("input %v: %w", old, err)
		}
	}
	a.machine.Reset()
	return a.machine.RunAll()
}

func (c *comparison) close() {
	_ = c.dense.close()
	_ = c.sparse.close()
}

func (c *comparison) run(inputs Inputs) error {
	if err := c.dense.run(inputs); err != nil {
		return err
	}
	if err := c.sparse.run(inputs); err != nil {
		return err
	}
	for i, n := range c.dense.Outputs {
		want, err := realValues(n)
		if err != nil {
			return err
		}
		got, err := realValues(c.sparse.Outputs[i])
		if err != nil {
			return err
		}
		for j := range want {
			d := got[j] - want[j]
			c.largest = max(c.largest, math.Abs(want[j]))
			c.largestChange = max(c.largestChange, math.Abs(d))
			c.squares += want[j] * want[j]
			c.changeSquares += d * d
		}
	}
	return nil
}

func (c *comparison) change() Change {
	r := Change{
		Density: make([]float64, len(c.mlps)),
		MaxAbs:  c.largestChange / c.largest,
		RMS:     math.Sqrt(c.changeSquares / c.squares),
	}
	if c.largestChange == 0 { // also of outputs that are all zero
		r.MaxAbs, r.RMS = 0, 0
	}
	swapped := 0
	for i, m := range c.mlps {
		r.Density[i] = 1
		if swapped < len(c.sparse.MLPs) && c.sparse.MLPs[swapped].MLP.Output == m.Output {
			r.Density[i] = c.sparse.MLPs[swapped].Density()
			swapped++
		}
	}
	return r
}

// realValues returns the elements of a node's value.
func realValues(n *gorgonia.Node) ([]float64, error) {
	switch v := n.Value().(type) {
	case tensor.Tensor:
		switch data := v.Data().(type) {
		case []float64:
			return data, nil
		case []float32:
			wide := make([]float64, len(data))
			for i, x := range data {
				wide[i] = float64(x)
			}
			return wide, nil
		}
	case gorgonia.Scalar:
		switch x := v.Data().(type) {
		case float64:
			return []float64{x}, nil
		case float32:
			return []float64{float64(x)}, nil
		}
	}
	return nil, fmt.Errorf("output %v: %T is not of float32 or float64", n, n.Value())
}
