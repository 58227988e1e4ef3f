package cache

import (
	"errors"
	"fmt"
	"sync"

	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// A Stream reads the layers of a File from the first neuron to the last, in blocks. It reads the
// next block while the caller works on the last one, and takes the memory of two blocks. Any number
// of goroutines may share a Stream; their calls of Blocks run one after the other.
type Stream struct {
	file   *File
	layers []StreamLayer
	store  [2][]byte

	mu sync.Mutex // held by Blocks

	// The block that is being read.
	layer, first int
	into         *weights.Neurons
	err          error
	group        sync.WaitGroup
	reader       func()
}

// A StreamLayer is a layer of a Stream. It is a weights.Source.
type StreamLayer struct {
	stream *Stream
	index  int

	// Views of the two stores.
	size int // neurons of a block
	full [2]*weights.Neurons
	last [2]*weights.Neurons // nil without a remainder
}

// NewStream returns a Stream of blocks of at most blockBytes bytes, but at least one neuron.
func NewStream(f *File, blockBytes int64) (*Stream, error) {
	s, err := newStream(f, blockBytes)
	if err != nil {
		return nil, fmt.Errorf("cache: stream: %w", err)
	}
	return s, nil
}

func newStream(f *File, blockBytes int64) (*Stream, error) {
	if err := f.open(); err != nil {
		return nil, err
	}
	if blockBytes < 0 {
		return nil, fmt.Errorf("blocks of %d bytes", blockBytes)
	}
	s := &Stream{file: f, layers: make([]StreamLayer, len(f.header.layers))}
	s.reader = func() {
		defer s.group.Done()
		s.err = s.file.read(&s.file.header.layers[s.layer], s.layer, s.first, s.into)
	}
	largest := 0
	for i, l := range f.header.layers {
		size := int(blockBytes / int64(l.Bundle()))
		if size >= rowGroup {
			size -= size % rowGroup
		}
		s.layers[i] = StreamLayer{stream: s, index: i, size: min(max(size, 1), l.Intermediate)}
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

// rowGroup is the number of rows that blocks are cut at, so that only the last block of a layer
// leaves a remainder to the kernels: they take 8 rows at a time, or 16 for AMX tiles.
const rowGroup = 16

// part returns a view of the beginning of store as neurons of the layer.
func (l *layer) part(store []byte, neurons int) (*weights.Neurons, error) {
	shape := l.Shape
	shape.Intermediate = neurons
	return shape.View(store[:neurons*l.Bundle()])
}

// File returns the file that the Stream reads.
func (s *Stream) File() *File { return s.file }

// Bytes returns the memory of the blocks in bytes.
func (s *Stream) Bytes() int64 { return int64(len(s.store[0]) + len(s.store[1])) }

// Layer returns layer i, the same pointer in every call.
func (s *Stream) Layer(i int) (*StreamLayer, error) {
	err := errNoFile
	if s != nil {
		_, err = s.file.layer(i)
	}
	if err != nil {
		return nil, fmt.Errorf("cache: stream: %w", err)
	}
	return &s.layers[i], nil
}

// File returns the file that the layer lies in, nil of the zero StreamLayer.
func (l *StreamLayer) File() *File {
	if l == nil || l.stream == nil {
		return nil
	}
	return l.stream.file
}

// Index returns the number of the layer in its file.
func (l *StreamLayer) Index() int {
	if l == nil {
		return 0
	}
	return l.index
}

// Shape returns the shape of the layer's neurons. The zero StreamLayer has none.
func (l *StreamLayer) Shape() weights.Shape {
	if l.File() == nil {
		return weights.Shape{}
	}
	return l.stream.file.header.layers[l.index].Shape
}

// Blocks implements weights.Source. It allocates nothing.
func (l *StreamLayer) Blocks(do func(first int, n *weights.Neurons) error) error {
	if l.File() == nil || do == nil {
		return errors.New("cache: stream: the layer is of no stream, or there is no function to call")
	}
	s := l.stream
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.group.Wait() // also if do panics, which a graph.Machine recovers from
	current := s.start(l, 0, 0)
	for first, k := 0, 0; ; first, k = first+l.size, 1-k {
		s.group.Wait()
		if s.err != nil {
			return fmt.Errorf("cache: stream: %w", s.err)
		}
		next := s.start(l, first+l.size, 1-k)
		if err := do(first, current); err != nil || next == nil {
			return err
		}
		current = next
	}
}

// start begins to read the block from neuron first on into store k, nil if there is none.
func (s *Stream) start(l *StreamLayer, first, k int) *weights.Neurons {
	intermediate := s.file.header.layers[l.index].Intermediate
	switch {
	case first >= intermediate:
		return nil
	case first+l.size <= intermediate:
		s.into = l.full[k]
	default:
		s.into = l.last[k]
	}
	s.layer, s.first = l.index, first
	s.group.Add(1)
	go s.reader()
	return s.into
}
