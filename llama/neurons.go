package llama

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"sync"

	"github.com/sparsegonia/sparsegonia/cache"
	"github.com/sparsegonia/sparsegonia/ops"
	"github.com/sparsegonia/sparsegonia/ops/parallel"
	"github.com/sparsegonia/sparsegonia/ops/weights"
	"github.com/sparsegonia/sparsegonia/ops/weights/checkpoint"
)

// A neuronFile has the MLPs of a model that lie in a neuron file.
type neuronFile struct {
	*cache.File
	stream *cache.Stream // of the dense passes of all sessions

	mu    sync.Mutex
	gates []*weights.Matrix // the copies of the gates that have been made
}

// streamBlock returns the bytes of a block of a dense pass: an eighth of a layer, at least what a
// disk reads at once, and at most what keeps the kernels busy while the next block is read.
func streamBlock(f *cache.File) int64 {
	largest := 0
	for _, s := range f.Shapes() {
		largest = max(largest, s.Intermediate*s.Bundle())
	}
	return int64(min(max(largest/8, 1<<20), 8<<20))
}

// openNeurons opens the neuron file of the checkpoint, and writes it before if there is none.
func (l *loader) openNeurons(path string) (*neuronFile, error) {
	label, err := l.label()
	if err != nil {
		return nil, err
	}
	f, err := cache.OpenFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := cache.WriteFile(path, label, l.model.Config.Layers, l.store); err != nil {
			return nil, fmt.Errorf("llama: %w", err)
		}
		f, err = cache.OpenFile(path)
	}
	if err != nil {
		return nil, fmt.Errorf("llama: %w", err)
	}
	n := &neuronFile{File: f, gates: make([]*weights.Matrix, l.model.Config.Layers)}
	if got := f.Label(); got != label {
		err = fmt.Errorf("llama: neuron file %s was made for %q, this is %q: remove it", path, got, label)
	} else if err = l.checkShapes(f, path); err == nil {
		n.stream, err = cache.NewStream(f, streamBlock(f))
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return n, nil
}

// checkShapes compares the layers of a neuron file with the configuration: a label can be written
// over anything.
func (l *loader) checkShapes(f *cache.File, path string) error {
	c, shapes := &l.model.Config, f.Shapes()
	if len(shapes) != c.Layers {
		return fmt.Errorf("llama: neuron file %s has %d layers, the model %d: remove it", path, len(shapes), c.Layers)
	}
	for i, s := range shapes {
		if want := weights.MLPShape(s.Dtype(), c.IntermediateSize, c.HiddenSize, l.model.gated()); !s.Equal(want) {
			return fmt.Errorf("llama: neuron file %s: layer %d has other neurons than the model: remove it", path, i)
		}
	}
	return nil
}

// label returns what tells the MLPs of one checkpoint, in one width, from others: the shapes and
// the types of the tensors and a sample of their numbers.
func (l *loader) label() (string, error) {
	const sample = 4096 // bytes from the beginning and from the end of every tensor
	sum := crc32.NewIEEE()
	c := &l.model.Config
	for i := range c.Layers {
		gate, up, down, err := l.mlp(i)
		if err != nil {
			return "", err
		}
		for _, t := range []checkpoint.Tensor{gate, up, down} {
			fmt.Fprintf(sum, "%v %v %v", t.Type, t.Shape, l.width.of(t))
			sum.Write(t.Data[:min(sample, len(t.Data))])
			sum.Write(t.Data[max(0, len(t.Data)-sample):])
		}
	}
	return fmt.Sprintf("%s of %d layers, %d neurons of hidden size %d, weights %08x",
		l.model.arch.name, c.Layers, c.IntermediateSize, c.HiddenSize, sum.Sum32()), nil
}

// gate returns a copy of the gate rows of a layer in memory, a byte a weight or as narrow as they
// are stored, for selectors that score neurons by their gate.
func (f *neuronFile) gate(layer int, pool *parallel.Pool) (*weights.Matrix, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.gates[layer] != nil {
		return f.gates[layer], nil
	}
	shape := f.Shapes()[layer]
	d, hidden := shape.Dtype(), shape.Hidden()
	if d.RowBytes(hidden) > weights.Int8.RowBytes(hidden) {
		d = weights.Int8
	}
	gate := weights.NewMatrix(d, shape.Intermediate, hidden)
	source, err := f.stream.Layer(layer)
	if err == nil {
		err = source.Blocks(func(first int, n *weights.Neurons) error {
			return weights.Copy(pool, gate.Slice(first, first+n.Intermediate()), n.Gate())
		})
	}
	if err != nil {
		return nil, fmt.Errorf("llama: %w", err)
	}
	f.gates[layer] = gate
	return gate, nil
}

// bytes returns the memory of the blocks and of the copies of gates.
func (f *neuronFile) bytes() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	total := f.stream.Bytes()
	for _, g := range f.gates {
		total += bytesOf(g)
	}
	return total
}

// fused returns the MLP of a layer as one op. gates asks for a copy of the gates of a neuron file.
func (m *Model) fused(layer int, gates bool, pool *parallel.Pool) (f ops.MLP, err error) {
	l := &m.layers[layer]
	f = ops.MLP{Act: m.Config.Activation, GateBias: l.gate.Bias, UpBias: l.up.Bias, DownBias: l.down.Bias}
	if m.neurons == nil {
		f.Source = l.store
		return f, nil
	}
	if f.Source, err = m.neurons.stream.Layer(layer); err == nil && gates {
		f.GateCopy, err = m.neurons.gate(layer, pool)
	}
	return f, err
}
