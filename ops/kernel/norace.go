//go:build !race

package kernel

import "unsafe"

const raceEnabled = false

// raceRead and raceWrite tell the race detector what assembly touches.
func raceRead(unsafe.Pointer, int)  {}
func raceWrite(unsafe.Pointer, int) {}
