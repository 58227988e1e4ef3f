package ops

import (
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/sparsegonia/sparsegonia/ops/kernel"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// MaskMethod decides from the scores of a token which neurons are active. A NaN score is never
// active.
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

// Threshold makes the neurons with score s ≥ tau active. tau is one number, or one for each of the
// I neurons. Integer scores are compared with tau as a real number.
func Threshold(tau ...float64) MaskMethod {
	return MaskMethod{kind: maskThreshold, tau: slices.Clone(tau)}
}

// Magnitude compares |s| instead of s with the threshold.
func (m MaskMethod) Magnitude() MaskMethod {
	m.magnitude = true
	return m
}

// TopK makes the k = ⌈(1−sparsity)·I − 1e-9⌉ neurons with the highest scores active, of equal
// scores the first. sparsity is from 0 to 1.
func TopK(sparsity float64) MaskMethod { return MaskMethod{kind: maskTopK, sparsity: sparsity} }

// Statistical makes the neurons with s > mean + std·Φ⁻¹(sparsity) active, with the mean and the
// unbiased standard deviation of the token's scores and Φ the normal distribution. A token with a
// NaN among its scores has no active neurons. sparsity is between 0 and 1.
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

// Mask applies m to the scores of each token: scores T×I → bool T×I, or I → I. Scores are float32,
// float64, int32 or int64.
func Mask(scores *gorgonia.Node, m MaskMethod) (*gorgonia.Node, error) {
	b := build("Mask", "scores", scores)
	in := b.in[0]
	b.require(in.wantDtype(numeric...), in.wantRows(), m.check(in.cols()))
	b.out = spec{"mask", tensor.Bool, in.shape.Clone()}
	return byDtype(in.dtype, applyMask[float32], applyMask[float64], applyMask[int32], applyMask[int64])(b, m)
}

func applyMask[E weights.Elem](b *builder, m MaskMethod) (*gorgonia.Node, error) {
	tau, err := convertThresholds[E](m.tau)
	b.require(err)
	return b.apply(&maskOp[E]{b.signature, m, tau})
}

type maskOp[E weights.Elem] struct {
	signature
	method MaskMethod
	tau    []E // the thresholds of method
}

// convertThresholds returns for every threshold the least t of type E that is not below it: s ≥ t
// just when s ≥ tau.
func convertThresholds[E weights.Elem](tau []float64) ([]E, error) {
	out := make([]E, len(tau))
	for i, t := range tau {
		switch out := any(&out[i]).(type) {
		case *float32:
			if *out = float32(t); float64(*out) < t {
				*out = math.Nextafter32(*out, float32(math.Inf(1)))
			}
		case *float64:
			*out = t
		case *int32:
			if t > math.MaxInt32 {
				return nil, fmt.Errorf("threshold %d is %v, above all integer scores", i, t)
			}
			*out = int32(math.Ceil(max(t, math.MinInt32)))
		case *int64:
			if t >= -float64(math.MinInt64) { // MaxInt64 is no float64, 2⁶³ is
				return nil, fmt.Errorf("threshold %d is %v, above all integer scores", i, t)
			}
			*out = int64(math.Ceil(max(t, math.MinInt64)))
		}
	}
	return out, nil
}

func (op *maskOp[E]) run(_ *kernel.CPU, v values) error {
	mask, scores := v.y.Bools(), from[E](v, 0)
	intermediate, m := op.in[0].cols(), op.method
	switch m.kind {
	case maskThreshold:
		kernel.MaskThreshold(mask, scores, op.tau, m.magnitude)
	case maskTopK:
		kernel.MaskTopK(mask, scores, intermediate, m.k(intermediate))
	case maskStatistical:
		kernel.MaskStatistical(mask, scores, intermediate, m.quantile())
	}
	return nil
}

func (op *maskOp[E]) hash(w io.Writer) {
	m := op.method
	fmt.Fprintf(w, " method %d magnitude %t sparsity %x tau %x", m.kind, m.magnitude, m.sparsity, m.tau)
}

// k returns the number of neurons that TopK keeps. The small term keeps 1−0.7 = 0.30000000000000004
// from adding a neuron.
func (m MaskMethod) k(intermediate int) int {
	return max(0, int(math.Ceil((1-m.sparsity)*float64(intermediate)-1e-9)))
}

// quantile returns Φ⁻¹(sparsity).
func (m MaskMethod) quantile() float64 { return math.Sqrt2 * math.Erfinv(2*m.sparsity-1) }
