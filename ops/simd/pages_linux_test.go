package simd

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"unsafe"

	"github.com/sparsegonia/sparsegonia/ops/weights"
	"golang.org/x/sys/unix"
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

// Rows that end where the memory ends.
func TestReadsEndWithTheRow(t *testing.T) {
	memory := lastPages(t, 4)
	assemblies(t, func(t *testing.T, v *Variant, r *rand.Rand) {
		for _, d := range floatDtypes {
			for n := weights.Group; n <= 43*weights.Group; n += weights.Group {
				bytes := d.RowBytes(n)
				if bytes > len(memory) {
					break
				}
				row := memory[len(memory)-bytes:]
				weights.Encode(d, row, randoms(r, n))
				p := unsafe.Pointer(&row[0])
				m, err := weights.MatrixView(d, 1, n, bytes, row)
				if err != nil {
					t.Fatal(err)
				}
				what := fmt.Sprintf("%v n=%d", d, n)
				x := new(Operand)
				v.Prepare(x, d, randoms(r, n))
				var dots DotRows
				if v.Streamed(d) {
					for i := range dots.Row {
						dots.Row[i] = p
					}
					v.Dots(x, m, &dots)
				} else {
					dots.Sum[0], dots.Sum[3] = v.DotPair(x, m, p, p, 0, 0)
				}
				if dots.Sum[0] != dots.Sum[3] {
					t.Fatalf("%s: %v and %v for the same row", what, dots.Sum[0], dots.Sum[3])
				}
				var rows AxpyRows
				for i := range RowsPerAxpy(d) {
					rows.Row[i], rows.Coef[i] = p, 1
				}
				v.Axpy(&rows, weights.Floats(PaddedCols(n)), m, RowsPerAxpy(d))
				v.WidenPart(weights.Floats(n), m, p, 0, n)
			}
		}
	})
}
