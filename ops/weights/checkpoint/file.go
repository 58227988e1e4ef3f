package checkpoint

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// A file is the contents of one, mapped or in memory.
type file struct {
	name   string // in messages
	data   []byte
	mapped bool
}

// A source is where the files of a Hugging Face checkpoint are. Names are those of package fs.
type source interface {
	path(name string) string // for messages
	read(name string) ([]byte, error)
	open(name string) (*file, error)
}

// directory is a source of mapped files.
type directory string

func (d directory) path(name string) string {
	return filepath.Join(string(d), filepath.FromSlash(name))
}

func (d directory) read(name string) ([]byte, error) {
	path := d.path(name)
	f, size, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if size > maxHeader {
		return nil, fmt.Errorf("%s: %d bytes of JSON are over the limit of %d", path, size, maxHeader)
	}
	data := make([]byte, size)
	if _, err := io.ReadFull(f, data); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return data, nil
}

func (d directory) open(name string) (*file, error) { return mapFile(d.path(name)) }

// fileSystem is a source of files in memory.
type fileSystem struct{ fs.FS }

func (s fileSystem) path(name string) string { return name }

func (s fileSystem) read(name string) ([]byte, error) { return fs.ReadFile(s.FS, name) }

func (s fileSystem) open(name string) (*file, error) {
	data, err := s.read(name)
	return &file{name: name, data: data}, err
}

// openRegular opens a file that has a size: a pipe would block, a device never end.
func openRegular(path string) (f *os.File, size int, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, 0, err
	}
	if err := checkRegular(path, info); err != nil {
		return nil, 0, err
	}
	if f, err = os.Open(path); err != nil {
		return nil, 0, err
	}
	// Another file may have that path by now, and a size that is too large would be a mapping that
	// faults.
	if info, err = f.Stat(); err == nil {
		err = checkRegular(path, info)
	}
	if err != nil {
		return nil, 0, errors.Join(err, f.Close())
	}
	return f, int(info.Size()), nil
}

func checkRegular(path string, info fs.FileInfo) error {
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s: not a regular file", path)
	}
	if size := info.Size(); int64(int(size)) != size {
		return fmt.Errorf("%s: %d bytes do not fit in the address space", path, size)
	}
	return nil
}
