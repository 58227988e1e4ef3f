package program

import "errors"

// Device adds the flag -device. The result tells, once flags are parsed, whether the device can be used.
func (f *Flags) Device() func() error {
	device := f.Choice("device", "cpu", "where to compute", "cpu", "cuda")
	return func() error {
		if *device == "cpu" {
			return nil
		}
		return &deviceError{errors.New("device cuda: this build has no CUDA kernels")}
	}
}
