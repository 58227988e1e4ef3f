package kernel

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"
)

// Pool runs the parallel sections of kernels: the caller and threads−1 workers
// take pieces of a section from a shared counter. After a section the workers
// spin for a short time, since the next one usually follows within
// microseconds, and then park. A worker that does not come in time is not
// waited for: the caller alone can finish any section, so a pool is right,
// if not fast, with one CPU, a CPU quota or more threads than CPUs.
//
// Any number of goroutines may call the kernels of one Pool; their sections
// run one after the other. A function that runs inside a section must not
// start another on the same pool.
type Pool struct {
	threads int
	spin    time.Duration
	variant *variant
	workers []*worker // workers[0] is the caller's

	mu      sync.Mutex // held by the caller from the first section of a kernel to the last
	section section
	pieces  int
	slots   []int32 // 0, 1, 2, …: the numbers never change, the slice grows

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

	tasks tasks
}

// section is the work of one parallel section. Its pieces are independent and
// may run in any order; w is the scratch of the worker that runs piece i.
type section interface {
	piece(w *worker, i int)
}

// worker is the scratch memory of one worker.
type worker struct {
	pool    *Pool
	next    int // piece that was claimed ahead, -1: none
	floats  []float32
	operand operand
	dots    dotRows
	rows    axpyRows
	order   [3*blockNeurons + mostAhead]unsafe.Pointer // rows of a block of neurons
	_       [64]byte
}

// scratch returns n float32 of unspecified content, at a multiple of 64 bytes.
func (w *worker) scratch(n int) []float32 {
	if len(w.floats) < n {
		w.floats = floats(n + n/4)
	}
	return w.floats[:n]
}

// tasks are the sections of the float32 kernels, one of each: they are reused
// under Pool.mu, so that a kernel call allocates nothing.
type tasks struct {
	run       runTask
	linear    linearTask
	gemm      gemmTask
	neurons   neuronTask
	down      downTask
	reduce    reduceTask
	pack      packTask
	elements  elementTask
	norm      normTask
	rope      ropeTask
	attention attentionTask
	embed     embedTask

	operands [smallT]operand // inputs prepared for the dtype of the weights
	packed   []float32       // inputs as a GEMM reads them
	hidden   []float32       // hidden activations between the two halves of an MLP
	partial  []float32       // sums of chunks of rows

	pairs, tokenScales, sums, factors []float32 // of products on integers
	halves                            []float32 // of products on a matrix unit
}

const (
	open  = 1
	enter = 2
	epoch = 1 << 32
)

// PoolOption changes what NewPool makes.
type PoolOption func(*Pool)

// WithVariant selects the kernels by the name of one of Variants. NewPool
// panics if this CPU cannot run them.
func WithVariant(name string) PoolOption {
	return func(p *Pool) {
		v := findVariant(name)
		if v == nil {
			panic(fmt.Sprintf("kernel: no variant %q on this CPU, there are %v", name, Variants()))
		}
		p.variant = v
	}
}

// NewPool returns a pool of that many threads, the caller of a kernel among
// them. threads <= 0 means the CPUs that are really available: the smallest of
// GOMAXPROCS, the affinity mask and the cgroup quota.
func NewPool(threads int, opts ...PoolOption) *Pool {
	cpus := availableCPUs()
	if threads <= 0 {
		threads = cpus
	}
	p := &Pool{threads: threads, variant: variants()[0], done: make(chan struct{}, 1)}
	if threads <= cpus {
		p.spin = 200 * time.Microsecond
	}
	p.wake = sync.NewCond(&p.parking)
	for _, o := range opts {
		o(p)
	}
	for i := range threads {
		w := &worker{pool: p}
		p.workers = append(p.workers, w)
		if i > 0 {
			go p.work(w)
		}
	}
	return p
}

var defaultPool = sync.OnceValue(func() *Pool { return NewPool(0) })

// DefaultPool returns the pool that kernels use when they are given none. It
// is made on first use and never closed.
func DefaultPool() *Pool { return defaultPool() }

func orDefault(p *Pool) *Pool {
	if p == nil {
		return DefaultPool()
	}
	return p
}

// Threads returns how many threads share the work, the caller among them.
func (p *Pool) Threads() int { return p.threads }

// Variant returns the name of the kernels that the pool runs.
func (p *Pool) Variant() string { return p.variant.name }

// Close ends the workers after the section that runs. Kernels may still be
// called; the caller then works alone.
func (p *Pool) Close() {
	p.mu.Lock()
	p.closed.Store(true)
	p.mu.Unlock()
	p.parking.Lock()
	defer p.parking.Unlock()
	p.wake.Broadcast()
}

// Run calls f for i = 0 to n−1, distributed over the threads in any order. A
// panic in f ends the program if it happens on a worker.
func (p *Pool) Run(n int, f func(i int)) {
	p = orDefault(p)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tasks.run.f = f
	p.do(n, &p.tasks.run)
	p.tasks.run.f = nil
}

type runTask struct{ f func(i int) }

func (t *runTask) piece(_ *worker, i int) { t.f(i) }

// do runs the n pieces of s and returns when all are done. Callers hold p.mu.
func (p *Pool) do(n int, s section) {
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
func (p *Pool) take(w *worker) {
	w.next = unclaimed
	for i := w.claim(); i < p.pieces; i = w.claim() {
		w.next = unclaimed
		p.section.piece(w, i)
	}
}

const unclaimed = -1

// claim returns the piece that w runs next, which is its own from now on; the number of pieces or more: there is none.
// Near its end a piece may so learn what to ask memory for.
func (w *worker) claim() int {
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
func (p *Pool) work(w *worker) {
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

// resize returns s with n elements of unspecified content, allocating only to grow.
func resize(s []float32, n int) []float32 {
	if cap(s) < n {
		return floats(n + n/4)[:n]
	}
	return s[:n]
}

func address[E any](s []E) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(s)) }
