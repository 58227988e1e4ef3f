//go:build !noasm && !linux

package simd

// allowAMX reports whether the registers of AMX may be used: only Linux is known to ask.
func allowAMX() bool { return false }
