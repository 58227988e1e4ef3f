//go:build !linux

package weights

func adviseHuge([]byte) {}
