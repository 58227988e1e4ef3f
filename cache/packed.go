package cache

import (
	"errors"
	"fmt"
	"slices"

	"github.com/sparsegonia/sparsegonia/ops/parallel"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// Packed is the policy that keeps the rows of the n active neurons together, in the slots 0 to n−1
// of pools. Each part of the store has a pool. A neuron that arrives takes the slot of one that
// leaves, so a Refresh copies only rows that arrive. When more leave than arrive, rows behind the
// new end move into the open slots.
//
// The pools grow to an eighth more than the largest active set and never shrink.
type Packed struct {
	store *weights.Neurons
	pool  *parallel.Pool

	rows   *weights.Neurons // the pools
	active set
	slot   []int32 // of each active neuron
	neuron []int32 // of each slot; as many as are active
	list   []int32 // the active neurons in ascending order
	stats  Stats

	// Scratch of Refresh.
	next            set
	nextList        []int32
	arrivals, holes []int32
	moves           []move
	moving          func(piece int)
}

// move copies the rows of a neuron, from the store or from another slot.
type move struct {
	from, to int32
	within   bool // from is a slot
}

// NewPacked returns a cache of store that copies rows on the threads of pool (nil:
// parallel.DefaultPool).
func NewPacked(store *weights.Neurons, pool *parallel.Pool) (*Packed, error) {
	if store.Intermediate() == 0 {
		return nil, errors.New("cache: packed: there is no store")
	}
	intermediate := store.Intermediate()
	list := func() []int32 { return make([]int32, 0, intermediate) }
	c := &Packed{
		store: store, pool: pool,
		active: newSet(intermediate), slot: make([]int32, intermediate), neuron: list(), list: list(),
		next: newSet(intermediate), nextList: list(),
		arrivals: list(), holes: list(), moves: make([]move, 0, intermediate),
	}
	c.moving = c.copyPiece
	var err error
	if c.rows, err = newPools(store, 1); err != nil {
		return nil, fmt.Errorf("cache: packed: %w", err)
	}
	c.Reset()
	return c, nil
}

// Refresh implements Cache. It allocates only when the pools grow.
func (c *Packed) Refresh(active []bool, slots []int32) error {
	if err := checkMask(active, slots, c.Intermediate()); err != nil {
		return err
	}
	c.nextList, c.arrivals, c.holes = c.nextList[:0], c.arrivals[:0], c.holes[:0]
	for w, before := range c.active {
		now := word(active, w)
		c.next[w] = now
		c.nextList = appendTo(c.nextList, w, now)
		c.arrivals = appendTo(c.arrivals, w, now&^before)
		c.holes = appendTo(c.holes, w, before&^now) // neurons here, their slots after place
	}
	if err := c.reserve(len(c.nextList)); err != nil {
		return fmt.Errorf("cache: refresh: %w", err)
	}
	c.active, c.next = c.next, c.active
	c.list, c.nextList = c.nextList, c.list

	before, now := len(c.neuron), len(c.list)
	arrived, left := len(c.arrivals), len(c.holes)
	c.place(now)
	c.run()
	for i, neuron := range c.list {
		slots[i] = c.slot[neuron]
	}
	pad(slots[now:])

	c.stats.count(before-left, arrived, left)
	c.stats.Replaced += int64(min(arrived, left))
	return nil
}

// place plans the moves of the arrivals and of neurons behind count to slots below count.
func (c *Packed) place(count int) {
	c.moves = c.moves[:0]
	open := c.holes[:0]
	for _, neuron := range c.holes {
		slot := c.slot[neuron]
		c.neuron[slot] = -1
		if int(slot) < count {
			open = append(open, slot)
		}
	}
	end := len(c.neuron)
	c.neuron = c.neuron[:max(end, count)]
	take := func(neuron, from int32, within bool) {
		to := int32(end)
		if len(open) > 0 {
			to, open = open[0], open[1:]
		} else {
			end++
		}
		c.moves = append(c.moves, move{from, to, within})
		c.slot[neuron], c.neuron[to] = to, neuron
	}
	for _, neuron := range c.arrivals {
		take(neuron, neuron, false)
	}
	for slot := count; slot < len(c.neuron); slot++ { // behind the new end there are no arrivals
		if neuron := c.neuron[slot]; neuron >= 0 {
			take(neuron, int32(slot), true)
		}
	}
	c.neuron = c.neuron[:count]
}

// run makes the planned moves. No move writes a row that another reads.
func (c *Packed) run() {
	perPiece := c.perPiece()
	c.pool.Run((len(c.moves)+perPiece-1)/perPiece, c.moving)
	bytes := c.store.NeuronBytes()
	for _, m := range c.moves {
		if m.within {
			c.stats.BytesRepacked += bytes
		} else {
			c.stats.BytesMoved += bytes
		}
	}
}

// perPiece returns how many moves make a piece, so many that copies outweigh the cost of a piece.
func (c *Packed) perPiece() int {
	const bytes = 64 << 10
	return max(1, bytes/int(c.store.NeuronBytes()))
}

func (c *Packed) copyPiece(piece int) {
	n := c.perPiece()
	rows, store := c.rows.Parts(), c.store.Parts()
	for _, m := range c.moves[piece*n : min((piece+1)*n, len(c.moves))] {
		for i, to := range rows { // the rows of a neuron one after the other, as they may lie in the store
			from := store[i]
			if m.within {
				from = to
			}
			copy(to.Row(int(m.to)), from.Row(int(m.from)))
		}
	}
}

// reserve makes room for count neurons.
func (c *Packed) reserve(count int) error {
	if count <= c.rows.Intermediate() {
		return nil
	}
	pools, err := newPools(c.store, min(count+count/8, c.Intermediate()))
	if err != nil {
		return err
	}
	held := len(c.neuron)
	for i, from := range c.rows.Parts() {
		if err := weights.Copy(c.pool, pools.Parts()[i].Slice(0, held), from.Slice(0, held)); err != nil {
			return err
		}
	}
	c.stats.BytesRepacked += int64(len(c.neuron)) * c.store.NeuronBytes()
	c.rows = pools
	return nil
}

// newPools returns a pool of the given number of rows for every part of n. Rows of a dtype that
// tensors have are contiguous; each of the others begins a cache line.
func newPools(n *weights.Neurons, rows int) (*weights.Neurons, error) {
	pools := slices.Clone(n.Parts())
	for i, p := range pools {
		if d := p.Dtype(); d.Compute() == d {
			pools[i].Matrix = weights.NewContiguous(d, rows, p.Cols())
		} else {
			pools[i].Matrix = weights.NewMatrix(d, rows, p.Cols())
		}
	}
	return weights.NewStore(pools...)
}

// Intermediate implements Cache.
func (c *Packed) Intermediate() int {
	if c == nil {
		return 0
	}
	return c.store.Intermediate()
}

// Rows returns the pools, which have room for more neurons than are active.
func (c *Packed) Rows() *weights.Neurons { return c.rows }

// Neurons returns the active neurons in ascending order.
func (c *Packed) Neurons() []int32 { return c.list }

// Stats implements Cache.
func (c *Packed) Stats() Stats {
	s := c.stats
	s.ResidentBytes = c.store.Bytes()
	for _, p := range c.rows.Parts() {
		s.ResidentBytes += int64(p.Rows()) * int64(p.Stride())
	}
	return s
}

// Reset empties the active set and the counts. The pools stay.
func (c *Packed) Reset() {
	clear(c.active)
	c.neuron, c.list = c.neuron[:0], c.list[:0]
	c.stats = Stats{}
}
