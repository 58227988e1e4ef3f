package llama

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/sparsegonia/sparsegonia/ops/parallel"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// Random makes a model of the given shape with normally distributed weights of dtype d, for
// measuring the speed of shapes whose weights are not at hand. Every byte is written, so the memory
// is as real as that of a checkpoint; but rows repeat, so what such a model says or which of its
// neurons are active means nothing. Biases are zero.
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
	m := &Model{Config: c, layers: make([]layer, c.Layers)}
	m.arch, _ = c.architecture() // Validate has seen it
	gated := m.gated()
	for i := range m.layers {
		store, err := weights.AllocateNeurons(d, c.IntermediateSize, c.HiddenSize, gated)
		if err != nil {
			return nil, err
		}
		m.layers[i].store = store
		m.layers[i].viewStore()
	}
	err := m.tensors(func(i int, t spec) error {
		for _, p := range t.parts {
			switch {
			case p.outputs == 0:
				p.to.Matrix = zeros(t.inputs)
				ones, _ := weights.Values[float32](p.to.Matrix)
				for i := range ones {
					ones[i] = 1
				}
			case m.stores(i, p.to):
				r.fill(p.to.Matrix, t.inputs)
			default:
				p.to.Matrix = weights.NewMatrix(d, p.outputs, t.inputs)
				r.fill(p.to.Matrix, t.inputs)
			}
			if t.bias {
				p.to.Bias = zeros(cmp.Or(p.outputs, t.inputs))
			}
		}
		return nil
	})
	m.finish()
	return m, err
}

// zeros returns a bias.
func zeros(n int) *weights.Matrix { return weights.NewMatrix(weights.F32, 1, n) }

// randomizer fills matrices by repeating a few random rows, which costs no more than writing
// memory.
type randomizer struct {
	dtype weights.Dtype
	seed  uint64 // of the next matrix
	pool  *parallel.Pool
}

// fill writes m. The standard deviation keeps the length of a vector that the map takes from inputs
// dimensions.
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
