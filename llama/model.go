package llama

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/sparsegonia/sparsegonia/llama/tokenizer"
	"github.com/sparsegonia/sparsegonia/ops"
	"github.com/sparsegonia/sparsegonia/ops/parallel"
	"github.com/sparsegonia/sparsegonia/ops/weights"
	"github.com/sparsegonia/sparsegonia/ops/weights/checkpoint"
)

// Model is a shape and its weights, which never change. Any number of sessions and goroutines share
// one.
type Model struct {
	Config Config

	arch      *architecture
	embedding ops.Weight // vocabulary × H
	layers    []layer
	norm      ops.Weight // 1×H, the last
	head      ops.Weight // vocabulary × H; the embedding if the two are tied

	neurons *neuronFile // that has the MLPs; nil if they are in memory

	file       *checkpoint.Checkpoint // what some weights are views of; nil if they are random
	vocabulary func() (*tokenizer.Tokenizer, error)
	stock      stockWeights
	closed     bool
}

// layer has the weights of one decoder layer. H hidden, I intermediate, d head dimension.
type layer struct {
	attentionNorm ops.Weight // 1×H
	q             ops.Weight // heads·d × H
	k, v          ops.Weight // kvHeads·d × H
	o             ops.Weight // H × heads·d

	mlpNorm        ops.Weight       // 1×H
	gate, up, down ops.Weight       // I×H: the rows of the store, with biases; down is input-major
	store          *weights.Neurons // nil if the neurons lie in a file
}

// viewStore makes the linears of the MLP views of its store.
func (l *layer) viewStore() {
	l.gate.Matrix = l.store.Gate()
	l.up.Matrix = l.store.Up()
	l.down.Matrix, l.down.InputMajor = l.store.Down(), true
}

// finish completes a model whose tensors have been read.
func (m *Model) finish() {
	if m.Config.TieEmbeddings {
		m.head.Matrix = m.embedding.Matrix
	}
}

// Options say how a checkpoint becomes a Model.
type Options struct {
	// Width is the width that matrices are kept in; the zero value is the stored one. Norms and
	// biases are always F32.
	Width Width

	// NeuronFile is the path of a neuron file (see package cache) for the MLPs, which are then not
	// in memory. Dense passes read it in blocks, sparse ones through a cache.Window. It is written
	// when there is none. A file of other weights, or of another width, is an error. Empty keeps
	// the MLPs in memory.
	NeuronFile string

	// Pool does the loading; nil is parallel.DefaultPool.
	Pool *parallel.Pool
}

// A Width is what matrices are kept as. The zero value keeps each as it is stored: F32, F16 or
// BF16, and F32 for what is stored as F64 or quantised.
type Width struct {
	dtype weights.Dtype
	given bool
}

// As keeps all matrices as d, any dtype that computes in F32.
func As(d weights.Dtype) Width { return Width{d, true} }

func (w Width) check() error {
	if _, err := weights.ParseDtype(w.dtype.String()); err != nil {
		return fmt.Errorf("llama: width: %w", err)
	}
	if w.dtype.Compute() != weights.F32 {
		return fmt.Errorf("llama: width: weights of dtype %v do not compute in f32", w.dtype)
	}
	return nil
}

// of returns what a matrix stored as t is kept as.
func (w Width) of(t checkpoint.Tensor) weights.Dtype {
	if w.given {
		return w.dtype
	}
	if d, ok := t.Type.Dtype(); ok && !d.Grouped() && d != weights.F64 {
		return d
	}
	return weights.F32
}

// Open reads a Hugging Face directory or a GGUF file. Matrices that keep their width stay in the
// file and are read from its mapping; MLPs are copied once, into a neuron-major store, and leave no
// copy in memory.
//
// The file must not change while the model is open.
func Open(path string, o Options) (*Model, error) {
	c, err := checkpoint.Open(path)
	if err != nil {
		return nil, err
	}
	return newModel(c, path, o, func() (*tokenizer.Tokenizer, error) { return OpenTokenizer(path) })
}

// OpenFS reads a model from the root of a file system, such as one that is embedded in the program.
func OpenFS(fsys fs.FS, o Options) (*Model, error) {
	c, err := checkpoint.OpenFS(fsys)
	if err != nil {
		return nil, err
	}
	return newModel(c, "", o, func() (*tokenizer.Tokenizer, error) { return openTokenizerFS(fsys) })
}

func newModel(c *checkpoint.Checkpoint, path string, o Options, vocabulary func() (*tokenizer.Tokenizer, error)) (*Model, error) {
	m, err := load(c, o)
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	m.file, m.vocabulary = c, vocabulary
	return m, nil
}

// Close releases the mapping of the file. Sessions of the model return ErrClosed afterwards; none
// may be running.
func (m *Model) Close() error {
	m.closed = true
	var errs []error
	if m.neurons != nil {
		errs = append(errs, m.neurons.Close())
	}
	if m.file != nil {
		errs = append(errs, m.file.Close())
	}
	return errors.Join(errs...)
}

// Bytes is the size of all weights that are in memory or in the mapping of the checkpoint. What
// sessions keep of a neuron file is not part of it.
func (m *Model) Bytes() (total int64) {
	_ = m.tensors(func(i int, t spec) error {
		for _, p := range t.parts {
			total += bytesOf(p.to.Bias)
			if !m.stores(i, p.to) {
				total += bytesOf(p.to.Matrix)
			}
		}
		return nil
	})
	for i := range m.layers {
		if store := m.layers[i].store; store != nil {
			total += store.Bytes()
		}
	}
	if m.neurons != nil {
		total += m.neurons.bytes()
	}
	return total
}

func bytesOf(m *weights.Matrix) int64 {
	if m == nil {
		return 0
	}
	return int64(m.Bytes())
}

// Store returns the neurons of a layer's MLP, nil if they lie in a neuron file.
func (m *Model) Store(layer int) *weights.Neurons { return m.layers[layer].store }

// Tokenizer reads the tokenizer that came with the weights.
func (m *Model) Tokenizer() (*tokenizer.Tokenizer, error) {
	if m.vocabulary == nil {
		return nil, errors.New("llama: a random model has no tokenizer")
	}
	return m.vocabulary()
}
