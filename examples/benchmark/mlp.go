package main

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/sparsegonia/sparsegonia/cache"
	"github.com/sparsegonia/sparsegonia/ops/activation"
	"github.com/sparsegonia/sparsegonia/ops/kernel"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// shape is that of an MLP.
type shape struct{ hidden, intermediate int }

// shape3B is the MLP of Llama 3.2 3B.
var shape3B = shape{hidden: 3072, intermediate: 8192}

func (s shape) String() string { return fmt.Sprintf("%d×%d", s.hidden, s.intermediate) }

// bytes of the weights of a gated MLP.
func (s shape) bytes(d weights.Dtype) int { return 3 * s.intermediate * d.RowBytes(s.hidden) }

// mlp is the MLPs of a few layers of random weights and room for what they compute. Each run takes
// the next layer.
type mlp struct {
	shape
	dtype  weights.Dtype
	cpu    *kernel.CPU
	random *rand.Rand
	layers []*weights.Neurons

	x, y         []float32 // T×H
	gate         []float32 // T×I
	mask         []bool    // I
	slots, order []int32   // I

	predictors []predictor // of each layer; nil: none
	low        []float32   // r
	scores     []float32   // I
	tau        []float32   // 1
	caches     []cache.Cache
}

// predictor has the low-rank scores up(down(x)) of a layer.
type predictor struct{ down, up *weights.Matrix }

// layersFor is how many layers have bytes of weights in all, two at least.
func layersFor(s shape, d weights.Dtype, bytes int) int {
	return max((bytes+s.bytes(d)-1)/s.bytes(d), 2)
}

func newMLP(p *kernel.CPU, s shape, d weights.Dtype, layers, tokens int, seed uint64) (*mlp, error) {
	m := &mlp{
		shape: s, dtype: d, cpu: p, random: rand.New(rand.NewPCG(seed, 1)),
		x: make([]float32, tokens*s.hidden), y: make([]float32, tokens*s.hidden),
		gate: make([]float32, tokens*s.intermediate),
		mask: make([]bool, s.intermediate), slots: make([]int32, s.intermediate), order: make([]int32, s.intermediate),
	}
	for range layers {
		n, err := weights.AllocateNeurons(d, s.intermediate, s.hidden, true)
		if err != nil {
			return nil, err
		}
		for _, w := range []*weights.Matrix{n.Gate(), n.Up(), n.Down()} {
			m.fill(w, weightPatterns)
		}
		m.layers = append(m.layers, n)
	}
	for i := range m.x {
		m.x[i] = float32(m.random.NormFloat64())
	}
	for i := range m.order {
		m.order[i] = int32(i)
	}
	return m, nil
}

func (m *mlp) layer(round int) *weights.Neurons { return m.layers[round%len(m.layers)] }

// dense is the MLP as the dense graph of one token computes it.
func (m *mlp) dense(round int) error {
	kernel.DenseMLP(m.cpu, m.y, m.x, weightsOf(m.layer(round)))
	return nil
}

func weightsOf(n *weights.Neurons) *kernel.MLP[float32] {
	return &kernel.MLP[float32]{Gate: n.Gate(), Up: n.Up(), Down: n.Down(), Act: activation.SiLU}
}

// choose makes a random active set of the given fraction.
func (m *mlp) choose(fraction float64) {
	m.random.Shuffle(len(m.order), func(i, j int) { m.order[i], m.order[j] = m.order[j], m.order[i] })
	m.slots = append(m.slots[:0], m.order[:activeOf(m.intermediate, fraction)]...)
	slices.Sort(m.slots)
}

// activeOf is how many of n neurons are active.
func activeOf(n int, fraction float64) int { return int(fraction*float64(n) + 0.5) }

func (m *mlp) sparse(round int) error {
	m.run(m.layer(round), m.slots, nil)
	return nil
}

func (m *mlp) run(rows *weights.Neurons, slots, neurons []int32) {
	kernel.SparseMLP(m.cpu, m.y, m.x, weightsOf(rows), slots, neurons, nil)
}

// rank is that of the ported system's predictors: 4 % of the neurons.
func (s shape) rank() int { return max(int(0.04*float64(s.intermediate)), 1) }

func (s shape) predictorBytes(d weights.Dtype) int {
	return s.rank()*d.RowBytes(s.hidden) + s.intermediate*d.RowBytes(s.rank())
}

// predict gives every layer a predictor of dtype d and an in-place cache.
func (m *mlp) predict(d weights.Dtype) {
	rank := m.rank()
	m.predictors, m.caches = nil, nil
	for _, n := range m.layers {
		m.predictors = append(m.predictors, predictor{ // no two scores are equal
			m.matrix(d, rank, m.hidden, rank), m.matrix(d, m.intermediate, rank, m.intermediate),
		})
		m.caches = append(m.caches, cache.InPlace(n))
	}
	m.low, m.scores, m.tau = make([]float32, rank), make([]float32, m.intermediate), make([]float32, 1)
}

// matrix has random rows, of which as many differ as patterns says.
func (m *mlp) matrix(d weights.Dtype, rows, cols, patterns int) *weights.Matrix {
	w := weights.NewMatrix(d, rows, cols)
	m.fill(w, patterns)
	return w
}

// weightPatterns are the rows of weights that differ: speed does not depend on them, and random
// numbers take time.
const weightPatterns = 61

func (m *mlp) fill(w *weights.Matrix, patterns int) {
	row := make([]float32, w.Cols())
	for i := range w.Rows() {
		if i >= patterns {
			copy(w.Row(i), w.Row(i-patterns))
			continue
		}
		for k := range row {
			row[k] = float32(m.random.NormFloat64()) / 64
		}
		weights.SetRow(w, i, row)
	}
}

func (m *mlp) score(round int) error {
	p := m.predictors[round%len(m.predictors)]
	kernel.Linear(m.cpu, m.low, m.x, p.down, nil)
	kernel.Linear(m.cpu, m.scores, m.low, p.up, nil)
	return nil
}

// calibrate sets the threshold that makes a fraction of the neurons active.
func (m *mlp) calibrate(round int, fraction float64) error {
	err := m.score(round)
	sorted := slices.Sorted(slices.Values(m.scores))
	m.tau[0] = sorted[len(sorted)-activeOf(len(sorted), fraction)]
	return err
}

// predicted is the sparse MLP with all that decides which neurons are active.
func (m *mlp) predicted(round int) error {
	if err := m.score(round); err != nil {
		return err
	}
	kernel.MaskThreshold(m.mask, m.scores, m.tau, false)
	c, slots := m.caches[round%len(m.caches)], m.slots[:m.intermediate]
	if err := c.Refresh(m.mask, slots); err != nil {
		return err
	}
	if end := slices.Index(slots, -1); end >= 0 {
		slots = slots[:end]
	}
	m.run(c.Rows(), slots, c.Neurons())
	return nil
}
