//go:build !noasm

package parallel

// pause executes n PAUSE instructions: a spinning thread that leaves the
// core's resources and power to others.
//
//go:noescape
func pause(n uint32)
