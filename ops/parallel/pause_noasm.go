//go:build !amd64 || noasm

package parallel

import "runtime"

// pause lets others run: without assembly there is no cheaper way to wait.
func pause(uint32) { runtime.Gosched() }
