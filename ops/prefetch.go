package ops

import (
	"fmt"
	"hash"

	"gorgonia.org/gorgonia"

	"github.com/sparsegonia/sparsegonia/cache"
)

// Prefetch tells c which neurons are expected to be active, so that it fetches them while other nodes run: active
// bool I → bool I, the same values, for the Refresh of c.
func Prefetch(active *gorgonia.Node, c cache.Prefetcher) (*gorgonia.Node, error) {
	op, err := newPrefetchOp(active, c)
	if err != nil {
		return nil, err
	}
	return gorgonia.ApplyOp(op, active)
}

type prefetchOp struct {
	signature
	cache cache.Prefetcher
}

func newPrefetchOp(active *gorgonia.Node, c cache.Prefetcher) (*prefetchOp, error) {
	s, err := cacheSignature("Prefetch", active, c)
	if err != nil {
		return nil, err
	}
	s.out = s.in[0].withCols("expected", c.Intermediate())
	return &prefetchOp{s, c}, nil
}

func (op *prefetchOp) Do(inputs ...gorgonia.Value) (gorgonia.Value, error) {
	return op.UsePreallocDo(op.newOutput(), inputs...)
}

func (op *prefetchOp) UsePreallocDo(output gorgonia.Value, inputs ...gorgonia.Value) (gorgonia.Value, error) {
	var v values
	if err := op.bind(&v, output, inputs); err != nil {
		return nil, err
	}
	copy(v.y.Bools(), v.in[0].Bools())
	if err := op.cache.Prefetch(v.y.Bools()); err != nil {
		return nil, op.wrap(err)
	}
	return output, nil
}

// RunsAhead tells a machine that the op starts work that goes on beside the nodes after it: run it early, and what takes
// its value late.
func (op *prefetchOp) RunsAhead() bool { return true }

func (op *prefetchOp) WriteHash(h hash.Hash) {
	op.writeHash(h)
	fmt.Fprintf(h, " cache %p", op.cache)
}

func (op *prefetchOp) Hashcode() uint32 { return hashcode(op) }
