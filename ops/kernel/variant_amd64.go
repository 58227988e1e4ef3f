//go:build !noasm

package kernel

func archVariants() []*variant { return nil }
