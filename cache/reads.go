package cache

import (
	"sync"
	"sync/atomic"
)

// reads reads neurons from the file into slots of a Window, several at a time.
type reads struct {
	window  *Window
	readers int

	rows []byte // the bundles of the slots
	list []read
	done []bool // of each read: the slot holds the neuron

	next   atomic.Int64
	stop   atomic.Bool
	group  sync.WaitGroup
	reader func()

	fault sync.Once
	err   error // the first
}

type read struct{ neuron, slot int32 }

func newReads(w *Window, readers int) *reads {
	r := &reads{
		window: w, readers: readers,
		list: make([]read, 0, w.shape.Intermediate), done: make([]bool, 0, w.shape.Intermediate),
	}
	r.reader = func() {
		defer r.group.Done()
		r.read()
	}
	return r
}

// begin empties the list.
func (r *reads) begin() {
	r.list, r.done = r.list[:0], r.done[:0]
	r.err, r.fault = nil, sync.Once{}
	r.next.Store(0)
	r.stop.Store(false)
}

func (r *reads) add(neuron, slot int32) {
	r.list, r.done = append(r.list, read{neuron, slot}), append(r.done, false)
}

// run reads the list and returns when all is read or a read has failed.
func (r *reads) run() {
	r.start(1)
	r.read()
	r.group.Wait()
}

// start begins to read in the background. busy is how many readers there are already.
func (r *reads) start(busy int) {
	const each = 4 // reads that are worth a goroutine
	r.rows = r.window.rows.Bundles
	for range min(r.readers, (len(r.list)+each-1)/each) - busy {
		r.group.Add(1)
		go r.reader()
	}
}

// cancel ends the reads in the background, after those that are under way.
func (r *reads) cancel() {
	r.stop.Store(true)
	r.group.Wait()
}

func (r *reads) read() {
	w := r.window
	size := w.shape.Bundle()
	for !r.stop.Load() {
		i := int(r.next.Add(1) - 1)
		if i >= len(r.list) {
			return
		}
		neuron, slot := int(r.list[i].neuron), int(r.list[i].slot)
		if err := w.file.readBundles(w.layer, neuron, r.rows[slot*size:][:size]); err != nil {
			r.fault.Do(func() { r.err = err })
			r.stop.Store(true)
			return
		}
		r.done[i] = true
	}
}
