// Package ptx has the CUDA kernels of this module as PTX text and says how each is launched. It
// needs neither CUDA nor cgo: who has a driver loads [Module.Text] and passes [Launch] to it.
//
//	mask.cu ──generate──► mask.ptx ──embed──► Module ──► driver: load
//	                                          Launch ──► driver: grid, block, arguments
//
// The text is for compute capability 7.0: drivers compile it for the device that they find, of 7.0
// or later.
package ptx

import (
	_ "embed"
	"math"
)

//go:generate ./generate

// Module is a text of kernels.
type Module struct {
	Name    string
	Text    string // without the NUL that cuModuleLoadData wants
	Kernels []string
}

// Launch is a call of a kernel: everything that cuLaunchKernel needs but the function and the
// stream. The kernels use no dynamic shared memory.
type Launch struct {
	Kernel      string
	Grid, Block [3]int
	// Args are the arguments in order, each in the low bytes of its own eight. cuLaunchKernel on a
	// little-endian host takes pointers to them, whatever the size of the parameter.
	Args []uint64
}

const (
	threads   = 256       // of a block
	maxHeight = 1<<16 - 1 // of a grid
)

//go:embed mask.ptx
var mask string

const (
	maskThreshold  = "mask_threshold_f32"
	maskThresholds = "mask_thresholds_f32"
)

// Mask has the kernels of [MaskThreshold] and [MaskThresholds].
func Mask() Module {
	return Module{"sparsegonia_mask", mask, []string{maskThreshold, maskThresholds}}
}

// MaskThreshold compares n > 0 float32 scores with tau: mask, of n bytes, gets 1 where s ≥ tau, or
// |s| ≥ tau if magnitude, and 0 elsewhere and for NaN. mask and scores are addresses on the device.
func MaskThreshold(mask, scores uintptr, tau float32, magnitude bool, n int) Launch {
	return Launch{
		Kernel: maskThreshold,
		Grid:   [3]int{blocks(n), 1, 1},
		Block:  [3]int{threads, 1, 1},
		Args:   []uint64{uint64(mask), uint64(scores), uint64(math.Float32bits(tau)), flag(magnitude), uint64(n)},
	}
}

// MaskThresholds is MaskThreshold with a threshold for each column: scores rows×columns, tau
// columns float32 on the device, mask rows×columns.
func MaskThresholds(mask, scores, tau uintptr, magnitude bool, rows, columns int) Launch {
	return Launch{
		Kernel: maskThresholds,
		Grid:   [3]int{blocks(columns), min(rows, maxHeight), 1},
		Block:  [3]int{threads, 1, 1},
		Args: []uint64{
			uint64(mask), uint64(scores), uint64(tau), flag(magnitude), uint64(rows), uint64(columns),
		},
	}
}

func blocks(n int) int { return (n + threads - 1) / threads }

func flag(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}
