package cuda_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// TestLibrariesDoNotLoadDrivers keeps programs that import the libraries of this module statically linked: purego makes
// every program that has it a dynamic one.
func TestLibrariesDoNotLoadDrivers(t *testing.T) {
	const module = "github.com/sparsegonia/sparsegonia/"
	deps := func(patterns ...string) []string {
		list := exec.Command("go", append([]string{"list", "-deps"}, patterns...)...)
		list.Dir = ".."
		var stderr strings.Builder
		list.Stderr = &stderr
		out, err := list.Output()
		if err != nil {
			t.Fatalf("%v: %v\n%s", list, err, stderr.String())
		}
		return strings.Fields(string(out))
	}
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("needs the go command: ", err)
	}
	const purego = "github.com/ebitengine/purego"
	if !slices.Contains(deps("./cuda"), purego) {
		t.Fatalf("cuda does not depend on %s: this test looks for the wrong name", purego)
	}
	libraries := deps("./ops/...", "./cache/...", "./graph/...", "./llama/...")
	if !slices.Contains(libraries, module+"ops/weights/checkpoint") {
		t.Fatal("the list of dependencies lacks ops/weights/checkpoint")
	}
	for _, name := range libraries {
		if name == purego || strings.HasPrefix(name, purego+"/") || strings.HasPrefix(name, module+"cuda") {
			t.Errorf("a library depends on %s", name)
		}
	}
}
