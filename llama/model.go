package llama

import (
	"errors"
	"io/fs"

	"github.com/sparsegonia/sparsegonia/llama/tokenizer"
	"github.com/sparsegonia/sparsegonia/ops"
	"github.com/sparsegonia/sparsegonia/ops/parallel"
	"github.com/sparsegonia/sparsegonia/ops/weights"
	"github.com/sparsegonia/sparsegonia/ops/weights/checkpoint"
)

// Model is a Llama: its shape and its weights, which never change. Any number of sessions and goroutines share one.
type Model struct {
	Config Config

	embedding *weights.Matrix // vocabulary × H
	layers    []layer
	norm      []float32  // H, of the final RMSNorm
	head      ops.Weight // vocabulary × H

	neurons *neuronFile // that has the MLPs; nil if they are in memory

	file       *checkpoint.Checkpoint // what some weights are views of; nil if they are random
	vocabulary func() (*tokenizer.Tokenizer, error)
	stock      stockWeights
}

// layer has the weights of one decoder layer. H hidden, I intermediate, d head dimension.
type layer struct {
	attentionNorm []float32  // H
	q             ops.Weight // heads·d × H
	k, v          ops.Weight // kvHeads·d × H
	o             ops.Weight // H × heads·d

	mlpNorm []float32        // H
	neurons *weights.Neurons // gate, up and the transposed down, each I×H; nil if they lie in a file
	gate    ops.Weight       // I×H: the rows of neurons, with a bias
	up      ops.Weight
	down    ops.Weight // input-major
}

// Options say how a checkpoint becomes a Model.
type Options struct {
	// Dtype is the width that matrices are kept in, any whose compute dtype is F32. Nil keeps each as it is stored:
	// F32, F16 or BF16, and F32 for what is stored as F64 or quantised. Norms and biases are always F32.
	Dtype *weights.Dtype

	// Neurons is the path of a neuron file (see package cache) for the MLPs, which are then not in memory: dense passes
	// read it in blocks, sparse ones through a cache.Window. It is written when there is none. A file that was made from
	// other weights, or in another width, is an error. Empty keeps the MLPs in memory.
	Neurons string

	// Pool does the loading. Nil is kernel.DefaultPool.
	Pool *parallel.Pool
}

// Open reads a Hugging Face directory or a GGUF file. Matrices that keep their width stay in the file and are read from
// its mapping; MLPs are copied once, into a neuron-major store, and leave no copy in memory.
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

// Close releases the mapping of the file. No session of the model may be used afterwards.
func (m *Model) Close() error {
	var errs []error
	if m.neurons != nil {
		errs = append(errs, m.neurons.Close())
	}
	if m.file != nil {
		errs = append(errs, m.file.Close())
	}
	return errors.Join(errs...)
}

// Bytes is the size of all weights that are in memory or in the mapping of the checkpoint. What sessions keep of a
// neuron file is not part of it.
func (m *Model) Bytes() int64 {
	total := bytesOf(m.embedding) + int64(4*len(m.norm))
	if m.head.Matrix != m.embedding {
		total += bytesOf(m.head.Matrix)
	}
	for i := range m.layers {
		total += m.layers[i].bytes()
	}
	if m.neurons != nil {
		total += m.neurons.bytes()
	}
	return total
}

func (l *layer) bytes() int64 {
	total := int64(4 * (len(l.attentionNorm) + len(l.mlpNorm)))
	if l.neurons != nil {
		total += l.neurons.Bytes()
	}
	for _, w := range []ops.Weight{l.q, l.k, l.v, l.o} {
		total += bytesOf(w.Matrix) + bytesOf(w.Bias)
	}
	for _, w := range []ops.Weight{l.gate, l.up, l.down} {
		total += bytesOf(w.Bias)
	}
	return total
}

func bytesOf(m *weights.Matrix) int64 {
	if m == nil {
		return 0
	}
	return int64(m.Bytes())
}

// Neurons is the store of a layer's MLP, nil if it lies in a neuron file.
func (m *Model) Neurons(layer int) *weights.Neurons { return m.layers[layer].neurons }

// Tokenizer reads the tokenizer that came with the weights.
func (m *Model) Tokenizer() (*tokenizer.Tokenizer, error) {
	if m.vocabulary == nil {
		return nil, errors.New("llama: a random model has no tokenizer")
	}
	return m.vocabulary()
}
