//go:build unix

package llama_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sparsegonia/sparsegonia/llama"
)

// TestOpenSpecialFiles opens pipes, which never begin, and devices, which never end.
func TestOpenSpecialFiles(t *testing.T) {
	model := func(path string) error { _, err := llama.Open(path, llama.Options{}); return err }
	tokenizer := func(path string) error { _, err := llama.OpenTokenizer(path); return err }
	for name, test := range map[string]struct {
		file string // of a checkpoint that is special, or the path itself if it is empty
		open func(path string) error
	}{
		"the path":           {"", model},
		"config":             {"config.json", model},
		"generation":         {"generation_config.json", model},
		"weights":            {"model.safetensors", model},
		"index":              {"model.safetensors.index.json", model},
		"shard":              {"model-00001-of-00004.safetensors", model},
		"the tokenizer path": {"", tokenizer},
		"the tokenizer":      {"tokenizer.json", tokenizer},
	} {
		for kind, special := range map[string]func(path string) error{
			"pipe":   func(path string) error { return unix.Mkfifo(path, 0o600) },
			"device": func(path string) error { return os.Symlink("/dev/zero", path) },
		} {
			t.Run(name+" a "+kind, func(t *testing.T) {
				path := t.TempDir()
				where := filepath.Join(path, test.file)
				if test.file == "" {
					path = filepath.Join(path, "special")
					where = path
				} else {
					f := variant(t, "sharded")
					delete(f, test.file)
					f.write(t, path)
				}
				if err := special(where); err != nil {
					t.Fatal(err)
				}
				done := make(chan error, 1)
				go func() { done <- measured(t, path, test.open) }()
				select {
				case err := <-done:
					wantError(t, err, where, "not a regular file")
				case <-time.After(time.Minute):
					t.Fatal("still reading after a minute")
				}
			})
		}
	}
}

func TestOpenWithoutPermission(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root may read everything")
	}
	for _, name := range []string{"config.json", "model.safetensors"} {
		dir := variant(t, "f32").write(t, t.TempDir())
		if err := os.Chmod(filepath.Join(dir, name), 0); err != nil {
			t.Fatal(err)
		}
		_, err := llama.Open(dir, llama.Options{})
		wantError(t, err, name, "permission denied")
	}
	dir := files{"tokenizer.json": []byte(sampleTokenizer)}.write(t, t.TempDir())
	if err := os.Chmod(filepath.Join(dir, "tokenizer.json"), 0); err != nil {
		t.Fatal(err)
	}
	_, err := llama.OpenTokenizer(dir)
	wantError(t, err, "tokenizer.json", "permission denied")
}

// TestOpenFollowsLinks opens a checkpoint as it lies in the cache of the Hugging Face hub.
func TestOpenFollowsLinks(t *testing.T) {
	blobs, snapshot := t.TempDir(), t.TempDir()
	f := variant(t, "sharded")
	f.write(t, blobs)
	for name := range f {
		if err := os.Symlink(filepath.Join(blobs, name), filepath.Join(snapshot, name)); err != nil {
			t.Fatal(err)
		}
	}
	open(t, snapshot, llama.Options{})
}
