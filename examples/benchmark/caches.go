package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime/debug"

	"github.com/sparsegonia/sparsegonia/cache"
	"github.com/sparsegonia/sparsegonia/ops/kernel"
)

// cacheRow is one policy at one dtype, active fraction and rate of change.
type cacheRow struct {
	Policy  string  `json:"policy"`
	Dtype   string  `json:"dtype"`
	Active  float64 `json:"active"`  // fraction of the neurons
	Changed float64 `json:"changed"` // fraction of the active neurons that every refresh replaces

	Refresh summary `json:"refresh"` // seconds
	Total   summary `json:"total"`   // seconds of the refresh and the sparse MLP after it

	ArrivedBytes int64 `json:"arrived_bytes"` // of the rows that became active, a refresh
	MovedBytes   int64 `json:"moved_bytes"`   // that were copied, a refresh
	Resident     int64 `json:"resident_bytes"`

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
)

func runCaches(ctx context.Context, b *bench) (report, error) {
	s := &cacheSuite{Machine: b.machine(), Shape: b.shape.String()}
	dtypes := []kernel.Dtype{kernel.F32, kernel.F16, kernel.Int8}
	actives := []float64{0.25, 0.5}
	changes := []float64{0.01, 0.024, 0.10, 0.25, 0.75}
	meter := b.newMeter(len(dtypes) * len(actives) * len(changes))
	wait := b.env.Wait("caches", len(dtypes)*len(actives)*len(changes))
	defer wait.Done()
	for _, d := range dtypes {
		m, err := newMLP(b.pool, b.shape, d, 1, 1, b.seed)
		if err != nil {
			return nil, err
		}
		for _, active := range actives {
			for _, changed := range changes {
				rows, err := b.cacheRows(ctx, meter, m, active, changed)
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

// cacheRows measures every policy: its refreshes alone and, over a cache of its own, refreshes with the MLP after them.
// All see the same sequence of active sets.
func (b *bench) cacheRows(ctx context.Context, meter *meter, m *mlp, active, changed float64) ([]cacheRow, error) {
	names := []string{inPlacePolicy, packedPolicy, reusedPolicy, freshPolicy}
	var trials []trial
	var policies []*policy
	for _, name := range names {
		for _, total := range []bool{false, true} {
			p, err := m.newPolicy(name)
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
			policies = append(policies, p)
		}
	}
	results, err := meter.measure(ctx, b.rounds(10), trials)
	if err != nil {
		return nil, err
	}
	rows := make([]cacheRow, len(names))
	for i, name := range names {
		stats, warm := policies[2*i].Stats(), policies[2*i].warm
		refreshes := stats.Refreshes - warm.Refreshes
		rows[i] = cacheRow{
			Policy: name, Dtype: m.dtype.String(), Active: active, Changed: changed,
			Refresh: results[2*i].seconds, Total: results[2*i+1].seconds,
			ArrivedBytes: (stats.Misses - warm.Misses) * int64(m.bytes(m.dtype)/m.intermediate) / refreshes,
			MovedBytes:   (stats.BytesMoved - warm.BytesMoved) / refreshes,
			Resident:     stats.ResidentBytes,
		}
	}
	best := 0
	for i := range rows {
		rows[i].VersusReused = rows[2].Refresh.Median / rows[i].Refresh.Median
		rows[i].VersusFresh = rows[3].Refresh.Median / rows[i].Refresh.Median
		if rows[i].Total.Median < rows[best].Total.Median {
			best = i
		}
	}
	rows[best].Winner = true
	return rows, nil
}

// policy is a cache with its slots.
type policy struct {
	cache.Cache
	slots []int32
	warm  cache.Stats // after the first refresh, which copies everything
}

func (m *mlp) newPolicy(name string) (*policy, error) {
	p := &policy{slots: make([]int32, m.intermediate)}
	store := m.layers[0]
	var err error
	switch name {
	case inPlacePolicy:
		p.Cache = cache.InPlace(store)
	case packedPolicy:
		p.Cache, err = cache.NewPacked(store, m.pool)
	default:
		p.Cache = &gather{store: store, pool: m.pool, fresh: name == freshPolicy}
	}
	return p, err
}

// gather is the naive cache: every Refresh copies the rows of all active neurons.
type gather struct {
	store *cache.Neurons
	pool  *kernel.Pool
	fresh bool // into new memory every time

	rows    *cache.Neurons
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
		matrix := func() *kernel.Matrix { return kernel.NewMatrix(g.store.Dtype(), len(g.active), g.store.Hidden()) }
		var err error
		if g.rows, err = cache.NewNeurons(matrix(), matrix(), matrix()); err != nil {
			return err
		}
	}
	const rows = 16 // of a piece of work
	g.pool.Run((len(g.active)+rows-1)/rows, func(piece int) {
		for slot := piece * rows; slot < min((piece+1)*rows, len(g.active)); slot++ {
			neuron := int(g.active[slot])
			copy(g.rows.Gate.Row(slot), g.store.Gate.Row(neuron))
			copy(g.rows.Up.Row(slot), g.store.Up.Row(neuron))
			copy(g.rows.Down.Row(slot), g.store.Down.Row(neuron))
		}
	})
	g.stats.Refreshes++
	g.stats.BytesMoved += g.rows.Bytes()
	g.stats.ResidentBytes = g.store.Bytes() + g.rows.Bytes()
	return nil
}

func (g *gather) Intermediate() int    { return g.store.Intermediate() }
func (g *gather) Rows() *cache.Neurons { return g.rows }
func (g *gather) Neurons() []int32     { return g.active }
func (g *gather) Stats() cache.Stats   { return g.stats }
func (g *gather) Reset()               { *g = gather{store: g.store, pool: g.pool, fresh: g.fresh} }

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

// step replaces a fraction of the active neurons by as many others.
func (w *walk) step(changed float64) {
	n := min(activeOf(w.active, changed), len(w.order)-w.active)
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
		"<dtype", "active", "changed", "<policy", "refresh", "±", "×same", "×new", "arrived", "moved", "refresh + MLP", "±", "<",
	}}
	for _, r := range s.Rows {
		winner := ""
		if r.Winner {
			winner = "fastest"
		}
		t.add(r.Dtype, fmt.Sprintf("%.0f%%", 100*r.Active), fmt.Sprintf("%.4g%%", 100*r.Changed), r.Policy,
			duration(r.Refresh.Median), r.Refresh.percent(), digits(r.VersusReused), digits(r.VersusFresh),
			sizeOf(r.ArrivedBytes), sizeOf(r.MovedBytes), duration(r.Total.Median), r.Total.percent(), winner)
	}
	t.print(w)
	fmt.Fprint(w, `
±        half the distance of the quartiles
×same    times as fast a refresh as gathering all active rows into a buffer that is kept; ×new: into new memory
arrived  bytes of the rows that became active, moved: bytes copied, a refresh
`)
}
