//go:build !linux

package cache

import (
	"errors"
	"io"
	"os"
)

func openDirect(path string) (*os.File, error) {
	return nil, &os.PathError{Op: "open past the page cache", Path: path, Err: errors.ErrUnsupported}
}

type directReader struct{ io.ReaderAt }
