package ops

import (
	"errors"
	"fmt"
	"io"

	"github.com/sparsegonia/sparsegonia/ops/activation"
	"github.com/sparsegonia/sparsegonia/ops/kernel"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// MLP is what a DenseMLP or a SparseMLP captures: I neurons with gate and up rows of length H and
// down rows of length O, mostly H.
type MLP struct {
	Source weights.Source // of a DenseMLP: all neurons, in memory or in a file
	Cache  Cache          // of a SparseMLP: the active neurons

	Act      activation.Func // ReLU for integers
	GateBias *weights.Matrix // 1×I in the compute dtype, or nil; there is none without a gate matrix
	UpBias   *weights.Matrix // 1×I in the compute dtype, or nil
	DownBias *weights.Matrix // 1×O in the compute dtype, or nil

	// GateCopy, if not nil, is a copy of the gate rows of a Source that is not in memory: I×H of
	// any width with the same compute dtype. The ops do not read it; selectors score neurons by it.
	GateCopy *weights.Matrix
}

// sourceShape returns the shape of the neurons of the source.
func (m *MLP) sourceShape() (s weights.Shape, err error) {
	if err := checkIdentity("source", m.Source); err != nil {
		return s, err
	}
	s = m.Source.Shape()
	return s, s.CheckMLP()
}

// cacheShape is sourceShape of the cache.
func (m *MLP) cacheShape() (s weights.Shape, err error) {
	if err := checkIdentity("cache", m.Cache); err != nil {
		return s, err
	}
	s = m.Cache.Rows().Shape()
	s.Intermediate = m.Cache.Intermediate()
	return s, s.CheckMLP()
}

// check returns an error unless an MLP of that shape can be applied to rows of x.
func (m *MLP) check(x spec, s weights.Shape) error {
	dtype, hidden := s.Dtype().Compute(), s.Hidden()
	if !s.Gated() && (m.GateBias != nil || m.GateCopy != nil) {
		return errors.New("a gate bias or a copy of the gate, but the MLP has no gate matrix")
	}
	if g := m.GateCopy; g != nil && (g.Rows() != s.Intermediate || g.Cols() != hidden || g.Dtype().Compute() != dtype) {
		return fmt.Errorf("the copy of the gate is %v %d×%d, want %d×%d that compute in %v",
			g.Dtype(), g.Rows(), g.Cols(), s.Intermediate, hidden, dtype)
	}
	for _, err := range []error{
		x.wantRows(), x.wantDtype(computeDtype(dtype)), x.wantCols(hidden),
		checkActivation(m.Act, x.dtype),
		checkBias("gate bias", m.GateBias, s.Intermediate, dtype),
		checkBias("up bias", m.UpBias, s.Intermediate, dtype),
		checkBias("down bias", m.DownBias, s.Outputs(), dtype),
	} {
		if err != nil {
			return err
		}
	}
	return nil
}

// kernelMLP returns m for kernels, without matrices.
func kernelMLP[E weights.Elem](m *MLP) kernel.MLP[E] {
	return kernel.MLP[E]{
		GateBias: biasValues[E](m.GateBias),
		UpBias:   biasValues[E](m.UpBias),
		DownBias: biasValues[E](m.DownBias),
		Act:      m.Act,
	}
}

func (m *MLP) hash(w io.Writer) {
	fmt.Fprintf(w, " source %p cache %p act %d biases %p %p %p gate copy %p",
		m.Source, m.Cache, m.Act, m.GateBias, m.UpBias, m.DownBias, m.GateCopy)
}
