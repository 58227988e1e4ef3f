//go:build cuda

package ops

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/sparsegonia/sparsegonia/cuda/ptx"
	"github.com/sparsegonia/sparsegonia/ops/kernel"
)

// These tests need a libcuda: that of a GPU or that of cuda/hostsim.

// special are scores for which comparisons go wrong easily.
var special = []float32{
	0, float32(math.Copysign(0, -1)), 0.5, -0.5, math.Nextafter32(0.5, 0), math.Nextafter32(0.5, 1),
	float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1)), math.SmallestNonzeroFloat32, math.MaxFloat32,
}

// newCUDAMachine is NewTapeMachine with what Gorgonia's CUDA build needs besides. NewTapeMachine and Close make a context
// current and use it in a later call, so both must stay on one thread. And Close copies the engine, so it must not come
// while the engine's own goroutine still holds a lock to start: that goroutine answers Do when it has started.
func newCUDAMachine(t *testing.T, g *gorgonia.ExprGraph) gorgonia.VM {
	t.Helper()
	runtime.LockOSThread()
	machine := gorgonia.NewTapeMachine(g)
	require.NoError(t, any(machine).(gorgonia.CUDAMachine).Engines()[0].Context().Do(func() error { return nil }))
	t.Cleanup(func() {
		defer runtime.UnlockOSThread()
		assert.NoError(t, machine.Close())
	})
	return machine
}

func randomScores(seed uint64, shape ...int) *tensor.Dense {
	r := rand.New(rand.NewPCG(seed, 0))
	scores := make([]float32, tensor.Shape(shape).TotalSize())
	for i := range scores {
		if scores[i] = float32(r.NormFloat64()); r.IntN(4) == 0 {
			scores[i] = special[r.IntN(len(special))]
		}
	}
	return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(scores))
}

// The tape machine gives on the device what the op gives on the CPU.
func TestCUDAMask(t *testing.T) {
	for _, shape := range [][]int{{1}, {7}, {1000}, {1, 256}, {3, 257}, {66000, 3}, {5, 1}} {
		columns := shape[len(shape)-1]
		each := make([]float64, columns)
		for i := range each {
			each[i] = []float64{0, 0.5, -0.5, 1.1, math.Inf(1), math.Inf(-1)}[i%6]
		}
		for name, m := range map[string]MaskMethod{
			"one": Threshold(0.5), "between floats": Threshold(0.1), "zero": Threshold(0), "negative": Threshold(-0.5),
			"infinite": Threshold(math.Inf(1)), "all": Threshold(math.Inf(-1)), "each": Threshold(each...),
		} {
			for _, m := range []MaskMethod{m, m.Magnitude()} {
				t.Run(fmt.Sprintf("%v/%s/%t", shape, name, m.magnitude), func(t *testing.T) { testOnDevice(t, m, shape) })
			}
		}
	}
}

func testOnDevice(t *testing.T, m MaskMethod, shape []int) {
	g := gorgonia.NewGraph()
	x := newInput(g, randomScores(1, shape...))
	n, err := Mask(x, m)
	require.NoError(t, err)
	op, ok := n.Op().(*deviceMaskOp)
	require.True(t, ok, "the op is a %T, which runs on the CPU", n.Op())
	var read gorgonia.Value
	gorgonia.Read(n, &read)
	machine := newCUDAMachine(t, g)
	for run := range uint64(3) {
		scores := randomScores(run, shape...)
		require.NoError(t, gorgonia.Let(x, scores))
		require.NoError(t, machine.RunAll())
		want, err := op.Do(scores)
		require.NoError(t, err)
		require.Equal(t, want.Data(), read.Data(), "run %d", run)
		machine.Reset()
	}
}

// What has no kernel stays on the CPU, in a build with CUDA, too, and follows an op on the device.
func TestCUDALeavesTheRestOnTheCPU(t *testing.T) {
	for name, m := range map[string]MaskMethod{"top k": TopK(0.5), "statistical": Statistical(0.5)} {
		n, err := Mask(newInput(gorgonia.NewGraph(), randomScores(1, 3, 8)), m)
		require.NoError(t, err)
		assert.NotImplements(t, (*gorgonia.CUDADoer)(nil), n.Op(), name)
	}
	for _, dtype := range []kernel.Dtype{kernel.F64, kernel.Int32, kernel.Int64} {
		n, err := Mask(newInput(gorgonia.NewGraph(), input(1, dtype, 3, 8)), Threshold(1))
		require.NoError(t, err)
		assert.NotImplements(t, (*gorgonia.CUDADoer)(nil), n.Op(), "%v", dtype)
	}

	g := gorgonia.NewGraph()
	scores := randomScores(1, 3, 1001)
	x := newInput(g, scores)
	mask, err := Mask(x, Threshold(1.5))
	require.NoError(t, err)
	active, err := Union(mask, newInput(g, ints(0, -1, 0)))
	require.NoError(t, err)
	var read gorgonia.Value
	gorgonia.Read(active, &read)
	require.NoError(t, newCUDAMachine(t, g).RunAll())
	want := make([]bool, 1001)
	for i := range want {
		want[i] = scores.Float32s()[i] >= 1.5 || scores.Float32s()[2*1001+i] >= 1.5
	}
	assert.Equal(t, want, read.Data())
}

// Many ops in a graph do not overflow Gorgonia's queue of calls.
func TestCUDALongGraph(t *testing.T) {
	g := gorgonia.NewGraph()
	const ops = 100
	scores := randomScores(1, 4, 96)
	x := newInput(g, scores)
	read := make([]gorgonia.Value, ops)
	tau := make([]float64, 96)
	for i := range read {
		for j := range tau {
			tau[j] = float64(i+j) / ops
		}
		n, err := Mask(x, Threshold(tau...).Magnitude())
		require.NoError(t, err)
		gorgonia.Read(n, &read[i])
	}
	require.NoError(t, newCUDAMachine(t, g).RunAll())
	for i := range read {
		for j, s := range scores.Float32s() {
			want := math.Abs(float64(s)) >= float64(i+j%96)/ops
			require.Equal(t, want, read[i].Data().([]bool)[j], "op %d, score %d", i, j)
		}
	}
}

// CUDADo refuses what it was not built for, before it calls the driver.
func TestCUDAErrors(t *testing.T) {
	g := gorgonia.NewGraph()
	scores := randomScores(1, 2, 64)
	n, err := Mask(newInput(g, scores), Threshold(0.5))
	require.NoError(t, err)
	machine := newCUDAMachine(t, g)
	extern := machine.(gorgonia.CUDAMachine)
	op := n.Op().(*deviceMaskOp)
	bools := func(shape ...int) *tensor.Dense {
		return tensor.New(tensor.Of(tensor.Bool), tensor.WithShape(shape...))
	}
	mask := bools(2, 64)
	wide := randomScores(1, 64, 2)
	require.NoError(t, wide.T())
	odd := tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(2, 64), tensor.FromMemory(scores.Uintptr()+2, 512))
	for _, c := range []struct {
		extern gorgonia.External
		dev    gorgonia.Device
		output gorgonia.Value
		inputs []gorgonia.Value
		want   string
	}{
		{nil, 0, mask, []gorgonia.Value{scores}, "ops: Mask: <nil> has no CUDA device"},
		{extern, gorgonia.CPU, mask, []gorgonia.Value{scores}, "ops: Mask: CUDA device -1 of 1"},
		{extern, 1, mask, []gorgonia.Value{scores}, "ops: Mask: CUDA device 1 of 1"},
		{extern, 0, mask, nil, "ops: Mask: got 0 inputs, want 1"},
		{extern, 0, nil, []gorgonia.Value{scores}, "ops: Mask: mask is a <nil>, want a *tensor.Dense"},
		{extern, 0, bools(64, 2), []gorgonia.Value{scores}, "ops: Mask: mask has shape (64, 2), the op was built for (2, 64)"},
		{extern, 0, mask, []gorgonia.Value{mask}, "ops: Mask: scores has dtype bool, the op was built for float32"},
		{extern, 0, mask, []gorgonia.Value{wide}, "ops: Mask: scores is not in row-major order"},
		{extern, 0, mask, []gorgonia.Value{odd}, "which is not aligned for float32"},
	} {
		output, err := op.CUDADo(c.extern, c.dev, c.output, c.inputs...)
		assert.ErrorContains(t, err, c.want)
		assert.Nil(t, output)
	}
}

// A launch that the driver refuses is an error of the op that made it, and the next op runs.
func TestCUDALaunchErrors(t *testing.T) {
	g := gorgonia.NewGraph()
	n, err := Mask(newInput(g, randomScores(1, 2, 64)), Threshold(0.5))
	require.NoError(t, err)
	machine := newCUDAMachine(t, g)
	require.NoError(t, machine.RunAll())
	op := n.Op().(*deviceMaskOp)
	scores, mask := randomScores(1, 2, 64), tensor.New(tensor.Of(tensor.Bool), tensor.WithShape(2, 64))
	for want, change := range map[string]func(*ptx.Launch){
		"ops: Mask: CUDA device 0: the machine has no kernel sparsegonia_mask.none": func(l *ptx.Launch) { l.Kernel = "none" },
		"ops: Mask: CUDA device 0: ": func(l *ptx.Launch) { l.Block[0] = 4096 },
	} {
		var d device
		require.NoError(t, op.bindDevice(&d, machine.(gorgonia.CUDAMachine), 0, mask, []gorgonia.Value{scores}))
		l := ptx.MaskThreshold(d.y, d.in[0], 0.5, false, 128)
		change(&l)
		d.launch(ptx.Mask(), l)
		assert.ErrorContains(t, op.finish(&d), want)
	}
	machine.Reset()
	assert.NoError(t, machine.RunAll())
}
