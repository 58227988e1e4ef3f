package llama

import (
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/sparsegonia/sparsegonia/ops"
	"github.com/sparsegonia/sparsegonia/ops/parallel"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// Random makes a model of the given shape with normally distributed weights of dtype d, for measuring the speed of shapes
// whose weights are not at hand. Every byte is written, so the memory is as real as that of a checkpoint; but rows
// repeat, so what such a model says or which of its neurons are active means nothing. Biases are zero.
func Random(c Config, d weights.Dtype, seed uint64, p *parallel.Pool) (*Model, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("llama: %w", err)
	}
	if d.Compute() != weights.F32 {
		return nil, fmt.Errorf("llama: weights of dtype %v do not compute in f32", d)
	}
	if p == nil {
		p = parallel.DefaultPool()
	}
	r := randomizer{dtype: d, seed: seed, pool: p}
	m := &Model{Config: c, layers: make([]layer, c.Layers), norm: ones(c.HiddenSize)}
	m.embedding = r.matrix(c.VocabSize, c.HiddenSize)
	m.head.Matrix = m.embedding
	if !c.TieEmbeddings {
		m.head.Matrix = r.matrix(c.VocabSize, c.HiddenSize)
	}
	for i := range m.layers {
		l := &m.layers[i]
		l.attentionNorm, l.mlpNorm = ones(c.HiddenSize), ones(c.HiddenSize)
		l.q = r.weight(c.Heads*c.HeadDim, c.HiddenSize, c.AttentionBias)
		l.k = r.weight(c.KVHeads*c.HeadDim, c.HiddenSize, c.AttentionBias)
		l.v = r.weight(c.KVHeads*c.HeadDim, c.HiddenSize, c.AttentionBias)
		l.o = r.weight(c.HiddenSize, c.Heads*c.HeadDim, c.AttentionBias)

		neurons, err := weights.AllocateNeurons(d, c.IntermediateSize, c.HiddenSize, true)
		if err != nil {
			return nil, err
		}
		r.fill(neurons.Gate(), c.HiddenSize)
		r.fill(neurons.Up(), c.HiddenSize)
		r.fill(neurons.Down(), c.IntermediateSize)
		l.neurons = neurons
		l.viewNeurons()
		if c.MLPBias {
			l.gate.Bias, l.up.Bias = zeros(c.IntermediateSize), zeros(c.IntermediateSize)
			l.down.Bias = zeros(c.HiddenSize)
		}
	}
	return m, nil
}

func ones(n int) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = 1
	}
	return v
}

// zeros is a bias.
func zeros(n int) *weights.Matrix { return weights.NewMatrix(weights.F32, 1, n) }

// randomizer fills matrices by repeating a few random rows, which costs no more than writing memory.
type randomizer struct {
	dtype weights.Dtype
	seed  uint64 // of the next matrix
	pool  *parallel.Pool
}

func (r *randomizer) weight(outputs, inputs int, bias bool) ops.Weight {
	w := ops.Weight{Matrix: r.matrix(outputs, inputs)}
	if bias {
		w.Bias = zeros(outputs)
	}
	return w
}

func (r *randomizer) matrix(rows, cols int) *weights.Matrix {
	m := weights.NewMatrix(r.dtype, rows, cols)
	r.fill(m, cols)
	return m
}

// fill writes m. The standard deviation keeps the length of a vector that the map takes from inputs dimensions.
func (r *randomizer) fill(m *weights.Matrix, inputs int) {
	const patterns = 61 // prime, so that no block of a kernel sees the same rows in the same places
	r.seed++
	source := rand.New(rand.NewPCG(r.seed, 0))
	scale := 1 / math.Sqrt(float64(inputs))
	row := make([]float32, m.Cols())
	for i := range min(patterns, m.Rows()) {
		for k := range row {
			row[k] = float32(source.NormFloat64() * scale)
		}
		weights.SetRow(m, i, row)
	}
	const block = 64
	rest := max(m.Rows()-patterns, 0)
	r.pool.Run((rest+block-1)/block, func(b int) {
		for i := patterns + b*block; i < min(patterns+(b+1)*block, m.Rows()); i++ {
			copy(m.Row(i), m.Row(i%patterns))
		}
	})
}
