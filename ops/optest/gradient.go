package optest

import (
	"fmt"
	"math"
	"slices"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// checkGradient compares the symbolic gradient of the sum of r ⊙ op(inputs), with random r, to
// central differences. An op that says it has none must say so with an error.
func checkGradient(c *Case, _ gorgonia.Op) error {
	inputs, output, err := c.node(c.Build)
	if err != nil {
		return err
	}
	op, ok := output.Op().(gorgonia.SDOp)
	if !ok {
		return fmt.Errorf("%w: no SymDiff", errNotApplicable)
	}
	diff := op.DiffWRT(len(inputs))
	if len(diff) != len(inputs) {
		return fmt.Errorf("DiffWRT says of %d inputs whether there is a gradient, there are %d", len(diff), len(inputs))
	}
	if !slices.Contains(diff, true) {
		return checkNoGradient(op, inputs, output)
	}
	r := Normal(1, output.Dtype(), output.Shape()...)
	var wrt gorgonia.Nodes
	for i, d := range diff {
		if d {
			wrt = append(wrt, inputs[i])
		}
	}
	gradients, err := symbolic(output, r, wrt)
	if err != nil {
		return err
	}
	for i, d := range diff {
		if !d {
			continue
		}
		want, err := c.differences(op, i, r)
		if err != nil {
			return err
		}
		tolerance := 1e-6
		if want.Dtype() == tensor.Float32 {
			tolerance = 2e-2
		}
		if err := compare(gradients[0], want, tolerance); err != nil {
			return fmt.Errorf("gradient for input %d: %w", i, err)
		}
		gradients = gradients[1:]
	}
	return nil
}

func checkNoGradient(op gorgonia.SDOp, inputs gorgonia.Nodes, output *gorgonia.Node) (err error) {
	defer catch(&err)
	if _, err := op.SymDiff(inputs, output, output); err == nil {
		return fmt.Errorf("DiffWRT says that there is no gradient, SymDiff returns one")
	}
	return nil
}

// symbolic returns the gradient that Gorgonia computes.
func symbolic(output *gorgonia.Node, r *tensor.Dense, wrt gorgonia.Nodes) (gradients []*tensor.Dense, err error) {
	defer catch(&err)
	weights := gorgonia.NewTensor(output.Graph(), r.Dtype(), r.Dims(), gorgonia.WithName("weights"),
		gorgonia.WithShape(r.Shape().Clone()...), gorgonia.WithValue(r))
	weighted, err := gorgonia.HadamardProd(output, weights)
	if err != nil {
		return nil, err
	}
	cost, err := gorgonia.Sum(weighted)
	if err != nil {
		return nil, err
	}
	grads, err := gorgonia.Grad(cost, wrt...)
	if err != nil {
		return nil, fmt.Errorf("calling Grad: %w", err)
	}
	read := make([]gorgonia.Value, len(grads))
	for i, g := range grads {
		gorgonia.Read(g, &read[i])
	}
	if err := runTape(output.Graph()); err != nil {
		return nil, err
	}
	for _, v := range read {
		d, ok := v.(*tensor.Dense)
		if !ok {
			return nil, fmt.Errorf("a gradient is a %T", v)
		}
		gradients = append(gradients, d)
	}
	return gradients, nil
}

// differences returns the central differences of the sum of r ⊙ op for input i.
func (c *Case) differences(op gorgonia.Op, i int, r *tensor.Dense) (*tensor.Dense, error) {
	inputs := cloneAll(c.Inputs)
	x := inputs[i]
	gradient := tensor.New(tensor.Of(x.Dtype()), tensor.WithShape(x.Shape().Clone()...))
	step := math.Cbrt(2e-16)
	if x.Dtype() == tensor.Float32 {
		step = 1e-2
	}
	weights := numbers(r)
	cost := func(at int, value float64) (sum float64, err error) {
		set(x, at, value)
		y, err := do(op, inputs)
		if err != nil {
			return 0, err
		}
		for j, v := range numbers(y) {
			sum += v * weights[j]
		}
		return sum, nil
	}
	for at, value := range slices.Clone(numbers(x)) {
		above, err := cost(at, value+step)
		if err != nil {
			return nil, err
		}
		below, err := cost(at, value-step)
		if err != nil {
			return nil, err
		}
		set(x, at, value)
		set(gradient, at, (above-below)/(2*step))
	}
	return gradient, nil
}

func set(d *tensor.Dense, i int, value float64) {
	switch s := slice(d).(type) {
	case []float32:
		s[i] = float32(value)
	case []float64:
		s[i] = value
	}
}
