package ops

import (
	"errors"
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/sparsegonia/sparsegonia/cache"
	"github.com/sparsegonia/sparsegonia/ops/activation"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

func TestDeclarations(t *testing.T) {
	for name, want := range map[string]struct{ typ, text string }{
		"linearOp":    {"Matrix float32 → Matrix float32", "Linear(x float32[3 8]) → y float32[3 5]"},
		"activateOp":  {"Matrix float32 → Matrix float32", "Activate(x float32[3 8]) → y float32[3 8]"},
		"gluOp":       {"Matrix float32 → Matrix float32 → Matrix float32", "GLU(gate float32[3 8], up float32[3 8]) → y float32[3 8]"},
		"gateOp":      {"Matrix float32 → Matrix float32", "Gate(x float32[3 8]) → y float32[3 5]"},
		"rmsNormOp":   {"Matrix float32 → Matrix float32", "RMSNorm(x float32[3 8]) → y float32[3 8]"},
		"ropeOp":      {"Matrix float32 → Vector int32 → Matrix float32", "RoPE(x float32[3 8], positions int32[3]) → y float32[3 8]"},
		"embeddingOp": {"Vector int32 → Matrix float32", "Embedding(tokens int32[3]) → y float32[3 8]"},
		"takeRowsOp":  {"Matrix float32 → Vector int32 → Matrix float32", "TakeRows(x float32[3 8], rows int32[3]) → y float32[3 8]"},
		"lowRankOp":   {"Matrix float32 → Matrix float32", "LowRankScores(x float32[3 8]) → scores float32[3 5]"},
		"maskOp":      {"Matrix float32 → Matrix bool", "Mask(scores float32[3 5]) → mask bool[3 5]"},
		"unionOp":     {"Matrix bool → Vector int32 → Vector bool", "Union(mask bool[3 5], live int32[3]) → active bool[5]"},
		"refreshOp":   {"Vector bool → Vector int32", "Refresh(active bool[5]) → slots int32[5]"},
		"prefetchOp":  {"Vector bool → Vector bool", "Prefetch(active bool[5]) → expected bool[5]"},
		"denseMLPOp":  {"Matrix float32 → Matrix float32", "DenseMLP(x float32[3 8]) → y float32[3 8]"},
		"sparseMLPOp": {
			"Matrix float32 → Vector int32 → Matrix float32 → Matrix float32",
			"SparseMLP(x float32[3 8], slots int32[5], gate float32[3 5]) → y float32[3 8]",
		},
		"attentionOp": {
			"Matrix float32 → Matrix float32 → Matrix float32 → Vector int32 → Vector int32 → Matrix float32",
			"Attention(q float32[3 8], k float32[3 8], v float32[3 8], positions int32[3], sequences int32[3]) → y float32[3 8]",
		},
	} {
		op := allOps(t)[name]
		require.NotNil(t, op, name)
		assert.Equal(t, want.typ, op.Type().String())
		assert.Equal(t, want.text, op.String())
		assert.True(t, op.ReturnsPtr() && op.CallsExtern(), "the tape machine would not call UsePreallocDo")
		assert.Equal(t, -1, op.OverwritesInput())
	}
}

// Rewriters find linear maps and activations by these interfaces, and nothing else has them.
func TestInterfacesForRewriters(t *testing.T) {
	for name, op := range allOps(t) {
		_, weighted := op.(Weighted)
		assert.Equal(t, name == "linearOp", weighted, name)
		_, activated := op.(Activated)
		assert.Equal(t, name == "activateOp" || name == "gluOp", activated, name)
		_, fused := op.(Fused)
		assert.Equal(t, name == "denseMLPOp", fused, name)
	}
	ops := allOps(t)
	assert.Equal(t, 5, ops["linearOp"].(Weighted).Weight().Outputs())
	assert.Equal(t, activation.SiLU, ops["activateOp"].(Activated).Activation())
	assert.Equal(t, activation.SiLU, ops["gluOp"].(Activated).Activation())
	assert.Equal(t, 5, ops["denseMLPOp"].(Fused).MLP().Source.Shape().Intermediate)
}

// sizer is a DimSizer that is not a Shape.
type sizer []int

func (s sizer) DimSize(i int) (int, error) {
	if i >= len(s) {
		return 0, errors.New("too few dimensions")
	}
	return s[i], nil
}

func TestInferShape(t *testing.T) {
	op := allOps(t)["ropeOp"]
	for name, c := range map[string]struct {
		in   []gorgonia.DimSizer
		want string
	}{
		"shapes":        {[]gorgonia.DimSizer{tensor.Shape{3, 8}, tensor.Shape{3}}, ""},
		"sizers":        {[]gorgonia.DimSizer{sizer{3, 8}, sizer{3}}, ""},
		"none":          {nil, "got the shapes of 0 inputs, want 2"},
		"nil":           {[]gorgonia.DimSizer{nil, tensor.Shape{3}}, "x has no shape"},
		"other shape":   {[]gorgonia.DimSizer{tensor.Shape{3, 9}, tensor.Shape{3}}, "x has shape (3, 9), the op was built for (3, 8)"},
		"row vector":    {[]gorgonia.DimSizer{tensor.Shape{3, 8}, tensor.Shape{1, 3}}, "positions has shape (1, 3)"},
		"other sizer":   {[]gorgonia.DimSizer{tensor.Shape{3, 8}, sizer{4}}, "positions has 4 entries in dimension 0"},
		"shorter sizer": {[]gorgonia.DimSizer{sizer{3}, sizer{3}}, "x: too few dimensions"},
	} {
		t.Run(name, func(t *testing.T) {
			shape, err := op.InferShape(c.in...)
			if c.want == "" {
				require.NoError(t, err)
				assert.Equal(t, tensor.Shape{3, 8}, shape)
				return
			}
			assert.ErrorContains(t, err, c.want)
		})
	}
}

// An output that is an input, or a view of one, or not in row-major order, is refused before anything is written.
func TestOutputMustStandAlone(t *testing.T) {
	g := gorgonia.NewGraph()
	x := input(1, weights.F32, 4, 4)
	n, err := Activate(newInput(g, x), activation.ReLU)
	require.NoError(t, err)
	op := n.Op().(*activateOp)

	_, err = op.UsePreallocDo(x, x)
	assert.ErrorContains(t, err, "x and y share memory")

	both := input(2, weights.F32, 6, 4)
	part := func(from int) *tensor.Dense {
		return tensor.New(tensor.WithShape(4, 4), tensor.WithBacking(both.Float32s()[from*4:(from+4)*4]))
	}
	_, err = op.UsePreallocDo(part(0), part(2))
	assert.ErrorContains(t, err, "x and y share memory")
	_, err = op.UsePreallocDo(part(2), part(0))
	assert.ErrorContains(t, err, "x and y share memory")

	transposed := input(3, weights.F32, 4, 4)
	require.NoError(t, transposed.T())
	_, err = op.UsePreallocDo(transposed, x)
	assert.ErrorContains(t, err, "y is not in row-major order")
}

// A threshold decides as its real value does, whatever the dtype of the scores.
func TestThresholdIsExact(t *testing.T) {
	for _, c := range []struct {
		tau    float64
		scores *tensor.Dense
		want   []bool
	}{
		// The float32 next to 0.7 is below it, the one next to 0.3 above.
		{0.7, vector(float32(0.7), math.Nextafter32(0.7, 1)), []bool{false, true}},
		{0.3, vector(math.Nextafter32(0.3, 0), float32(0.3)), []bool{false, true}},
		{math.Inf(1), vector(float32(math.MaxFloat32), float32(math.Inf(1))), []bool{false, true}},
		{1e300, vector(float32(math.MaxFloat32), float32(math.Inf(1))), []bool{false, true}},
		{-1e300, vector(float32(math.Inf(-1)), float32(-math.MaxFloat32)), []bool{false, true}},
		{0.7, vector(math.Nextafter(0.7, 0), 0.7), []bool{false, true}},
		{0.5, vector(int32(0), int32(1)), []bool{false, true}},
		{-0.5, vector(int32(-1), int32(0)), []bool{false, true}},
		{2, vector(int64(1), int64(2)), []bool{false, true}},
		{math.Inf(-1), vector(int64(math.MinInt64), int64(0)), []bool{true, true}},
		{-1e300, vector(int32(math.MinInt32), int32(0)), []bool{true, true}},
		{math.MaxInt32, vector(int32(math.MaxInt32-1), int32(math.MaxInt32)), []bool{false, true}},
		{1 << 62, vector(int64(1<<62-1), int64(1<<62)), []bool{false, true}},
	} {
		n, err := Mask(newInput(gorgonia.NewGraph(), c.scores), Threshold(c.tau))
		require.NoError(t, err)
		got, err := n.Op().Do(c.scores)
		require.NoError(t, err)
		assert.Equal(t, c.want, got.Data(), "threshold %v", c.tau)
	}
	_, err := Mask(newInput(gorgonia.NewGraph(), vector(int64(1))), Threshold(1<<63))
	assert.ErrorContains(t, err, "above all integer scores")
}

func vector[E weights.Elem](values ...E) *tensor.Dense {
	return tensor.New(tensor.WithShape(len(values)), tensor.WithBacking(values))
}

// A slice passed as thresholds is the caller's.
func TestThresholdCopies(t *testing.T) {
	tau := []float64{0, 0}
	scores := vector(1.0, -1.0)
	n, err := Mask(newInput(gorgonia.NewGraph(), scores), Threshold(tau...))
	require.NoError(t, err)
	before := n.Op().Hashcode()
	tau[0] = 5
	got, err := n.Op().Do(scores)
	require.NoError(t, err)
	assert.Equal(t, []bool{true, false}, got.Data())
	assert.Equal(t, before, n.Op().Hashcode())
}

func TestTopKCount(t *testing.T) {
	for _, c := range []struct {
		sparsity     float64
		intermediate int
		want         int
	}{
		{0, 10, 10},
		{1, 10, 0},
		{0.7, 10, 3},
		{0.9, 10, 1},
		{0.1, 10, 9},
		{0.95, 10, 1},
		{0.5, 3, 2},
		{0.7, 1000, 300},
		{0.99, 8192, 82},
		{1 - 1e-12, 10, 0},
	} {
		assert.Equal(t, c.want, TopK(c.sparsity).k(c.intermediate), "%+v", c)
	}
}

// movingCache is a packed policy in miniature: neuron i lies in slot I−1−i.
type movingCache struct {
	cache.Cache
	rows    *weights.Neurons
	neurons []int32
}

func (c *movingCache) Rows() *weights.Neurons { return c.rows }
func (c *movingCache) Neurons() []int32       { return c.neurons }

func (c *movingCache) Refresh(active []bool, slots []int32) error {
	if err := c.Cache.Refresh(active, slots); err != nil {
		return err
	}
	c.neurons = c.neurons[:0]
	for k, neuron := range slots {
		if neuron >= 0 {
			c.neurons = append(c.neurons, neuron)
			slots[k] = int32(len(slots)) - 1 - neuron
		}
	}
	return nil
}

// A cache whose slots are not neurons: biases and gate values still go by neuron, and the result is the same.
func TestSparseMLPOverMovedRows(t *testing.T) {
	const hidden, intermediate = 10, 8
	n := neurons(t, 1, weights.F64, intermediate, hidden, true)
	moved, err := weights.AllocateNeurons(weights.F64, intermediate, hidden, true)
	require.NoError(t, err)
	for i := range intermediate {
		for _, m := range [][2]*weights.Matrix{{moved.Gate(), n.Gate()}, {moved.Up(), n.Up()}, {moved.Down(), n.Down()}} {
			copy(m[0].Row(intermediate-1-i), m[1].Row(i))
		}
	}
	m := MLP{
		Cache: cache.InPlace(n), Act: activation.SiLU,
		GateBias: matrix(4, weights.F64, 1, intermediate), UpBias: matrix(5, weights.F64, 1, intermediate),
	}
	other := m
	packed := &movingCache{Cache: cache.InPlace(n), rows: moved}
	other.Cache = packed
	mask := tensor.New(tensor.WithShape(intermediate), tensor.WithBacking([]bool{true, false, false, true, true, false, true, false}))
	gateValues := input(8, weights.F64, 3, intermediate)

	for _, withGate := range []bool{false, true} {
		var results [2][]float64
		for i, m := range []MLP{m, other} {
			g := gorgonia.NewGraph()
			slots, err := Refresh(newInput(g, mask), m.Cache)
			require.NoError(t, err)
			var gate *gorgonia.Node
			if withGate {
				gate = newInput(g, gateValues)
			}
			x := newInput(g, input(7, weights.F64, 3, hidden))
			y, err := SparseMLP(x, slots, gate, m)
			require.NoError(t, err)
			if !withGate {
				cost, err := gorgonia.Sum(y)
				require.NoError(t, err)
				grads, err := gorgonia.Grad(cost, x)
				require.NoError(t, err)
				runTape(t, g)
				results[i] = grads[0].Value().(*tensor.Dense).Float64s()
			} else {
				runTape(t, g)
			}
			results[i] = append(results[i], y.Value().(*tensor.Dense).Float64s()...)
		}
		assert.Equal(t, results[0], results[1])
	}

	g := gorgonia.NewGraph()
	y, err := SparseMLP(newInput(g, input(7, weights.F64, 3, hidden)), newInput(g, ints(0, 1, 2, 3, 4, 5, 6, 7)), nil, other)
	require.NoError(t, err)
	_, err = y.Op().Do(input(7, weights.F64, 3, hidden), ints(0, -1, -1, -1, -1, -1, -1, -1))
	assert.ErrorContains(t, err, "1 slots are active, the cache holds 4 neurons")
}
