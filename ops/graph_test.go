package ops

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
	"pgregory.net/rapid"

	"github.com/sparsegonia/sparsegonia/cache"
	"github.com/sparsegonia/sparsegonia/ops/activation"
	"github.com/sparsegonia/sparsegonia/ops/kernel"
	"github.com/sparsegonia/sparsegonia/ops/optest"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// sparseLayer is the graph of the package documentation.
type sparseLayer struct {
	mlp       MLP
	predictor Predictor
	method    MaskMethod
}

func newSparseLayer(t *testing.T, seed uint64, d weights.Dtype, intermediate, hidden int, method MaskMethod) sparseLayer {
	t.Helper()
	return sparseLayer{
		mlp:       MLP{Cache: cache.InPlace(neurons(t, seed, d, intermediate, hidden, true)), Act: activationsOf(d)[0]},
		predictor: Predictor{matrix(seed+10, d, 3, hidden), matrix(seed+11, d, intermediate, 3)},
		method:    method,
	}
}

func (l sparseLayer) build(t *testing.T, x, live *gorgonia.Node) *gorgonia.Node {
	t.Helper()
	must := func(n *gorgonia.Node, err error) *gorgonia.Node {
		t.Helper()
		require.NoError(t, err)
		return n
	}
	scores := must(LowRankScores(x, l.predictor))
	mask := must(Mask(scores, l.method))
	active := must(Union(mask, live))
	slots := must(Refresh(active, l.mlp.Cache))
	return must(SparseMLP(x, slots, nil, l.mlp))
}

// reference is the layer with a threshold of tau. live is nil or has an entry for each row.
func (l sparseLayer) reference(x [][]float64, live []int32, tau float64) [][]float64 {
	active := map[int32]bool{}
	for t, row := range x {
		if live != nil && live[t] < 0 {
			continue
		}
		for i, s := range apply(Weight{Matrix: l.predictor.Up}, apply(Weight{Matrix: l.predictor.Down}, row)) {
			if s >= tau {
				active[int32(i)] = true
			}
		}
	}
	var list []int32
	for i := range active {
		list = append(list, i)
	}
	slices.Sort(list)
	y := make([][]float64, len(x))
	for t := range x {
		y[t] = mlpReference(l.mlp, l.mlp.Cache.Rows(), x[t], list, nil)
	}
	return y
}

// Two layers of equal shapes in one graph on the stock tape machine, run twice with different inputs.
func TestSparseLayersOnTapeMachine(t *testing.T) {
	const tokens, hidden, intermediate, tau = 3, 17, 40, 0.8
	for _, d := range []weights.Dtype{weights.F32, weights.F64, weights.BF16, weights.Int64} {
		t.Run(d.String(), func(t *testing.T) {
			first := newSparseLayer(t, 1, d, intermediate, hidden, Threshold(tau))
			second := newSparseLayer(t, 100, d, intermediate, hidden, Threshold(tau))
			g := gorgonia.NewGraph()
			x, live := newInput(g, input(1, d, tokens, hidden)), newInput(g, ints(0, -1, 1))
			var a, b gorgonia.Value
			gorgonia.Read(first.build(t, x, live), &a)
			gorgonia.Read(second.build(t, x, live), &b)
			m := gorgonia.NewTapeMachine(g)
			defer m.Close()
			for run := range 2 {
				in := input(uint64(run+20), d, tokens, hidden)
				alive := ints(-1, int32(run), -1)
				require.NoError(t, gorgonia.Let(x, in))
				require.NoError(t, gorgonia.Let(live, alive))
				require.NoError(t, m.RunAll())
				for i, l := range []sparseLayer{first, second} {
					got := vectors([]gorgonia.Value{a, b}[i].(*tensor.Dense))
					for row, want := range l.reference(vectors(in), alive.Int32s(), tau) {
						assertClose(t, want, got[row], tolerance(d))
					}
				}
				m.Reset()
			}
			assert.EqualValues(t, 2, first.mlp.Cache.(cache.Cache).Stats().Refreshes)
			assert.EqualValues(t, 2, second.mlp.Cache.(cache.Cache).Stats().Refreshes)
		})
	}
}

// The lisp machine walks the graph itself, without compiling it.
func TestSparseLayerOnLispMachine(t *testing.T) {
	const tau = 0.8
	l := newSparseLayer(t, 1, weights.F32, 40, 17, Threshold(tau))
	g := gorgonia.NewGraph()
	x := newInput(g, input(1, weights.F32, 3, 17))
	y := l.build(t, x, nil)
	m := gorgonia.NewLispMachine(g, gorgonia.ExecuteFwdOnly())
	defer m.Close()
	require.NoError(t, m.RunAll())
	for row, want := range l.reference(vectors(x.Value().(*tensor.Dense)), nil, tau) {
		assertClose(t, want, vectors(y.Value().(*tensor.Dense))[row], 1e-5)
	}
}

// assertClose allows a difference relative to the largest number, or to 1 where all are smaller.
func assertClose(t assert.TestingT, want, got []float64, tolerance float64) {
	largest := 1.0
	for _, x := range want {
		largest = max(largest, math.Abs(x))
	}
	assert.InDeltaSlice(t, want, got, tolerance*largest)
}

// The dense MLP of Linear and GLU equals the sparse one with every neuron active, for every dtype, activation and
// number of tokens; a threshold of −∞ makes every neuron active.
func TestAllActiveEqualsDense(t *testing.T) {
	const hidden, intermediate = 70, 50
	for _, d := range allDtypes {
		for _, act := range activationsOf(d) {
			for _, tokens := range []int{0, 1, 3, 33} {
				t.Run(fmt.Sprintf("%v/%v/%d", d, act, tokens), func(t *testing.T) {
					n := neurons(t, 1, d, intermediate, hidden, true)
					m := MLP{
						Cache: cache.InPlace(n), Act: act,
						GateBias: matrix(4, d.Compute(), 1, intermediate), UpBias: matrix(5, d.Compute(), 1, intermediate),
						DownBias: matrix(6, d.Compute(), 1, hidden),
					}
					g := gorgonia.NewGraph()
					x := newInput(g, input(9, d, tokens, hidden))
					gateWeight := Weight{Matrix: n.Gate(), Bias: m.GateBias}
					pre, err := Linear(x, gateWeight)
					require.NoError(t, err)
					up, err := Linear(x, Weight{Matrix: n.Up(), Bias: m.UpBias})
					require.NoError(t, err)
					h, err := GLU(pre, up, act)
					require.NoError(t, err)
					dense, err := Linear(h, Weight{Matrix: n.Down(), InputMajor: true, Bias: m.DownBias})
					require.NoError(t, err)

					gate, err := Gate(x, gateWeight, act)
					require.NoError(t, err)
					method := Threshold(math.Inf(-1))
					mask, err := Mask(gate, method)
					require.NoError(t, err)
					active, err := Union(mask, nil)
					require.NoError(t, err)
					slots, err := Refresh(active, m.Cache)
					require.NoError(t, err)
					sparse, err := SparseMLP(x, slots, nil, m)
					require.NoError(t, err)
					fromGate, err := SparseMLP(x, slots, gate, m)
					require.NoError(t, err)

					var want, got, gotFromGate gorgonia.Value
					gorgonia.Read(dense, &want)
					gorgonia.Read(sparse, &got)
					gorgonia.Read(fromGate, &gotFromGate)
					runTape(t, g)
					bound := 2e-6
					if d == weights.F64 {
						bound = 1e-14
					}
					rows := vectors(want.(*tensor.Dense))
					for i := range rows {
						assertClose(t, rows[i], vectors(got.(*tensor.Dense))[i], bound)
						assertClose(t, rows[i], vectors(gotFromGate.(*tensor.Dense))[i], bound)
					}
				})
			}
		}
	}
}

// The dense MLP is the sparse one with every neuron active, bit for bit.
func TestDenseMLPIsSparseMLPOfAll(t *testing.T) {
	const hidden, intermediate = 70, 50
	for _, d := range allDtypes {
		for _, gated := range []bool{true, false} {
			m := MLP{Cache: cache.InPlace(neurons(t, 1, d, intermediate, hidden, gated)), Act: activationsOf(d)[0]}
			biased := m
			biased.UpBias, biased.DownBias = matrix(5, d.Compute(), 1, intermediate), matrix(6, d.Compute(), 1, hidden)
			if gated {
				biased.GateBias = matrix(4, d.Compute(), 1, intermediate)
			}
			for i, m := range []MLP{m, biased} {
				for _, tokens := range []int{0, 1, 3, 33} {
					g := gorgonia.NewGraph()
					x := newInput(g, input(9, d, tokens, hidden))
					sparse, err := SparseMLP(x, newInput(g, slotsOf(slices.Repeat([]bool{true}, intermediate))), nil, m)
					require.NoError(t, err)
					dense, err := DenseMLP(x, MLP{Source: m.Cache.Rows(), Act: m.Act, GateBias: m.GateBias, UpBias: m.UpBias, DownBias: m.DownBias})
					require.NoError(t, err)
					var want, got gorgonia.Value
					gorgonia.Read(sparse, &want)
					gorgonia.Read(dense, &got)
					runTape(t, g)
					assert.Equal(t, want.Data(), got.Data(), "%v, gated %t, %d, %d tokens", d, gated, i, tokens)
				}
			}
		}
	}
}

// With no active neuron the output is zero, or the down bias.
func TestNoneActive(t *testing.T) {
	const hidden, intermediate = 9, 6
	for _, d := range allDtypes {
		for _, bias := range []*weights.Matrix{nil, matrix(3, d.Compute(), 1, hidden)} {
			g := gorgonia.NewGraph()
			x, slots := newInput(g, input(1, d, 2, hidden)), newInput(g, slotsOf(make([]bool, intermediate)))
			y, err := SparseMLP(x, slots, nil, MLP{
				Cache: cache.InPlace(neurons(t, 1, d, intermediate, hidden, true)), Act: activation.ReLU, DownBias: bias,
			})
			require.NoError(t, err)
			runTape(t, g)
			want := make([]float64, hidden)
			if bias != nil {
				want = decoded(bias)[0]
			}
			for _, row := range vectors(y.Value().(*tensor.Dense)) {
				assert.Equal(t, want, row)
			}
		}
	}
}

// A prompt in one chunk, or token by token, attends to the same things.
func TestAttentionAcrossRuns(t *testing.T) {
	const tokens, heads, kvHeads, size, scale = 7, 4, 2, 6, 0.4
	q := input(1, weights.F32, tokens, heads*size)
	k, v := input(2, weights.F32, tokens, kvHeads*size), input(3, weights.F32, tokens, kvHeads*size)
	var positions, sequences []int32
	for i := range tokens {
		positions, sequences = append(positions, int32(i)), append(sequences, 1)
	}
	step := func(kv *kernel.KV, from, to int) []float64 {
		rows := func(d *tensor.Dense) *tensor.Dense {
			cols := d.Shape()[1]
			return tensor.New(tensor.WithShape(to-from, cols), tensor.WithBacking(d.Float32s()[from*cols:to*cols]))
		}
		g := gorgonia.NewGraph()
		y, err := Attention(newInput(g, rows(q)), newInput(g, rows(k)), newInput(g, rows(v)),
			newInput(g, ints(positions[from:to]...)), newInput(g, ints(sequences[from:to]...)), heads, kv, scale)
		require.NoError(t, err)
		runTape(t, g)
		return slices.Concat(vectors(y.Value().(*tensor.Dense))...)
	}
	newKV := func() *kernel.KV {
		kv, err := kernel.NewKV(weights.F32, 2, tokens, kvHeads, size)
		require.NoError(t, err)
		return kv
	}
	want := step(newKV(), 0, tokens)
	for _, chunks := range [][]int{{0, 1, 2, 3, 4, 5, 6, 7}, {0, 4, 5, 7}} {
		kv := newKV()
		var got []float64
		for i := range len(chunks) - 1 {
			got = append(got, step(kv, chunks[i], chunks[i+1])...)
		}
		assertClose(t, want, got, 1e-6)
	}
}

// An Attention that fails has stored nothing.
func TestAttentionErrorStoresNothing(t *testing.T) {
	kv, err := kernel.NewKV(weights.F32, 1, 4, 1, 2)
	require.NoError(t, err)
	build := func(in ...*gorgonia.Node) gorgonia.Op {
		n, err := Attention(in[0], in[1], in[2], in[3], in[4], 1, kv, 1)
		require.NoError(t, err)
		return n.Op()
	}
	g := gorgonia.NewGraph()
	x, list := newInput(g, input(1, weights.F32, 2, 2)), newInput(g, ints(0, 1))
	op := build(x, x, x, list, list)
	ones, zero := tensor.New(tensor.WithShape(2, 2), tensor.WithBacking([]float32{1, 1, 1, 1})), ints(0, 0)
	_, err = op.Do(ones, ones, ones, ints(0, 9), zero)
	require.ErrorContains(t, err, "positions[1] is 9, want −1 to 3")
	row := tensor.New(tensor.WithShape(2, 2), tensor.WithBacking([]float32{2, 2, 2, 2}))
	got, err := op.Do(row, row, row, ints(1, 2), zero) // position 0 was never stored: its keys and values are zero
	require.NoError(t, err)
	first := vectors(got.(*tensor.Dense))[0][0]
	assert.InDelta(t, 2*math.Exp(8)/(1+math.Exp(8)), first, 1e-5)
}

// NeuronsOf gives the same neurons from every way in which the weights may lie.
func TestNeuronsOfEveryOrder(t *testing.T) {
	const hidden, intermediate = 5, 7
	for _, d := range allDtypes {
		want := neurons(t, 1, weights.F32, intermediate, hidden, true)
		if !slices.Contains([]weights.Dtype{weights.F32, weights.F16, weights.BF16, weights.Int8}, d) {
			want = neurons(t, 1, d, intermediate, hidden, true)
		}
		transposed := func(m *weights.Matrix) *weights.Matrix {
			out := weights.NewMatrix(m.Dtype(), m.Cols(), m.Rows())
			require.NoError(t, weights.Transpose(nil, out, m))
			return out
		}
		for mode := range 8 {
			weight := func(m *weights.Matrix, natural bool, bit int) Weight {
				if mode>>bit&1 == 0 {
					return Weight{Matrix: m, InputMajor: !natural}
				}
				return Weight{Matrix: transposed(m), InputMajor: natural}
			}
			got, err := NeuronsOf(weight(want.Gate(), true, 0), weight(want.Up(), true, 1), weight(want.Down(), false, 2))
			require.NoError(t, err)
			if mode == 0 {
				assert.Same(t, want.Up(), got.Up(), "neuron-major weights are viewed")
			} else {
				assert.NotSame(t, want.Up(), got.Up())
			}
			if quantised := d == weights.Int8G || d == weights.Int4 || d == weights.Int4M; quantised && mode != 0 {
				continue // a transpose quantises again
			}
			assert.Equal(t, decoded(want.Gate()), decoded(got.Gate()), "mode %d", mode)
			assert.Equal(t, decoded(want.Up()), decoded(got.Up()), "mode %d", mode)
			assert.Equal(t, decoded(want.Down()), decoded(got.Down()), "mode %d", mode)
		}
	}
}

func TestTensorWeightIsAView(t *testing.T) {
	for _, d := range computeDtypes {
		x := input(1, d, 3, 4)
		w, err := TensorWeight(x, true)
		require.NoError(t, err)
		assert.Equal(t, 3, w.Inputs())
		assert.Equal(t, 4, w.Outputs())
		assert.Equal(t, vectors(x), decoded(w.Matrix))
		clear(x.Raw)
		assert.Equal(t, vectors(x), decoded(w.Matrix), "the weight is not a view")

		transposed := input(1, d, 3, 4)
		require.NoError(t, transposed.T())
		for _, inputMajor := range []bool{false, true} {
			w, err = TensorWeight(transposed, inputMajor)
			require.NoError(t, err)
			assert.Equal(t, Weight{Matrix: w.Matrix, InputMajor: !inputMajor}, w)
			assert.Equal(t, vectors(input(1, d, 3, 4)), decoded(w.Matrix), "the matrix is the transposed one")
		}
		clear(transposed.Raw)
		assert.Equal(t, vectors(x), decoded(w.Matrix), "the weight of a transpose is not a view")

		part, err := input(1, d, 3, 4).Slice(nil, tensor.S(1, 3))
		require.NoError(t, err)
		w, err = TensorWeight(part, false)
		require.NoError(t, err)
		whole := vectors(input(1, d, 3, 4))
		assert.Equal(t, [][]float64{whole[0][1:3], whole[1][1:3], whole[2][1:3]}, decoded(w.Matrix))
	}
}

// Any shape, any active set: SparseMLP is the sum over the active neurons.
func TestSparseMLPProperty(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		hidden := rapid.IntRange(1, 80).Draw(r, "hidden")
		intermediate := rapid.IntRange(1, 60).Draw(r, "intermediate")
		tokens := rapid.IntRange(0, 12).Draw(r, "tokens")
		d := rapid.SampledFrom([]weights.Dtype{weights.F32, weights.F64, weights.F16, weights.BF16, weights.Int32}).Draw(r, "dtype")
		act := rapid.SampledFrom(activationsOf(d)).Draw(r, "activation")
		active := rapid.SliceOfN(rapid.Bool(), intermediate, intermediate).Draw(r, "active")
		gated := rapid.Bool().Draw(r, "gated")
		m := MLP{Cache: cache.InPlace(neurons(t, 1, d, intermediate, hidden, gated)), Act: act}
		g := gorgonia.NewGraph()
		x, mask := newInput(g, input(5, d, tokens, hidden)), tensor.New(tensor.WithShape(intermediate), tensor.WithBacking(active))
		slots, err := Refresh(newInput(g, mask), m.Cache)
		require.NoError(r, err)
		y, err := SparseMLP(x, slots, nil, m)
		require.NoError(r, err)
		runTape(t, g)
		got := vectors(y.Value().(*tensor.Dense))
		epsilon := 1e-6
		if d == weights.F64 {
			epsilon = 1e-14
		}
		list := activeNeurons(slotsOf(active))
		for i, row := range vectors(x.Value().(*tensor.Dense)) {
			want, bound := mlpReference(m, m.Cache.Rows(), row, list, nil), mlpMagnitude(m, row, list)
			for k := range want {
				assert.InDelta(r, want[k], got[i][k], epsilon*bound[k])
			}
		}
	})
}

// mlpMagnitude bounds the sum of the magnitudes of all terms, to which rounding errors are relative.
func mlpMagnitude(m MLP, x []float64, neurons []int32) []float64 {
	rows := m.Cache.Rows()
	magnitudes := func(v []float64) []float64 {
		out := make([]float64, len(v))
		for i := range v {
			out[i] = math.Abs(v[i])
		}
		return out
	}
	x = magnitudes(x)
	bound := make([]float64, rows.Hidden())
	for _, i := range neurons {
		h := dot(x, magnitudes(decodedAt(rows.Up(), int(i))))
		if rows.Gated() {
			h *= dot(x, magnitudes(decodedAt(rows.Gate(), int(i))))
		}
		for k, d := range magnitudes(decodedAt(rows.Down(), int(i))) {
			bound[k] += h * d
		}
	}
	return bound
}

// Grad panics on an op that does not say that it has no gradient.
func TestNoGradientIsAnError(t *testing.T) {
	g := gorgonia.NewGraph()
	x := newInput(g, input(1, weights.F64, 2, 4))
	y, err := Activate(x, activation.SiLU)
	require.NoError(t, err)
	cost, err := gorgonia.Sum(y)
	require.NoError(t, err)
	_, err = gorgonia.Grad(cost, x)
	assert.Error(t, err)
	_, err = y.Op().(gorgonia.SDOp).SymDiff(gorgonia.Nodes{x}, y, y)
	assert.EqualError(t, err, "ops: Activate: the op has no gradient")
	assert.ErrorIs(t, err, ErrNoGradient)
}

// The gradient through a whole sparse layer: the scores are constant, the MLP is not.
func TestGradientOfSparseLayer(t *testing.T) {
	const hidden, intermediate = 6, 12
	l := newSparseLayer(t, 1, weights.F64, intermediate, hidden, TopK(0.5))
	optest.Run(t, optest.Case{
		Build: func(in ...*gorgonia.Node) (*gorgonia.Node, error) {
			return SparseMLP(in[0], in[1], nil, l.mlp)
		},
		Inputs: []*tensor.Dense{input(1, weights.F64, 3, hidden), slotsOf(optest.Normal(2, tensor.Bool, intermediate).Bools())},
		Reference: func(in ...*tensor.Dense) (*tensor.Dense, error) {
			rows := vectors(in[0])
			for i, x := range rows {
				rows[i] = mlpReference(l.mlp, l.mlp.Cache.Rows(), x, activeNeurons(in[1]), nil)
			}
			return newDense(in[0], rows), nil
		},
		Tolerance: 1e-13,
		Allocates: true,
	})

	g := gorgonia.NewGraph()
	x := newInput(g, input(1, weights.F64, 3, hidden))
	y := l.build(t, x, nil)
	cost, err := gorgonia.Sum(y)
	require.NoError(t, err)
	grads, err := gorgonia.Grad(cost, x)
	require.NoError(t, err)
	runTape(t, g)
	got := slices.Concat(vectors(grads[0].Value().(*tensor.Dense))...)

	value := func(x *tensor.Dense) (sum float64) {
		g := gorgonia.NewGraph()
		y := l.build(t, newInput(g, x), nil)
		runTape(t, g)
		for _, v := range slices.Concat(vectors(y.Value().(*tensor.Dense))...) {
			sum += v
		}
		return sum
	}
	const step = 1e-6
	for i := range got {
		above, below := x.Value().(*tensor.Dense).Clone().(*tensor.Dense), x.Value().(*tensor.Dense).Clone().(*tensor.Dense)
		above.Float64s()[i] += step
		below.Float64s()[i] -= step
		assert.InDelta(t, (value(above)-value(below))/(2*step), got[i], 1e-5)
	}
}
