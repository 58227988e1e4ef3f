package activation

import (
	"fmt"
	"math"
)

// Func is an elementwise function of an MLP.
type Func uint8

// The activations.
const (
	SiLU     Func = iota // x·σ(x)
	GELU                 // x·Φ(x), exact
	GELUTanh             // GELU's tanh approximation
	ReLU                 // max(x, 0)
)

var activationNames = map[string]Func{
	"silu": SiLU, "swish": SiLU,
	"gelu":              GELU,
	"gelu_pytorch_tanh": GELUTanh, "gelu_new": GELUTanh, "gelu_fast": GELUTanh, "gelu_tanh": GELUTanh,
	"relu": ReLU,
}

// String returns a name that Parse reads.
func (a Func) String() string {
	switch a {
	case SiLU:
		return "silu"
	case GELU:
		return "gelu"
	case GELUTanh:
		return "gelu_tanh"
	case ReLU:
		return "relu"
	}
	return fmt.Sprintf("activation(%d)", uint8(a))
}

// Parse returns the activation that a Hugging Face configuration
// calls name (hidden_act).
func Parse(name string) (Func, error) {
	if a, ok := activationNames[name]; ok {
		return a, nil
	}
	return 0, fmt.Errorf("activation: unknown activation %q", name)
}

// SupportsIntegers reports whether a has a meaning for integers: only ReLU has.
func (a Func) SupportsIntegers() bool { return a == ReLU }

// Apply64 returns a(x).
func (a Func) Apply64(x float64) float64 {
	switch a {
	case SiLU:
		if x < -800 { // exp(−x) overflows; the limit is −0, NaN and ±Inf take the formula
			return math.Copysign(0, -1)
		}
		return x / (1 + math.Exp(-x))
	case GELU:
		if math.IsInf(x, -1) {
			return math.Copysign(0, -1)
		}
		return 0.5 * x * math.Erfc(-x/math.Sqrt2)
	case GELUTanh:
		if math.IsInf(x, -1) {
			return math.Copysign(0, -1)
		}
		// 0.5·(1+tanh u) = σ(2u), which keeps the small values of the left tail.
		u := math.Sqrt(2/math.Pi) * (x + 0.044715*x*x*x)
		return x / (1 + math.Exp(-2*u))
	case ReLU:
		if x < 0 {
			return 0
		}
		return x
	}
	panic("activation: unknown activation")
}

// Apply32 returns a(x), rounded once.
func (a Func) Apply32(x float32) float32 {
	if a == ReLU {
		if x < 0 {
			return 0
		}
		return x
	}
	return float32(a.Apply64(float64(x)))
}
