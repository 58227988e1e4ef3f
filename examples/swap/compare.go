package main

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/sparsegonia/sparsegonia/examples/internal/program"
	"github.com/sparsegonia/sparsegonia/graph"
	"github.com/sparsegonia/sparsegonia/ops/kernel"
)

// arm is a graph on a machine.
type arm struct {
	name    string
	machine gorgonia.VM
	logits  *gorgonia.Node
	times   []time.Duration
}

// compare trains a network, swaps its MLP and runs images through both.
func compare(ctx context.Context, env *program.Env, s settings) (*report, error) {
	const examples = 400 // training images
	a := newArtist(s.seed)
	images := tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(examples, pixels))
	labels := make([]int, examples)
	for i := range labels {
		labels[i] = i % classes
		a.draw(images.Float32s()[i*pixels:][:pixels], labels[i])
	}
	wait := env.Wait("training the last layer", 0)
	p, features, err := newParameters(s, images)
	if err == nil {
		err = p.train(features, labels)
	}
	wait.Done()
	if err != nil {
		return nil, fmt.Errorf("training: %w", err)
	}
	n, err := p.network()
	if err != nil {
		return nil, err
	}
	cpu := kernel.NewCPU(s.threads)
	defer cpu.Close()
	kernel.SetDefaultCPU(cpu) // the tape machine's too
	defer kernel.SetDefaultCPU(nil)
	swapped, err := graph.Swap(n.graph, gorgonia.Nodes{n.logits}, graph.Choose{MLP: func(int, *graph.MLP) (graph.Selector, error) {
		return graph.GateSelector{Threshold: []float64{math.SmallestNonzeroFloat32}}, nil
	}})
	if err != nil {
		return nil, err
	}
	if len(swapped.MLPs) != 1 {
		return nil, fmt.Errorf("found %d MLPs, want 1", len(swapped.MLPs))
	}
	arms, err := newArms(n, swapped)
	if err != nil {
		return nil, err
	}
	defer func() {
		for _, arm := range arms {
			arm.machine.Close()
		}
	}()

	r := newReport(s, cpu, p)
	wait = env.Wait("running the images", s.images)
	defer wait.Done()
	input := n.x.Value().(*tensor.Dense).Float32s() // the graphs share it
	for i := range s.images {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		label := a.rng.IntN(classes)
		a.draw(input, label)
		outputs := make([][]float32, len(arms))
		for j := range arms {
			k := (i + j) % len(arms) // no arm always comes first
			start := time.Now()
			if err := arms[k].machine.RunAll(); err != nil {
				return nil, fmt.Errorf("%s: %w", arms[k].name, err)
			}
			took := time.Since(start)
			outputs[k] = slices.Clone(arms[k].logits.Value().(*tensor.Dense).Float32s())
			start = time.Now()
			arms[k].machine.Reset()
			arms[k].times = append(arms[k].times, took+time.Since(start))
		}
		r.addImage(label, outputs)
		wait.Add(1)
	}
	r.finish(arms, swapped)
	return r, nil
}

// newArms are dense and sparse, on the tape machine and on the lean machine.
func newArms(n *network, s *graph.Swapped) ([]*arm, error) {
	dense, err := graph.NewMachine(n.graph, gorgonia.Nodes{n.logits})
	if err != nil {
		return nil, err
	}
	sparse, err := graph.NewMachine(s.Graph, s.Outputs)
	if err != nil {
		return nil, err
	}
	return []*arm{
		{name: "tape machine, dense", machine: gorgonia.NewTapeMachine(n.graph), logits: n.logits},
		{name: "tape machine, sparse", machine: gorgonia.NewTapeMachine(s.Graph), logits: s.Outputs[0]},
		{name: "graph.NewMachine, dense", machine: dense, logits: n.logits},
		{name: "graph.NewMachine, sparse", machine: sparse, logits: s.Outputs[0]},
	}, nil
}
