package weights

import "golang.org/x/sys/unix"

// adviseHuge asks for huge pages: gathered rows of a large matrix otherwise miss the TLB. A system
// that has none says so and nothing is lost.
func adviseHuge(b []byte) {
	_ = unix.Madvise(b, unix.MADV_HUGEPAGE)
}
