package ptx_test

import (
	"fmt"
	"strings"

	"github.com/sparsegonia/sparsegonia/cuda/ptx"
)

// A driver loads the text of a module once and runs launches. The addresses would be of device
// memory.
func ExampleMaskThreshold() {
	const mask, scores = 0x7000, 0x8000
	launch := ptx.MaskThreshold(mask, scores, 0.5, false, 1000)

	module := ptx.Mask()
	fmt.Println(strings.Contains(module.Text, ".visible .entry "+launch.Kernel))
	fmt.Println(launch.Kernel, launch.Grid, launch.Block)
	fmt.Printf("%#x\n", launch.Args)
	// Output:
	// true
	// mask_threshold_f32 [4 1 1] [256 1 1]
	// [0x7000 0x8000 0x3f000000 0x0 0x3e8]
}
