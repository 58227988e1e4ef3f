package calibrate_test

import (
	"errors"
	"iter"
	"math"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/sparsegonia/sparsegonia/graph"
	"github.com/sparsegonia/sparsegonia/graph/calibrate"
)

const (
	hidden, intermediate = 6, 40
	rows                 = 5
)

func normal(seed uint64, shape ...int) *tensor.Dense {
	r := rand.New(rand.NewPCG(seed, 0))
	values := make([]float32, tensor.Shape(shape).TotalSize())
	for i := range values {
		values[i] = float32(r.NormFloat64())
	}
	return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(values))
}

// foreign is a graph as any user might write it: two residual MLPs on a matrix of rows, the first gated with SiLU, the
// second plain with ReLU.
type foreign struct {
	g     *gorgonia.ExprGraph
	x, y  *gorgonia.Node
	gate  *tensor.Dense // H×I of the first MLP
	plain *tensor.Dense // H×I of the second
}

func newForeign() *foreign {
	f := &foreign{g: gorgonia.NewGraph(), gate: normal(1, hidden, intermediate), plain: normal(4, hidden, intermediate)}
	weight := func(name string, w *tensor.Dense) *gorgonia.Node {
		return gorgonia.NodeFromAny(f.g, w, gorgonia.WithName(name))
	}
	f.x = gorgonia.NewMatrix(f.g, tensor.Float32, gorgonia.WithShape(rows, hidden), gorgonia.WithName("x"))
	gate := gorgonia.Must(gorgonia.Mul(f.x, weight("gate", f.gate)))
	act := gorgonia.Must(gorgonia.HadamardProd(gate, gorgonia.Must(gorgonia.Sigmoid(gate))))
	up := gorgonia.Must(gorgonia.Mul(f.x, weight("up", normal(2, hidden, intermediate))))
	down := gorgonia.Must(gorgonia.Mul(gorgonia.Must(gorgonia.HadamardProd(act, up)), weight("down", normal(3, intermediate, hidden))))
	h := gorgonia.Must(gorgonia.Add(f.x, down))
	second := gorgonia.Must(gorgonia.Rectify(gorgonia.Must(gorgonia.Mul(h, weight("in", f.plain)))))
	f.y = gorgonia.Must(gorgonia.Add(h, gorgonia.Must(gorgonia.Mul(second, weight("out", normal(5, intermediate, hidden))))))
	return f
}

// source runs f on n random inputs.
func (f *foreign) source(n int) calibrate.Source {
	return calibrate.Source{Graph: f.g, Outputs: gorgonia.Nodes{f.y}, Inputs: func(yield func(calibrate.Inputs, error) bool) {
		for i := range n {
			if !yield(calibrate.Inputs{f.x: normal(uint64(100+i), rows, hidden)}, nil) {
				return
			}
		}
	}}
}

func TestCapture(t *testing.T) {
	f := newForeign()
	visits := [2]int{}
	c, err := calibrate.Capture(f.source(3), func(i int, a calibrate.Activations) error {
		visits[i]++
		assert.Equal(t, tensor.Shape{rows, hidden}, a.X.Shape())
		assert.Equal(t, a.X, a.Score)
		assert.Equal(t, tensor.Shape{rows, intermediate}, a.Gate.Shape())
		// The gate values by hand.
		w := []*tensor.Dense{f.gate, f.plain}[i]
		product, err := tensor.MatMul(a.X, w)
		require.NoError(t, err)
		for j, z := range product.Data().([]float32) {
			want := math.Max(float64(z), 0)
			if i == 0 {
				want = float64(z) / (1 + math.Exp(-float64(z)))
			}
			require.InDelta(t, want, a.Gate.Data().([]float32)[j], 1e-5*max(1, math.Abs(want)))
		}
		return nil
	})
	require.NoError(t, err)
	assert.Equal(t, [2]int{3, 3}, visits)
	assert.Equal(t, 3, c.Runs)
	assert.Len(t, c.MLPs, 2)
	assert.Equal(t, 1.0, c.Density(0), "SiLU is nowhere zero")
	assert.InDelta(t, 0.5, c.Density(1), 0.15, "ReLU is zero half the time")
	assert.Nil(t, f.x.Value(), "the graph is as it was")
}

// Capture, plan, file, swap: the density comes out as planned, and less density changes the outputs more.
func TestPlanReachesItsDensity(t *testing.T) {
	f := newForeign()
	c, err := calibrate.Capture(f.source(60), nil)
	require.NoError(t, err)
	before := calibrate.Change{}
	for _, density := range []float64{1, 0.9, 0.45, 0.1} {
		plan, err := c.Plan(density)
		require.NoError(t, err)
		file := filepath.Join(t.TempDir(), "plan.json")
		require.NoError(t, plan.Write(file))
		plan, err = calibrate.ReadPlan(file)
		require.NoError(t, err)
		change, err := calibrate.Compare(f.source(20), plan)
		require.NoError(t, err)
		require.Len(t, change.Density, 2)
		for i, l := range plan.Layers {
			want := min(density, c.Density(i))
			if density == 1 {
				want = 1
			}
			assert.InDelta(t, want, l.Density, 0.01)
			// The union over the rows of a run is more than the share of a row.
			union := 1 - math.Pow(1-l.Density, rows)
			assert.InDelta(t, union, change.Density[i], 0.25, "density %v, MLP %d", density, i)
			assert.GreaterOrEqual(t, change.Density[i], l.Density-0.05)
		}
		if density == 1 {
			assert.Zero(t, change.MaxAbs)
		} else {
			assert.Greater(t, change.RMS, before.RMS)
		}
		assert.GreaterOrEqual(t, change.MaxAbs, before.MaxAbs)
		before = change
	}
}

func TestCaptureRefuses(t *testing.T) {
	f := newForeign()
	stop := errors.New("stop")

	_, err := calibrate.Capture(f.source(0), nil)
	assert.ErrorContains(t, err, "no inputs")

	_, err = calibrate.Capture(f.source(2), func(int, calibrate.Activations) error { return stop })
	assert.ErrorIs(t, err, stop)

	src := f.source(1)
	src.Inputs = failing(stop)
	_, err = calibrate.Capture(src, nil)
	assert.ErrorIs(t, err, stop)
	_, err = calibrate.Compare(src, &calibrate.Plan{Layers: make([]calibrate.Layer, 1)})
	assert.ErrorContains(t, err, "1 layers, the graph 2 MLPs")

	src = f.source(1)
	src.Inputs = only(calibrate.Inputs{f.x: normal(1, rows, hidden+1)})
	_, err = calibrate.Capture(src, nil)
	assert.ErrorContains(t, err, "run 0")

	src.Inputs = only(calibrate.Inputs{newForeign().x: normal(1, rows, hidden)})
	_, err = calibrate.Capture(src, nil)
	assert.ErrorContains(t, err, "not in the graph")

	nan := normal(1, rows, hidden)
	nan.Float32s()[0] = float32(math.NaN())
	src.Inputs = only(calibrate.Inputs{f.x: nan})
	_, err = calibrate.Capture(src, nil)
	assert.ErrorContains(t, err, "not a finite number")

	src = f.source(1)
	src.Live = newForeign().x
	_, err = calibrate.Capture(src, nil)
	assert.ErrorContains(t, err, "live input")

	src = f.source(1)
	src.ScoreInput = func(*graph.MLP) *gorgonia.Node { return newForeign().x }
	_, err = calibrate.Capture(src, nil)
	assert.ErrorContains(t, err, "score input")

	src = f.source(1)
	src.Inputs = nil
	_, err = calibrate.Capture(src, nil)
	assert.ErrorContains(t, err, "no inputs")
	_, err = calibrate.Compare(src, new(calibrate.Plan))
	assert.ErrorContains(t, err, "no inputs")
	_, err = calibrate.Compare(f.source(1), nil)
	assert.ErrorContains(t, err, "no plan")

	for _, c := range []*calibrate.Captured{nil, {}, {MLPs: make([]*graph.MLP, 1)}} {
		_, err = c.Plan(0.5)
		assert.ErrorContains(t, err, "no MLPs")
	}
	c, err := calibrate.Capture(f.source(1), nil)
	require.NoError(t, err)
	for _, density := range []float64{0, -1, 1.1, math.NaN()} {
		_, err = c.Plan(density)
		assert.ErrorContains(t, err, "density")
	}
}

func failing(err error) iter.Seq2[calibrate.Inputs, error] {
	return func(yield func(calibrate.Inputs, error) bool) { yield(nil, err) }
}

func only(inputs calibrate.Inputs) iter.Seq2[calibrate.Inputs, error] {
	return func(yield func(calibrate.Inputs, error) bool) { yield(inputs, nil) }
}
