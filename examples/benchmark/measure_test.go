package main

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/sparsegonia/sparsegonia/cache"
	"github.com/sparsegonia/sparsegonia/llama"
	"github.com/sparsegonia/sparsegonia/ops/kernel"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

func TestSummarise(t *testing.T) {
	for _, test := range []struct {
		values []float64
		want   summary
		spread float64
	}{
		{nil, summary{}, 0},
		{[]float64{3}, summary{Median: 3, Q1: 3, Q3: 3, Min: 3, Max: 3, N: 1}, 0},
		{[]float64{4, 1}, summary{Median: 2.5, Q1: 1.75, Q3: 3.25, Min: 1, Max: 4, N: 2}, 0.3},
		{[]float64{5, 1, 4, 2, 3}, summary{Median: 3, Q1: 2, Q3: 4, Min: 1, Max: 5, N: 5}, 1.0 / 3},
		{[]float64{0, 0, 0, 8}, summary{Q3: 2, Max: 8, N: 4}, 0},
	} {
		before := slices.Clone(test.values)
		got := summarise(test.values)
		assert.Equal(t, test.want, got)
		assert.InDelta(t, test.spread, got.spread(), 1e-12)
		assert.Equal(t, before, test.values)
	}
	assert.Equal(t, "±30%", summarise([]float64{4, 1}).percent())
	assert.Empty(t, summarise([]float64{4}).percent())
}

func TestSummariseOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.Float64Range(-1e6, 1e6), 1, 30).Draw(t, "values")
		s := summarise(values)
		assert.True(t, slices.IsSorted([]float64{s.Min, s.Q1, s.Median, s.Q3, s.Max}), s)
		below := 0
		for _, v := range values {
			if v <= s.Median {
				below++
			}
		}
		assert.GreaterOrEqual(t, 2*below, len(values))
		assert.Equal(t, s, summarise(rapid.Permutation(values).Draw(t, "order")))
	})
}

func testMeter(t *testing.T) *meter {
	cpu := kernel.NewCPU(2)
	t.Cleanup(cpu.Close)
	return newMeter(cpu, 1<<20)
}

func TestMeasure(t *testing.T) {
	m := testMeter(t)
	const pause = 2 * time.Millisecond
	var prepared, runs []int
	results, err := m.measure(t.Context(), 4, []trial{
		{
			work: 1e6, prepare: func(round int) error { prepared = append(prepared, round); return nil },
			run: func(round int) error { runs = append(runs, round); return nil },
		},
		{work: 1e9, unit: fmaRoof, run: func(int) error { time.Sleep(pause); return nil }},
		{unit: noRoof, runs: 3, run: func(int) error { time.Sleep(pause); return nil }},
	})
	require.NoError(t, err)
	assert.Equal(t, prepared, runs)
	assert.True(t, slices.IsSorted(runs))
	runs = slices.Compact(runs)
	assert.Equal(t, []int{0, 1, 2, 3, 4}, runs, "one round to warm up and four that count")
	for _, r := range results {
		assert.Equal(t, 4, r.seconds.N)
	}
	assert.Positive(t, results[0].roof)
	assert.Positive(t, results[0].ratio)
	assert.InEpsilon(t, 1e6/results[0].seconds.Median, results[0].rate, 1e-9)
	assert.GreaterOrEqual(t, results[1].seconds.Min, pause.Seconds())
	assert.Positive(t, results[1].roof)
	assert.GreaterOrEqual(t, results[2].seconds.Min, pause.Seconds(), "the time of one run")
	assert.Zero(t, results[2].roof)
	assert.Zero(t, results[2].rate)
}

func TestMeasureEnds(t *testing.T) {
	m := testMeter(t)
	m.budget = time.Nanosecond
	rounds := 0
	slow := trial{unit: noRoof, run: func(int) error { rounds++; time.Sleep(time.Millisecond); return nil }}
	_, err := m.measure(t.Context(), 100, []trial{slow})
	require.NoError(t, err)
	assert.Equal(t, 1+fewest, rounds)

	stop := errors.New("stop")
	_, err = m.measure(t.Context(), 2, []trial{{run: func(int) error { return stop }}})
	assert.ErrorIs(t, err, stop)
	_, err = m.measure(t.Context(), 2, []trial{{prepare: func(int) error { return stop }}})
	assert.ErrorIs(t, err, stop)

	ctx, cancel := context.WithCancel(t.Context())
	_, err = m.measure(ctx, 2, []trial{{run: func(int) error { cancel(); return nil }}})
	assert.ErrorIs(t, err, context.Canceled)
}

func TestTimesAsFast(t *testing.T) {
	slow, fast := measured{runs: []float64{4, 40, 9}}, measured{runs: []float64{2, 10, 3}}
	assert.Equal(t, 3.0, fast.timesAsFast(&slow), "of the quotients 2, 4 and 3")
	assert.Equal(t, 1.0, fast.timesAsFast(&fast))
}

func TestDisturbed(t *testing.T) {
	assert.False(t, disturbed(100, 109))
	assert.False(t, disturbed(109, 100))
	assert.True(t, disturbed(100, 111))
	assert.True(t, disturbed(111, 100))
}

// What is timed under different names is the same function: dense, sparse with every neuron, and
// the stock nodes.
func TestTrialsComputeTheMLP(t *testing.T) {
	cpu := kernel.NewCPU(2)
	defer cpu.Close()
	for _, d := range weightDtypes {
		m, err := newMLP(cpu, shape{96, 200}, d, 2, 1, 1)
		require.NoError(t, err)
		for round := range 3 {
			require.NoError(t, m.dense(round))
			dense := slices.Clone(m.y)
			m.choose(1)
			clear(m.y)
			require.NoError(t, m.sparse(round))
			assertClose(t, dense, m.y, 1e-4)

			// Half of the neurons and the other half add up to all of them.
			m.choose(0.5)
			require.Len(t, m.slots, 100)
			require.NoError(t, m.sparse(round))
			half := slices.Clone(m.y)
			var rest []int32
			for i := range int32(200) {
				if !slices.Contains(m.slots, i) {
					rest = append(rest, i)
				}
			}
			m.slots = append(m.slots[:0], rest...)
			require.NoError(t, m.sparse(round))
			for i := range half {
				half[i] += m.y[i]
			}
			eps := 1e-4
			if d == weights.Int4 || d == weights.Int4M { // which round what eight rows are multiplied with
				eps = 1e-2
			}
			assertClose(t, dense, half, eps)
		}
		if d != weights.F32 {
			continue
		}
		require.NoError(t, m.dense(0))
		machines, err := newStockMLPs(m.layers[0], m.x)
		require.NoError(t, err)
		require.Len(t, machines, 2)
		for _, s := range machines {
			for range 2 {
				require.NoError(t, s.reset(0))
				require.NoError(t, s.run(0))
				assertClose(t, m.y, s.output.Value().Data().([]float32), 1e-4)
			}
		}
	}
}

func assertClose(t *testing.T, want, got []float32, tolerance float64) {
	t.Helper()
	require.Len(t, got, len(want))
	var largest, difference float64
	for i := range want {
		largest = max(largest, math.Abs(float64(want[i])))
		difference = max(difference, math.Abs(float64(want[i]-got[i])))
	}
	require.Positive(t, largest)
	assert.LessOrEqual(t, difference, tolerance*largest)
}

func TestPredictedFraction(t *testing.T) {
	cpu := kernel.NewCPU(2)
	defer cpu.Close()
	m, err := newMLP(cpu, shape{96, 500}, weights.F32, 2, 1, 1)
	require.NoError(t, err)
	for _, d := range []weights.Dtype{weights.F32, weights.F16} {
		m.predict(d)
		assert.Equal(t, 20, m.predictors[1].down.Rows())
		assert.Equal(t, m.shape.predictorBytes(d), m.predictors[1].down.Bytes()+m.predictors[1].up.Bytes())
		for round := range 4 {
			require.NoError(t, m.calibrate(round, 0.2))
			require.NoError(t, m.predicted(round))
			var active []int32
			for i, s := range m.scores {
				if s >= m.tau[0] {
					active = append(active, int32(i))
				}
			}
			assert.Len(t, active, 100)
			got := slices.Clone(m.y)
			m.run(m.layer(round), active, nil)
			assert.Equal(t, m.y, got)
		}
	}
}

func TestLayersLeaveTheCache(t *testing.T) {
	for _, d := range weightDtypes {
		n := layersFor(shape3B, d, full.coldBytes)
		assert.GreaterOrEqual(t, n, 2)
		assert.GreaterOrEqual(t, n*shape3B.bytes(d), full.coldBytes)
	}
}

func TestWalk(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		neurons := rapid.IntRange(1, 200).Draw(t, "neurons")
		active := rapid.Float64Range(0, 1).Draw(t, "active")
		w := newWalk(neurons, active, rapid.Uint64().Draw(t, "seed"))
		for range 5 {
			before := slices.Clone(w.mask)
			changed := rapid.Float64Range(0, 1).Draw(t, "changed")
			w.step(changed)
			count, arrived := 0, 0
			for i, now := range w.mask {
				if now {
					count++
					if !before[i] {
						arrived++
					}
				}
			}
			assert.Equal(t, activeOf(neurons, active), count)
			assert.Equal(t, min(activeOf(count, changed), neurons-count), arrived)
		}
	})
}

// The naive gathers are caches like the others.
func TestPoliciesAgree(t *testing.T) {
	cpu := kernel.NewCPU(2)
	defer cpu.Close()
	m, err := newMLP(cpu, shape{64, 300}, weights.F16, 1, 1, 1)
	require.NoError(t, err)
	w := newWalk(m.intermediate, 0.3, 1)
	all := policies
	var policies []*policy
	file, err := m.writeNeurons()
	require.NoError(t, err)
	defer file.Close()
	for _, name := range all {
		p, err := m.newPolicy(name, file)
		require.NoError(t, err)
		policies = append(policies, p)
	}
	for range 5 {
		w.step(0.2)
		var want []float32
		for _, p := range policies {
			require.NoError(t, p.Refresh(w.mask, p.slots))
			m.run(p.Rows(), p.slots[:w.active], p.Neurons())
			if want == nil {
				want = slices.Clone(m.y)
			}
			assert.Equal(t, want, m.y, "bit for bit")
		}
	}
	for _, p := range policies[1:] {
		got, want := p.Stats(), policies[0].Stats()
		assert.LessOrEqual(t, got.Misses, want.Misses, "a window has what was active before")
		assert.Equal(t, want.Refreshes, got.Refreshes)
		p.Reset()
		assert.Zero(t, p.Stats().Refreshes)
	}
	var _ cache.Cache = new(gather)
}

func TestTable(t *testing.T) {
	var b strings.Builder
	table := table{header: []string{"<name", "time", "<"}}
	table.add("a", "10 µs", "")
	table.add("a longer one", "1 s", "note")
	table.print(&b)
	assert.Equal(t, "name           time\na             10 µs\na longer one    1 s  note\n", b.String())
}

func TestUnits(t *testing.T) {
	for want, got := range map[string]string{
		"12.3 ms": duration(0.01234), "1.00 s": duration(1), "999 µs": duration(999e-6), "1.50 µs": duration(1.5e-6),
		"": digits(0), "1.23": digits(1.234), "10.0": digits(9.996), "100": digits(99.96), "12346": digits(12345.6),
		"1.50 GB": sizeOf(15e8), "12.3 MB": sizeOf(12.3e6), "0.05 MB": sizeOf(5e4),
	} {
		assert.Equal(t, want, got)
	}
}

func TestCompareArms(t *testing.T) {
	run := func(ttft, decode time.Duration) llama.Stats {
		return llama.Stats{PromptTokens: 9, NewTokens: 11, TTFT: ttft, Decode: decode}
	}
	slow := armRow{Name: "stock", runs: []llama.Stats{run(2*time.Second, 8*time.Second), run(6*time.Second, 10*time.Second)}}
	fast := armRow{Name: "sparse", runs: []llama.Stats{run(time.Second, time.Second), run(2*time.Second, 2*time.Second)}}
	slow.summarise()
	assert.Equal(t, 4.0, slow.TTFT.Median)
	assert.InDelta(t, (10.0/8+10.0/10)/2, slow.OutputTPS.Median, 1e-12, "the first token is not of the decoding")
	assert.InDelta(t, (20.0/10+20.0/16)/2, slow.TotalTPS.Median, 1e-12)
	for _, arms := range [][]armRow{{slow, fast}, {fast, slow}} {
		got := compareArms(arms)
		require.Len(t, got, 3)
		assert.Equal(t, speedup{"TTFT", "sparse", "stock", 2.5}, got[0], "of the quotients 2 and 3")
		assert.Equal(t, speedup{"Output TPS", "sparse", "stock", 6.5}, got[1], "of 8 and 5")
		assert.InDelta(t, 4.5, got[2].Times, 1e-12, "of 5 and 4")
	}
}

func TestWinners(t *testing.T) {
	row := func(policy string, changed, total float64, winner bool) cacheRow {
		return cacheRow{Policy: policy, Dtype: "f32", Active: 0.25, Changed: changed, Total: summary{Median: total}, Winner: winner}
	}
	s := cacheSuite{Rows: []cacheRow{
		row(inPlacePolicy, 0.024, 6, false), row(packedPolicy, 0.024, 4, true),
		row(inPlacePolicy, 0.75, 3, true), row(packedPolicy, 0.75, 9, false),
	}}
	var b strings.Builder
	s.winners().print(&b)
	assert.Equal(t, "dtype  active  2.4%            75%\nf32       25%  packed (1.50×)  in place (1.00×)\n", b.String())
}
