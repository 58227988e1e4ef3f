//go:build unix

package checkpoint

import (
	"fmt"

	"golang.org/x/sys/unix"
)

func mapFile(path string) (*file, error) {
	f, size, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if size == 0 { // cannot be mapped
		return &file{name: path}, nil
	}
	data, err := unix.Mmap(int(f.Fd()), 0, size, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("mmap %s: %w", path, err)
	}
	return &file{name: path, data: data, mapped: true}, nil
}

func (f *file) close() error {
	if !f.mapped {
		return nil
	}
	f.mapped = false
	if err := unix.Munmap(f.data); err != nil {
		return fmt.Errorf("checkpoint: munmap %s: %w", f.name, err)
	}
	return nil
}
