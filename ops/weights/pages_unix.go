//go:build unix

package weights

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// GiveBack takes the whole pages of b out of memory. Pages of a mapped file are read again when they
// are used. What others hold is undefined; on Linux it is zeros. It is advice: an error costs memory,
// no more. Where there is no such advice, it does nothing.
func GiveBack(b []byte) {
	page := uintptr(os.Getpagesize())
	begin := uintptr(unsafe.Pointer(unsafe.SliceData(b)))
	end := (begin + uintptr(len(b))) &^ (page - 1)
	if skip := -begin & (page - 1); begin+skip < end {
		_ = unix.Madvise(b[skip:end-begin], unix.MADV_DONTNEED)
	}
}
