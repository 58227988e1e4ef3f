package ops

import (
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/sparsegonia/sparsegonia/cache"
	"github.com/sparsegonia/sparsegonia/ops/activation"
	"github.com/sparsegonia/sparsegonia/ops/kernel"
	"github.com/sparsegonia/sparsegonia/ops/optest"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// TestOps runs every op through the harness.
func TestOps(t *testing.T) {
	for _, group := range []struct {
		name  string
		cases func(*testing.T, func(string, optest.Case))
	}{
		{"Linear", linearCases},
		{"Activate", activateCases},
		{"GLU", gluCases},
		{"Gate", gateCases},
		{"RMSNorm", rmsNormCases},
		{"RoPE", ropeCases},
		{"Attention", attentionCases},
		{"Embedding", embeddingCases},
		{"TakeRows", takeRowsCases},
		{"LowRankScores", lowRankCases},
		{"Mask", maskCases},
		{"Union", unionCases},
		{"Refresh", refreshCases},
		{"SparseMLP", sparseMLPCases},
		{"Prefetch", prefetchCases},
		{"StreamMLP", streamMLPCases},
		{"DenseMLP", denseMLPCases},
	} {
		t.Run(group.name, func(t *testing.T) {
			group.cases(t, func(name string, c optest.Case) {
				t.Run(name, func(t *testing.T) { optest.Run(t, c) })
			})
		})
	}
}

// unary makes a builder of an op with one input.
func unary(f func(x *gorgonia.Node) (*gorgonia.Node, error)) optest.Builder {
	return func(in ...*gorgonia.Node) (*gorgonia.Node, error) { return f(in[0]) }
}

var otherPool = kernel.NewCPU(1)

func linearCases(t *testing.T, run func(string, optest.Case)) {
	build := func(w Weight, opts ...Option) optest.Builder {
		return unary(func(x *gorgonia.Node) (*gorgonia.Node, error) { return Linear(x, w, opts...) })
	}
	const inputs, outputs = 37, 21
	for _, d := range allDtypes {
		w := weight(1, d, outputs, inputs)
		major := Weight{Matrix: matrix(3, d, inputs, outputs), InputMajor: true, Bias: w.Bias}
		plain := Weight{Matrix: w.Matrix}
		for _, rows := range []int{0, 1, 5} {
			for i, w := range []Weight{w, major, plain} {
				run(fmt.Sprintf("%v/%d rows/%d", d, rows, i), optest.Case{
					Build:     build(w),
					Inputs:    []*tensor.Dense{input(7, d, rows, inputs)},
					Reference: perRow(func(x []float64) []float64 { return apply(w, x) }),
					Tolerance: tolerance(d),
					Allocates: exact(d),
					Variants: []optest.Builder{
						build(Weight{Matrix: matrix(3, d, outputs, inputs), Bias: w.Bias}),
						build(Weight{w.Matrix, w.InputMajor, matrix(9, d.Compute(), 1, outputs)}),
						build(w, WithCPU(otherPool)),
						unary(func(x *gorgonia.Node) (*gorgonia.Node, error) { return Gate(x, w, activation.ReLU) }),
					},
				})
			}
		}
	}
	square := matrix(1, weights.F32, 8, 8)
	run("square", optest.Case{
		Build:     build(Weight{Matrix: square}),
		Inputs:    []*tensor.Dense{input(7, weights.F32, 2, 8)},
		Reference: perRow(func(x []float64) []float64 { return apply(Weight{Matrix: square}, x) }),
		Tolerance: 1e-5,
		Variants:  []optest.Builder{build(Weight{Matrix: square, InputMajor: true})},
	})
	run("one by one", optest.Case{
		Build:     build(Weight{Matrix: matrix(1, weights.F32, 1, 1)}),
		Inputs:    []*tensor.Dense{input(7, weights.F32, 1, 1)},
		Reference: perRow(func(x []float64) []float64 { return apply(Weight{Matrix: matrix(1, weights.F32, 1, 1)}, x) }),
		Tolerance: 1e-6,
	})
}

func activateCases(t *testing.T, run func(string, optest.Case)) {
	build := func(a activation.Func, opts ...Option) optest.Builder {
		return unary(func(x *gorgonia.Node) (*gorgonia.Node, error) { return Activate(x, a, opts...) })
	}
	for _, d := range computeDtypes {
		for _, a := range activationsOf(d) {
			for _, shape := range [][]int{{33}, {3, 11}, {2, 3, 5}, {1, 1}} {
				c := optest.Case{
					Build:  build(a),
					Inputs: []*tensor.Dense{optest.Normal(5, computeDtype(d), shape...)},
					Reference: perRow(func(x []float64) []float64 {
						y := slices.Clone(x)
						for i := range y {
							y[i] = activationOf(a, y[i])
						}
						return y
					}),
					Tolerance: tolerance(d),
					Allocates: exact(d),
					Variants:  []optest.Builder{build(a, WithCPU(otherPool))},
				}
				for _, other := range activationsOf(d) {
					if other != a {
						c.Variants = append(c.Variants, build(other))
					}
				}
				run(fmt.Sprintf("%v/%v/%v", d, a, shape), c)
			}
		}
	}
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for _, a := range allActivations {
		run(fmt.Sprintf("not finite/%v", a), optest.Case{
			Build:  build(a),
			Inputs: []*tensor.Dense{vector(nan, inf, 0, -200, 1)},
			Reference: func(...*tensor.Dense) (*tensor.Dense, error) {
				return vector(nan, inf, 0, 0, float32(activationOf(a, 1))), nil
			},
			Tolerance: 1e-6,
		})
	}
}

func gluCases(t *testing.T, run func(string, optest.Case)) {
	build := func(a activation.Func, opts ...Option) optest.Builder {
		return func(in ...*gorgonia.Node) (*gorgonia.Node, error) { return GLU(in[0], in[1], a, opts...) }
	}
	for _, d := range computeDtypes {
		for _, a := range activationsOf(d) {
			for _, shape := range [][]int{{33}, {3, 11}, {2, 3, 5}} {
				c := optest.Case{
					Build: build(a),
					Inputs: []*tensor.Dense{
						optest.Normal(5, computeDtype(d), shape...), optest.Normal(6, computeDtype(d), shape...),
					},
					Reference: func(in ...*tensor.Dense) (*tensor.Dense, error) {
						gate, up := vectors(in[0]), vectors(in[1])
						for t := range gate {
							for i := range gate[t] {
								gate[t][i] = activationOf(a, gate[t][i]) * up[t][i]
							}
						}
						return newDense(in[0], gate), nil
					},
					Tolerance: tolerance(d),
					Allocates: exact(d),
					Variants: []optest.Builder{
						build(a, WithCPU(otherPool)),
						func(in ...*gorgonia.Node) (*gorgonia.Node, error) { return GLU(in[1], in[0], a) },
					},
				}
				for _, other := range activationsOf(d) {
					if other != a {
						c.Variants = append(c.Variants, build(other))
					}
				}
				// Exchanged inputs are another node of an equal op: the graph must tell them apart, the hash cannot.
				swapped := c.Variants[1]
				c.Variants = slices.Delete(c.Variants, 1, 2)
				run(fmt.Sprintf("%v/%v/%v", d, a, shape), c)
				exchange(t, c.Inputs, c.Build, swapped)
			}
		}
	}
}

// exchange tells that two builds on the same inputs are different nodes of one graph.
func exchange(t *testing.T, inputs []*tensor.Dense, a, b optest.Builder) {
	t.Helper()
	g := gorgonia.NewGraph()
	x, y := newInput(g, inputs[0]), newInput(g, inputs[1])
	first, err := a(x, y)
	require.NoError(t, err)
	second, err := b(x, y)
	require.NoError(t, err)
	require.NotSame(t, first, second)
	require.NotEqual(t, first.Hashcode(), second.Hashcode())
}

func gateCases(t *testing.T, run func(string, optest.Case)) {
	build := func(w Weight, a activation.Func, opts ...Option) optest.Builder {
		return unary(func(x *gorgonia.Node) (*gorgonia.Node, error) { return Gate(x, w, a, opts...) })
	}
	const hidden, intermediate = 24, 35
	for _, d := range allDtypes {
		for _, a := range activationsOf(d) {
			for _, rows := range []int{0, 3} {
				w := weight(1, d, intermediate, hidden)
				run(fmt.Sprintf("%v/%v/%d rows", d, a, rows), optest.Case{
					Build:  build(w, a),
					Inputs: []*tensor.Dense{input(7, d, rows, hidden)},
					Reference: perRow(func(x []float64) []float64 {
						y := apply(w, x)
						for i := range y {
							y[i] = activationOf(a, y[i])
						}
						return y
					}),
					Tolerance: tolerance(d),
					Allocates: exact(d),
					Variants: []optest.Builder{
						build(weight(5, d, intermediate, hidden), a),
						build(Weight{Matrix: w.Matrix}, a),
						build(w, a, WithCPU(otherPool)),
						unary(func(x *gorgonia.Node) (*gorgonia.Node, error) { return Linear(x, w) }),
					},
				})
			}
		}
	}
}

func rmsNormCases(t *testing.T, run func(string, optest.Case)) {
	build := func(w []float32, eps float32, opts ...Option) optest.Builder {
		return unary(func(x *gorgonia.Node) (*gorgonia.Node, error) { return RMSNorm(x, w, eps, opts...) })
	}
	const hidden = 45
	w := optest.Normal(2, tensor.Float32, hidden).Float32s()
	for _, rows := range []int{0, 1, 4} {
		run(fmt.Sprintf("%d rows", rows), optest.Case{
			Build:  build(w, 1e-5),
			Inputs: []*tensor.Dense{input(3, weights.F32, rows, hidden)},
			Reference: perRow(func(x []float64) []float64 {
				scale := 1 / math.Sqrt(dot(x, x)/hidden+float64(float32(1e-5)))
				y := make([]float64, hidden)
				for i := range y {
					y[i] = x[i] * scale * float64(w[i])
				}
				return y
			}),
			Tolerance: 1e-6,
			Variants: []optest.Builder{
				build(slices.Clone(w), 1e-5), build(w, 1e-6), build(w, 1e-5, WithCPU(otherPool)),
			},
		})
	}
}

func embeddingCases(t *testing.T, run func(string, optest.Case)) {
	build := func(w *weights.Matrix, opts ...Option) optest.Builder {
		return unary(func(x *gorgonia.Node) (*gorgonia.Node, error) { return Embedding(x, w, opts...) })
	}
	const vocabulary, hidden = 11, 34
	for _, d := range allDtypes {
		if d.Compute() != weights.F32 {
			continue
		}
		w := matrix(1, d, vocabulary, hidden)
		run(d.String(), optest.Case{
			Build:  build(w),
			Inputs: []*tensor.Dense{ints(3, 0, -1, vocabulary-1, 3)},
			Reference: func(in ...*tensor.Dense) (*tensor.Dense, error) {
				rows := decoded(w)
				var y []float32
				for _, id := range in[0].Int32s() {
					for k := range hidden {
						v := 0.0
						if id >= 0 {
							v = rows[id][k]
						}
						y = append(y, float32(v))
					}
				}
				return tensor.New(tensor.WithShape(5, hidden), tensor.WithBacking(y)), nil
			},
			Variants: []optest.Builder{build(matrix(1, d, vocabulary, hidden)), build(w, WithCPU(otherPool))},
			Invalid: map[string][]*tensor.Dense{
				"id too large":   {ints(3, 0, -1, vocabulary, 3)},
				"id −2":          {ints(3, 0, -2, 1, 3)},
				"least id":       {ints(math.MinInt32, 0, 0, 0, 0)},
				"greatest id":    {ints(0, 0, 0, 0, math.MaxInt32)},
				"all are absent": {ints(99, 99, 99, 99, 99)},
			},
		})
	}
}

func takeRowsCases(t *testing.T, run func(string, optest.Case)) {
	build := func(in ...*gorgonia.Node) (*gorgonia.Node, error) { return TakeRows(in[0], in[1]) }
	for _, d := range computeDtypes {
		x := input(1, d, 4, 7)
		run(d.String(), optest.Case{
			Build:  build,
			Inputs: []*tensor.Dense{x, ints(3, -1, 0)},
			Reference: func(in ...*tensor.Dense) (*tensor.Dense, error) {
				rows := vectors(in[0])
				y := tensor.New(tensor.Of(in[0].Dtype()), tensor.WithShape(3, 7))
				return newDense(y, [][]float64{rows[3], make([]float64, 7), rows[0]}), nil
			},
			Invalid: map[string][]*tensor.Dense{
				"row too large": {x, ints(3, 4, 0)},
				"row −2":        {x, ints(3, -2, 0)},
			},
		})
	}
}

func lowRankCases(t *testing.T, run func(string, optest.Case)) {
	build := func(p Predictor, opts ...Option) optest.Builder {
		return unary(func(x *gorgonia.Node) (*gorgonia.Node, error) { return LowRankScores(x, p, opts...) })
	}
	const hidden, intermediate = 26, 40
	for _, d := range allDtypes {
		for _, rank := range []int{1, 6, intermediate} {
			for _, rows := range []int{0, 3} {
				p := Predictor{Down: matrix(1, d, rank, hidden), Up: matrix(2, d, intermediate, rank)}
				run(fmt.Sprintf("%v/rank %d/%d rows", d, rank, rows), optest.Case{
					Build:  build(p),
					Inputs: []*tensor.Dense{input(7, d, rows, hidden)},
					Reference: perRow(func(x []float64) []float64 {
						return apply(Weight{Matrix: p.Up}, apply(Weight{Matrix: p.Down}, x))
					}),
					Tolerance: tolerance(d),
					Allocates: exact(d),
					Variants: []optest.Builder{
						build(Predictor{matrix(3, d, rank, hidden), p.Up}),
						build(Predictor{p.Down, matrix(3, d, intermediate, rank)}),
						build(p, WithCPU(otherPool)),
					},
				})
			}
		}
	}
}

func maskCases(t *testing.T, run func(string, optest.Case)) {
	build := func(m MaskMethod) optest.Builder {
		return unary(func(x *gorgonia.Node) (*gorgonia.Node, error) { return Mask(x, m) })
	}
	const intermediate = 50
	perNeuron := optest.Normal(9, tensor.Float64, intermediate).Float64s()
	methods := []struct {
		name   string
		method MaskMethod
		active func(x []float64, i int) bool
	}{
		{"zero threshold", Threshold(0), func(x []float64, i int) bool { return x[i] >= 0 }},
		{"threshold", Threshold(0.3), func(x []float64, i int) bool { return x[i] >= 0.3 }},
		{"magnitude", Threshold(1.7).Magnitude(), func(x []float64, i int) bool { return math.Abs(x[i]) >= 1.7 }},
		{"threshold each", Threshold(perNeuron...), func(x []float64, i int) bool { return x[i] >= perNeuron[i] }},
		{"magnitude each", Threshold(perNeuron...).Magnitude(), func(x []float64, i int) bool { return math.Abs(x[i]) >= perNeuron[i] }},
		{"everything", Threshold(math.Inf(-1)), func([]float64, int) bool { return true }},
		{"topk", TopK(0.7), topK(15)},
		{"topk all", TopK(0), topK(intermediate)},
		{"topk none", TopK(1), topK(0)},
		{"statistical", Statistical(0.8), statistical(0.8416212335729143)},
		{"statistical half", Statistical(0.5), statistical(0)},
	}
	for _, d := range computeDtypes {
		for i, m := range methods {
			for _, rows := range []int{0, 4} {
				c := optest.Case{
					Build:  build(m.method),
					Inputs: []*tensor.Dense{input(4, d, rows, intermediate)},
					Reference: func(in ...*tensor.Dense) (*tensor.Dense, error) {
						var mask []bool
						for _, x := range vectors(in[0]) {
							for i := range x {
								mask = append(mask, m.active(x, i))
							}
						}
						return tensor.New(tensor.WithShape(in[0].Shape().Clone()...), tensor.WithBacking(mask)), nil
					},
				}
				for j, other := range methods {
					if j != i {
						c.Variants = append(c.Variants, build(other.method))
					}
				}
				run(fmt.Sprintf("%v/%s/%d rows", d, m.name, rows), c)
			}
		}
	}
	nan := float32(math.NaN())
	for _, m := range []MaskMethod{Threshold(math.Inf(-1)), Threshold(0), Threshold(0).Magnitude(), TopK(0.5)} {
		run("NaN scores/"+m.String(), optest.Case{
			Build:  build(m),
			Inputs: []*tensor.Dense{tensor.New(tensor.WithShape(4), tensor.WithBacking([]float32{nan, 3, nan, 2}))},
			Reference: func(...*tensor.Dense) (*tensor.Dense, error) {
				return tensor.New(tensor.WithShape(4), tensor.WithBacking([]bool{false, true, false, true})), nil
			},
		})
	}
}

// topK tells that fewer than k scores come before x[i].
func topK(k int) func(x []float64, i int) bool {
	return func(x []float64, i int) bool {
		before := 0
		for j := range x {
			if x[j] > x[i] || x[j] == x[i] && j < i {
				before++
			}
		}
		return before < k
	}
}

func statistical(z float64) func(x []float64, i int) bool {
	return func(x []float64, i int) bool {
		var sum, squares float64
		for _, v := range x {
			sum += v
		}
		mean := sum / float64(len(x))
		for _, v := range x {
			squares += (v - mean) * (v - mean)
		}
		return x[i] > mean+z*math.Sqrt(squares/float64(len(x)-1))
	}
}

func unionCases(t *testing.T, run func(string, optest.Case)) {
	mask := bools(4,
		true, false, false, false,
		false, true, false, false,
		true, false, false, true,
	)
	reference := func(want ...bool) func(...*tensor.Dense) (*tensor.Dense, error) {
		return func(...*tensor.Dense) (*tensor.Dense, error) {
			return tensor.New(tensor.WithShape(4), tensor.WithBacking(want)), nil
		}
	}
	all := unary(func(mask *gorgonia.Node) (*gorgonia.Node, error) { return Union(mask, nil) })
	live := func(in ...*gorgonia.Node) (*gorgonia.Node, error) { return Union(in[0], in[1]) }
	run("all", optest.Case{
		Build: all, Inputs: []*tensor.Dense{mask}, Reference: reference(true, true, false, true),
	})
	run("live", optest.Case{
		Build: live, Inputs: []*tensor.Dense{mask, ints(0, 7, -1)}, Reference: reference(true, true, false, false),
	})
	run("none live", optest.Case{
		Build: live, Inputs: []*tensor.Dense{mask, ints(-1, -5, -1)}, Reference: reference(false, false, false, false),
	})
	run("one token", optest.Case{
		Build:     all,
		Inputs:    []*tensor.Dense{tensor.New(tensor.WithShape(4), tensor.WithBacking([]bool{false, true, false, true}))},
		Reference: reference(false, true, false, true),
	})
}

func refreshCases(t *testing.T, run func(string, optest.Case)) {
	for _, intermediate := range []int{1, 8, 77} {
		store := neurons(t, 1, weights.F32, intermediate, 3, true)
		run(fmt.Sprint(intermediate), optest.Case{
			Build: unary(func(active *gorgonia.Node) (*gorgonia.Node, error) {
				return Refresh(active, cache.InPlace(store))
			}),
			Stateful: true,
			Inputs:   []*tensor.Dense{optest.Normal(3, tensor.Bool, intermediate)},
			Reference: func(in ...*tensor.Dense) (*tensor.Dense, error) {
				return slotsOf(in[0].Bools()), nil
			},
		})
	}
}

func sparseMLPCases(t *testing.T, run func(string, optest.Case)) {
	build := func(m MLP, opts ...Option) optest.Builder {
		return func(in ...*gorgonia.Node) (*gorgonia.Node, error) {
			var gate *gorgonia.Node
			if len(in) == 3 {
				gate = in[2]
			}
			return SparseMLP(in[0], in[1], gate, m, opts...)
		}
	}
	const hidden, intermediate, outputs = 33, 20, 14
	sets := map[string]*tensor.Dense{
		"all":  slotsOf(slices.Repeat([]bool{true}, intermediate)),
		"some": slotsOf(optest.Normal(8, tensor.Bool, intermediate).Bools()),
		"one":  slotsOf(append(make([]bool, intermediate-1), true)),
		"none": slotsOf(make([]bool, intermediate)),
	}
	for _, d := range allDtypes {
		for _, gated := range []bool{true, false} {
			m := MLP{Cache: cache.InPlace(neurons(t, 1, d, intermediate, hidden, gated))}
			biased := m
			biased.UpBias = matrix(11, d.Compute(), 1, intermediate)
			biased.DownBias = matrix(12, d.Compute(), 1, hidden)
			if gated {
				biased.GateBias = matrix(13, d.Compute(), 1, intermediate)
			}
			for setName, active := range sets {
				for i, m := range []MLP{m, biased} {
					m.Act = activationsOf(d)[(len(setName)+i)%len(activationsOf(d))]
					other := m
					other.Cache = cache.InPlace(m.Cache.Rows())
					down := m
					down.DownBias = matrix(15, d.Compute(), 1, hidden)
					variants := []optest.Builder{build(other), build(down), build(m, WithCPU(otherPool))}
					for _, a := range activationsOf(d) {
						if a != m.Act {
							v := m
							v.Act = a
							variants = append(variants, build(v))
						}
					}
					run(fmt.Sprintf("%v/gated=%t/%s/%d", d, gated, setName, i), optest.Case{
						Build:  build(m),
						Inputs: []*tensor.Dense{input(3, d, i*3, hidden), active},
						Reference: perRow(func(x []float64) []float64 {
							return mlpReference(m, x, activeNeurons(active), nil)
						}),
						Tolerance: tolerance(d),
						Allocates: exact(d),
						Variants:  variants,
						Invalid: map[string][]*tensor.Dense{
							"slot too large": {input(3, d, i*3, hidden), ints(slices.Repeat([]int32{intermediate}, intermediate)...)},
							"greatest slot":  {input(3, d, i*3, hidden), ints(append([]int32{math.MaxInt32}, slices.Repeat([]int32{-1}, intermediate-1)...)...)},
						},
					})
				}
			}
			for _, rows := range []int{0, 2} {
				biased.Act = activationsOf(d)[0]
				gate := input(19, d, rows, intermediate)
				active := sets["some"]
				run(fmt.Sprintf("%v/gated=%t/gate values/%d rows", d, gated, rows), optest.Case{
					Build:  build(biased),
					Inputs: []*tensor.Dense{input(3, d, rows, hidden), active, gate},
					Reference: func(in ...*tensor.Dense) (*tensor.Dense, error) {
						x, gates := vectors(in[0]), vectors(in[2])
						for t := range x {
							x[t] = mlpReference(biased, x[t], activeNeurons(in[1]), gates[t])
						}
						return newDense(in[0], x), nil
					},
					Tolerance: tolerance(d),
					Allocates: exact(d),
				})
			}

			other := biased
			rows := m.Cache.Rows()
			n, err := weights.NewNeurons(rows.Gate, rows.Up, matrix(21, d, intermediate, outputs))
			require.NoError(t, err)
			other.Cache, other.DownBias = cache.InPlace(n), matrix(22, d.Compute(), 1, outputs)
			run(fmt.Sprintf("%v/gated=%t/other outputs", d, gated), optest.Case{
				Build:  build(other),
				Inputs: []*tensor.Dense{input(3, d, 3, hidden), sets["some"]},
				Reference: perRow(func(x []float64) []float64 {
					return mlpReference(other, x, activeNeurons(sets["some"]), nil)
				}),
				Tolerance: tolerance(d),
				Allocates: exact(d),
			})
		}
	}
}

func prefetchCases(t *testing.T, run func(string, optest.Case)) {
	store := neurons(t, 1, weights.F32, 77, 3, true)
	run("window", optest.Case{
		Build: unary(func(active *gorgonia.Node) (*gorgonia.Node, error) {
			return Prefetch(active, window(t, store))
		}),
		Stateful:  true,
		Inputs:    []*tensor.Dense{optest.Normal(3, tensor.Bool, 77)},
		Reference: func(in ...*tensor.Dense) (*tensor.Dense, error) { return in[0].Clone().(*tensor.Dense), nil },
	})
}

func streamMLPCases(t *testing.T, run func(string, optest.Case)) {
	build := func(m StoredMLP, opts ...Option) optest.Builder {
		return unary(func(x *gorgonia.Node) (*gorgonia.Node, error) { return StreamMLP(x, m, opts...) })
	}
	const hidden, intermediate = 33, 70
	all := activeNeurons(slotsOf(slices.Repeat([]bool{true}, intermediate)))
	for _, d := range allDtypes {
		gated, plain := neurons(t, 1, d, intermediate, hidden, true), neurons(t, 2, d, intermediate, hidden, false)
		for _, block := range []int{1, 16, 1000} {
			s := stream(t, block, gated, plain)
			for layer, store := range []*weights.Neurons{gated, plain} {
				m := StoredMLP{Stream: s, Layer: layer, Act: activationsOf(d)[block%len(activationsOf(d))]}
				biased := m
				biased.UpBias, biased.DownBias = matrix(11, d.Compute(), 1, intermediate), matrix(12, d.Compute(), 1, hidden)
				if layer == 0 {
					biased.GateBias = matrix(13, d.Compute(), 1, intermediate)
				}
				for i, m := range []StoredMLP{m, biased} {
					same := MLP{
						Cache: cache.InPlace(store), Act: m.Act,
						GateBias: m.GateBias, UpBias: m.UpBias, DownBias: m.DownBias,
					}
					run(fmt.Sprintf("%v/gated=%t/blocks of %d/%d", d, layer == 0, block, i), optest.Case{
						Build:  build(m),
						Inputs: []*tensor.Dense{input(3, d, i*20, hidden)},
						Reference: perRow(func(x []float64) []float64 {
							return mlpReference(same, x, all, nil)
						}),
						Tolerance: tolerance(d),
						Allocates: exact(d),
						Variants:  []optest.Builder{build(m, WithCPU(otherPool))},
					})
				}
			}
		}
	}
}

func denseMLPCases(t *testing.T, run func(string, optest.Case)) {
	build := func(m MLP, opts ...Option) optest.Builder {
		return unary(func(x *gorgonia.Node) (*gorgonia.Node, error) { return DenseMLP(x, m, opts...) })
	}
	const hidden, intermediate, outputs = 33, 70, 14
	all := activeNeurons(slotsOf(slices.Repeat([]bool{true}, intermediate)))
	for _, d := range allDtypes {
		for _, gated := range []bool{true, false} {
			store := neurons(t, 1, d, intermediate, hidden, gated)
			other, err := weights.NewNeurons(store.Gate, store.Up, matrix(21, d, intermediate, outputs))
			require.NoError(t, err)
			m := MLP{Cache: cache.InPlace(store)}
			biased := MLP{
				Cache:  cache.InPlace(other),
				UpBias: matrix(11, d.Compute(), 1, intermediate), DownBias: matrix(12, d.Compute(), 1, outputs),
			}
			if gated {
				biased.GateBias = matrix(13, d.Compute(), 1, intermediate)
			}
			for i, m := range []MLP{m, biased} {
				for _, rows := range []int{0, 3, 20} {
					m.Act = activationsOf(d)[(i+rows)%len(activationsOf(d))]
					again, down := m, m
					again.Cache = cache.InPlace(m.Cache.Rows())
					down.DownBias = matrix(15, d.Compute(), 1, m.Cache.Rows().Outputs())
					run(fmt.Sprintf("%v/gated=%t/%d rows/%d", d, gated, rows, i), optest.Case{
						Build:  build(m),
						Inputs: []*tensor.Dense{input(3, d, rows, hidden)},
						Reference: perRow(func(x []float64) []float64 {
							return mlpReference(m, x, all, nil)
						}),
						Tolerance: tolerance(d),
						Allocates: exact(d),
						Variants:  []optest.Builder{build(again), build(down), build(m, WithCPU(otherPool))},
					})
				}
			}
		}
	}
}

// stream writes the layers to a neuron file and reads it in blocks of that many neurons of the first.
func stream(t *testing.T, neurons int, layers ...*weights.Neurons) *cache.Stream {
	t.Helper()
	shape := layers[0].Shape()
	s, err := cache.NewStream(neuronFile(t, layers...), int64(neurons*3*(shape.Dtype.RowBytes(shape.Hidden)+63)))
	require.NoError(t, err)
	return s
}

func window(t *testing.T, store *weights.Neurons) *cache.Window {
	t.Helper()
	w, err := cache.NewWindow(neuronFile(t, store), 0, cache.WindowOptions{Tokens: 2})
	require.NoError(t, err)
	return w
}

func neuronFile(t *testing.T, layers ...*weights.Neurons) *cache.File {
	t.Helper()
	path := filepath.Join(t.TempDir(), "neurons")
	require.NoError(t, cache.WriteFile(path, "", len(layers), func(i int) (*weights.Neurons, error) { return layers[i], nil }))
	f, err := cache.OpenFile(path)
	require.NoError(t, err)
	t.Cleanup(func() { f.Close() })
	return f
}

func ropeCases(t *testing.T, run func(string, optest.Case)) {
	build := func(heads int, r *kernel.Rotary, opts ...Option) optest.Builder {
		return func(in ...*gorgonia.Node) (*gorgonia.Node, error) { return RoPE(in[0], in[1], heads, r, opts...) }
	}
	const heads, size, theta = 3, 8, 10000.0
	rotary := func(theta float64, interleaved bool) *kernel.Rotary {
		r, err := kernel.NewRotary(kernel.RotaryConfig{
			HeadDim: size, Dim: size, Theta: theta, Scaling: "default", MaxContext: 64, Interleaved: interleaved,
		})
		require.NoError(t, err)
		return r
	}
	r := rotary(theta, false)
	for _, interleaved := range []bool{false, true} {
		r := rotary(theta, interleaved)
		x := input(1, weights.F32, 4, heads*size)
		run(fmt.Sprintf("interleaved=%t", interleaved), optest.Case{
			Build:  build(heads, r),
			Inputs: []*tensor.Dense{x, ints(0, 5, -1, 63)},
			Reference: func(in ...*tensor.Dense) (*tensor.Dense, error) {
				rows := vectors(in[0])
				for t, position := range in[1].Int32s() {
					if position < 0 {
						continue
					}
					for h := range heads {
						rotate(rows[t][h*size:][:size], float64(position), theta, interleaved)
					}
				}
				return newDense(in[0], rows), nil
			},
			Tolerance: 1e-5,
			Variants:  []optest.Builder{build(heads, rotary(theta, interleaved)), build(heads, r, WithCPU(otherPool))},
			Invalid:   map[string][]*tensor.Dense{"position −2": {x, ints(0, -2, 0, 0)}},
		})
	}
	run("one row", optest.Case{
		Build:     build(1, r),
		Inputs:    []*tensor.Dense{input(1, weights.F32, 1, size), ints(0)},
		Reference: perRow(func(x []float64) []float64 { return x }), // position 0 turns nothing
	})
}

// rotate turns the pairs of one head by the angles of a position.
func rotate(head []float64, position, theta float64, interleaved bool) {
	half := len(head) / 2
	for i := range half {
		sin, cos := math.Sincos(position * math.Pow(theta, -float64(i)/float64(half)))
		a, b := i, i+half
		if interleaved {
			a, b = 2*i, 2*i+1
		}
		head[a], head[b] = head[a]*cos-head[b]*sin, head[a]*sin+head[b]*cos
	}
}

func attentionCases(t *testing.T, run func(string, optest.Case)) {
	const heads, kvHeads, size, scale = 4, 2, 6, 0.4
	build := func(d weights.Dtype, kv *kernel.KV, scale float32, opts ...Option) optest.Builder {
		return func(in ...*gorgonia.Node) (*gorgonia.Node, error) {
			state := kv
			if state == nil {
				var err error
				if state, err = kernel.NewKV(d, 2, 8, kvHeads, size); err != nil {
					return nil, err
				}
			}
			return Attention(in[0], in[1], in[2], in[3], in[4], heads, state, scale, opts...)
		}
	}
	shared, err := kernel.NewKV(weights.F32, 2, 8, kvHeads, size)
	require.NoError(t, err)
	q := input(1, weights.F32, 6, heads*size)
	k, v := input(2, weights.F32, 6, kvHeads*size), input(3, weights.F32, 6, kvHeads*size)
	positions, sequences := ints(0, 1, 0, 2, 1, -1), ints(0, 0, 1, 0, 1, 99)
	reference := func(in ...*tensor.Dense) (*tensor.Dense, error) {
		q, k, v := vectors(in[0]), vectors(in[1]), vectors(in[2])
		for t := range q {
			q[t] = attend(t, q[t], k, v, in[3].Int32s(), in[4].Int32s(), heads, kvHeads, scale)
		}
		return newDense(in[0], q), nil
	}
	for _, d := range []weights.Dtype{weights.F32, weights.F16} {
		tolerance := 1e-5
		if d == weights.F16 {
			tolerance = 2e-3 // keys and values are rounded
		}
		run(d.String(), optest.Case{
			Build:     build(d, nil, scale),
			Inputs:    []*tensor.Dense{q, k, v, positions, sequences},
			Reference: reference,
			Tolerance: tolerance,
			Stateful:  true,
			Variants:  []optest.Builder{build(d, shared, scale), build(d, shared, 0.5), build(d, shared, scale, WithCPU(otherPool))},
			Invalid: map[string][]*tensor.Dense{
				"position beyond the capacity": {q, k, v, ints(0, 1, 0, 8, 1, -1), sequences},
				"position −2":                  {q, k, v, ints(0, 1, 0, -2, 1, -1), sequences},
				"sequence too large":           {q, k, v, positions, ints(0, 0, 2, 0, 1, 0)},
				"sequence −1":                  {q, k, v, positions, ints(0, 0, -1, 0, 1, 0)},
			},
		})
	}
}

// attend is attention for row t, among the rows given.
func attend(t int, q []float64, k, v [][]float64, positions, sequences []int32, heads, kvHeads int, scale float64) []float64 {
	y := make([]float64, len(q))
	if positions[t] < 0 {
		return y
	}
	size := len(q) / heads
	for h := range heads {
		of := func(row []float64) []float64 { return row[h/(heads/kvHeads)*size:][:size] }
		var total float64
		for s := range k {
			if sequences[s] != sequences[t] || positions[s] < 0 || positions[s] > positions[t] {
				continue
			}
			p := math.Exp(scale * dot(q[h*size:][:size], of(k[s])))
			total += p
			for i, x := range of(v[s]) {
				y[h*size+i] += p * x
			}
		}
		for i := range size {
			y[h*size+i] /= total
		}
	}
	return y
}
