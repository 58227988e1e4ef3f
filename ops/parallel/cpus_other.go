//go:build !linux

package parallel

// quota is 0: only Linux limits the CPUs of a process by cgroups.
func quota() float64 { return 0 }
