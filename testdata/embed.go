// Package testdata embeds two texts that the models of packages tinysilu and
// tinyrelu have not seen in training: Go source files of the standard library
// and toolchain, joined by blank lines. They share no file with each other.
//
// The models are packages of their own, so that a program carries only the one
// that it uses. README.md describes everything in this folder.
package testdata

import _ "embed"

// Calibration is text to choose sparsity thresholds on: about 32 kB, 11,000 tokens.
//
//go:embed calibration.txt
var Calibration string

// Eval is text to measure perplexity on: about 32 kB, 11,000 tokens.
//
//go:embed eval.txt
var Eval string
