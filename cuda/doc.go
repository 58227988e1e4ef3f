// Package cuda finds out whether this machine can run CUDA and says what is missing if it cannot.
//
//	libcuda.so.1 ──► cuInit ──► cuDeviceGetCount ──► name, compute capability, memory of each device
//	     │             │              │
//	     └─────────────┴──────────────┴──► ErrUnavailable: what is missing, in one line
//
// It calls the NVIDIA driver without cgo, so that a program built with CGO_ENABLED=0 has it. The
// price is that such a program is linked dynamically with the C library: import this package from
// programs, not from libraries. No other package of this module does. The kernels are in package
// ptx, which needs no driver.
//
// # Promises
//
// A probe makes no context and takes no device memory. It does not end the process: a library of
// the right name that is not a driver, a driver without a device, one that does not fit its kernel
// module, all are errors. The driver, once loaded, stays loaded. Where there can be no driver
// (anything but Linux on amd64 and arm64) a probe is an error, too.
//
// # Errors
//
// Every error is an [ErrUnavailable] and names the first thing that is missing. Errors of the
// driver have its own names (https://docs.nvidia.com/cuda/cuda-driver-api/group__CUDA__TYPES.html).
package cuda
