package cache

import (
	"fmt"
	"os"
)

// Prefetch begins to read the neurons that are expected to be active next, as many as the budget
// has room for beside the active set. It returns at once. The active set keeps its slots.
//
// The next Refresh, Prefetch, Reset or Close ends the reading. What is in memory by then is a hit,
// the rest is read as without Prefetch, so the results are the same. A read that fails is left to
// the Refresh that needs the neuron, which then returns the error.
func (w *Window) Prefetch(expected []bool) error {
	if n := w.Intermediate(); n == 0 || len(expected) != n {
		return fmt.Errorf("cache: prefetch: expected has %d entries, the MLP has %d neurons", len(expected), n)
	}
	if w.closed {
		return fmt.Errorf("cache: prefetch: %w", os.ErrClosed)
	}
	w.settle()
	w.compare(expected)

	// The active set and the expected neurons stay; other slots may be taken.
	stay := len(w.list)
	for _, neuron := range w.list {
		w.touch(w.slot[neuron], w.now)
	}
	for _, neuron := range w.nextList {
		if slot := w.slot[neuron]; slot >= 0 {
			w.touch(slot, w.now)
			if !w.active.has(neuron) {
				stay++
			}
		}
	}
	w.ahead.begin()
	for _, neuron := range w.nextList {
		if w.slot[neuron] >= 0 {
			continue
		}
		if len(w.ahead.list) >= w.budget-stay {
			break
		}
		slot, _, err := w.take(min(w.now+1-w.tokens, w.now-1))
		if err != nil {
			_, _ = w.adopt(w.ahead, w.now)
			w.ahead.begin()
			return fmt.Errorf("cache: prefetch: %w", err)
		}
		w.ahead.add(neuron, slot)
	}
	w.ahead.start(0)
	return nil
}

// settle ends the reading of a Prefetch and adopts the neurons that it has read.
func (w *Window) settle() {
	w.ahead.cancel()
	done, _ := w.adopt(w.ahead, w.now) // an error is for the Refresh that needs the neuron
	w.stats.Prefetched += int64(done)
	w.ahead.begin()
}
