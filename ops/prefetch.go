package ops

import (
	"fmt"
	"io"

	"gorgonia.org/gorgonia"

	"github.com/sparsegonia/sparsegonia/ops/kernel"
)

// Prefetch tells c which neurons are expected to be active, so that it fetches them while other
// nodes run: active bool I → bool I, the same values, for the Refresh of c.
func Prefetch(active *gorgonia.Node, c Prefetcher) (*gorgonia.Node, error) {
	b, err := buildCached("Prefetch", active, c)
	if err != nil {
		return nil, err
	}
	b.out = b.in[0].as("expected")
	return b.apply(&prefetchOp{b.signature, c})
}

type prefetchOp struct {
	signature
	cache Prefetcher
}

func (op *prefetchOp) run(_ *kernel.CPU, v values) error {
	copy(v.y.Bools(), v.input(0).Bools())
	return op.cache.Prefetch(v.y.Bools())
}

// RunsAhead implements AheadRunner.
func (op *prefetchOp) RunsAhead() bool { return true }

func (op *prefetchOp) hash(w io.Writer) { fmt.Fprintf(w, " cache %p", op.cache) }
