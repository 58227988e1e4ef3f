package simd

import (
	"slices"
	"sync"
	"unsafe"

	"github.com/sparsegonia/sparsegonia/ops/activation"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// Variant is the primitives below for one instruction set. Activations are float32.
//
// Vectors are slices of any alignment; those of one call have the length of the first, if nothing
// else is said. A result may be an input of the same call, but not overlap it otherwise. Sums may
// be taken in any order that depends on lengths alone. Plain Go (generic) is the reference.
type Variant struct {
	Name string

	// Rows are the kernels of rows of weights, by dtype. Dtypes that are computed exactly have
	// none.
	Rows [weights.Dtypes]RowKernel

	// Tile computes c(i,j) += Σₖ w(i,k)·x(k,j).
	//
	//	c  TileRows × TileCols
	//	w  TileRows × K, element (i,k) at byte i·rowStep + k·colStep
	//	x  K × TileCols
	Tile               func(c []float32, w unsafe.Pointer, rowStep, colStep int, x []float32)
	TileRows, TileCols int

	// TilePairs computes c(i,j) += Σ_g f(i,g)·Σₖ∈g (w(i,k,0)·x(k,j,0) + w(i,k,1)·x(k,j,1)).
	//
	//	w  TileRows × K pairs of int16, addressed as in Tile
	//	x  K × TileCols pairs
	//	f  TileRows × groups, row i at factors[i·factorStep]
	//
	// Group g is the g-th part of K, at most 128 pairs and a multiple of 4. The inner sums are
	// exact.
	TilePairs func(c []float32, w unsafe.Pointer, rowStep, colStep int, x []int16, factors []float32, factorStep, groups int)

	// PackPairs rounds src, K × TileCols with K even, to pairs of int16: with s(j) = maxₖ
	// |src(k,j)·f(k)| / Int16Limit, dst(k/2,j,k%2) = src(k,j)·f(k)/s(j). Factor f(k) is
	// factors[k·factorStep], step 0 or 1. s is NaN if an input is not finite.
	PackPairs func(dst []int16, src, scales, factors []float32, factorStep int)

	// Quantize16 computes scale = max|x|/Int16Limit and q[k] = x[k]/scale, rounded to nearest even.
	Quantize16 func(q []int16, x []float32) (scale float32)

	// AMX is nil where the CPU has none.
	AMX *AMX

	Activate [activation.ReLU + 1]func(y, x []float32) // y = a(x)

	Mul   func(y, a, b []float32)                // y = a⊙b
	Add   func(y, a, b []float32)                // y = a+b
	Scale func(y []float32, factor float32)      // y *= factor
	Norm  func(y, x, w []float32, scale float32) // y = x·scale⊙w

	SumSquares func(x []float32) float64                   // Σx²
	expSum     func(y, x []float32, shift float32) float32 // y = exp(x−shift), Σy

	// MaxColumns computes largest[j] = max(largest[j], maxᵢ x(i,j)); x has TileCols columns and one
	// row at least. ExpColumns computes x(i,j) = exp(x(i,j)−shifts[j]) and sums[j] += Σᵢ x(i,j).
	MaxColumns func(largest, x []float32)
	ExpColumns func(x, shifts, sums []float32)

	// Read reads 1, 2 or 4 streams, which are equal parts of data, of a multiple of 256 bytes each.
	// The result depends on all bytes.
	Read [5]func(data []byte) float32

	// transpose computes dst[j·dstStep+i] = src[i·srcStep+j] for a square of size square.
	transpose func(dst, src []float32, dstStep, srcStep int)
	square    int
}

// shared are primitives that several rows of a Variant are made of.
type shared struct {
	prefetch       func(p uintptr, n int)
	quantize16     func(q []int16, x []float32) float32
	quantizeGroups func(q []int8, d, s, x []float32)
	widen16        func(dst []int16, src unsafe.Pointer)  // int8, whole groups
	widenPairs     func(dst []int16, a, b unsafe.Pointer) // int8, whole groups
}

// prefetchNumbers returns Prefetch of rows of numbers of that many bytes.
func (p *shared) prefetchNumbers(size int) func(m *weights.Matrix, row unsafe.Pointer, c, n int) {
	return func(_ *weights.Matrix, row unsafe.Pointer, c, n int) {
		p.prefetch(uintptr(row)+uintptr(c*size), n*size)
	}
}

// All returns the variants that this CPU can run, best first. The last one is plain Go.
var All = sync.OnceValue(func() []*Variant { return append(archVariants(), &generic) })

// Variants returns the names of All.
func Variants() []string {
	var names []string
	for _, v := range All() {
		names = append(names, v.Name)
	}
	return names
}

// Find returns the variant of a name, nil if there is none or this CPU cannot run it.
func Find(name string) *Variant {
	all := All()
	if i := slices.IndexFunc(all, func(v *Variant) bool { return v.Name == name }); i >= 0 {
		return all[i]
	}
	return nil
}

// Address returns the address of s[0], also of an empty slice.
func Address[E any](s []E) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(s)) }
