//go:build race

package simd

import (
	"runtime"
	"unsafe"
)

const RaceEnabled = true

// raceRead and raceWrite tell the race detector what assembly touches.
func RaceRead(p unsafe.Pointer, n int) {
	if n > 0 {
		runtime.RaceReadRange(p, n)
	}
}

func RaceWrite(p unsafe.Pointer, n int) {
	if n > 0 {
		runtime.RaceWriteRange(p, n)
	}
}
