//go:build !race

package simd

import "unsafe"

const RaceEnabled = false

// raceRead and raceWrite tell the race detector what assembly touches.
func RaceRead(unsafe.Pointer, int)  {}
func RaceWrite(unsafe.Pointer, int) {}
