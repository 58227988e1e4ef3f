package kernel

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"unsafe"

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
	assemblies(t, func(t *testing.T, v *variant, r *rand.Rand) {
		for _, d := range floatDtypes {
			for n := group; n <= 43*group; n += group {
				bytes := d.RowBytes(n)
				if bytes > len(memory) {
					break
				}
				row := memory[len(memory)-bytes:]
				encode(d, row, randoms(r, n))
				p := unsafe.Pointer(&row[0])
				m, err := MatrixView(d, 1, n, bytes, row)
				if err != nil {
					t.Fatal(err)
				}
				what := fmt.Sprintf("%v n=%d", d, n)
				x := new(operand)
				v.prepare(x, d, randoms(r, n))
				var dots dotRows
				if v.streamed(d) {
					for i := range dots.row {
						dots.row[i] = p
					}
					v.dots(x, m, &dots)
				} else {
					dots.sum[0], dots.sum[3] = v.dotPair(x, m, p, p, 0, 0)
				}
				if dots.sum[0] != dots.sum[3] {
					t.Fatalf("%s: %v and %v for the same row", what, dots.sum[0], dots.sum[3])
				}
				var rows axpyRows
				for i := range rowsPerAxpy(d) {
					rows.row[i], rows.coef[i] = p, 1
				}
				v.axpy(&rows, floats(paddedCols(n)), m, rowsPerAxpy(d))
				v.widenPart(floats(n), m, p, 0, n)
			}
		}
	})
}

// Keys and values that end where the memory ends, of as many positions as fill a block of tiles, and fewer, and more.
