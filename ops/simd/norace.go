//go:build !race

package simd

import "unsafe"

// RaceEnabled reports whether the race detector watches.
const RaceEnabled = false

func raceRead(unsafe.Pointer, int)  {}
func raceWrite(unsafe.Pointer, int) {}
