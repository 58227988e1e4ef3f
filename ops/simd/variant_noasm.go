//go:build !amd64 || noasm

package simd

func archVariants() []*Variant { return nil }
