package cache

// recency lists slots in the order in which they were touched: a circular doubly linked list in two
// arrays, with a sentinel behind the last slot. next leads to older slots.
type recency struct{ next, previous []int32 }

func newRecency(slots int) recency {
	r := recency{make([]int32, slots+1), make([]int32, slots+1)}
	r.clear()
	return r
}

func (r *recency) end() int32 { return int32(len(r.next) - 1) }

func (r *recency) clear() {
	for i := range r.next {
		r.next[i], r.previous[i] = -1, -1 // not in the list
	}
	e := r.end()
	r.next[e], r.previous[e] = e, e
}

// oldest returns the slot that was touched before all others, −1 if there is none.
func (r *recency) oldest() int32 {
	e := r.end()
	if slot := r.previous[e]; slot != e {
		return slot
	}
	return -1
}

func (r *recency) touch(slot int32) {
	if r.next[slot] >= 0 {
		r.remove(slot)
	}
	e := r.end()
	first := r.next[e]
	r.next[e], r.previous[slot] = slot, e
	r.next[slot], r.previous[first] = first, slot
}

func (r *recency) remove(slot int32) {
	next, previous := r.next[slot], r.previous[slot]
	r.next[previous], r.previous[next] = next, previous
	r.next[slot], r.previous[slot] = -1, -1
}
