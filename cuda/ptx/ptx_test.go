package ptx_test

import (
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparsegonia/sparsegonia/cuda/ptx"
)

var modules = map[string]ptx.Module{"mask": ptx.Mask()}

// launches has a launch of every kernel, with the types of the arguments in PTX.
var launches = map[string]struct {
	ptx.Launch
	types string
}{
	"mask_threshold_f32":  {ptx.MaskThreshold(1, 2, 0.5, true, 1), "u64 u64 f32 u32 u64"},
	"mask_thresholds_f32": {ptx.MaskThresholds(1, 2, 3, true, 1, 1), "u64 u64 u64 u32 u64 u64"},
}

var (
	entry     = regexp.MustCompile(`(?s)\.visible \.entry (\w+)\((.*?)\)`)
	param     = regexp.MustCompile(`\.param \.(\w+) \w+_param_\d+`)
	kernel    = regexp.MustCompile(`(?s)extern "C" __global__ void (\w+)\((.*?)\)`)
	ptxOfType = map[string]string{"int": "u32", "long long": "u64", "float": "f32"}
)

// The text, the CUDA source and the launches agree on the kernels and on the types of their
// parameters.
func TestKernels(t *testing.T) {
	sources, err := filepath.Glob("*.cu")
	require.NoError(t, err)
	require.Len(t, sources, len(modules), "a source without a module")
	for name, module := range modules {
		inText, inSource := map[string]string{}, map[string]string{}
		for _, m := range entry.FindAllStringSubmatch(module.Text, -1) {
			var types []string
			for _, p := range param.FindAllStringSubmatch(m[2], -1) {
				types = append(types, p[1])
			}
			inText[m[1]] = strings.Join(types, " ")
		}
		source, err := os.ReadFile(name + ".cu")
		require.NoError(t, err)
		for _, m := range kernel.FindAllStringSubmatch(string(source), -1) {
			var types []string
			for p := range strings.SplitSeq(m[2], ",") {
				declared := strings.TrimSpace(p)
				if strings.Contains(declared, "*") {
					types = append(types, "u64")
					continue
				}
				typ, ok := ptxOfType[declared[:strings.LastIndex(declared, " ")]]
				require.True(t, ok, "%s: a parameter that this test does not know: %s", m[1], declared)
				types = append(types, typ)
			}
			inSource[m[1]] = strings.Join(types, " ")
		}
		require.NotEmpty(t, module.Kernels)
		assert.Len(t, inText, len(module.Kernels), "kernels of %s.ptx", name)
		assert.Equal(t, inText, inSource, "%s.ptx and %s.cu", name, name)
		for _, k := range module.Kernels {
			l, ok := launches[k]
			require.True(t, ok, "launches lacks %s", k)
			assert.Equal(t, k, l.Kernel)
			assert.Equal(t, inText[k], l.types, k)
			assert.Len(t, l.Args, len(strings.Fields(l.types)), k)
		}
		assert.Contains(t, module.Text, "\n.target sm_70\n")
		assert.NotContains(t, module.Text, "\x00", "a C string would end here")
	}
}

func TestMaskThreshold(t *testing.T) {
	l := ptx.MaskThreshold(0x100, 0x200, -1.5, false, 1000)
	assert.Equal(t, []uint64{0x100, 0x200, 0xbfc00000, 0, 1000}, l.Args)
	assert.Equal(t, uint64(1), ptx.MaskThreshold(0, 0, 0, true, 1).Args[3])
	for n, blocks := range map[int]int{1: 1, 256: 1, 257: 2, 1000: 4, 1 << 36: 1 << 28} {
		l := ptx.MaskThreshold(0, 0, 0, false, n)
		assert.Equal(t, [3]int{blocks, 1, 1}, l.Grid, "%d", n)
		assert.Equal(t, [3]int{256, 1, 1}, l.Block)
	}
}

func TestMaskThresholds(t *testing.T) {
	l := ptx.MaskThresholds(0x100, 0x200, 0x300, true, 3, 1000)
	assert.Equal(t, []uint64{0x100, 0x200, 0x300, 1, 3, 1000}, l.Args)
	assert.Equal(t, [3]int{4, 3, 1}, l.Grid)
	assert.Equal(t, [3]int{256, 1, 1}, l.Block)
	assert.Equal(t, [3]int{1, 65535, 1}, ptx.MaskThresholds(0, 0, 0, true, 1<<20, 1).Grid)
}

// The text was made from the source that lies beside it.
func TestTextIsOfThisSource(t *testing.T) {
	for name, module := range modules {
		source, err := os.ReadFile(name + ".cu")
		require.NoError(t, err)
		want := fmt.Sprintf("// %x nvcc -O3 -arch=compute_70\n", sha256.Sum256(source))
		assert.True(t, strings.HasPrefix(module.Text, want), "%s.cu was changed: run generate", name)
	}
}

// The text is what the compiler makes of the source, byte for byte. NVCC names the compiler.
func TestTextIsWhatTheCompilerMakes(t *testing.T) {
	nvcc := os.Getenv("NVCC")
	if nvcc == "" {
		nvcc = "nvcc"
	}
	version, err := exec.Command(nvcc, "--version").Output()
	if err != nil || !strings.Contains(string(version), "release 11.8") {
		t.Skipf("%s is not nvcc 11.8", nvcc)
	}
	out := t.TempDir()
	message, err := exec.Command("./generate", out).CombinedOutput()
	require.NoError(t, err, "%s", message)
	for name, module := range modules {
		text, err := os.ReadFile(filepath.Join(out, name+".ptx"))
		require.NoError(t, err)
		assert.Equal(t, string(text), module.Text, "%s.ptx", name)
	}
}
