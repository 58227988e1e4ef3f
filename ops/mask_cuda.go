//go:build cuda

package ops

import (
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/sparsegonia/sparsegonia/cuda/ptx"
)

func init() { register(ptx.Mask()) }

// onDevice is op in the form that runs on a CUDA device, if there are kernels for it.
func (op *maskOp) onDevice() gorgonia.Op {
	if op.method.kind == maskThreshold && op.in[0].dtype == tensor.Float32 {
		return &deviceMaskOp{op}
	}
	return op
}

// deviceMaskOp is a Mask by thresholds of float32 scores. It has a type of its own because Gorgonia runs every op of a
// type that has CUDADo on the device.
type deviceMaskOp struct{ *maskOp }

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
	tau := op.tau.([]float32)
	if len(tau) == 1 {
		d.launch(ptx.Mask(), ptx.MaskThreshold(d.y, d.in[0], tau[0], magnitude, in.rows()*in.cols()))
		return output, op.finish(&d)
	}
	limits, err := d.upload(tau)
	if err != nil {
		return nil, op.errorf("thresholds: %w", err)
	}
	d.launch(ptx.Mask(), ptx.MaskThresholds(d.y, d.in[0], limits, magnitude, in.rows(), in.cols()))
	return output, op.finish(&d)
}
