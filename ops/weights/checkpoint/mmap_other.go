//go:build !unix

package checkpoint

import (
	"fmt"
	"io"
)

func mapFile(path string) (*file, error) {
	f, size, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data := make([]byte, size)
	if _, err := io.ReadFull(f, data); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &file{name: path, data: data}, nil
}

func (f *file) close() error { return nil }
