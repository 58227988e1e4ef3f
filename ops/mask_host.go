//go:build !cuda

package ops

import "gorgonia.org/gorgonia"

// onDevice is op: without the build tag cuda every op runs on the CPU.
func (op *maskOp) onDevice() gorgonia.Op { return op }
