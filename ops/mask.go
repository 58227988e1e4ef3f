package ops

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"math"
	"slices"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/sparsegonia/sparsegonia/ops/kernel"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// MaskMethod decides from the scores of a token which neurons are active. A NaN score is never active.
type MaskMethod struct {
	kind      maskKind
	tau       []float64
	magnitude bool
	sparsity  float64
}

type maskKind uint8

const (
	maskThreshold maskKind = iota + 1
	maskTopK
	maskStatistical
)

// Threshold makes the neurons with score s ≥ tau active. tau is one number, or one for each of the I neurons.
// Integer scores are compared with tau as a real number.
func Threshold(tau ...float64) MaskMethod {
	return MaskMethod{kind: maskThreshold, tau: slices.Clone(tau)}
}

// Magnitude compares |s| instead of s with the threshold.
func (m MaskMethod) Magnitude() MaskMethod {
	m.magnitude = true
	return m
}

// TopK makes the k = ⌈(1−sparsity)·I − 1e-9⌉ neurons with the highest scores active, of equal scores the first.
// sparsity is from 0 to 1.
func TopK(sparsity float64) MaskMethod { return MaskMethod{kind: maskTopK, sparsity: sparsity} }

// Statistical makes the neurons with s > mean + std·Φ⁻¹(sparsity) active, with the mean and the unbiased standard
// deviation of the token's scores and Φ the normal distribution. A token with a NaN among its scores has no active
// neurons. sparsity is between 0 and 1.
func Statistical(sparsity float64) MaskMethod {
	return MaskMethod{kind: maskStatistical, sparsity: sparsity}
}

func (m MaskMethod) String() string {
	switch m.kind {
	case maskThreshold:
		name := "threshold"
		if m.magnitude {
			name = "magnitude threshold"
		}
		if len(m.tau) == 1 {
			return fmt.Sprintf("%s %g", name, m.tau[0])
		}
		return fmt.Sprintf("%s per neuron", name)
	case maskTopK:
		return fmt.Sprintf("topk %g", m.sparsity)
	case maskStatistical:
		return fmt.Sprintf("statistical %g", m.sparsity)
	}
	return "no method"
}

func (m MaskMethod) check(intermediate int) error {
	switch m.kind {
	case maskThreshold:
		if len(m.tau) != 1 && len(m.tau) != intermediate {
			return fmt.Errorf("%d thresholds, want 1 or one for each of %d neurons", len(m.tau), intermediate)
		}
		for i, tau := range m.tau {
			if math.IsNaN(tau) {
				return fmt.Errorf("threshold %d is NaN", i)
			}
		}
	case maskTopK:
		if !(m.sparsity >= 0 && m.sparsity <= 1) {
			return fmt.Errorf("topk: sparsity %v is not in [0, 1]", m.sparsity)
		}
	case maskStatistical:
		if !(m.sparsity > 0 && m.sparsity < 1) {
			return fmt.Errorf("statistical: sparsity %v is not in (0, 1)", m.sparsity)
		}
	default:
		return errors.New("no mask method: use Threshold, TopK or Statistical")
	}
	if m.magnitude && m.kind != maskThreshold {
		return fmt.Errorf("%v: only a threshold compares magnitudes", m)
	}
	return nil
}

// Mask applies m to the scores of each token: scores T×I → bool T×I, or I → I. Scores are float32, float64, int32 or
// int64.
func Mask(scores *gorgonia.Node, m MaskMethod, _ ...Option) (*gorgonia.Node, error) {
	op, err := newMaskOp(scores, m)
	if err != nil {
		return nil, err
	}
	return gorgonia.ApplyOp(op.onDevice(), scores)
}

type maskOp struct {
	signature
	method MaskMethod
	tau    any // the thresholds as a slice of the scores' type
}

func newMaskOp(scores *gorgonia.Node, m MaskMethod) (*maskOp, error) {
	s, err := newSignature("Mask", "scores", scores)
	if err != nil {
		return nil, err
	}
	in := s.in[0]
	if err := first(in.wantDtype(numeric...), in.wantRows(), m.check(in.cols())); err != nil {
		return nil, s.wrap(err)
	}
	tau, err := convertThresholds(m.tau, in.dtype)
	if err != nil {
		return nil, s.wrap(err)
	}
	s.out = operand{"mask", tensor.Bool, in.shape.Clone()}
	return &maskOp{s, m, tau}, nil
}

// convertThresholds gives for every threshold the least t of the dtype that is not below it: s ≥ t just when s ≥ tau.
func convertThresholds(tau []float64, dtype tensor.Dtype) (any, error) {
	switch dtype {
	case tensor.Float32:
		out := make([]float32, len(tau))
		for i, t := range tau {
			out[i] = float32(t)
			if float64(out[i]) < t {
				out[i] = math.Nextafter32(out[i], float32(math.Inf(1)))
			}
		}
		return out, nil
	case tensor.Int32:
		return convertIntegerThresholds[int32](tau, math.MinInt32)
	case tensor.Int64:
		return convertIntegerThresholds[int64](tau, math.MinInt64)
	default:
		return tau, nil
	}
}

func convertIntegerThresholds[E int32 | int64](tau []float64, least E) ([]E, error) {
	out := make([]E, len(tau))
	for i, t := range tau {
		switch t = math.Ceil(t); {
		case t <= float64(least):
			out[i] = least
		case t < -float64(least): // the bound is 2³¹ or 2⁶³, one above the greatest integer
			out[i] = E(t)
		default:
			return nil, fmt.Errorf("threshold %d is %v, above all integer scores", i, tau[i])
		}
	}
	return out, nil
}

func (op *maskOp) Do(inputs ...gorgonia.Value) (gorgonia.Value, error) {
	return op.UsePreallocDo(op.newOutput(), inputs...)
}

func (op *maskOp) UsePreallocDo(output gorgonia.Value, inputs ...gorgonia.Value) (gorgonia.Value, error) {
	var v values
	if err := op.bind(&v, output, inputs); err != nil {
		return nil, err
	}
	switch op.in[0].dtype {
	case tensor.Float32:
		runMask[float32](op, v.y.Bools(), v.in[0].Float32s())
	case tensor.Float64:
		runMask[float64](op, v.y.Bools(), v.in[0].Float64s())
	case tensor.Int32:
		runMask[int32](op, v.y.Bools(), v.in[0].Int32s())
	case tensor.Int64:
		runMask[int64](op, v.y.Bools(), v.in[0].Int64s())
	}
	return output, nil
}

func runMask[E weights.Elem](op *maskOp, mask []bool, scores []E) {
	intermediate, m := op.in[0].cols(), op.method
	switch m.kind {
	case maskThreshold:
		kernel.MaskThreshold(mask, scores, op.tau.([]E), m.magnitude)
	case maskTopK:
		kernel.MaskTopK(mask, scores, intermediate, m.k(intermediate))
	case maskStatistical:
		kernel.MaskStatistical(mask, scores, intermediate, m.quantile())
	}
}

// k is the number of neurons that TopK keeps. The small term keeps 1−0.7 = 0.30000000000000004 from adding a neuron.
func (m MaskMethod) k(intermediate int) int {
	return max(0, int(math.Ceil((1-m.sparsity)*float64(intermediate)-1e-9)))
}

// quantile is Φ⁻¹(sparsity).
func (m MaskMethod) quantile() float64 { return math.Sqrt2 * math.Erfinv(2*m.sparsity-1) }

func (op *maskOp) WriteHash(h hash.Hash) {
	op.writeHash(h)
	m := op.method
	fmt.Fprintf(h, " method %d magnitude %t sparsity %x tau %d", m.kind, m.magnitude, math.Float64bits(m.sparsity), len(m.tau))
	var b [8]byte
	for _, tau := range m.tau {
		binary.LittleEndian.PutUint64(b[:], math.Float64bits(tau))
		h.Write(b[:])
	}
}

func (op *maskOp) Hashcode() uint32 { return hashcode(op) }
