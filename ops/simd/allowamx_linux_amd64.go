//go:build !noasm

package simd

import "syscall"

// allowAMX asks the kernel for the registers of AMX, for all threads of the process, and tells
// whether it has them: Linux keeps them from programs that do not ask.
func allowAMX() bool {
	const requestPermission, tileData = 0x1023, 18 // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
	_, _, errno := syscall.RawSyscall(syscall.SYS_ARCH_PRCTL, requestPermission, tileData, 0)
	return errno == 0
}
