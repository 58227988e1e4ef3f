package main

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// parameters are the weights, a row for every output, and the biases of the three layers.
type parameters struct {
	weights [3]*tensor.Dense
	biases  [3]*tensor.Dense
}

// newParameters makes a network of random features: random weights in the wide layers, biases such
// that each neuron is active for a share of the images, and no last layer yet. It also gives the
// features of the images, what goes into the last layer.
func newParameters(s settings, images *tensor.Dense) (p *parameters, features *tensor.Dense, err error) {
	p = &parameters{}
	rng := rand.New(rand.NewPCG(s.seed, 2))
	sizes := [4]int{pixels, s.width, s.width, classes}
	for i := range p.weights {
		w := make([]float32, sizes[i]*sizes[i+1])
		if i < 2 {
			for j := range w {
				w[j] = float32(rng.NormFloat64() / math.Sqrt(float64(sizes[i])))
			}
		}
		p.weights[i] = tensor.New(tensor.WithShape(sizes[i+1], sizes[i]), tensor.WithBacking(w))
		p.biases[i] = tensor.New(tensor.WithShape(sizes[i+1]), tensor.WithBacking(make([]float32, sizes[i+1])))
	}
	features = images
	for i := range 2 {
		if features, err = p.product(features, i); err != nil {
			return nil, nil, err
		}
		values, biases := features.Float32s(), p.biases[i].Float32s()
		setBiases(biases, values, s.active)
		for j := range values {
			values[j] = max(values[j]+biases[j%len(biases)], 0)
		}
	}
	return p, features, nil
}

// setBiases makes each of the neurons, whose biases are 0, active for a share of the images.
func setBiases(biases, values []float32, active float64) {
	neurons := len(biases)
	column := make([]float32, len(values)/neurons)
	for i := range biases {
		for t := range column {
			column[t] = values[t*neurons+i]
		}
		slices.Sort(column)
		biases[i] = -column[min(int((1-active)*float64(len(column))), len(column)-1)]
	}
}

// product is the product of the rows of x with the weights of layer i.
func (p *parameters) product(x *tensor.Dense, i int) (*tensor.Dense, error) {
	g := gorgonia.NewGraph()
	w, _ := p.nodes(g, i)
	y, err := gorgonia.Transpose(w)
	if err != nil {
		return nil, err
	}
	if y, err = gorgonia.Mul(gorgonia.NodeFromAny(g, x, gorgonia.WithName("x")), y); err != nil {
		return nil, err
	}
	m := gorgonia.NewTapeMachine(g)
	defer m.Close()
	if err := m.RunAll(); err != nil {
		return nil, err
	}
	return y.Value().(*tensor.Dense), nil
}

func (p *parameters) nodes(g *gorgonia.ExprGraph, i int) (w, b *gorgonia.Node) {
	return gorgonia.NodeFromAny(g, p.weights[i], gorgonia.WithName(fmt.Sprintf("w%d", i))),
		gorgonia.NodeFromAny(g, p.biases[i], gorgonia.WithName(fmt.Sprintf("b%d", i)))
}

// train fits the last layer to labels: softmax regression on the features, in a few steps of Adam.
func (p *parameters) train(features *tensor.Dense, labels []int) error {
	const steps = 60
	oneHot := make([]float32, len(labels)*classes)
	for i, label := range labels {
		oneHot[i*classes+label] = 1
	}
	g := gorgonia.NewGraph()
	x := gorgonia.NodeFromAny(g, features, gorgonia.WithName("features"))
	want := gorgonia.NodeFromAny(g, tensor.New(tensor.WithShape(len(labels), classes), tensor.WithBacking(oneHot)), gorgonia.WithName("labels"))
	w, b := p.nodes(g, 2)
	turned, err := gorgonia.Transpose(w)
	if err != nil {
		return err
	}
	cost, err := crossEntropy(x, turned, b, want)
	if err != nil {
		return err
	}
	if _, err := gorgonia.Grad(cost, w, b); err != nil {
		return err
	}
	m := gorgonia.NewTapeMachine(g, gorgonia.BindDualValues(w, b))
	defer m.Close()
	solver := gorgonia.NewAdamSolver(gorgonia.WithLearnRate(0.01))
	for range steps {
		if err := m.RunAll(); err != nil {
			return err
		}
		if err := solver.Step(gorgonia.NodesToValueGrads(gorgonia.Nodes{w, b})); err != nil {
			return err
		}
		m.Reset()
	}
	return nil
}

// crossEntropy is the mean of −log softmax(x·w + b) at the wanted classes.
func crossEntropy(x, w, b, want *gorgonia.Node) (*gorgonia.Node, error) {
	logits, err := gorgonia.Mul(x, w)
	if err != nil {
		return nil, err
	}
	if logits, err = gorgonia.BroadcastAdd(logits, b, nil, []byte{0}); err != nil {
		return nil, err
	}
	probabilities, err := gorgonia.SoftMax(logits)
	if err != nil {
		return nil, err
	}
	logs, err := gorgonia.Log(probabilities)
	if err != nil {
		return nil, err
	}
	chosen, err := gorgonia.HadamardProd(logs, want)
	if err != nil {
		return nil, err
	}
	mean, err := gorgonia.Mean(chosen)
	if err != nil {
		return nil, err
	}
	return gorgonia.Neg(mean)
}

// network is the graph that is swapped: one image, a vector, goes through three layers of stock
// nodes.
type network struct {
	graph     *gorgonia.ExprGraph
	x, logits *gorgonia.Node
}

func (p *parameters) network() (*network, error) {
	g := gorgonia.NewGraph(gorgonia.WithGraphName("784–4096–4096–10"))
	image := tensor.New(tensor.WithShape(pixels), tensor.WithBacking(make([]float32, pixels)))
	n := &network{graph: g, x: gorgonia.NodeFromAny(g, image, gorgonia.WithName("image"))}
	y := n.x
	for i := range p.weights {
		w, b := p.nodes(g, i)
		product, err := gorgonia.Mul(w, y)
		if err != nil {
			return nil, err
		}
		if y, err = gorgonia.Add(product, b); err != nil {
			return nil, err
		}
		gorgonia.WithName(fmt.Sprintf("layer%d", i))(y)
		if i < 2 {
			if y, err = gorgonia.Rectify(y); err != nil {
				return nil, err
			}
		}
	}
	n.logits = y
	return n, nil
}
