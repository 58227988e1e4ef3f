package cuda

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"unsafe"

	"github.com/google/go-cmp/cmp"
)

// A gpu is what a fake driver says of a device.
type gpu struct {
	name         string
	major, minor int32
	memory       uint64
}

// fake is a driver with these devices. broken are the results of functions that fail, by their
// names in api.
func fake(version int32, devices []gpu, broken map[string]result) *api {
	return &api{
		Init:             func(uint32) result { return broken["Init"] },
		DriverGetVersion: func(v *int32) result { *v = version; return broken["DriverGetVersion"] },
		DeviceGetCount:   func(n *int32) result { *n = int32(len(devices)); return broken["DeviceGetCount"] },
		DeviceGet:        func(d *int32, ordinal int32) result { *d = ordinal + 70; return broken["DeviceGet"] },
		DeviceGetName: func(name *byte, size, device int32) result {
			copy(unsafe.Slice(name, size), devices[device-70].name)
			return broken["DeviceGetName"]
		},
		DeviceGetAttribute: func(v *int32, attribute, device int32) result {
			switch attribute {
			case computeCapabilityMajor:
				*v = devices[device-70].major
			case computeCapabilityMinor:
				*v = devices[device-70].minor
			}
			return broken["DeviceGetAttribute"]
		},
		DeviceTotalMem: func(n *uint64, device int32) result {
			*n = devices[device-70].memory
			return broken["DeviceTotalMem"]
		},
		GetErrorName: func(r result, name **byte) result {
			text, ok := map[result]string{noDevice: "CUDA_ERROR_NO_DEVICE\x00", 101: "CUDA_ERROR_INVALID_DEVICE\x00"}[r]
			if !ok {
				return 1
			}
			*name = unsafe.StringData(text)
			return success
		},
	}
}

var h200 = gpu{"NVIDIA H200", 9, 0, 150e9}

func TestProbe(t *testing.T) {
	devices := []gpu{h200, {"Orin\xff", 8, 7, 1 << 35}, {strings.Repeat("x", 300), 12, 0, math.MaxUint64}, {}}
	got, err := probe(fake(13010, devices, nil), nil)
	if err != nil {
		t.Fatal(err)
	}
	want := Driver{Major: 13, Minor: 1, Devices: []Device{
		{"NVIDIA H200", 9, 0, 150e9}, {"Orin?", 8, 7, 1 << 35}, {strings.Repeat("x", 256), 12, 0, math.MaxUint64}, {},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if got, want := fmt.Sprint(got.Devices[0]), "NVIDIA H200, compute capability 9.0, 139.7 GiB"; got != want {
		t.Errorf("device prints %q, want %q", got, want)
	}
}

func TestProbeSaysWhatIsMissing(t *testing.T) {
	one := []gpu{h200}
	for name, test := range map[string]struct {
		driver *api
		want   []string
	}{
		"no device, init":         {fake(12040, nil, map[string]result{"Init": noDevice}), []string{"sees no device", "cuInit: error 100 (CUDA_ERROR_NO_DEVICE)"}},
		"no device, count":        {fake(12040, nil, map[string]result{"DeviceGetCount": noDevice}), []string{"sees no device", "cuDeviceGetCount"}},
		"no device, none counted": {fake(12040, nil, nil), []string{"sees no device", "cuDeviceGetCount"}},
		"stub":                    {fake(12040, one, map[string]result{"Init": stubLibrary}), []string{"libcuda.so.1", "stub", "34"}},
		"not ready":               {fake(12040, one, map[string]result{"Init": systemNotReady}), []string{"fabricmanager", "802"}},
		"mismatch":                {fake(12040, one, map[string]result{"Init": systemDriverMismatch}), []string{"kernel module", "versions", "803"}},
		"no kernel module":        {fake(12040, one, map[string]result{"Init": unknownError}), []string{"/dev/nvidiactl", "999"}},
		"an error without a name": {fake(12040, one, map[string]result{"Init": 7777}), []string{"cuInit: error 7777 (unknown)"}},
		"version":                 {fake(12040, one, map[string]result{"DriverGetVersion": 1}), []string{"cuDriverGetVersion: error 1"}},
		"device":                  {fake(12040, one, map[string]result{"DeviceGet": 101}), []string{"device 0: cuDeviceGet: error 101 (CUDA_ERROR_INVALID_DEVICE)"}},
		"name":                    {fake(12040, one, map[string]result{"DeviceGetName": 1}), []string{"device 0: cuDeviceGetName: error 1"}},
		"compute capability":      {fake(12040, one, map[string]result{"DeviceGetAttribute": 1}), []string{"device 0: cuDeviceGetAttribute: error 1"}},
		"memory":                  {fake(12040, one, map[string]result{"DeviceTotalMem": 1}), []string{"device 0: cuDeviceTotalMem_v2: error 1"}},
	} {
		t.Run(name, func(t *testing.T) {
			d, err := probe(test.driver, nil)
			if len(d.Devices) > 0 {
				t.Errorf("devices %v beside the error", d.Devices)
			}
			wantUnavailable(t, err, test.want...)
			if got := available(d, err); got != err {
				t.Errorf("Available says %v", got)
			}
		})
	}
}

func TestProbeNamesTheVariableThatHidesDevices(t *testing.T) {
	t.Setenv("CUDA_VISIBLE_DEVICES", "-1")
	_, err := probe(fake(12040, nil, nil), nil)
	wantUnavailable(t, err, `CUDA_VISIBLE_DEVICES is "-1"`)
}

func TestAvailableNamesTheDevice(t *testing.T) {
	err := available(probe(fake(12040, []gpu{h200}, nil), nil))
	wantUnavailable(t, err, "no CUDA kernels yet", "NVIDIA H200, compute capability 9.0, 139.7 GiB", "CUDA 12.4")
	if strings.Contains(err.Error(), "more") {
		t.Errorf("%v: there is one device", err)
	}
	err = available(probe(fake(12040, []gpu{h200, {}, {}}, nil), nil))
	wantUnavailable(t, err, "NVIDIA H200", "and 2 more")
}

// wantUnavailable checks that err is one line of the package that has all parts.
func wantUnavailable(t *testing.T, err error, parts ...string) {
	t.Helper()
	if !errors.Is(err, ErrUnavailable) {
		t.Fatalf("error %v is not ErrUnavailable", err)
	}
	for _, part := range append(parts, "cuda: ") {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q does not have %q", err, part)
		}
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("error of several lines: %q", err)
	}
}
