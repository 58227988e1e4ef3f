package calibrate

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/sparsegonia/sparsegonia/graph"
	"github.com/sparsegonia/sparsegonia/ops"
	"github.com/sparsegonia/sparsegonia/ops/weights"
	"github.com/sparsegonia/sparsegonia/ops/weights/checkpoint"
)

// readPredictor reads the predictor of a layer from a safetensors file of sparse_transformers:
// layers.N.mlp_lora_proj.down.weight r×H and layers.N.mlp_lora_proj.up.weight I×r, with or without
// a prefix "model.". Dtypes are kept.
func readPredictor(file string, layer int) (p ops.Predictor, err error) {
	c, err := checkpoint.OpenSafetensors(file)
	if err != nil {
		return p, err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	name := fmt.Sprintf("layers.%d.mlp_lora_proj.", layer)
	if c.Has("model." + name + "down.weight") {
		name = "model." + name
	}
	if p.Down, err = readMatrix(c, name+"down.weight"); err != nil {
		return p, err
	}
	if p.Up, err = readMatrix(c, name+"up.weight"); err != nil {
		return p, err
	}
	if rank := p.Down.Rows(); p.Up.Cols() != rank || rank > p.Up.Rows() {
		return p, fmt.Errorf("%s: %sdown.weight is %d×%d and %sup.weight %d×%d, want r×H and I×r with r ≤ I",
			file, name, rank, p.Down.Cols(), name, p.Up.Rows(), p.Up.Cols())
	}
	return p, nil
}

func readMatrix(c *checkpoint.Checkpoint, name string) (*weights.Matrix, error) {
	t, err := c.Tensor(name)
	if err != nil {
		return nil, err
	}
	if len(t.Shape) != 2 || t.Shape[0] < 1 || t.Shape[1] < 1 {
		return nil, fmt.Errorf("%s: tensor %s has shape %v, want a matrix", c.Path(), name, t.Shape)
	}
	d, _ := t.Type.Dtype() // a safetensors file has no other type
	m := weights.NewMatrix(d, t.Rows(), t.Cols())
	return m, t.CopyTo(nil, m)
}

// randomPredictor returns a predictor with normally distributed weights (Glorot and Bengio, 2010),
// as sparse_transformers has without training.
func randomPredictor(rank int, m *graph.MLP, seed uint64) (ops.Predictor, error) {
	hidden, intermediate := m.Shape().Hidden(), m.Shape().Intermediate
	if rank > intermediate {
		return ops.Predictor{}, fmt.Errorf("rank %d, %s has %d neurons", rank, m.Name, intermediate)
	}
	d := m.Shape().Dtype().Compute()
	if d != weights.F32 && d != weights.F64 {
		return ops.Predictor{}, fmt.Errorf("%s computes in %v: no predictor with random weights", m.Name, d)
	}
	source := rand.New(rand.NewPCG(seed, 0))
	random := func(rows, cols int) *weights.Matrix {
		matrix := weights.NewMatrix(d, rows, cols)
		scale := math.Sqrt(2 / float64(rows+cols))
		row := make([]float64, cols)
		for i := range rows {
			for j := range row {
				row[j] = source.NormFloat64() * scale
			}
			setRow(matrix, i, row)
		}
		return matrix
	}
	return ops.Predictor{Down: random(rank, hidden), Up: random(intermediate, rank)}, nil
}

func setRow(m *weights.Matrix, i int, row []float64) {
	if m.Dtype() == weights.F64 {
		weights.SetRow(m, i, row)
		return
	}
	narrow := make([]float32, len(row))
	for j, v := range row {
		narrow[j] = float32(v)
	}
	weights.SetRow(m, i, narrow)
}
