package program

import (
	"fmt"

	"github.com/sparsegonia/sparsegonia/cuda"
)

// Device adds the flag -device. The result tells, once flags are parsed, whether the device can be
// used.
func (f *Flags) Device() func() error {
	device := f.Choice("device", "cpu", "where to compute", "cpu", "cuda")
	return func() error {
		if *device == "cpu" {
			return nil
		}
		return &deviceError{fmt.Errorf("-device %s: %w", *device, cuda.Available())}
	}
}
