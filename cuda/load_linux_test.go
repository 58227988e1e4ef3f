//go:build linux && !android && (amd64 || arm64)

package cuda

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestLoadWithoutALibrary(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "libtext.so")
	if err := os.WriteFile(text, []byte("This is no library, whatever its name says.\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{
		"missing":     filepath.Join(dir, "libmissing.so.1"),
		"no library":  text,
		"a directory": dir,
	} {
		t.Run(name, func(t *testing.T) {
			_, err := probe(load(path))
			wantUnavailable(t, err, "no NVIDIA driver", path)
		})
	}
}

// TestLoad calls a driver in C through the same path as the real one.
func TestLoad(t *testing.T) {
	full := build(t, `
int cuInit(unsigned flags) { return flags == 0 ? 0 : 1; }
int cuDriverGetVersion(int *v) { *v = 12080; return 0; }
int cuDeviceGetCount(int *n) { *n = 2; return 0; }
int cuDeviceGet(int *d, int i) { *d = 40 + i; return 0; }
int cuDeviceGetName(char *s, int n, int d) { snprintf(s, n, "GPU %d", d); return 0; }
int cuDeviceGetAttribute(int *v, int a, int d) { *v = a == 75 ? 9 : a == 76 ? d - 40 : -1; return 0; }
int cuDeviceTotalMem_v2(size_t *n, int d) { *n = ((size_t)d << 32) + 1; return 0; }
int cuGetErrorName(int r, const char **s) { *s = "CUDA_ERROR_OF_THE_FAKE"; return 0; }
`)
	got, err := probe(load(full))
	if err != nil {
		t.Fatal(err)
	}
	want := Driver{Major: 12, Minor: 8, Devices: []Device{{"GPU 40", 9, 0, 40<<32 + 1}, {"GPU 41", 9, 1, 41<<32 + 1}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}

	failing := build(t, `
int cuInit(unsigned flags) { return 100; }
int cuDriverGetVersion(int *v) { return 1; }
int cuDeviceGetCount(int *n) { return 1; }
int cuDeviceGet(int *d, int i) { return 1; }
int cuDeviceGetName(char *s, int n, int d) { return 1; }
int cuDeviceGetAttribute(int *v, int a, int d) { return 1; }
int cuDeviceTotalMem_v2(size_t *n, int d) { return 1; }
int cuGetErrorName(int r, const char **s) { *s = "CUDA_ERROR_OF_THE_FAKE"; return 0; }
`)
	_, err = probe(load(failing))
	wantUnavailable(t, err, "sees no device", "cuInit: error 100 (CUDA_ERROR_OF_THE_FAKE)")

	_, err = probe(load(build(t, `int cuInit(unsigned flags) { return 0; }`)))
	wantUnavailable(t, err, "has no cuDriverGetVersion", "not an NVIDIA driver")
}

// build compiles a library.
func build(t *testing.T, source string) string {
	t.Helper()
	gcc, err := exec.LookPath("gcc")
	if err != nil {
		t.Skip("needs gcc to build a driver to load: ", err)
	}
	dir := t.TempDir()
	c, so := filepath.Join(dir, "driver.c"), filepath.Join(dir, "libdriver.so")
	if err := os.WriteFile(c, []byte("#include <stdio.h>\n"+source), 0o666); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(gcc, "-shared", "-fPIC", "-o", so, c).CombinedOutput(); err != nil {
		t.Skipf("gcc builds no library here: %v\n%s", err, out)
	}
	return so
}
