package ops

import (
	"fmt"
	"hash"
	"reflect"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/sparsegonia/sparsegonia/cache"
)

// Refresh makes c hold the active neurons: active bool I → int32 I, the slots of the active neurons in ascending
// neuron order, then −1.
//
// The op changes c: use each cache in one Refresh of a graph, so that the order of the changes is given.
func Refresh(active *gorgonia.Node, c cache.Cache, _ ...Option) (*gorgonia.Node, error) {
	op, err := newRefreshOp(active, c)
	if err != nil {
		return nil, err
	}
	return gorgonia.ApplyOp(op, active)
}

type refreshOp struct {
	signature
	cache cache.Cache
}

func newRefreshOp(active *gorgonia.Node, c cache.Cache) (*refreshOp, error) {
	s, err := cacheSignature("Refresh", active, c)
	if err != nil {
		return nil, err
	}
	s.out = operand{"slots", tensor.Int32, s.in[0].shape.Clone()}
	return &refreshOp{s, c}, nil
}

// cacheSignature describes an op that hands an active set to a cache.
func cacheSignature(name string, active *gorgonia.Node, c cache.Cache) (signature, error) {
	s, err := newSignature(name, "active", active)
	if err != nil {
		return s, err
	}
	if err := checkCache(c); err != nil {
		return s, s.wrap(err)
	}
	if err := first(s.in[0].wantDtype(tensor.Bool), s.in[0].wantShape(c.Intermediate())); err != nil {
		return s, s.wrap(err)
	}
	return s, nil
}

// checkCache also makes sure that the cache has an identity, by which hashes distinguish it from others.
func checkCache(c cache.Cache) error {
	if v := reflect.ValueOf(c); v.Kind() != reflect.Pointer || v.IsNil() {
		return fmt.Errorf("the cache is a %T, want a pointer that is not nil", c)
	}
	return nil
}

func (op *refreshOp) Do(inputs ...gorgonia.Value) (gorgonia.Value, error) {
	return op.UsePreallocDo(op.newOutput(), inputs...)
}

func (op *refreshOp) UsePreallocDo(output gorgonia.Value, inputs ...gorgonia.Value) (gorgonia.Value, error) {
	var v values
	if err := op.bind(&v, output, inputs); err != nil {
		return nil, err
	}
	if err := op.cache.Refresh(v.in[0].Bools(), v.y.Int32s()); err != nil {
		return nil, op.wrap(err)
	}
	return output, nil
}

func (op *refreshOp) WriteHash(h hash.Hash) {
	op.writeHash(h)
	fmt.Fprintf(h, " cache %p", op.cache)
}

func (op *refreshOp) Hashcode() uint32 { return hashcode(op) }
