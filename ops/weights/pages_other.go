//go:build !linux

package weights

func adviseHuge([]byte) {}

// GiveBack does nothing on this system.
func GiveBack([]byte) {}
