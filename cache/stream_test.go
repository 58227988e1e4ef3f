package cache

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// A stream gives every neuron once and in order, whatever the size of its blocks.
func TestStream(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		layers := make([]*weights.Neurons, rapid.IntRange(1, 3).Draw(t, "layers"))
		for i := range layers {
			layers[i] = newStoreOf(t, drawShape(t, 100), uint64(i))
		}
		f := openImage(t, image(t, "", layers...))
		size := rapid.Int64Range(0, 20000).Draw(t, "block")
		s, err := NewStream(f, size)
		require.NoError(t, err)
		require.Same(t, f, s.File())
		for range 2 {
			for i, want := range layers {
				next := 0
				layer := streamLayer(t, s, i)
				require.Same(t, layer, streamLayer(t, s, i))
				require.Same(t, f, layer.File())
				require.Equal(t, i, layer.Index())
				require.Equal(t, want.Shape(), layer.Shape())
				require.NoError(t, layer.Blocks(func(first int, n *weights.Neurons) error {
					require.Equal(t, next, first)
					require.LessOrEqual(t, int64(len(n.Bundles)), max(size, int64(want.Shape().Bundle())))
					requireSameNeurons(t, want.Slice(first, first+n.Intermediate()), n)
					next += n.Intermediate()
					return nil
				}))
				require.Equal(t, want.Intermediate(), next)
			}
		}
	})
}

func streamLayer(t require.TestingT, s *Stream, i int) *StreamLayer {
	l, err := s.Layer(i)
	require.NoError(t, err)
	return l
}

// When do panics, no read goes on into memory that the next call uses.
func TestStreamPanics(t *testing.T) {
	store := newStore(t, weights.F32, 64, 16, true, 1)
	disk := &slowDisk{faults: faults{data: image(t, "", store)}}
	f, err := NewFile(disk, int64(len(disk.data)))
	require.NoError(t, err)
	s, err := NewStream(f, 16*int64(store.Shape().Bundle()))
	require.NoError(t, err)
	layer := streamLayer(t, s, 0)
	disk.wait = 20 * time.Millisecond
	require.Panics(t, func() {
		_ = layer.Blocks(func(int, *weights.Neurons) error { panic("do") })
	})
	require.Zero(t, disk.reading.Load())
	next := 0
	require.NoError(t, layer.Blocks(func(first int, n *weights.Neurons) error {
		requireSameNeurons(t, store.Slice(first, first+n.Intermediate()), n)
		next += n.Intermediate()
		return nil
	}))
	require.Equal(t, store.Intermediate(), next)
}

// slowDisk takes its time, and counts the reads that are under way.
type slowDisk struct {
	faults
	wait    time.Duration
	reading atomic.Int32
}

func (d *slowDisk) ReadAt(b []byte, offset int64) (int, error) {
	d.reading.Add(1)
	defer d.reading.Add(-1)
	time.Sleep(d.wait)
	return d.faults.ReadAt(b, offset)
}

func TestStreamErrors(t *testing.T) {
	store := newStore(t, weights.F32, 100, 16, true, 1)
	disk := &faults{data: image(t, "", store)}
	f, err := NewFile(disk, int64(len(disk.data)))
	require.NoError(t, err)
	_, err = NewStream(f, -1)
	require.ErrorContains(t, err, "blocks of -1 bytes")
	s, err := NewStream(f, int64(10*store.Shape().Bundle()))
	require.NoError(t, err)

	calls := 0
	count := func(int, *weights.Neurons) error { calls++; return nil }
	for _, i := range []int{-1, 1} {
		_, err = s.Layer(i)
		require.ErrorContains(t, err, fmt.Sprintf("layer %d", i))
	}
	layer := streamLayer(t, s, 0)
	stop := errors.New("stop")
	require.ErrorIs(t, layer.Blocks(func(first int, n *weights.Neurons) error {
		if calls++; calls == 3 {
			return stop
		}
		return nil
	}), stop)
	assert.Equal(t, 3, calls)

	for name, c := range diskFaults {
		fault := func(b []byte, offset int64) (int, error, bool) {
			if offset < f.header.layers[0].offset+int64(50*store.Shape().Bundle()) {
				return 0, nil, false
			}
			return c.fault(b, offset)
		}
		disk.fault.Store(&fault)
		calls = 0
		require.ErrorIs(t, layer.Blocks(count), c.want, name)
		assert.Equal(t, 5, calls, name)
		disk.fault.Store(nil)
		calls = 0
		require.NoError(t, layer.Blocks(count))
		assert.Equal(t, 10, calls)
	}
}

func TestStreamAllocatesNothing(t *testing.T) {
	store := newStore(t, weights.F16, 100, 64, true, 1)
	s, err := NewStream(openImage(t, image(t, "", store)), 10000)
	require.NoError(t, err)
	layer := streamLayer(t, s, 0)
	sum := 0
	add := func(first int, n *weights.Neurons) error { sum += first; return nil }
	assert.Zero(t, testing.AllocsPerRun(10, func() { _ = layer.Blocks(add) }))
}
