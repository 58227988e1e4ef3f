package ops

import (
	"fmt"
	"io"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/sparsegonia/sparsegonia/ops/kernel"
)

// Refresh makes c hold the active neurons: active bool I → int32 I, the slots of the active neurons
// in ascending neuron order, then −1.
//
// The op changes c: use each cache in one Refresh of a graph, so that the order of the changes is
// given.
func Refresh(active *gorgonia.Node, c Cache) (*gorgonia.Node, error) {
	b, err := buildCached("Refresh", active, c)
	if err != nil {
		return nil, err
	}
	b.out = spec{"slots", tensor.Int32, b.in[0].shape.Clone()}
	return b.apply(&refreshOp{b.signature, c})
}

// buildCached begins an op that gives an active set to a cache.
func buildCached(name string, active *gorgonia.Node, c Cache) (*builder, error) {
	b := build(name, "active", active)
	b.require(checkIdentity("cache", c))
	if b.err != nil {
		return nil, b.err
	}
	b.require(b.in[0].wantDtype(tensor.Bool), b.in[0].wantShape(c.Intermediate()))
	return b, b.err
}

type refreshOp struct {
	signature
	cache Cache
}

func (op *refreshOp) run(_ *kernel.CPU, v values) error {
	return op.cache.Refresh(v.input(0).Bools(), to[int32](v))
}

func (op *refreshOp) hash(w io.Writer) { fmt.Fprintf(w, " cache %p", op.cache) }
