package kernel

import (
	"math/rand/v2"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// lastPages returns that many pages, behind which there is no memory: who reads past them dies.
func lastPages(t *testing.T, pages int) []byte {
	t.Helper()
	size := unix.Getpagesize()
	memory, err := unix.Mmap(-1, 0, (pages+1)*size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Munmap(memory); err != nil {
			t.Error(err)
		}
	})
	if err := unix.Mprotect(memory[pages*size:], unix.PROT_NONE); err != nil {
		t.Fatal(err)
	}
	return memory[: pages*size : pages*size]
}

// Keys and values that end where the memory ends, of as many positions as fill a block of tiles,
// and fewer, and more.
func TestAttentionReadsNoFurther(t *testing.T) {
	const pages, tokens = 16, 40
	keys, values := lastPages(t, pages), lastPages(t, pages)
	everywhere(t, func(t *testing.T, p *CPU) {
		r := rand.New(rand.NewPCG(63, 64))
		for _, dtype := range []weights.Dtype{weights.F32, weights.F16} {
			for _, d := range []int{1, 8, 40, 64} {
				for _, positions := range []int{tokens, 127, 128, 129, 132, 140, 200} {
					kv, err := NewKV(dtype, 1, positions, 1, d)
					if err != nil {
						t.Fatal(err)
					}
					bytes := positions * dtype.RowBytes(d)
					atEnd := func(memory []byte) *weights.Matrix {
						m, err := weights.MatrixView(dtype, positions, d, dtype.RowBytes(d), memory[len(memory)-bytes:])
						if err != nil {
							t.Fatal(err)
						}
						return m
					}
					kv.keys, kv.values, kv.room = atEnd(keys), atEnd(values), positions
					last := numbers(tokens, func(i int) int32 { return int32(positions - tokens + i) })
					x := randoms(r, tokens*d)
					Attention(p, make([]float32, tokens*d), x, x, x, 1, last, make([]int32, tokens), kv, 1)
				}
			}
		}
	})
}
