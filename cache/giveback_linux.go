package cache

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// giveBack returns the whole pages of b to the system. They read as zeros and take memory when they are written to.
func giveBack(b []byte) {
	page := uintptr(os.Getpagesize())
	begin := uintptr(unsafe.Pointer(unsafe.SliceData(b)))
	end := (begin + uintptr(len(b))) &^ (page - 1)
	if skip := -begin & (page - 1); begin+skip < end {
		_ = unix.Madvise(b[skip:end-begin], unix.MADV_DONTNEED) // it is advice: an error costs memory, no more
	}
}
