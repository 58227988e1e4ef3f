//go:build !amd64 || noasm

package kernel

func archVariants() []*variant { return nil }
