//go:build unix

package wholefile_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// What is not a file, such as a pipe or a device, is written to, never replaced.
func TestFileIsPipe(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Skip(err)
	}
	// A pipe that is open for reading and writing waits for nobody.
	r, err := os.OpenFile(pipe, os.O_RDWR, 0)
	if err != nil {
		t.Skip(err)
	}
	defer r.Close()
	if err := writeFile(pipe, text("through")); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Lstat(pipe); err != nil || info.Mode()&fs.ModeNamedPipe == 0 {
		t.Fatalf("the pipe is %v, %v", info.Mode(), err)
	}
	got := make([]byte, 100)
	if n, err := r.Read(got); err != nil || string(got[:n]) != "through" {
		t.Errorf("%q came through, %v", got[:n], err)
	}
}

// Links go on leading where they led.
func TestFileIsLink(t *testing.T) {
	dir := t.TempDir()
	file, link := filepath.Join(dir, "file"), filepath.Join(dir, "link")
	if err := errors.Join(writeFile(file, text("old")), os.Symlink("file", link), writeFile(link, text("new"))); err != nil {
		t.Fatal(err)
	}
	wantContent(t, file, "new")
	if info, err := os.Lstat(link); err != nil || info.Mode()&fs.ModeSymlink == 0 {
		t.Errorf("the link is %v, %v", info.Mode(), err)
	}
}
