//go:build unix

package checkpoint_test

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// A file that is truncated while it is mapped gives an error where the package does the reading.
func TestTruncatedWhileOpen(t *testing.T) {
	dir := hub(t, filepath.Join(variants, "f32", "model.safetensors"))
	c := open(t, dir)
	x := tensor(t, c, "model.norm.weight") // the last one
	if x.File != filepath.Join(dir, "model.safetensors") {
		t.Errorf("file %s", x.File)
	}
	first := tensor(t, c, "lm_head.weight")
	want := float32s(t, x)
	if err := os.Truncate(x.File, 8192); err != nil {
		t.Fatal(err)
	}
	for what, read := range map[string]func() error{
		"a tensor": func() error { return x.Float32(want) },
		"a row":    func() error { return x.Float32Row(want, 0) },
	} {
		err := read()
		var fault runtime.Error
		if !errors.As(err, &fault) || !strings.Contains(err.Error(), `"model.norm.weight": the file was truncated`) {
			t.Errorf("%s: %v", what, err)
		}
	}
	row := make([]float32, first.Cols())
	if err := first.Float32Row(row, 0); err != nil {
		t.Errorf("a row that is still there: %v", err)
	}
}
