package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime/debug"
	"slices"

	"github.com/sparsegonia/sparsegonia/cache"
	"github.com/sparsegonia/sparsegonia/ops/kernel"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// kernelRow is one kernel at one shape, dtype and active fraction.
type kernelRow struct {
	Kernel  string  `json:"kernel"`
	Shape   string  `json:"shape"`
	Dtype   string  `json:"dtype"`  // of the weights
	Tokens  int     `json:"tokens"` // rows of the input
	Active  float64 `json:"active"` // fraction of the neurons; 1: dense
	Variant string  `json:"variant"`

	Seconds   summary `json:"seconds"`
	Rate      float64 `json:"rate"` // of the unit, at the median; 0: only the time counts
	Unit      string  `json:"unit"` // GB/s of weights read, or GFLOP/s
	Roof      float64 `json:"roof"` // of the unit: the read roof or the multiply-add peak around the runs
	Ratio     float64 `json:"ratio"`
	Disturbed int     `json:"disturbed"` // runs whose two roofs differ by over a tenth

	VersusDense float64 `json:"versus_dense"` // times as fast as the dense MLP of the same dtype; 0: not an MLP
	VersusStock float64 `json:"versus_stock"` // times as fast as the fastest stock MLP; 0: not an f32 MLP
	PerActive   float64 `json:"per_active"`   // time by (active fraction × time of the dense MLP); 0: not a sparse MLP

	trial trial
}

// kernelSuite is the table of kernels.
type kernelSuite struct {
	Machine machine     `json:"machine"`
	Rows    []kernelRow `json:"rows"`
}

const (
	denseMLP  = "MLP dense"
	sparseMLP = "MLP sparse"
	stockMLP  = "MLP stock"
)

var weightDtypes = []weights.Dtype{weights.F32, weights.F16, weights.BF16, weights.Int8, weights.Int8G, weights.Int4, weights.Int4M}

// runKernels measures every group of rows, one after the other, so that the weights of one group
// are in memory at a time.
func runKernels(ctx context.Context, b *bench) (report, error) {
	s := &kernelSuite{Machine: b.machine()}
	type group struct {
		name string
		rows func() ([]kernelRow, error)
	}
	var groups []group
	for _, d := range weightDtypes {
		groups = append(groups, group{"one token, " + d.String(), func() ([]kernelRow, error) { return b.decodeRows(d) }})
	}
	for _, d := range []weights.Dtype{weights.F32, weights.F16, weights.BF16, weights.Int8, weights.Int8G, weights.Int4} {
		groups = append(groups, group{"128 tokens, " + d.String(), func() ([]kernelRow, error) { return b.prefillRows(d) }})
	}
	groups = append(groups, group{"attention and selection", b.smallRows})

	m := b.newMeter(len(groups))
	wait := b.env.Wait("kernels", len(groups))
	defer wait.Done()
	for _, g := range groups {
		rows, err := g.rows()
		if err == nil {
			err = b.measureRows(ctx, m, b.rounds(10), rows)
		}
		if err != nil {
			return s.soFar(), fmt.Errorf("%s: %w", g.name, err)
		}
		s.Rows = append(s.Rows, rows...)
		debug.FreeOSMemory()
		wait.Add(1)
	}
	return s, nil
}

// soFar is the report of a suite that did not come to its end.
func (s *kernelSuite) soFar() report {
	if len(s.Rows) == 0 {
		return nil
	}
	return s
}

// measureRows runs the trials of rows, which it drops with their weights, and fills in what was
// measured.
func (b *bench) measureRows(ctx context.Context, m *meter, rounds int, rows []kernelRow) error {
	trials := make([]trial, len(rows))
	for i := range rows {
		trials[i] = rows[i].trial
	}
	results, err := m.measure(ctx, rounds, trials)
	if err != nil {
		return err
	}
	var dense, stock *measured
	for i := range results {
		r, row := &results[i], &rows[i]
		row.trial = trial{}
		row.Variant = b.cpu.Variant()
		row.Seconds, row.Ratio, row.Disturbed = r.seconds, r.ratio, r.disturbed
		row.Rate, row.Roof = r.rate/1e9, r.roof/1e9
		switch {
		case row.Kernel == denseMLP:
			dense = r
		case row.Kernel == stockMLP:
			row.Variant = "gonum"
			if stock == nil || r.seconds.Median < stock.seconds.Median {
				stock = r
			}
		}
	}
	for i := range results {
		r, row := &results[i], &rows[i]
		if row.Kernel != denseMLP && row.Kernel != stockMLP && row.Active == 1 {
			continue
		}
		row.VersusDense = r.timesAsFast(dense)
		if stock != nil {
			row.VersusStock = r.timesAsFast(stock)
		}
		if row.Active < 1 {
			row.PerActive = 1 / (row.Active * row.VersusDense)
		}
	}
	return nil
}

// coldMLPs are MLPs of one token, enough of them to leave the cache.
func (b *bench) coldMLPs(d weights.Dtype) (*mlp, error) {
	return newMLP(b.cpu, b.shape, d, layersFor(b.shape, d, b.coldBytes), 1, b.seed)
}

// decodeRows are the products and MLPs of one token with weights of dtype d.
func (b *bench) decodeRows(d weights.Dtype) ([]kernelRow, error) {
	m, err := b.coldMLPs(d)
	if err != nil {
		return nil, err
	}
	rows := []kernelRow{b.linearRow(m, m.gate, m.x), b.linearRow(m, m.y, m.gate), b.gateRow(m), b.downRow(m)}
	mlps, err := b.mlpRows(m)
	return append(rows, mlps...), err
}

// mlpRows are the MLP of one token: dense, sparse and, in f32, with a predictor and by stock nodes.
func (b *bench) mlpRows(m *mlp) ([]kernelRow, error) {
	rows := []kernelRow{b.mlpRow(denseMLP, m, 1, nil, m.dense)}
	for _, fraction := range []float64{0.5, 0.2, 0.1} {
		choose := func(int) error { m.choose(fraction); return nil }
		rows = append(rows, b.mlpRow(sparseMLP, m, fraction, choose, m.sparse))
	}
	if m.dtype != weights.F32 {
		return rows, nil
	}
	selected, err := b.selectedRows(m)
	return append(rows, selected...), err
}

// selectedRows are the f32 MLP with a predictor, and the stock spellings that it replaces.
func (b *bench) selectedRows(m *mlp) ([]kernelRow, error) {
	const fraction = 0.2
	var rows []kernelRow
	for _, d := range []weights.Dtype{weights.F32, weights.F16} {
		p := *m // shares the weights
		p.predict(d)
		prepare := func(round int) error { return p.calibrate(round, fraction) }
		row := b.mlpRow(fmt.Sprintf("MLP sparse + %v predictor + mask + refresh", d), m, fraction, prepare, p.predicted)
		row.trial.work += float64(b.shape.predictorBytes(d))
		rows = append(rows, row)
	}
	machines, err := newStockMLPs(m.layers[0], m.x)
	if err != nil {
		return nil, err
	}
	for _, s := range machines {
		row := b.mlpRow(stockMLP, m, 1, s.reset, s.run)
		row.Shape += " " + s.name
		rows = append(rows, row)
	}
	return rows, nil
}

func (b *bench) mlpRow(name string, m *mlp, active float64, prepare, run func(int) error) kernelRow {
	bytes := 3 * activeOf(m.intermediate, active) * m.dtype.RowBytes(m.hidden)
	return kernelRow{
		Kernel: name, Shape: m.shape.String(), Dtype: m.dtype.String(), Tokens: len(m.x) / m.hidden, Active: active,
		Unit: "GB/s", trial: trial{name: name, work: float64(bytes), prepare: prepare, run: run},
	}
}

// linearRow is the product of one token with matrices whose rows follow each other, as those of
// attention: a row of them for every output.
func (b *bench) linearRow(m *mlp, y, x []float32) kernelRow {
	var w [2]*weights.Matrix
	for i := range w {
		w[i] = m.matrix(m.dtype, len(y), len(x), weightPatterns)
	}
	row := b.mlpRow("linear", m, 1, nil, func(round int) error {
		kernel.Linear(b.cpu, y, x, w[round%2], nil)
		return nil
	})
	row.Shape = shape{len(x), len(y)}.String()
	row.trial.work = float64(w[0].Bytes())
	return row
}

// gateRow is the product with the gate of an MLP, whose rows lie beside those of up and down, as
// the gate selector computes it.
func (b *bench) gateRow(m *mlp) kernelRow {
	row := b.mlpRow("linear, gate of a store", m, 1, nil, func(round int) error {
		kernel.Linear(b.cpu, m.gate, m.x, m.layer(round).Gate(), nil)
		return nil
	})
	row.trial.work /= 3
	return row
}

// downRow is the product with down, a row for every input.
func (b *bench) downRow(m *mlp) kernelRow {
	row := b.gateRow(m)
	row.Kernel, row.Shape = "linear, neuron-major", shape{m.intermediate, m.hidden}.String()
	row.trial.run = func(round int) error {
		kernel.LinearT(b.cpu, m.y, m.gate, m.layer(round).Down(), nil)
		return nil
	}
	return row
}

// prefillRows are the products of 128 tokens with weights of dtype d.
func (b *bench) prefillRows(d weights.Dtype) ([]kernelRow, error) {
	m, err := newMLP(b.cpu, b.shape, d, 1, 128, b.seed)
	if err != nil {
		return nil, err
	}
	rows := []kernelRow{b.gateRow(m), b.downRow(m)}
	for i := range rows {
		rows[i].Unit = "GFLOP/s"
		rows[i].trial.unit = fmaRoof
		rows[i].trial.work = 2 * float64(rows[i].Tokens) * float64(m.hidden) * float64(m.intermediate)
	}
	return rows, nil
}

// smallRows are what a layer of the shape does between its products: attention to what came before,
// and the steps of the selection, which work in the cache.
func (b *bench) smallRows() ([]kernelRow, error) {
	var rows []kernelRow
	for _, d := range []weights.Dtype{weights.F32, weights.F16} {
		row, err := b.attentionRow(d)
		if err != nil {
			return nil, err
		}
		rows = append(rows, row)
	}
	m, err := newMLP(b.cpu, shape{1, b.shape.intermediate}, weights.F32, 1, 1, b.seed)
	if err != nil {
		return nil, err
	}
	random := rand.New(rand.NewPCG(b.seed, 2))
	scores := make([]float32, m.intermediate)
	for i := range scores {
		scores[i] = float32(random.NormFloat64())
	}
	sorted := slices.Sorted(slices.Values(scores))
	tau := []float32{sorted[len(sorted)-activeOf(len(sorted), 0.2)]}
	c := cache.InPlace(m.layers[0])
	kernel.MaskThreshold(m.mask, scores, tau, false)
	for _, step := range []struct {
		name string
		run  func() error
	}{
		{"mask, threshold", func() error { kernel.MaskThreshold(m.mask, scores, tau, false); return nil }},
		{"mask, top-k", func() error {
			kernel.MaskTopK(m.mask, scores, m.intermediate, activeOf(m.intermediate, 0.2))
			return nil
		}},
		{"refresh, in place", func() error { return c.Refresh(m.mask, m.slots) }},
	} {
		rows = append(rows, kernelRow{
			Kernel: step.name, Shape: fmt.Sprint(m.intermediate), Dtype: weights.F32.String(), Tokens: 1, Active: 1,
			trial: trial{name: step.name, unit: noRoof, runs: 32, run: func(int) error { return step.run() }},
		})
	}
	return rows, nil
}

// attentionRow is one token's attention to those before it, with the heads of Llama 3.2 3B.
func (b *bench) attentionRow(d weights.Dtype) (kernelRow, error) {
	const (
		heads, kvHeads, headDim = 24, 8, 128
		chunk                   = 128
	)
	positions := (b.positions + chunk - 1) / chunk * chunk
	kv, err := kernel.NewKV(d, 1, positions, kvHeads, headDim)
	if err != nil {
		return kernelRow{}, err
	}
	random := rand.New(rand.NewPCG(b.seed, 3))
	vector := func(n int) []float32 {
		v := make([]float32, n)
		for i := range v {
			v[i] = float32(random.NormFloat64())
		}
		return v
	}
	q, k, v := vector(chunk*heads*headDim), vector(chunk*kvHeads*headDim), vector(chunk*kvHeads*headDim)
	y := make([]float32, len(q))
	position, sequence := make([]int32, chunk), make([]int32, chunk)
	attend := func(first, n int) {
		for i := range n {
			position[i] = int32(first + i)
		}
		kernel.Attention(b.cpu, y[:n*heads*headDim], q[:n*heads*headDim], k[:n*kvHeads*headDim], v[:n*kvHeads*headDim],
			heads, position[:n], sequence[:n], kv, 0.09)
	}
	for first := 0; first < positions; first += chunk {
		attend(first, chunk)
	}
	return kernelRow{
		Kernel: "attention", Shape: fmt.Sprintf("%d positions × %d heads × %d", positions, kvHeads, headDim),
		Dtype: d.String(), Tokens: 1, Active: 1, Unit: "GB/s",
		trial: trial{
			name: "attention", work: float64(2 * positions * kvHeads * d.RowBytes(headDim)),
			run: func(int) error { attend(positions-1, 1); return nil },
		},
	}, nil
}

func (s *kernelSuite) print(w io.Writer) {
	s.Machine.print(w)
	fmt.Fprint(w, "Random weights that are not in the cache\n\n")
	printKernels(w, s.Rows)
}

func printKernels(w io.Writer, rows []kernelRow) {
	t := table{header: []string{
		"<kernel", "<shape", "<dtype", "tokens", "active", "<variant", "median", "±", "rate", "<unit", "roof", "ratio",
		"×dense", "×stock", "t/(a·d)", "<",
	}}
	for _, r := range rows {
		note := ""
		if r.Disturbed > 0 {
			note = fmt.Sprintf("%d of %d disturbed", r.Disturbed, r.Seconds.N)
		}
		t.add(r.Kernel, r.Shape, r.Dtype, fmt.Sprint(r.Tokens), fmt.Sprintf("%.0f%%", 100*r.Active), r.Variant,
			duration(r.Seconds.Median), r.Seconds.percent(), digits(r.Rate), r.Unit, digits(r.Roof), digits(r.Ratio),
			digits(r.VersusDense), digits(r.VersusStock), digits(r.PerActive), note)
	}
	t.print(w)
	fmt.Fprint(w, `
±        half the distance of the quartiles
roof     reading memory or, for many tokens, multiplying and adding in the L1 cache, just before and after each run;
         "disturbed" are runs around which it changed by over a tenth, although they were repeated
×dense   times as fast as the dense MLP of the same dtype; ×stock: as the fastest MLP of Gorgonia's own nodes, in f32
t/(a·d)  time by active fraction × dense time: 1 is a time proportional to the active neurons
`)
}
