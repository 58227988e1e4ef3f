//go:build race

package kernel

import (
	"runtime"
	"unsafe"
)

const raceEnabled = true

// raceRead and raceWrite tell the race detector what assembly touches.
func raceRead(p unsafe.Pointer, n int) {
	if n > 0 {
		runtime.RaceReadRange(p, n)
	}
}

func raceWrite(p unsafe.Pointer, n int) {
	if n > 0 {
		runtime.RaceWriteRange(p, n)
	}
}
