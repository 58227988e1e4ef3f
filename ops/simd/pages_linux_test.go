package simd

import (
	"math/rand/v2"
	"testing"
	"unsafe"

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

// Rows that end where the memory ends.
func TestReadsEndWithTheRow(t *testing.T) {
	memory := lastPages(t, 4)
	assemblies(t, func(t *testing.T, v *Variant, r *rand.Rand) {
		for _, d := range floatDtypes {
			kernel := &v.Rows[d]
			eachLength(r, func(n int) {
				bytes := d.RowBytes(n)
				if bytes > len(memory) {
					return
				}
				row := memory[len(memory)-bytes:]
				weights.Encode(d, row, randoms(r, n))
				p := unsafe.Pointer(&row[0])
				m, err := weights.MatrixView(d, 1, n, bytes, row)
				if err != nil {
					t.Fatal(err)
				}
				x := new(Operand)
				kernel.Prepare(x, randoms(r, n))
				var dots DotRows
				for i := range dots.Row {
					dots.Row[i] = p
				}
				kernel.Dot(x, &dots, m)
				if dots.Sum[0] != dots.Sum[3] {
					t.Fatalf("%v n=%d: %v and %v for the same row", d, n, dots.Sum[0], dots.Sum[3])
				}
				var rows AxpyRows
				for i := range kernel.PerAdd {
					rows.Row[i], rows.Coef[i] = p, 1
				}
				kernel.Add(weights.Floats(PaddedCols(n)), &rows, m, kernel.PerAdd)
				kernel.Widen(weights.Floats(n+weights.Group), m, p, 0, n)
			})
		}
	})
}
