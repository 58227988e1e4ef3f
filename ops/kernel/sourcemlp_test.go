package kernel

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/sparsegonia/sparsegonia/ops/activation"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// parts is n in blocks of size neurons.
type parts struct {
	*weights.Neurons
	size int
}

func (p *parts) Blocks(do func(first int, n *weights.Neurons) error) error {
	for first := 0; first < p.Intermediate(); first += p.size {
		end := min(first+p.size, p.Intermediate())
		if err := do(first, p.Slice(first, end)); err != nil {
			return err
		}
	}
	return nil
}

// One block is the dense MLP, bit for bit, and several are the sum of the sparse MLPs over them, in order.
func TestSourceMLP(t *testing.T) {
	everywhere(t, func(t *testing.T, p *CPU) {
		r := rand.New(rand.NewPCG(1, 2))
		const inner, hidden, outputs = 70, 45, 33
		for _, d := range floatDtypes {
			for _, tokens := range []int{1, 3, 20} {
				for _, gated := range []bool{true, false} {
					var gate *weights.Matrix
					up, down := randomMatrix(r, d, inner, hidden), randomMatrix(r, d, inner, outputs)
					m := MLP[float32]{UpBias: randoms(r, inner), DownBias: randoms(r, outputs), Act: activation.SiLU}
					if gated {
						gate, m.GateBias = randomMatrix(r, d, inner, hidden), randoms(r, inner)
					}
					n, err := weights.NewNeurons(gate, up, down)
					if err != nil {
						t.Fatal(err)
					}
					x := randoms(r, tokens*hidden)
					all := m
					all.Gate, all.Up, all.Down = gate, up, down
					want := make([]float32, tokens*outputs)
					for _, size := range []int{inner, 16, 1} {
						slots := numbers(inner, func(i int) int32 { return int32(i) })
						for first := 0; first < inner; first += size {
							chosen := slots[first:min(first+size, inner)]
							if first == 0 {
								SparseMLP(p, want, x, &all, chosen, chosen, nil)
								continue
							}
							part, unbiased := make([]float32, len(want)), all
							unbiased.DownBias = nil
							SparseMLP(p, part, x, &unbiased, chosen, chosen, nil)
							Add(p, want, want, part)
						}
						got := make([]float32, len(want))
						poison(p)
						if err := SourceMLP(p, got, x, m, &parts{n, size}); err != nil {
							t.Fatal(err)
						}
						if !sameBits(got, want) {
							t.Errorf("%v, %d tokens, gated %t, blocks of %d: other bits", d, tokens, gated, size)
						}
					}
				}
			}
		}
	})
}

// LowRank is two products, bit for bit.
func TestLowRank(t *testing.T) {
	everywhere(t, func(t *testing.T, p *CPU) {
		r := rand.New(rand.NewPCG(1, 2))
		for _, d := range floatDtypes {
			for _, tokens := range []int{0, 1, 3, 20} {
				down, up := randomMatrix(r, d, 9, 64), randomMatrix(r, d, 40, 9)
				x := randoms(r, tokens*64)
				low, want, got := make([]float32, tokens*9), make([]float32, tokens*40), make([]float32, tokens*40)
				Linear(p, low, x, down, nil)
				Linear(p, want, low, up, nil)
				poison(p)
				LowRank(p, got, x, down, up)
				if !sameBits(got, want) {
					t.Errorf("%v, %d tokens: other bits", d, tokens)
				}
			}
		}
	})
}

// Kernels that call others share a CPU: each has scratch of its own, which is reused.
func TestBorrowedScratch(t *testing.T) {
	p := NewCPU(2)
	defer p.Close()
	r := rand.New(rand.NewPCG(1, 2))
	n, err := weights.NewNeurons(nil, randomMatrix(r, weights.F32, 70, 45), randomMatrix(r, weights.F32, 70, 45))
	if err != nil {
		t.Fatal(err)
	}
	m, source := MLP[float32]{Act: activation.ReLU}, &parts{n, 10}
	down, up := randomMatrix(r, weights.F32, 9, 45), randomMatrix(r, weights.F32, 40, 9)
	var wg sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		x := randoms(r, 3*45)
		run := func() ([]float32, error) {
			y, scores := make([]float32, 3*45), make([]float32, 3*40)
			LowRank(p, scores, x, down, up)
			err := SourceMLP(p, y, x, m, source)
			return slices.Concat(y, scores), err
		}
		want, err := run()
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			for range 50 {
				got, err := run()
				if err != nil || !sameBits(got, want) {
					errs[i] = fmt.Errorf("other bits than alone, or %v", err)
				}
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			t.Error(err)
		}
	}
	if kept := len(*loans.of(p)); kept > 2*len(errs) {
		t.Errorf("%d pieces of scratch for %d callers", kept, len(errs))
	}
}
