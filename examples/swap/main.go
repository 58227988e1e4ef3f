// Swap makes a network sparse that was written with Gorgonia's own nodes: 784–4096–4096–10 with
// ReLU, the shape of the networks that Gorgonia's MNIST example trains, for inference of one image
// at a time.
//
//	go run ./examples/swap
//
// The two wide layers are an MLP, down(relu(up·x)). graph.Swap is called on it with the exact-zero
// test: a neuron is active if relu(up·x) is not 0, and only the down rows of active neurons are
// read. So nothing changes but the order of sums. How much faster that is depends on how many
// neurons are active, and ReLU alone leaves half of them. The network here is one of random
// features: the weights of the wide layers are random, their biases are such that each neuron is
// active for a share of the training images that -active sets, and only the last layer is trained,
// with Gorgonia, on images that are made up. That the sparse weights that an image reads may fit in
// a cache where the dense ones do not makes the gain larger than the share of the bytes.
//
// Four arms run each image in turn: dense and sparse, on Gorgonia's tape machine and on
// graph.NewMachine. The program prints the time for an image, with the spread, the speed-up over
// the dense arm of the same machine and over the dense tape machine, and how the outputs changed.
// Gorgonia computes products on one thread; -threads is for the sparse ops.
//
// With -json stdout gets one JSON object, whose keys type report documents.
package main

import (
	"context"

	"github.com/sparsegonia/sparsegonia/examples/internal/program"
)

func main() { program.Main("swap", run) }

func run(ctx context.Context, env *program.Env) error {
	flags := env.Flags("Swap makes a 784–4096–4096–10 ReLU network sparse and compares it to the dense one.",
		"go run ./examples/swap", "go run ./examples/swap -active 0.5 -n 50 -json")
	var s settings
	flags.IntVar(&s.images, "n", 200, "test images to run")
	flags.Uint64Var(&s.seed, "seed", 1, "of the network and of the images")
	flags.Float64Var(&s.active, "active", 0.1, "`share` of the training images that a neuron of the wide layers is active for")
	flags.IntVar(&s.width, "width", 4096, "`neurons` of each of the wide layers")
	flags.IntVar(&s.threads, "threads", 1, "`number` of threads of the sparse ops; 0: one for each CPU that is available")
	asJSON := flags.Bool("json", false, "print one JSON object instead of a table")
	if err := env.Parse(flags); err != nil {
		return err
	}
	switch {
	case s.images < 1 || s.images > 1e6:
		return program.Usagef("-n %d is not between 1 and 1000000", s.images)
	case !(s.active > 0 && s.active < 1):
		return program.Usagef("-active %v is not between 0 and 1", s.active)
	case s.width < 1 || s.width > 1<<14:
		return program.Usagef("-width %d is not between 1 and %d", s.width, 1<<14)
	case s.threads < 0 || s.threads > 1024:
		return program.Usagef("-threads %d is not between 0 and 1024", s.threads)
	}
	r, err := compare(ctx, env, s)
	if err != nil {
		return err
	}
	if *asJSON {
		return r.printJSON(env.Stdout)
	}
	return r.printTable(env.Stdout)
}

type settings struct {
	images  int
	seed    uint64
	active  float64
	width   int
	threads int
}
