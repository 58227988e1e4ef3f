package kernel

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
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

// claiming is a section most of whose pieces claim the next piece of their worker, once or a few times.
type claiming struct {
	mu     sync.Mutex
	runs   []int
	claims map[*worker]int
	wrong  []int // pieces that a worker ran after it had claimed another
}

func (c *claiming) piece(w *worker, i int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.runs[i]++
	if claimed, ok := c.claims[w]; ok && claimed != i {
		c.wrong = append(c.wrong, i)
	}
	delete(c.claims, w)
	for range i % 4 {
		c.claims[w] = w.claim()
	}
}

func TestClaim(t *testing.T) {
	for threads := 1; threads <= 5; threads++ {
		p := NewPool(threads)
		for n := range 100 {
			c := &claiming{runs: make([]int, n), claims: map[*worker]int{}}
			p.mu.Lock()
			p.do(n, c)
			p.mu.Unlock()
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

func TestNewPool(t *testing.T) {
	p := NewPool(0)
	defer p.Close()
	if p.Threads() != availableCPUs() || p.Threads() > runtime.GOMAXPROCS(0) {
		t.Errorf("%d threads, %d CPUs", p.Threads(), availableCPUs())
	}
	if p.Variant() != Variants()[0] {
		t.Errorf("variant %s of %v", p.Variant(), Variants())
	}
	defer func() {
		if recover() == nil {
			t.Error("a variant that does not exist made no panic")
		}
	}()
	NewPool(1, WithVariant("cray"))
}

// A collector that runs all the time and many callers, each with results that it knows.
func TestStress(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(1))
	const H, I = 96, 160
	shared := NewPool(3)
	defer shared.Close()
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(31, uint64(g)))
			p := shared
			if g%2 == 1 {
				p = NewPool(2, WithVariant(Variants()[g/2%len(Variants())]))
				defer p.Close()
			}
			for _, d := range floatDtypes {
				m := &MLP[float32]{Gate: randomMatrix(r, d, I, H), Up: randomMatrix(r, d, I, H), Down: randomMatrix(r, d, I, H)}
				slots := numbers(I/2, func(i int) int32 { return int32(2 * i) })
				for _, T := range []int{1, 17} {
					x := randoms(r, T*H)
					var first []float32
					for range 20 {
						y := make([]float32, T*H)
						SparseMLP(p, y, x, m, slots, nil, nil)
						if first == nil {
							first = y
						} else if !slices.Equal(first, y) {
							t.Errorf("%v T=%d: other bits the second time", d, T)
							return
						}
					}
				}
			}
		})
	}
	wg.Wait()
}

// Float32 kernels allocate nothing once their pool is warm.
func TestAllocations(t *testing.T) {
	r := rand.New(rand.NewPCG(41, 42))
	const H, I, heads, headDim = 192, 320, 4, 48
	slots := numbers(I/2, func(i int) int32 { return int32(2 * i) })
	rotary, err := NewRotary(RotaryConfig{HeadDim: headDim})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range Variants() {
		for _, d := range floatDtypes {
			p := NewPool(2, WithVariant(name))
			m := &MLP[float32]{Gate: randomMatrix(r, d, I, H), Up: randomMatrix(r, d, I, H), Down: randomMatrix(r, d, I, H)}
			for _, T := range []int{1, 3, 17} {
				x, y, wide := randoms(r, T*H), make([]float32, T*H), make([]float32, T*I)
				kv, err := NewKV(F16, 1, 32, heads, headDim)
				if err != nil {
					t.Fatal(err)
				}
				positions := numbers(T, func(i int) int32 { return int32(i) })
				zeros := make([]int32, T)
				for what, f := range map[string]func(){
					"Linear":    func() { Linear(p, wide, x, m.Up, nil) },
					"LinearT":   func() { LinearT(p, y, wide, m.Down, nil) },
					"SparseMLP": func() { SparseMLP(p, y, x, m, slots, nil, nil) },
					"DenseMLP":  func() { DenseMLP(p, y, x, m) },
					"RMSNorm":   func() { RMSNorm(p, y, x, x[:H], 1e-5) },
					"Gated":     func() { Gated(p, wide, wide, wide, SiLU) },
					"Embed":     func() { Embed(p, y, m.Up, zeros) },
					"Attention": func() { Attention(p, y, x, x, x, heads, positions, zeros, kv, 0.1) },
					"RoPE":      func() { RoPE(p, y, x, heads, positions, rotary) },
				} {
					f()
					if n := testing.AllocsPerRun(3, f); n != 0 {
						t.Errorf("%s %v T=%d: %s allocates %v times", name, d, T, what, n)
					}
				}
			}
			p.Close()
		}
	}
}

func ExampleSparseMLP() {
	// Two neurons of two inputs; only the second is active.
	gate, up, down := NewMatrix(F32, 2, 2), NewMatrix(F32, 2, 2), NewMatrix(F32, 2, 2)
	SetRow(gate, 1, []float32{1, 0})
	SetRow(up, 1, []float32{0, 2})
	SetRow(down, 1, []float32{1, -1})
	y := make([]float32, 2)
	SparseMLP(nil, y, []float32{3, 5}, &MLP[float32]{Gate: gate, Up: up, Down: down, Act: ReLU}, []int32{1}, nil, nil)
	fmt.Println(y)
	// Output: [30 -30]
}
