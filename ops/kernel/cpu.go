package kernel

import (
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/sparsegonia/sparsegonia/ops/parallel"
	"github.com/sparsegonia/sparsegonia/ops/simd"
)

// A CPU is what kernels run on: the threads of a Pool, one of the Variants, and scratch memory. Any
// number of goroutines may call kernels on one CPU; the calls run one after the other.
type CPU struct {
	pool    *parallel.Pool
	variant *simd.Variant
	workers []worker // one for each of the threads

	mu   sync.Mutex // held by a kernel from its first section to its last
	kept []any      // see perCPU
}

// CPUOption changes what NewCPU makes.
type CPUOption func(*CPU)

// WithVariant selects the kernels by the name of one of Variants. NewCPU panics if this processor
// cannot run them.
func WithVariant(name string) CPUOption {
	return func(c *CPU) {
		v := simd.Find(name)
		if v == nil {
			panic(fmt.Sprintf("kernel: no variant %q on this CPU, there are %v", name, simd.Variants()))
		}
		c.variant = v
	}
}

// NewCPU returns a CPU with a pool of that many threads, all that are available if threads <= 0,
// and the best variant.
func NewCPU(threads int, opts ...CPUOption) *CPU { return newCPU(parallel.NewPool(threads), opts...) }

func newCPU(p *parallel.Pool, opts ...CPUOption) *CPU {
	c := &CPU{pool: p, variant: simd.All()[0], workers: make([]worker, p.Threads())}
	for _, o := range opts {
		o(c)
	}
	return c
}

var (
	firstCPU = sync.OnceValue(func() *CPU { return newCPU(parallel.DefaultPool()) })
	otherCPU atomic.Pointer[CPU] // of SetDefaultCPU
)

// DefaultCPU returns the CPU that kernels run on when they are given none: that of SetDefaultCPU, or
// one of all available threads, which is made on first use and never closed.
func DefaultCPU() *CPU {
	if c := otherCPU.Load(); c != nil {
		return c
	}
	return firstCPU()
}

// SetDefaultCPU makes c the default, for programs whose ops run on Gorgonia's machines, which know no
// CPU. It is called before graphs run. A nil c brings back the first default.
func SetDefaultCPU(c *CPU) { otherCPU.Store(c) }

func orDefault(c *CPU) *CPU {
	if c == nil {
		return DefaultCPU()
	}
	return c
}

// Pool returns the threads of c; nil, which stands for the default one, has the default pool.
func (c *CPU) Pool() *parallel.Pool { return orDefault(c).pool }

// Threads returns how many threads share the work, the caller among them.
func (c *CPU) Threads() int { return orDefault(c).pool.Threads() }

// Variant returns the name of the kernels that c runs.
func (c *CPU) Variant() string { return orDefault(c).variant.Name }

// Close ends the workers of the pool, and c is no longer the default. Kernels may still be called;
// the caller then works alone. Close of nil does nothing.
func (c *CPU) Close() {
	if c == nil {
		return
	}
	otherCPU.CompareAndSwap(c, nil)
	c.pool.Close()
}

// do runs the n pieces of a task. Callers hold c.mu.
func (c *CPU) do(n int, s parallel.Section) { c.pool.Do(n, s) }

// on returns the scratch memory of a worker of c's pool.
func (c *CPU) on(w *parallel.Worker) *worker {
	own := &c.workers[w.Index()]
	own.Worker = w
	return own
}

// worker is the scratch memory of one worker.
type worker struct {
	*parallel.Worker
	floats []float32
	dots   simd.DotRows
	rows   simd.AxpyRows
	block  block
	split  splitWeights
	_      [64]byte
}

// scratch returns n float32 of unspecified content, at a multiple of 64 bytes.
func (w *worker) scratch(n int) []float32 { return resizeTo(&w.floats, n) }

// A perCPU is a T that every CPU has one of: a task or scratch memory that the calls of a kernel
// share, so that they allocate nothing. It is used under CPU.mu.
type perCPU[T any] int

var perCPUs int

// newPerCPU declares a T for every CPU. It is called when the package is initialised.
func newPerCPU[T any]() perCPU[T] {
	perCPUs++
	return perCPU[T](perCPUs - 1)
}

// of returns the T of c.
func (k perCPU[T]) of(c *CPU) *T {
	if c.kept == nil {
		c.kept = make([]any, perCPUs)
	}
	if c.kept[k] == nil {
		c.kept[k] = new(T)
	}
	return c.kept[k].(*T)
}

// resizeTo makes *s n elements long, of unspecified content, and returns it. It allocates only to
// grow.
func resizeTo[E any](s *[]E, n int) []E {
	*s = simd.Resize(*s, n)
	return *s
}

const (
	panicShape  = "kernel: wrong length of a slice for the shapes given"
	panicDtype  = "kernel: element type is not the compute type of the matrix"
	panicBounds = "kernel: row out of range"
)
