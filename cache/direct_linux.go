package cache

import (
	"io"
	"os"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

func openDirect(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDONLY|unix.O_DIRECT, 0)
}

// directReader reads whole pages into an aligned buffer, as O_DIRECT requires.
type directReader struct{ f *os.File }

// bounce is the size of the buffers, enough for a disk to read at its full speed.
const bounce = 1 << 20

var bounceBuffers = sync.Pool{New: func() any {
	b := make([]byte, bounce+page)
	skip := -uintptr(unsafe.Pointer(unsafe.SliceData(b))) & (page - 1)
	b = b[skip:][:bounce]
	return &b
}}

func (r directReader) ReadAt(b []byte, offset int64) (n int, err error) {
	buffer := bounceBuffers.Get().(*[]byte)
	defer bounceBuffers.Put(buffer)
	for n < len(b) {
		at := offset + int64(n)
		start := at &^ (page - 1)
		skip := int(at - start)
		want := min(int(ceil(int64(skip+len(b)-n))), bounce)
		got, err := r.f.ReadAt((*buffer)[:want], start)
		copied := copy(b[n:], (*buffer)[min(skip, got):got])
		n += copied
		if copied == 0 || got < want {
			switch {
			case n == len(b):
			case err != nil:
				return n, err
			default:
				return n, io.ErrUnexpectedEOF
			}
		}
	}
	return n, nil
}
