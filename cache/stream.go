package cache

import (
	"fmt"
	"sync"

	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// Stream reads the layers of a File from the first neuron to the last, in blocks: the next block while the caller works
// on the one before. It takes the memory of two blocks, however large the layers are. Any number of goroutines may share
// a Stream; their calls of Each run one after the other.
type Stream struct {
	file   *File
	layers []blocks
	store  [2][]byte

	mu sync.Mutex // held by Each

	// The block that is being read.
	layer, first int
	into         *weights.Neurons
	err          error
	group        sync.WaitGroup
	reader       func()
}

// blocks are the views of the two stores that a layer needs.
type blocks struct {
	size int // neurons of a block
	full [2]*weights.Neurons
	last [2]*weights.Neurons // nil if the blocks come out even
}

// NewStream is a Stream whose blocks have at most blockBytes bytes, or one neuron if that is more.
func NewStream(f *File, blockBytes int64) (*Stream, error) {
	s, err := newStream(f, blockBytes)
	if err != nil {
		return nil, fmt.Errorf("cache: stream: %w", err)
	}
	return s, nil
}

func newStream(f *File, blockBytes int64) (*Stream, error) {
	if blockBytes < 0 {
		return nil, fmt.Errorf("blocks of %d bytes", blockBytes)
	}
	s := &Stream{file: f, layers: make([]blocks, len(f.header.layers))}
	s.reader = func() {
		defer s.group.Done()
		s.err = s.file.read(&s.file.header.layers[s.layer], s.layer, s.first, s.into)
	}
	largest := 0
	for i, l := range f.header.layers {
		const together = 16 // neurons that a kernel works on at a time
		size := int(blockBytes / int64(l.Bundle()))
		if size >= together {
			size -= size % together
		}
		s.layers[i].size = min(max(size, 1), l.Intermediate)
		largest = max(largest, s.layers[i].size*l.Bundle())
	}
	for b := range s.store {
		s.store[b] = weights.AlignedBytes(largest)
		for i, l := range f.header.layers {
			var err error
			to := &s.layers[i]
			if to.full[b], err = l.part(s.store[b], to.size); err != nil {
				return nil, err
			}
			if rest := l.Intermediate % to.size; rest > 0 {
				if to.last[b], err = l.part(s.store[b], rest); err != nil {
					return nil, err
				}
			}
		}
	}
	return s, nil
}

// part views the beginning of store as neurons of the layer.
func (l *layer) part(store []byte, neurons int) (*weights.Neurons, error) {
	shape := l.Shape
	shape.Intermediate = neurons
	return shape.View(store[:neurons*l.Bundle()])
}

// File is what the Stream reads.
func (s *Stream) File() *File { return s.file }

// Bytes is the memory that the blocks take.
func (s *Stream) Bytes() int64 { return int64(len(s.store[0]) + len(s.store[1])) }

// Each calls do for the blocks of a layer in order: n holds the neurons from number first on and is valid during the
// call, which must not call Each. An error of do or of a read ends it. Each allocates nothing.
func (s *Stream) Each(layer int, do func(first int, n *weights.Neurons) error) error {
	l, err := s.file.layer(layer)
	if err != nil {
		return fmt.Errorf("cache: stream: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	b := &s.layers[layer]
	current := s.start(l, layer, 0, b, 0)
	for first, k := 0, 0; ; first, k = first+b.size, 1-k {
		s.group.Wait()
		if s.err != nil {
			return fmt.Errorf("cache: stream: %w", s.err)
		}
		next := s.start(l, layer, first+b.size, b, 1-k)
		if err := do(first, current); err != nil || next == nil {
			s.group.Wait()
			return err
		}
		current = next
	}
}

// start begins to read the block from number first on to store k. It gives nil if there is none.
func (s *Stream) start(l *layer, number, first int, b *blocks, k int) *weights.Neurons {
	switch {
	case first >= l.Intermediate:
		return nil
	case first+b.size <= l.Intermediate:
		s.into = b.full[k]
	default:
		s.into = b.last[k]
	}
	s.layer, s.first = number, first
	s.group.Add(1)
	go s.reader()
	return s.into
}
