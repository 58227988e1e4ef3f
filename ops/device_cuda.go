//go:build cuda

package ops

import (
	"fmt"
	"unsafe"

	"gorgonia.org/cu"
	"gorgonia.org/gorgonia"
	"gorgonia.org/gorgonia/cuda"

	"github.com/sparsegonia/sparsegonia/cuda/ptx"
)

// register makes every virtual machine that Gorgonia makes from now on load the kernels of m.
func register(m ptx.Module) { gorgonia.AddToStdLib(m.Name, m.Text, m.Kernels) }

// device is where an op runs once: a queue of calls, the addresses of the op's tensors, and memory
// that the op borrows.
type device struct {
	machine  gorgonia.CUDAMachine
	id       gorgonia.Device
	engine   *cuda.Engine
	y        uintptr
	in       []uintptr
	borrowed []cu.DevicePtr
	err      error
}

// bindDevice is bind for tensors on a device. Inputs that do not lie in row-major order are an
// error.
func (s *signature) bindDevice(
	d *device, extern gorgonia.External, id gorgonia.Device, output gorgonia.Value, inputs []gorgonia.Value,
) error {
	machine, ok := extern.(gorgonia.CUDAMachine)
	if !ok {
		return s.wrap(fmt.Errorf("%T has no CUDA device", extern))
	}
	engines := machine.Engines()
	if id < 0 || int(id) >= len(engines) {
		return s.wrap(fmt.Errorf("CUDA device %d of %d", id, len(engines)))
	}
	if len(inputs) != len(s.in) {
		return s.wrap(fmt.Errorf("got %d inputs, want %d", len(inputs), len(s.in)))
	}
	*d = device{machine: machine, id: id, engine: &engines[id], in: make([]uintptr, len(s.in))}
	var err error
	if d.y, err = s.out.address(output); err != nil {
		return s.wrap(err)
	}
	for i := range s.in {
		if d.in[i], err = s.in[i].address(inputs[i]); err != nil {
			return s.wrap(err)
		}
	}
	return nil
}

// address returns where the elements of v begin.
func (o *spec) address(v gorgonia.Value) (uintptr, error) {
	d, err := o.dense(v)
	switch {
	case err != nil:
		return 0, err
	case !RowMajor(d):
		return 0, fmt.Errorf("%s is not in row-major order", o.name)
	case d.Uintptr()%o.dtype.Size() != 0:
		// Gorgonia's allocator can do that. A kernel would fault and make the whole context
		// unusable.
		return 0, fmt.Errorf("%s lies at %#x on the device, which is not aligned for %v", o.name, d.Uintptr(), o.dtype)
	}
	return d.Uintptr(), nil
}

// blockSize is the alignment of Gorgonia's allocator, which it keeps as long as sizes are multiples
// of it.
const blockSize = 32

// upload queues a copy of data to memory that the op has until finish.
func (d *device) upload(data []float32) (uintptr, error) {
	size := int64(len(data)) * int64(unsafe.Sizeof(data[0]))
	memory, err := d.machine.Get(d.id, (size+blockSize-1)/blockSize*blockSize)
	if err != nil {
		return 0, fmt.Errorf("%d bytes of device memory: %w", size, err)
	}
	p := cu.DevicePtr(memory.Uintptr())
	d.borrowed = append(d.borrowed, p)
	d.engine.Context().MemcpyHtoD(p, unsafe.Pointer(unsafe.SliceData(data)), size)
	return uintptr(p), nil
}

// launch queues a call of a kernel of m. Only the default stream is in order with Gorgonia's own
// copies.
func (d *device) launch(m ptx.Module, l ptx.Launch) {
	name := m.Name + "." + l.Kernel
	if !d.engine.HasFunc(name) {
		d.err = fmt.Errorf("the machine has no kernel %s", name)
		return
	}
	args := make([]unsafe.Pointer, len(l.Args))
	for i := range args {
		args[i] = unsafe.Pointer(&l.Args[i])
	}
	d.engine.Context().LaunchKernel(d.engine.Functions()[name],
		l.Grid[0], l.Grid[1], l.Grid[2], l.Block[0], l.Block[1], l.Block[2], 0, cu.NoStream, args)
}

// finish runs what is queued, waits for it, and gives back what was borrowed. Gorgonia would leave
// the calls queued; then its queue of 64 overflows in longer graphs, and errors show in another op.
func (s *signature) finish(d *device) error {
	d.engine.Context().Synchronize()
	if err := d.engine.DoWork(); err != nil && d.err == nil {
		d.err = err
	}
	for _, p := range d.borrowed {
		d.machine.Put(d.id, p, 0) // the size does not matter
	}
	if d.err != nil {
		return s.wrap(fmt.Errorf("CUDA device %d: %w", d.id, d.err))
	}
	return nil
}
