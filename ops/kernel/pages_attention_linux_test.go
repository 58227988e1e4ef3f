package kernel

import (
	"math/rand/v2"
	"testing"
)

func TestAttentionReadsNoFurther(t *testing.T) {
	const pages, tokens = 16, 40
	keys, values := lastPages(t, pages), lastPages(t, pages)
	everywhere(t, func(t *testing.T, p *CPU) {
		r := rand.New(rand.NewPCG(63, 64))
		for _, dtype := range []Dtype{F32, F16} {
			for _, d := range []int{1, 8, 40, 64} {
				for _, positions := range []int{tokens, 127, 128, 129, 132, 140, 200} {
					kv, err := NewKV(dtype, 1, positions, 1, d)
					if err != nil {
						t.Fatal(err)
					}
					bytes := positions * dtype.RowBytes(d)
					atEnd := func(memory []byte) *Matrix {
						m, err := MatrixView(dtype, positions, d, dtype.RowBytes(d), memory[len(memory)-bytes:])
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
