//go:build linux && !android && (amd64 || arm64)

package cuda

import "github.com/ebitengine/purego"

// load finds the functions of a driver.
func load(path string) (*api, error) {
	handle, err := purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		return nil, unavailable("no NVIDIA driver: %v", err) // the loader's message names the file
	}
	a := &api{}
	for _, f := range []struct {
		name string
		fn   any
	}{
		{"cuInit", &a.Init},
		{"cuDriverGetVersion", &a.DriverGetVersion},
		{"cuDeviceGetCount", &a.DeviceGetCount},
		{"cuDeviceGet", &a.DeviceGet},
		{"cuDeviceGetName", &a.DeviceGetName},
		{"cuDeviceGetAttribute", &a.DeviceGetAttribute},
		{"cuDeviceTotalMem_v2", &a.DeviceTotalMem},
		{"cuGetErrorName", &a.GetErrorName},
	} {
		symbol, err := purego.Dlsym(handle, f.name)
		if err != nil {
			return nil, unavailable("%s has no %s: not an NVIDIA driver, or one from before CUDA 6", path, f.name)
		}
		purego.RegisterFunc(f.fn, symbol)
	}
	return a, nil
}
