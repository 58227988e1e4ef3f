package kernel

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Rows that end where a page ends behind which there is no memory: who reads past a row dies.
func TestReadsEndWithTheRow(t *testing.T) {
	const pages = 4
	size := unix.Getpagesize()
	memory, err := unix.Mmap(-1, 0, (pages+1)*size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Munmap(memory); err != nil {
			t.Error(err)
		}
	}()
	if err := unix.Mprotect(memory[pages*size:], unix.PROT_NONE); err != nil {
		t.Fatal(err)
	}
	assemblies(t, func(t *testing.T, v *variant, r *rand.Rand) {
		for _, d := range floatDtypes {
			for n := group; n <= 43*group; n += group {
				bytes := d.RowBytes(n)
				if bytes > pages*size {
					break
				}
				row := memory[pages*size-bytes : pages*size]
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
