package cuda

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"unsafe"
)

// ErrUnavailable is in every error of this package.
var ErrUnavailable = errors.New("CUDA is not available")

// A Driver is the NVIDIA driver of this machine, with at least one device.
type Driver struct {
	Major, Minor int // the CUDA version that it is made for
	Devices      []Device
}

// A Device is a GPU.
type Device struct {
	Name         string
	Major, Minor int    // compute capability
	Memory       uint64 // bytes in all, not those that are free
}

func (d Device) String() string {
	return fmt.Sprintf("%s, compute capability %d.%d, %.1f GiB", d.Name, d.Major, d.Minor, float64(d.Memory)/(1<<30))
}

// Probe asks the driver for its devices. CUDA_VISIBLE_DEVICES hides and orders them as in every
// CUDA program.
func Probe() (Driver, error) { return probe(load(library)) }

// Available returns nil if ops can run on a CUDA device, else an error for the user. It always
// returns one now, since there are no kernels: what is missing on this machine or, if nothing is,
// the kernels.
func Available() error { return available(Probe()) }

func available(d Driver, err error) error {
	if err != nil {
		return err
	}
	more := ""
	if n := len(d.Devices) - 1; n > 0 {
		more = fmt.Sprintf(" (and %d more)", n)
	}
	return unavailable("this version has no CUDA kernels yet; device 0 is %v%s, the driver is for CUDA %d.%d",
		d.Devices[0], more, d.Major, d.Minor)
}

func unavailable(format string, args ...any) error {
	return fmt.Errorf("cuda: %w: "+format, append([]any{ErrUnavailable}, args...)...)
}

// library is the driver's. It comes with the driver, not with the CUDA toolkit.
const library = "libcuda.so.1"

// A result is a CUresult.
type result int32

// Results that say what to do.
const (
	success              result = 0
	stubLibrary          result = 34
	noDevice             result = 100
	systemNotReady       result = 802
	systemDriverMismatch result = 803
	unknownError         result = 999
)

// Attributes of devices, of enum CUdevice_attribute.
const (
	computeCapabilityMajor = 75
	computeCapabilityMinor = 76
)

// An api is what a probe needs of the driver, under the names of cuda.h. Names that end in _v2 are
// what the header's macros make of the plain ones, which are kept for programs older than 64-bit
// sizes.
type api struct {
	Init               func(flags uint32) result
	DriverGetVersion   func(version *int32) result
	DeviceGetCount     func(count *int32) result
	DeviceGet          func(device *int32, ordinal int32) result
	DeviceGetName      func(name *byte, size, device int32) result
	DeviceGetAttribute func(value *int32, attribute, device int32) result
	DeviceTotalMem     func(bytes *uint64, device int32) result
	GetErrorName       func(r result, name **byte) result
}

func probe(a *api, err error) (Driver, error) {
	if err != nil {
		return Driver{}, err
	}
	if r := a.Init(0); r != success {
		return Driver{}, a.failed("cuInit", r)
	}
	var version, count int32
	if r := a.DriverGetVersion(&version); r != success {
		return Driver{}, a.failed("cuDriverGetVersion", r)
	}
	if r := a.DeviceGetCount(&count); r != success {
		return Driver{}, a.failed("cuDeviceGetCount", r)
	}
	if count < 1 {
		return Driver{}, a.failed("cuDeviceGetCount", noDevice)
	}
	d := Driver{Major: int(version / 1000), Minor: int(version % 1000 / 10)}
	for i := range count {
		device, err := a.device(i)
		if err != nil {
			return Driver{}, err
		}
		d.Devices = append(d.Devices, device)
	}
	return d, nil
}

func (a *api) device(ordinal int32) (d Device, err error) {
	call := func(name string, r result) {
		if err == nil && r != success {
			err = a.failed(fmt.Sprintf("device %d: %s", ordinal, name), r)
		}
	}
	var handle, major, minor int32
	call("cuDeviceGet", a.DeviceGet(&handle, ordinal))
	if err != nil { // the others take no handle that is not one
		return Device{}, err
	}
	var name [256]byte
	call("cuDeviceGetName", a.DeviceGetName(&name[0], int32(len(name)), handle))
	call("cuDeviceGetAttribute", a.DeviceGetAttribute(&major, computeCapabilityMajor, handle))
	call("cuDeviceGetAttribute", a.DeviceGetAttribute(&minor, computeCapabilityMinor, handle))
	call("cuDeviceTotalMem_v2", a.DeviceTotalMem(&d.Memory, handle))
	if err != nil {
		return Device{}, err
	}
	until, _, _ := strings.Cut(string(name[:]), "\x00")
	d.Name = strings.ToValidUTF8(until, "?")
	d.Major, d.Minor = int(major), int(minor)
	return d, nil
}

// failed is the error for a result, with what it means for the user where that is known.
func (a *api) failed(call string, r result) error {
	return unavailable("%s%s: error %d (%s)", meaning(r), call, r, a.name(r))
}

func meaning(r result) string {
	switch r {
	case stubLibrary:
		return library + " is the CUDA toolkit's stub for linking, not a driver: "
	case noDevice:
		if v, ok := os.LookupEnv("CUDA_VISIBLE_DEVICES"); ok {
			return fmt.Sprintf("the driver is there, but it sees no device; CUDA_VISIBLE_DEVICES is %q: ", v)
		}
		return "the driver is there, but it sees no device: "
	case systemNotReady:
		return "the driver is there, but the system is not ready (is nvidia-fabricmanager running?): "
	case systemDriverMismatch:
		return "the kernel module and " + library + " are of different driver versions: "
	case unknownError:
		return "the driver is there, but cannot reach its kernel module (/dev/nvidiactl, /dev/nvidia-uvm): "
	default:
		return ""
	}
}

// name is the driver's name for a result.
func (a *api) name(r result) string {
	var p *byte
	if a.GetErrorName(r, &p) != success || p == nil {
		return "unknown"
	}
	return text(p)
}

// text copies a C string that belongs to the driver.
func text(p *byte) string {
	n := 0
	for *(*byte)(unsafe.Add(unsafe.Pointer(p), n)) != 0 {
		n++
	}
	return string(unsafe.Slice(p, n))
}
