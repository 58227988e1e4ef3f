package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"

	"github.com/sparsegonia/sparsegonia/cache"
	"github.com/sparsegonia/sparsegonia/ops/kernel"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// cacheRow is one policy at one dtype, active fraction and rate of change.
type cacheRow struct {
	Policy  string  `json:"policy"`
	Dtype   string  `json:"dtype"`
	Active  float64 `json:"active"`  // fraction of the neurons
	Changed float64 `json:"changed"` // fraction of the active neurons that every refresh replaces

	Refresh summary `json:"refresh"` // seconds
	Total   summary `json:"total"`   // seconds of the refresh and the sparse MLP after it

	ArrivedBytes  int64 `json:"arrived_bytes"` // of the rows that became active, a refresh
	MovedBytes    int64 `json:"moved_bytes"`   // copied in memory, a refresh
	ReadBytes     int64 `json:"read_bytes"`    // read from a neuron file, a refresh
	ResidentBytes int64 `json:"resident_bytes"`

	VersusReused float64 `json:"versus_reused"` // times as fast a refresh as gathering all active rows into a buffer
	VersusFresh  float64 `json:"versus_fresh"`  // times as fast as gathering them into new memory
	Winner       bool    `json:"winner"`        // the fastest total of its kind
}

// cacheSuite is the table of the policies of the weight cache.
type cacheSuite struct {
	Machine machine    `json:"machine"`
	Shape   string     `json:"shape"`
	Rows    []cacheRow `json:"rows"`
}

// Policies. The first is the default of graph.Swap.
const (
	inPlacePolicy = "in place"
	packedPolicy  = "packed"
	reusedPolicy  = "gather, same buffer"
	freshPolicy   = "gather, new buffer"
	windowPolicy  = "window of 4 tokens"
)

const windowTokens = 4

var policies = []string{inPlacePolicy, packedPolicy, windowPolicy, reusedPolicy, freshPolicy}

func runCaches(ctx context.Context, b *bench) (report, error) {
	s := &cacheSuite{Machine: b.machine(), Shape: b.shape.String()}
	dtypes := []weights.Dtype{weights.F32, weights.F16, weights.Int8}
	actives := []float64{0.25, 0.5}
	changes := []float64{0.01, 0.024, 0.10, 0.25, 0.75}
	meter := b.newMeter(len(dtypes) * len(actives) * len(changes))
	wait := b.env.Wait("caches", len(dtypes)*len(actives)*len(changes))
	defer wait.Done()
	for _, d := range dtypes {
		m, err := newMLP(b.cpu, b.shape, d, 1, 1, b.seed)
		if err != nil {
			return nil, err
		}
		file, err := m.writeNeurons()
		if err != nil {
			return nil, err
		}
		defer file.Close()
		for _, active := range actives {
			for _, changed := range changes {
				rows, err := b.cacheRows(ctx, meter, m, file, active, changed)
				if err != nil {
					return s.soFar(), fmt.Errorf("%v, %v active, %v changed: %w", d, active, changed, err)
				}
				s.Rows = append(s.Rows, rows...)
				debug.FreeOSMemory()
				wait.Add(1)
			}
		}
	}
	return s, nil
}

// soFar is the report of a suite that did not come to its end.
func (s *cacheSuite) soFar() report {
	if len(s.Rows) == 0 {
		return nil
	}
	return s
}

// neuronFile is a file that Close removes.
type neuronFile struct {
	*cache.File
	folder string
}

func (f *neuronFile) Close() error { return errors.Join(f.File.Close(), os.RemoveAll(f.folder)) }

// writeNeurons writes the first layer to a neuron file.
func (m *mlp) writeNeurons() (*neuronFile, error) {
	folder, err := os.MkdirTemp("", "benchmark")
	if err != nil {
		return nil, err
	}
	name := filepath.Join(folder, "neurons")
	err = cache.WriteFile(name, "random", 1, func(i int) (*weights.Neurons, error) { return m.layers[i], nil })
	f := &neuronFile{folder: folder}
	if err == nil {
		f.File, err = cache.OpenFile(name)
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(folder))
	}
	return f, nil
}

// cacheRows measures every policy: its refreshes alone and, over a cache of its own, refreshes with
// the MLP after them. All see the same sequence of active sets.
func (b *bench) cacheRows(ctx context.Context, meter *meter, m *mlp, file *neuronFile, active, changed float64) ([]cacheRow, error) {
	var trials []trial
	var pairs []*policy // with the refreshes alone, with the MLP, …
	for _, name := range policies {
		for _, total := range []bool{false, true} {
			p, err := m.newPolicy(name, file)
			if err != nil {
				return nil, err
			}
			w := newWalk(m.intermediate, active, b.seed)
			trials = append(trials, trial{
				name: name, unit: noRoof,
				prepare: func(round int) error {
					w.step(changed)
					if round == 1 && p.warm.Refreshes == 0 {
						p.warm = p.Stats()
					}
					return nil
				},
				run: func(int) error {
					err := p.Refresh(w.mask, p.slots)
					if err == nil && total {
						m.run(p.Rows(), p.slots[:w.active], p.Neurons())
					}
					return err
				},
			})
			pairs = append(pairs, p)
		}
	}
	results, err := meter.measure(ctx, b.rounds(10), trials)
	for _, p := range pairs {
		if c, ok := p.Cache.(io.Closer); ok {
			err = errors.Join(err, c.Close())
		}
	}
	if err != nil {
		return nil, err
	}
	rows := make([]cacheRow, len(policies))
	arriving := newWalk(m.intermediate, active, b.seed).arriving(changed)
	for i, name := range policies {
		stats, warm := pairs[2*i].Stats(), pairs[2*i].warm
		refreshes := stats.Refreshes - warm.Refreshes
		rows[i] = cacheRow{
			Policy: name, Dtype: m.dtype.String(), Active: active, Changed: changed,
			Refresh: results[2*i].seconds, Total: results[2*i+1].seconds,
			ArrivedBytes:  int64(arriving * m.bytes(m.dtype) / m.intermediate),
			MovedBytes:    (stats.BytesMoved + stats.BytesRepacked - warm.BytesMoved - warm.BytesRepacked) / refreshes,
			ReadBytes:     (stats.BytesRead - warm.BytesRead) / refreshes,
			ResidentBytes: stats.ResidentBytes,
		}
	}
	compareRows(rows, results)
	return rows, nil
}

// compareRows compares the policies of one kind. results are those of their refreshes alone, with
// the MLP, …
func compareRows(rows []cacheRow, results []measured) {
	same, fresh := slices.Index(policies, reusedPolicy), slices.Index(policies, freshPolicy)
	best := 0
	for i := range rows {
		refresh := &results[2*i]
		rows[i].VersusReused = refresh.timesAsFast(&results[2*same])
		rows[i].VersusFresh = refresh.timesAsFast(&results[2*fresh])
		if rows[i].Total.Median < rows[best].Total.Median {
			best = i
		}
	}
	rows[best].Winner = true
}

// policy is a cache with its slots.
type policy struct {
	cache.Cache
	slots []int32
	warm  cache.Stats // after the first refresh, which copies everything
}

func (m *mlp) newPolicy(name string, file *neuronFile) (*policy, error) {
	p := &policy{slots: make([]int32, m.intermediate)}
	store := m.layers[0]
	var err error
	switch name {
	case inPlacePolicy:
		p.Cache = cache.InPlace(store)
	case packedPolicy:
		p.Cache, err = cache.NewPacked(store, m.cpu.Pool())
	case windowPolicy:
		p.Cache, err = cache.NewWindow(file.File, 0, cache.WindowOptions{Tokens: windowTokens})
	default:
		p.Cache = &gather{store: store, cpu: m.cpu, fresh: name == freshPolicy}
	}
	return p, err
}

// gather is the naive cache: every Refresh copies the rows of all active neurons.
type gather struct {
	store *weights.Neurons
	cpu   *kernel.CPU
	fresh bool // into new memory every time

	rows    *weights.Neurons
	active  []int32
	members []bool
	stats   cache.Stats
}

func (g *gather) Refresh(active []bool, slots []int32) error {
	if g.members == nil {
		g.members = make([]bool, len(active))
	}
	g.active = g.active[:0]
	for i, now := range active {
		slots[i] = -1
		if now {
			slots[len(g.active)] = int32(len(g.active))
			g.active = append(g.active, int32(i))
			if !g.members[i] {
				g.stats.Misses++
			}
		}
		g.members[i] = now
	}
	if g.fresh || g.rows == nil || g.rows.Intermediate() != len(g.active) {
		matrix := func() *weights.Matrix { return weights.NewMatrix(g.store.Dtype(), len(g.active), g.store.Hidden()) }
		var err error
		if g.rows, err = weights.NewNeurons(matrix(), matrix(), matrix()); err != nil {
			return err
		}
	}
	const rows = 16 // of a piece of work
	g.cpu.Pool().Run((len(g.active)+rows-1)/rows, func(piece int) {
		for slot := piece * rows; slot < min((piece+1)*rows, len(g.active)); slot++ {
			neuron := int(g.active[slot])
			copy(g.rows.Gate().Row(slot), g.store.Gate().Row(neuron))
			copy(g.rows.Up().Row(slot), g.store.Up().Row(neuron))
			copy(g.rows.Down().Row(slot), g.store.Down().Row(neuron))
		}
	})
	g.stats.Refreshes++
	g.stats.BytesMoved += g.rows.Bytes()
	g.stats.ResidentBytes = g.store.Bytes() + g.rows.Bytes()
	return nil
}

func (g *gather) Intermediate() int      { return g.store.Intermediate() }
func (g *gather) Rows() *weights.Neurons { return g.rows }
func (g *gather) Neurons() []int32       { return g.active }
func (g *gather) Stats() cache.Stats     { return g.stats }
func (g *gather) Reset()                 { *g = gather{store: g.store, cpu: g.cpu, fresh: g.fresh} }

// walk is a sequence of active sets of one size.
type walk struct {
	random *rand.Rand
	order  []int // the first active ones are the active neurons
	active int
	mask   []bool
}

func newWalk(neurons int, active float64, seed uint64) *walk {
	w := &walk{random: rand.New(rand.NewPCG(seed, 5)), active: activeOf(neurons, active), mask: make([]bool, neurons)}
	w.order = w.random.Perm(neurons)
	for _, i := range w.order[:w.active] {
		w.mask[i] = true
	}
	return w
}

// arriving is how many neurons a step makes active.
func (w *walk) arriving(changed float64) int {
	return min(activeOf(w.active, changed), len(w.order)-w.active)
}

// step replaces a fraction of the active neurons by as many others.
func (w *walk) step(changed float64) {
	n := w.arriving(changed)
	inside, outside := w.order[:w.active], w.order[w.active:]
	for k := range n {
		i, j := k+w.random.IntN(len(inside)-k), k+w.random.IntN(len(outside)-k)
		inside[k], inside[i] = inside[i], inside[k]
		outside[k], outside[j] = outside[j], outside[k]
		w.mask[inside[k]], w.mask[outside[k]] = false, true
		inside[k], outside[k] = outside[k], inside[k]
	}
}

func (s *cacheSuite) print(w io.Writer) {
	s.Machine.print(w)
	fmt.Fprintf(w, "Random weights of an MLP %s that are not in the cache, random active sets\n\n", s.Shape)
	t := table{header: []string{
		"<dtype", "active", "changed", "<policy", "refresh", "±", "×same", "×new", "arrived", "moved", "read", "resident",
		"refresh + MLP", "±", "<",
	}}
	for _, r := range s.Rows {
		winner := ""
		if r.Winner {
			winner = "fastest"
		}
		t.add(r.Dtype, fmt.Sprintf("%.0f%%", 100*r.Active), fmt.Sprintf("%.4g%%", 100*r.Changed), r.Policy,
			duration(r.Refresh.Median), r.Refresh.percent(), digits(r.VersusReused), digits(r.VersusFresh),
			sizeOf(r.ArrivedBytes), sizeOf(r.MovedBytes), sizeOf(r.ReadBytes), sizeOf(r.ResidentBytes),
			duration(r.Total.Median), r.Total.percent(), winner)
	}
	t.print(w)
	fmt.Fprintf(w, "\nFastest refresh + MLP by the share of the active neurons that changes; in brackets the time of the default, in place, by it\n\n")
	s.winners().print(w)
	fmt.Fprint(w, `
±        half the distance of the quartiles
×same    times as fast a refresh as gathering all active rows into a buffer that is kept; ×new: into new memory
arrived  bytes of the rows that became active; moved: copied in memory; read: from a neuron file, which the page cache of
         the system may hold; all a refresh. resident: of weights in memory; the gathers and packed hold the store too
`)
}

// winners has a line for every dtype and active fraction and a column for every rate of change.
func (s *cacheSuite) winners() *table {
	t := &table{header: []string{"<dtype", "active"}}
	type kind struct {
		dtype           string
		active, changed float64
	}
	fastest, byDefault := map[kind]cacheRow{}, map[kind]float64{}
	var lines, columns []kind
	for _, r := range s.Rows {
		line, column := kind{dtype: r.Dtype, active: r.Active}, kind{changed: r.Changed}
		if !slices.Contains(lines, line) {
			lines = append(lines, line)
		}
		if !slices.Contains(columns, column) {
			columns = append(columns, column)
			t.header = append(t.header, fmt.Sprintf("<%.4g%%", 100*r.Changed))
		}
		k := kind{r.Dtype, r.Active, r.Changed}
		if r.Winner {
			fastest[k] = r
		}
		if r.Policy == inPlacePolicy {
			byDefault[k] = r.Total.Median
		}
	}
	for _, l := range lines {
		cells := []string{l.dtype, fmt.Sprintf("%.0f%%", 100*l.active)}
		for _, c := range columns {
			k := kind{l.dtype, l.active, c.changed}
			cell := ""
			if r, ok := fastest[k]; ok {
				cell = fmt.Sprintf("%s (%.2f×)", r.Policy, byDefault[k]/r.Total.Median)
			}
			cells = append(cells, cell)
		}
		t.add(cells...)
	}
	return t
}
