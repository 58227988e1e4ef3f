package weights

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// adviseHuge asks for huge pages: gathered rows of a large matrix otherwise
// miss the TLB. A kernel that has none says so and nothing is lost.
func adviseHuge(b []byte) {
	_ = unix.Madvise(b, unix.MADV_HUGEPAGE)
}

// GiveBack takes the whole pages of b out of memory. Pages of a mapped file are read again when they are used. Others
// read as zeros. It is advice: an error costs memory, no more. On systems other than Linux it does nothing.
func GiveBack(b []byte) {
	page := uintptr(os.Getpagesize())
	begin := uintptr(unsafe.Pointer(unsafe.SliceData(b)))
	end := (begin + uintptr(len(b))) &^ (page - 1)
	if skip := -begin & (page - 1); begin+skip < end {
		_ = unix.Madvise(b[skip:end-begin], unix.MADV_DONTNEED)
	}
}
