package parallel

import (
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestPoolRunsEveryPieceOnce(t *testing.T) {
	for threads := 1; threads <= 9; threads++ {
		p := NewPool(threads)
		for n := range 300 {
			counts := make([]atomic.Int32, n)
			p.Run(n, func(i int) { counts[i].Add(1) })
			for i := range counts {
				if c := counts[i].Load(); c != 1 {
					t.Fatalf("threads=%d n=%d: piece %d ran %d times", threads, n, i, c)
				}
			}
		}
		p.Close()
	}
}

// claiming is a section most of whose pieces claim the next piece of their worker, once or a few
// times.
type claiming struct {
	mu     sync.Mutex
	runs   []int
	claims map[*Worker]int
	wrong  []int // pieces that a worker ran after it had claimed another
}

func (c *claiming) Piece(w *Worker, i int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.runs[i]++
	if claimed, ok := c.claims[w]; ok && claimed != i {
		c.wrong = append(c.wrong, i)
	}
	delete(c.claims, w)
	for range i % 4 {
		c.claims[w] = w.Claim()
	}
}

func TestClaim(t *testing.T) {
	for threads := 1; threads <= 5; threads++ {
		p := NewPool(threads)
		for n := range 100 {
			c := &claiming{runs: make([]int, n), claims: map[*Worker]int{}}
			p.Do(n, c)
			if slices.ContainsFunc(c.runs, func(runs int) bool { return runs != 1 }) || c.wrong != nil {
				t.Fatalf("threads=%d n=%d: runs of pieces %d, others than claimed %d", threads, n, c.runs, c.wrong)
			}
			for _, claimed := range c.claims {
				if claimed < n {
					t.Fatalf("threads=%d n=%d: piece %d was claimed and not run", threads, n, claimed)
				}
			}
		}
		p.Close()
	}
}

// Sessions that share a pool, with more threads than CPUs.
func TestPoolIsShared(t *testing.T) {
	for _, threads := range []int{1, 2, 3 * runtime.NumCPU()} {
		p := NewPool(threads)
		var inside, sections atomic.Int32
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for range 200 {
					var once sync.Once
					var pieces atomic.Int32
					p.Run(5, func(int) {
						once.Do(func() {
							if inside.Add(1) != 1 {
								t.Error("two sections at the same time")
							}
						})
						if pieces.Add(1) == 5 {
							inside.Add(-1)
						}
					})
					sections.Add(1)
				}
			})
		}
		wg.Wait()
		if sections.Load() != 1600 {
			t.Fatalf("%d sections", sections.Load())
		}
		p.Close()
	}
}

// With one CPU nobody else can run while a thread spins.
func TestPoolWithOneCPU(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	for _, threads := range []int{1, 2, 7} {
		p := NewPool(threads)
		var sum atomic.Int64
		for range 300 {
			p.Run(20, func(i int) { sum.Add(int64(i)) })
		}
		if sum.Load() != 300*190 {
			t.Fatalf("threads=%d: sum %d", threads, sum.Load())
		}
		p.Close()
	}
}

func TestPoolWakesParkedWorkers(t *testing.T) {
	p := NewPool(2)
	defer p.Close()
	for range 20 {
		for p.asleep.Load() == 0 {
			time.Sleep(time.Millisecond)
		}
		// The two pieces need each other: the caller cannot run both.
		var both sync.WaitGroup
		both.Add(2)
		p.Run(2, func(int) { both.Done(); both.Wait() })
	}
}

func TestPoolAfterClose(t *testing.T) {
	before := runtime.NumGoroutine()
	p := NewPool(4)
	p.Close()
	p.Close()
	n := 0
	p.Run(100, func(int) { n++ })
	if n != 100 {
		t.Fatalf("%d pieces", n)
	}
	for end := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > before; {
		if time.Now().After(end) {
			t.Fatalf("%d goroutines, %d before", runtime.NumGoroutine(), before)
		}
		time.Sleep(time.Millisecond)
	}
}

// A panic of a piece on the caller reaches the caller and leaves the pool usable.
func TestPoolPanic(t *testing.T) {
	p := NewPool(1)
	defer p.Close()
	func() {
		defer func() {
			if recover() == nil {
				t.Error("no panic")
			}
		}()
		p.Run(3, func(i int) { panic(i) })
	}()
	n := 0
	p.Run(3, func(int) { n++ })
	if n != 3 {
		t.Fatalf("%d pieces after a panic", n)
	}
}

func BenchmarkPool(b *testing.B) {
	for _, threads := range []int{1, 2} {
		b.Run(fmt.Sprintf("threads=%d", threads), func(b *testing.B) {
			p := NewPool(threads)
			defer p.Close()
			f := func(int) {}
			for b.Loop() {
				p.Run(threads, f)
			}
		})
	}
}

func TestNewPool(t *testing.T) {
	p := NewPool(0)
	defer p.Close()
	if p.Threads() != availableCPUs() || p.Threads() > runtime.GOMAXPROCS(0) {
		t.Errorf("%d threads, %d CPUs", p.Threads(), availableCPUs())
	}
}
