package wholefile_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/sparsegonia/sparsegonia/ops/weights/wholefile"
)

// entries are the names in a directory.
func entries(t *testing.T, dir string) []string {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range list {
		names = append(names, e.Name())
	}
	return names
}

func wantContent(t *testing.T, path, want string) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil || string(got) != want {
		t.Errorf("%s holds %q (%v), want %q", path, got, err, want)
	}
}

// writeFile writes a file as a whole.
func writeFile(path string, write func(w io.Writer) error) error {
	f, err := wholefile.Create(path)
	if err != nil {
		return err
	}
	defer f.Discard()
	if err := write(f); err != nil {
		return err
	}
	return f.Commit()
}

func text(s string) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := io.WriteString(w, s)
		return err
	}
}

func TestFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "out")
	if err := writeFile(path, text("old")); err != nil {
		t.Fatal(err)
	}
	wantContent(t, path, "old")
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}

	failure := errors.New("half way")
	err := writeFile(path, func(w io.Writer) error { return errors.Join(text("new")(w), failure) })
	if !errors.Is(err, failure) {
		t.Errorf("error %v", err)
	}
	wantContent(t, path, "old")

	err = writeFile(path, func(w io.Writer) error {
		wantContent(t, path, "old")
		err := text("new")(w)
		wantContent(t, path, "old")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	wantContent(t, path, "new")
	if info, err := os.Stat(path); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o640 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if names := entries(t, dir); len(names) != 1 {
		t.Errorf("left behind: %v", names)
	}
}

func TestCreateSaysAtOnceWhatIsWrong(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := writeFile(file, text("x")); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir, filepath.Join(dir, "missing", "out"), filepath.Join(file, "out"), ""} {
		if f, err := wholefile.Create(path); err == nil {
			t.Errorf("%q can be written", path)
			f.Discard()
		}
	}
	if names := entries(t, dir); len(names) != 1 {
		t.Errorf("left behind: %v", names)
	}
}

// A file that cannot be named stays what it was, and nothing is left.
func TestCommitFails(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "out")
	f, err := wholefile.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(path, "in the way"), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := f.Commit(); err == nil {
		t.Error("a directory was replaced")
	}
	f.Discard()
	if names := entries(t, dir); len(names) != 1 || names[0] != "out" {
		t.Errorf("left behind: %v", names)
	}
}

func TestDiscard(t *testing.T) {
	dir := t.TempDir()
	f, err := wholefile.Create(filepath.Join(dir, "out"))
	if err != nil {
		t.Fatal(err)
	}
	f.Discard()
	f.Discard()
	if names := entries(t, dir); len(names) != 0 {
		t.Errorf("left behind: %v", names)
	}
}
