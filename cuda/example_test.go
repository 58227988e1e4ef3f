package cuda_test

import (
	"fmt"
	"os"

	"github.com/sparsegonia/sparsegonia/cuda"
)

func ExampleProbe() {
	driver, err := cuda.Probe()
	if err != nil {
		fmt.Fprintln(os.Stderr, err) // cuda: CUDA is not available: no NVIDIA driver: libcuda.so.1: cannot open …
	}
	for i, device := range driver.Devices {
		fmt.Fprintf(os.Stderr, "device %d: %v\n", i, device) // device 0: NVIDIA H200, compute capability 9.0, 139.7 GiB
	}
	fmt.Println("either a device or an error:", len(driver.Devices) > 0 != (err != nil))
	// Output: either a device or an error: true
}
