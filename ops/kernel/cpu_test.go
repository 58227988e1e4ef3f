package kernel

import (
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"sync"
	"testing"

	"github.com/sparsegonia/sparsegonia/ops/activation"
	"github.com/sparsegonia/sparsegonia/ops/simd"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

func TestNewCPU(t *testing.T) {
	p := NewCPU(0)
	defer p.Close()
	if p.Variant() != simd.Variants()[0] {
		t.Errorf("variant %s of %v", p.Variant(), simd.Variants())
	}
	var none *CPU // stands for the default
	if got, want := none.Threads(), DefaultCPU().Threads(); got != want {
		t.Errorf("a nil CPU has %d threads, the default %d", got, want)
	}
	if got, want := none.Variant(), DefaultCPU().Variant(); got != want {
		t.Errorf("a nil CPU has the variant %s, the default %s", got, want)
	}
	defer func() {
		if recover() == nil {
			t.Error("a variant that does not exist made no panic")
		}
	}()
	NewCPU(1, WithVariant("cray"))
}

// Programs make a CPU the default and close it: what runs later has all threads again.
func TestCloseDefaultCPU(t *testing.T) {
	first, other := NewCPU(1), NewCPU(1)
	SetDefaultCPU(first)
	defer SetDefaultCPU(nil)
	other.Close()
	if DefaultCPU() != first {
		t.Error("closing a CPU changed the default to another")
	}
	first.Close()
	if DefaultCPU() == first {
		t.Error("a closed CPU is the default")
	}
	(*CPU)(nil).Close()
}

// A collector that runs all the time and many callers, each with results that it knows.
func TestStress(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(1))
	const H, I = 96, 160
	shared := NewCPU(3)
	defer shared.Close()
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(31, uint64(g)))
			p := shared
			if g%2 == 1 {
				p = NewCPU(2, WithVariant(simd.Variants()[g/2%len(simd.Variants())]))
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
	for _, name := range simd.Variants() {
		for _, d := range floatDtypes {
			p := NewCPU(2, WithVariant(name))
			m := &MLP[float32]{Gate: randomMatrix(r, d, I, H), Up: randomMatrix(r, d, I, H), Down: randomMatrix(r, d, I, H)}
			for _, T := range []int{1, 3, 17} {
				x, y, wide := randoms(r, T*H), make([]float32, T*H), make([]float32, T*I)
				kv, err := NewKV(weights.F16, 1, 32, heads, headDim)
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
					"GLU":       func() { GLU(p, wide, wide, wide, activation.SiLU) },
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
	gate, up, down := weights.NewMatrix(weights.F32, 2, 2), weights.NewMatrix(weights.F32, 2, 2), weights.NewMatrix(weights.F32, 2, 2)
	weights.SetRow(gate, 1, []float32{1, 0})
	weights.SetRow(up, 1, []float32{0, 2})
	weights.SetRow(down, 1, []float32{1, -1})
	y := make([]float32, 2)
	SparseMLP(nil, y, []float32{3, 5}, &MLP[float32]{Gate: gate, Up: up, Down: down, Act: activation.ReLU}, []int32{1}, nil, nil)
	fmt.Println(y)
	// Output: [30 -30]
}
