//go:build race

package simd

import (
	"runtime"
	"unsafe"
)

// RaceEnabled reports whether the race detector watches.
const RaceEnabled = true

// raceRead tells the race detector that assembly reads n bytes, raceWrite that it writes them.
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
