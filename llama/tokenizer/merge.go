package tokenizer

// A merger joins neighbouring symbols, best pair first, in n·log n steps for n
// symbols: a list of the symbols and a heap of the pairs that may be joined.
type merger struct {
	symbols []symbol
	heap    []candidate
}

// A symbol is a token in the making. Dead symbols have been joined to their left neighbour.
type symbol struct {
	id         int32
	prev, next int32 // −1 at the ends
	start, end int32 // place in the text, where the model needs it
	dead       bool
}

// A candidate is the pair of the symbol at pos and its right neighbour, as long
// as these still make the token id.
type candidate struct {
	priority float64 // lower is better
	pos      int32   // among equals the leftmost
	id       int32
}

// pairFunc returns the priority and the token of two neighbours; false when they do not join.
type pairFunc func(left, right symbol) (priority float64, id int32, ok bool)

func (m *merger) reset() {
	m.symbols, m.heap = m.symbols[:0], m.heap[:0]
}

// add appends a symbol.
func (m *merger) add(id int32) { m.addText(id, 0, 0) }

// addText appends a symbol that stands for the text from start to end.
func (m *merger) addText(id int32, start, end int) {
	n := int32(len(m.symbols))
	if n > 0 {
		m.symbols[n-1].next = n
	}
	m.symbols = append(m.symbols, symbol{id: id, prev: n - 1, next: -1, start: int32(start), end: int32(end)})
}

// merge joins all pairs that can be joined.
func (m *merger) merge(pair pairFunc) {
	for i := range len(m.symbols) - 1 {
		m.offer(int32(i), pair)
	}
	for len(m.heap) > 0 {
		c := m.pop()
		left := &m.symbols[c.pos]
		if left.dead || left.next < 0 {
			continue
		}
		right := &m.symbols[left.next]
		if _, id, ok := pair(*left, *right); !ok || id != c.id {
			continue // one of the two has changed since
		}
		left.id, left.end, left.next = c.id, right.end, right.next
		right.dead = true
		if left.next >= 0 {
			m.symbols[left.next].prev = c.pos
			m.offer(c.pos, pair)
		}
		if left.prev >= 0 {
			m.offer(left.prev, pair)
		}
	}
}

// live yields the symbols that are left.
func (m *merger) live(yield func(symbol) bool) {
	for _, s := range m.symbols {
		if !s.dead && !yield(s) {
			return
		}
	}
}

// offer enters the pair at pos if it can be joined.
func (m *merger) offer(pos int32, pair pairFunc) {
	left := m.symbols[pos]
	priority, id, ok := pair(left, m.symbols[left.next])
	if !ok {
		return
	}
	m.heap = append(m.heap, candidate{priority, pos, id})
	for i := len(m.heap) - 1; i > 0; {
		parent := (i - 1) / 2
		if !m.heap[i].before(m.heap[parent]) {
			break
		}
		m.heap[i], m.heap[parent] = m.heap[parent], m.heap[i]
		i = parent
	}
}

// pop removes the best candidate.
func (m *merger) pop() candidate {
	best := m.heap[0]
	last := len(m.heap) - 1
	m.heap[0] = m.heap[last]
	m.heap = m.heap[:last]
	for i := 0; ; {
		child := 2*i + 1
		if child >= last {
			break
		}
		if child+1 < last && m.heap[child+1].before(m.heap[child]) {
			child++
		}
		if !m.heap[child].before(m.heap[i]) {
			break
		}
		m.heap[i], m.heap[child] = m.heap[child], m.heap[i]
		i = child
	}
	return best
}

func (c candidate) before(d candidate) bool {
	return c.priority < d.priority || c.priority == d.priority && c.pos < d.pos
}
