// Package wholefile replaces files as a whole or not at all: neuron files, plans and what programs write.
//
// A new file is written beside the one that it replaces, brought to the disk and renamed. It works where files are on
// Linux, macOS and Windows, follows links, and keeps the permissions of what it replaces; devices and pipes are written to.
package wholefile

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
)

// A File is a file in the making. It appears under its name, in place of what was there, when Commit
// is called, and never in part.
type File struct {
	*os.File // where to write to

	path      string // that it will have
	temporary bool   // is written beside path; otherwise path is a device or a pipe
}

// Create starts a file in the directory of path, so that a place that cannot be written to shows
// before any work is done. The caller must call Commit or Discard.
func Create(path string) (*File, error) {
	mode := fs.FileMode(0o666)
	info, err := os.Stat(path)
	switch {
	case path == "":
		return nil, errors.New("a file needs a name")
	case err == nil && info.IsDir():
		return nil, fmt.Errorf("%s is a directory", path)
	case err == nil && !info.Mode().IsRegular():
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			return nil, err
		}
		return &File{File: f, path: path}, nil
	case err == nil:
		// The file that a link names is replaced, not the link.
		if path, err = filepath.EvalSymlinks(path); err != nil {
			return nil, err
		}
		mode = info.Mode().Perm()
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	// os.CreateTemp would make a file that only its owner can read.
	for range 100 {
		name := filepath.Join(filepath.Dir(path), fmt.Sprintf(".%s.%08x", filepath.Base(path), rand.Uint32()))
		f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		return &File{File: f, path: path, temporary: true}, nil
	}
	return nil, fmt.Errorf("%s: every temporary name is taken", path)
}

// Commit brings what was written to the disk and gives it its name. After an error the old file is
// what it was.
func (f *File) Commit() error {
	if !f.temporary {
		return f.Close()
	}
	err := f.Sync()
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), f.path)
	}
	if err != nil {
		os.Remove(f.Name())
		return err
	}
	// The name is on the disk when the directory is. Not every system can say so, and the file is
	// whole anyway.
	if dir, err := os.Open(filepath.Dir(f.path)); err == nil {
		dir.Sync()
		dir.Close()
	}
	return nil
}

// Discard drops what was written. It does nothing after Commit.
func (f *File) Discard() {
	if f.Close() == nil && f.temporary {
		os.Remove(f.Name())
	}
}

// Write replaces the file at path by data.
func Write(path string, data []byte) error {
	f, err := Create(path)
	if err != nil {
		return err
	}
	if _, err := f.Write(data); err != nil {
		f.Discard()
		return err
	}
	return f.Commit()
}
