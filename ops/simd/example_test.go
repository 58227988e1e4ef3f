package simd_test

import (
	"fmt"

	"github.com/sparsegonia/sparsegonia/ops/simd"
)

// The variants are the instruction sets that this processor has, the best first. The plain Go twin
// is always the last.
func ExampleVariants() {
	names := simd.Variants()
	fmt.Println(names[len(names)-1], simd.Find(names[0]) != nil)
	// Output: generic true
}
