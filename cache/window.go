package cache

import (
	"fmt"
	"math/bits"
	"os"
	"slices"

	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// Window is the policy whose neurons lie in a neuron file. Neurons that were active in the last k
// Refreshes stay in memory: the sliding window of LLM in a Flash (arXiv 2312.11514, section 3.1).
// Within a budget the least recently active leave first. An active neuron that is not in memory is
// read from the file and checked.
//
// A Refresh that fails leaves the active set as it was, or empty if it had to take a slot of the
// active set. The next Refresh works in either case.
type Window struct {
	file   *File
	layer  int
	shape  weights.Shape
	tokens int64
	budget int // slots

	rows   *weights.Neurons // the slots
	used   int              // the first slots, which have been in use
	free   []int32          // slots below used that hold nothing
	slot   []int32          // of each neuron, −1 if it is not in memory
	neuron []int32          // of each slot, −1 if it holds nothing
	last   []int64          // of each slot: the Refresh that its neuron was last active in
	recent recency          // the slots that hold neurons
	now    int64            // the number of Refreshes

	active set
	list   []int32 // the active neurons in ascending order
	stats  Stats
	closed bool

	next     set // scratch of Refresh
	nextList []int32
	fetch    *reads
	ahead    *reads // those of Prefetch
}

// WindowOptions are the limits of a Window.
type WindowOptions struct {
	// Tokens is k ≥ 1: a neuron stays for k Refreshes from the last in which it was active.
	Tokens int

	// Budget limits the memory for rows in bytes; 0 means no limit. A larger active set exceeds it
	// until the next Refresh, which returns the memory to the system where that is possible.
	Budget int64

	// Readers limits the concurrent reads; 0 means 4.
	Readers int
}

// NewWindow returns a cache of a layer of f, which any number of caches may share.
func NewWindow(f *File, layer int, o WindowOptions) (*Window, error) {
	w, err := newWindow(f, layer, o)
	if err != nil {
		return nil, fmt.Errorf("cache: window: %w", err)
	}
	return w, nil
}

func newWindow(f *File, number int, o WindowOptions) (*Window, error) {
	l, err := f.layer(number)
	if err != nil {
		return nil, err
	}
	if o.Tokens < 1 || o.Budget < 0 || o.Readers < 0 {
		return nil, fmt.Errorf("%d tokens, a budget of %d bytes, %d readers", o.Tokens, o.Budget, o.Readers)
	}
	if _, err := l.Size(); err != nil {
		return nil, err
	}
	intermediate, first := l.Intermediate, fewSlots
	w := &Window{file: f, layer: number, shape: l.Shape, tokens: int64(o.Tokens), budget: intermediate}
	if o.Budget > 0 {
		slots := o.Budget / int64(l.Bundle())
		if slots < 1 {
			return nil, fmt.Errorf("a budget of %d bytes, a neuron has %d", o.Budget, l.Bundle())
		}
		w.budget = int(min(slots, int64(intermediate)))
		first = w.budget // the system provides memory when it is first written
	}
	if err := w.resize(min(w.budget, first)); err != nil {
		return nil, err
	}
	readers := o.Readers
	if readers == 0 {
		readers = 4
	}
	list := func() []int32 { return make([]int32, intermediate) }
	w.free, w.slot, w.neuron, w.list, w.nextList = list()[:0], list(), list(), list()[:0], list()[:0]
	w.last, w.recent = make([]int64, intermediate), newRecency(intermediate)
	w.active, w.next = newSet(intermediate), newSet(intermediate)
	w.fetch, w.ahead = newReads(w, readers), newReads(w, readers)
	w.Reset()
	return w, nil
}

// fewSlots is the number of slots that a window without a budget begins with.
const fewSlots = 64

// resize changes the number of slots and keeps the neurons of the first ones.
func (w *Window) resize(slots int) error {
	s := w.shape
	s.Intermediate = slots
	rows, err := s.Allocate()
	if err != nil {
		return err
	}
	weights.GiveBack(rows.Bundles) // reused memory was cleared by writing: it is resident
	if w.rows != nil {
		held := min(w.used, slots)
		copy(rows.Bundles, w.rows.Bundles[:held*s.Bundle()])
		w.stats.BytesRepacked += int64(held) * w.rows.NeuronBytes()
		weights.GiveBack(w.rows.Bundles)
	}
	w.rows = rows
	return nil
}

// Refresh implements Cache: it reads the neurons that are missing. It allocates when the window
// grows, exceeds its budget or shrinks to it.
func (w *Window) Refresh(active []bool, slots []int32) error {
	if err := checkMask(active, slots, w.Intermediate()); err != nil {
		return err
	}
	if w.closed {
		return fmt.Errorf("cache: refresh: %w", os.ErrClosed)
	}
	w.settle()
	leaves := w.compare(active)
	lost, err := w.shrink()
	if err != nil {
		return fmt.Errorf("cache: refresh: %w", err)
	}
	for _, neuron := range w.nextList { // neurons that stay become the newest
		if slot := w.slot[neuron]; slot >= 0 {
			w.touch(slot, w.now+1)
		}
	}
	gaveUp, err := w.read()
	if err != nil {
		if lost || gaveUp {
			clear(w.active)
			w.list = w.list[:0]
		}
		return fmt.Errorf("cache: refresh: %w", err)
	}
	w.now++
	w.active, w.next = w.next, w.active
	w.list = append(w.list[:0], w.nextList...)
	for i, neuron := range w.list {
		slots[i] = w.slot[neuron]
	}
	pad(slots[len(w.list):])
	misses := len(w.fetch.list)
	w.stats.count(len(w.list)-misses, misses, leaves)
	return nil
}

// compare sets next and nextList to the active set of the mask. It returns how many neurons leave.
func (w *Window) compare(mask []bool) (leaves int) {
	w.nextList = w.nextList[:0]
	for i, before := range w.active {
		now := word(mask, i)
		leaves += bits.OnesCount64(before &^ now)
		w.next[i] = now
		w.nextList = appendTo(w.nextList, i, now)
	}
	return leaves
}

// shrink drops the slots beyond the budget and reports whether an active neuron lost its slot.
func (w *Window) shrink() (lost bool, err error) {
	if w.used <= w.budget {
		return false, nil
	}
	if err := w.resize(w.budget); err != nil {
		return false, err
	}
	for slot := w.budget; slot < w.used; slot++ {
		if neuron := w.neuron[slot]; neuron >= 0 {
			lost = lost || w.active.has(neuron)
			w.drop(int32(slot))
		}
	}
	w.free = slices.DeleteFunc(w.free, func(slot int32) bool { return int(slot) >= w.budget })
	w.used = w.budget
	return lost, nil
}

// read reads the missing neurons of nextList and reports whether an active one lost its slot.
func (w *Window) read() (lost bool, err error) {
	w.fetch.begin()
	for _, neuron := range w.nextList {
		if w.slot[neuron] >= 0 {
			continue
		}
		slot, victim, err := w.take(w.now + 1 - w.tokens)
		if err != nil {
			_, _ = w.adopt(w.fetch, w.now+1)
			return lost, err
		}
		lost = lost || victim >= 0 && w.active.has(victim)
		w.fetch.add(neuron, slot)
	}
	w.fetch.run()
	_, err = w.adopt(w.fetch, w.now+1)
	return lost, err
}

// take returns a slot for a neuron, and the neuron that leaves it, −1 if there is none. In order:
//
//   - a slot that holds nothing
//   - the slot of the least recently active neuron, if it was not active after Refresh expired
//   - a new slot within the budget
//   - the slot of the least recently active neuron that is not in next
//   - a new slot beyond the budget
func (w *Window) take(expired int64) (slot, victim int32, err error) {
	if n := len(w.free); n > 0 {
		slot, w.free = w.free[n-1], w.free[:n-1]
		return slot, -1, nil
	}
	oldest := w.recent.oldest()
	needed := oldest < 0 || w.next.has(w.neuron[oldest])
	if needed || w.used < w.budget && w.last[oldest] > expired {
		if w.used == w.rows.Intermediate() {
			if err := w.resize(min(w.used+w.used/8+1, w.shape.Intermediate)); err != nil {
				return -1, -1, err
			}
		}
		w.used++
		return int32(w.used - 1), -1, nil
	}
	victim = w.neuron[oldest]
	w.drop(oldest)
	w.stats.Replaced++
	return oldest, victim, nil
}

// drop empties a slot.
func (w *Window) drop(slot int32) {
	w.recent.remove(slot)
	w.slot[w.neuron[slot]], w.neuron[slot] = -1, -1
}

// adopt records the neurons that r has read as last active in Refresh last, and frees the other
// slots. It returns how many were read.
func (w *Window) adopt(r *reads, last int64) (done int, err error) {
	for i, read := range r.list {
		if !r.done[i] {
			w.free = append(w.free, read.slot)
			continue
		}
		w.slot[read.neuron], w.neuron[read.slot] = read.slot, read.neuron
		w.touch(read.slot, last)
		done++
	}
	w.stats.BytesRead += int64(done) * int64(w.shape.Bundle())
	return done, r.err
}

// touch records that the neuron of a slot was active in Refresh last.
func (w *Window) touch(slot int32, last int64) {
	w.last[slot] = last
	w.recent.touch(slot)
}

// Intermediate implements Cache.
func (w *Window) Intermediate() int {
	if w == nil {
		return 0
	}
	return w.shape.Intermediate
}

// Rows returns the slots: some of the neurons of the file.
func (w *Window) Rows() *weights.Neurons { return w.rows }

// Neurons returns the active neurons in ascending order.
func (w *Window) Neurons() []int32 { return w.list }

// Stats implements Cache. A Prefetch that is under way is not counted yet.
func (w *Window) Stats() Stats {
	s := w.stats
	s.ResidentBytes = int64(w.used) * int64(w.shape.Bundle())
	return s
}

// Reset ends a Prefetch and empties the window and the counts. It keeps memory up to the budget.
func (w *Window) Reset() {
	if w.Intermediate() == 0 {
		return
	}
	w.settle()
	_, _ = w.shrink() // after an error the slots beyond the budget stay
	clear(w.active)
	w.list = w.list[:0]
	for i := range w.slot {
		w.slot[i] = -1
	}
	w.free = w.free[:0]
	for slot := w.used - 1; slot >= 0; slot-- { // take pops the first slots first
		w.free = append(w.free, int32(slot))
	}
	for i := range w.neuron {
		w.neuron[i] = -1
	}
	w.recent.clear()
	w.now = 0
	w.stats = Stats{}
}

// Close ends a Prefetch. A later Refresh is an error.
func (w *Window) Close() error {
	if w.Intermediate() == 0 {
		return fmt.Errorf("cache: close: %w", os.ErrInvalid)
	}
	w.settle()
	w.closed = true
	return nil
}
