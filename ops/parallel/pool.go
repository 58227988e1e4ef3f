package parallel

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// A Pool runs parallel sections: the caller and threads−1 workers take pieces of a section from a
// shared counter. After a section the workers spin for a short time, since the next one usually
// follows within microseconds, and then park. The caller does not wait for a worker that has not
// taken a piece.
//
// Any number of goroutines may use one Pool; their sections run one after the
// other. A piece must not start another section on the same pool.
type Pool struct {
	threads int
	spin    time.Duration
	workers []*Worker // workers[0] is the caller's

	mu      sync.Mutex // held by the caller of a section
	section Section
	pieces  int

	_    [64]byte
	next atomic.Int64
	_    [64]byte
	// state counts sections in its upper half; the lowest bit says that one is
	// open, the rest of the lower half counts the workers in it.
	state atomic.Uint64
	_     [64]byte

	asleep  atomic.Int32
	waiting atomic.Bool
	done    chan struct{} // the last worker left while the caller slept

	parking sync.Mutex
	wake    *sync.Cond
	closed  atomic.Bool

	call call // the section of Run
}

// Section is the work of one parallel section. Its pieces are independent and may run in any order,
// each on one of the workers of the pool.
type Section interface {
	Piece(w *Worker, i int)
}

// Worker is a thread of a Pool: the caller of a section or one that waits for sections.
type Worker struct {
	pool  *Pool
	index int
	next  int // piece that was claimed early, or unclaimed
	_     [64]byte
}

// Index returns the number of the worker, 0 to Threads()−1: what scratch memory of its own a piece
// may use.
func (w *Worker) Index() int { return w.index }

const (
	open  = 1
	enter = 2
	epoch = 1 << 32
)

// NewPool returns a pool of that many threads, the caller of a section among them. threads <= 0
// means the CPUs that are really available: the smallest of GOMAXPROCS, the affinity mask and the
// cgroup quota.
func NewPool(threads int) *Pool {
	cpus := availableCPUs()
	if threads <= 0 {
		threads = cpus
	}
	p := &Pool{threads: threads, done: make(chan struct{}, 1)}
	if threads <= cpus {
		p.spin = 200 * time.Microsecond
	}
	p.wake = sync.NewCond(&p.parking)
	for i := range threads {
		w := &Worker{pool: p, index: i, next: unclaimed}
		p.workers = append(p.workers, w)
		if i > 0 {
			go p.work(w)
		}
	}
	return p
}

var defaultPool = sync.OnceValue(func() *Pool { return NewPool(0) })

// DefaultPool returns the pool of all available CPUs. It is made on first use and never closed.
func DefaultPool() *Pool { return defaultPool() }

func orDefaultPool(p *Pool) *Pool {
	if p == nil {
		return DefaultPool()
	}
	return p
}

// Threads returns how many threads share the work, the caller among them.
func (p *Pool) Threads() int { return p.threads }

// Close ends the workers after the section that runs. Sections may still be started; the caller
// then works alone.
func (p *Pool) Close() {
	p.mu.Lock()
	p.closed.Store(true)
	p.mu.Unlock()
	p.parking.Lock()
	defer p.parking.Unlock()
	p.wake.Broadcast()
}

// Run calls f for i = 0 to n−1, distributed over the threads in any order. A nil pool is
// DefaultPool. A panic in f ends the program if it happens on a worker.
func (p *Pool) Run(n int, f func(i int)) {
	p = orDefaultPool(p)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.call.f = f
	p.do(n, &p.call)
	p.call.f = nil
}

type call struct{ f func(i int) }

func (c *call) Piece(_ *Worker, i int) { c.f(i) }

// Ranges calls f for the ranges of at most step numbers that cover 0 to n−1, as Run does.
func (p *Pool) Ranges(n, step int, f func(from, to int)) {
	p.Run((n+step-1)/step, func(i int) { f(i*step, min((i+1)*step, n)) })
}

// Do runs the n pieces of s and returns when all are done. It allocates nothing.
func (p *Pool) Do(n int, s Section) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.do(n, s)
}

func (p *Pool) do(n int, s Section) {
	p.section, p.pieces = s, n
	p.next.Store(0)
	if n <= 1 || p.threads == 1 || p.closed.Load() {
		p.take(p.workers[0])
		return
	}
	p.state.Store(p.state.Load()&^(epoch-1) + epoch | open)
	if p.asleep.Load() > 0 {
		p.parking.Lock()
		p.wake.Broadcast()
		p.parking.Unlock()
	}
	defer p.leave()
	p.take(p.workers[0])
}

// take runs pieces of the section until there are no more.
func (p *Pool) take(w *Worker) {
	w.next = unclaimed
	for i := w.Claim(); i < p.pieces; i = w.Claim() {
		w.next = unclaimed
		p.section.Piece(w, i)
	}
}

const unclaimed = -1

// Claim reserves the next piece for w and returns its index. An index that is not less than the
// number of pieces means that none is left. A piece may call it early, to prefetch what the next
// one reads.
func (w *Worker) Claim() int {
	if w.next == unclaimed {
		w.next = int(w.pool.next.Add(1) - 1)
	}
	return w.next
}

// leave closes the section and waits for the workers that are still in it.
func (p *Pool) leave() {
	if p.state.Add(^uint64(open-1))&(epoch-1) == 0 {
		return
	}
	for k := 0; k < 512; k++ {
		pause(8)
		if p.state.Load()&(epoch-1) == 0 {
			return
		}
		if k&31 == 31 || p.spin == 0 {
			runtime.Gosched()
		}
	}
	// A worker that was last in an earlier section may wake us too early: hence the loop.
	for p.state.Load()&(epoch-1) != 0 {
		p.waiting.Store(true)
		if p.state.Load()&(epoch-1) != 0 || !p.waiting.CompareAndSwap(true, false) {
			<-p.done
		}
	}
}

// work is the life of a worker.
func (p *Pool) work(w *Worker) {
	var seen uint64
	for {
		s := p.await(seen)
		if s == 0 {
			return
		}
		if !p.state.CompareAndSwap(s, s+enter) {
			continue // another worker entered or the caller closed: look again
		}
		seen = s / epoch
		p.take(w)
		if p.state.Add(^uint64(enter-1))&(epoch-1) == 0 && p.waiting.CompareAndSwap(true, false) {
			p.done <- struct{}{}
		}
	}
}

// await returns the state of an open section that is not the one seen, 0 when
// the pool is closed. It spins, then parks.
func (p *Pool) await(seen uint64) uint64 {
	fresh := func() (uint64, bool) {
		s := p.state.Load()
		return s, s&open != 0 && s/epoch != seen
	}
	if p.spin > 0 {
		start := time.Now()
		for k := 1; ; k++ {
			if s, ok := fresh(); ok {
				return s
			}
			pause(8)
			if k&31 == 0 {
				if time.Since(start) > p.spin {
					break
				}
				runtime.Gosched()
			}
		}
	}
	p.parking.Lock()
	defer p.parking.Unlock()
	p.asleep.Add(1)
	defer p.asleep.Add(-1)
	for {
		if s, ok := fresh(); ok {
			return s
		}
		if p.closed.Load() {
			return 0
		}
		p.wake.Wait()
	}
}
