//go:build cuda

package ops

import (
	"fmt"

	"gorgonia.org/gorgonia"

	"github.com/sparsegonia/sparsegonia/cuda/ptx"
)

func init() { register(ptx.Mask()) }

// onDevice returns op in the form that runs on a CUDA device, if there are kernels for it.
func onDevice(op implementation) gorgonia.Op {
	if mask, ok := op.(*maskOp[float32]); ok && mask.method.kind == maskThreshold {
		return &deviceMaskOp{mask}
	}
	return op
}

// deviceMaskOp is a Mask by thresholds of float32 scores. It has a type of its own because Gorgonia
// runs every op of a type that has CUDADo on the device.
type deviceMaskOp struct{ *maskOp[float32] }

var _ gorgonia.CUDADoer = (*deviceMaskOp)(nil)

// CUDADo is Do on a CUDA device. Thresholds per neuron are copied to the device in every run.
func (op *deviceMaskOp) CUDADo(
	extern gorgonia.External, dev gorgonia.Device, output gorgonia.Value, inputs ...gorgonia.Value,
) (gorgonia.Value, error) {
	var d device
	if err := op.bindDevice(&d, extern, dev, output, inputs); err != nil {
		return nil, err
	}
	in, magnitude := op.in[0], op.method.magnitude
	tau := op.tau
	if len(tau) == 1 {
		d.launch(ptx.Mask(), ptx.MaskThreshold(d.y, d.in[0], tau[0], magnitude, in.rows()*in.cols()))
		return output, op.finish(&d)
	}
	limits, err := d.upload(tau)
	if err != nil {
		return nil, op.wrap(fmt.Errorf("thresholds: %w", err))
	}
	d.launch(ptx.Mask(), ptx.MaskThresholds(d.y, d.in[0], limits, magnitude, in.rows(), in.cols()))
	return output, op.finish(&d)
}
