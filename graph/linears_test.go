package graph

import (
	"errors"
	"strings"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/sparsegonia/sparsegonia/ops"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// linearForms are ways to write a linear map of what is not a leaf.
var linearForms = map[string]func(k *draft, x *gorgonia.Node) *gorgonia.Node{
	"x·w": func(k *draft, x *gorgonia.Node) *gorgonia.Node { return mul(x, k.leaf("w", hidden, intermediate)) },
	"x·wᵀ": func(k *draft, x *gorgonia.Node) *gorgonia.Node {
		return mul(x, turn(k.leaf("w", intermediate, hidden)))
	},
	"w·xᵀ": func(k *draft, x *gorgonia.Node) *gorgonia.Node {
		return mul(k.leaf("w", intermediate, hidden), turn(x))
	},
	"a vector": func(k *draft, x *gorgonia.Node) *gorgonia.Node {
		return mul(k.leaf("w", intermediate, hidden), part(x, gorgonia.S(0)))
	},
	"Tensordot": func(k *draft, x *gorgonia.Node) *gorgonia.Node {
		return must(gorgonia.Tensordot([]int{1}, []int{0}, x, k.leaf("w", hidden, intermediate)))
	},
	"ops.Linear": func(k *draft, x *gorgonia.Node) *gorgonia.Node {
		w := k.weight("w", intermediate, hidden)
		w.Bias = weights.NewMatrix(w.Matrix.Dtype(), 1, intermediate)
		return affine(x, w)
	},
	"ops.Linear, input-major": func(k *draft, x *gorgonia.Node) *gorgonia.Node {
		w := k.weight("w", hidden, intermediate)
		w.InputMajor = true
		return affine(x, w)
	},
}

// input is an input without a value: what has one may be a weight.
func (k *draft) input() *gorgonia.Node {
	return gorgonia.NewMatrix(k.g, k.dtype, gorgonia.WithName("x"), gorgonia.WithShape(tokens, hidden))
}

func TestSwapLinear(t *testing.T) {
	for name, form := range linearForms {
		for _, dtype := range []tensor.Dtype{tensor.Float32, tensor.Float64} {
			for _, d := range []weights.Dtype{weights.DtypeOf[float32](), weights.F16, weights.F64} {
				if (d == weights.F64) != (dtype == tensor.Float64) {
					continue
				}
				k := &draft{g: gorgonia.NewGraph(), dtype: dtype}
				x := k.input()
				y := must(gorgonia.Square(form(k, x)))
				s, err := Swap(k.g, gorgonia.Nodes{y}, Choose{Linear: func(i int, l *Linear) (ops.Weight, error) { return l.As(d) }})
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				if len(s.Linears) != 1 || len(s.Skipped) != 0 {
					t.Fatalf("%s: %d linear maps, skipped %v", name, len(s.Linears), s.Skipped)
				}
				if w := s.Linears[0].Weight; w.Matrix.Dtype() != d || w.Inputs() != hidden || w.Outputs() != intermediate {
					t.Errorf("%s: a %v weight from %d to %d", name, w.Matrix.Dtype(), w.Inputs(), w.Outputs())
				}
				for _, n := range s.Graph.AllNodes() {
					if n.Name() == "w" {
						t.Errorf("%s: the weight is a node of the new graph", name)
					}
				}
				tolerance := 1e-5
				if d == weights.F16 {
					tolerance = 1e-2
				}
				value := k.values(tokens, hidden)
				if err := errors.Join(gorgonia.Let(x, value), gorgonia.Let(s.Node(x), value)); err != nil {
					t.Fatal(err)
				}
				assertClose(t, run(t, k.g, y)[0], run(t, s.Graph, s.Outputs...)[0], tolerance)
			}
		}
	}
}

// An MLP that is swapped takes its linear maps along; one that stays has three.
func TestSwapMLPsAndLinears(t *testing.T) {
	d := newDraftDecoder()
	asked := 0
	count := func(int, *Linear) (ops.Weight, error) { asked++; return ops.Weight{}, nil }
	for want, choose := range map[int]Choose{
		8: {Linear: count},
		5: {Linear: count, MLP: func(i int, m *MLP) (Selector, error) {
			if i == 1 {
				return nil, nil
			}
			return always(i, m)
		}},
		2: {Linear: count, MLP: always},
	} {
		asked = 0
		s, err := Swap(d.g, nil, choose)
		if err != nil {
			t.Fatal(err)
		}
		if asked != want || len(s.Linears) != 0 {
			t.Errorf("asked about %d linear maps, want %d; %d were swapped", asked, want, len(s.Linears))
		}
	}
}

// newDraftDecoder has two gated MLPs with a linear map before each.
func newDraftDecoder() *draft {
	k := &draft{g: gorgonia.NewGraph(), dtype: tensor.Float32}
	x := k.input()
	for range 2 {
		x = must(gorgonia.Tanh(mul(x, k.leaf("o", hidden, hidden))))
		gate, up, down := k.rowWeights()
		x = must(gorgonia.Tanh(mul(times(silu(mul(x, gate)), mul(x, up)), down)))
	}
	return k
}

func TestFindLinearsSkips(t *testing.T) {
	k := &draft{g: gorgonia.NewGraph(), dtype: tensor.Float32}
	open := gorgonia.NewMatrix(k.g, k.dtype, gorgonia.WithName("open"), gorgonia.WithShape(hidden, hidden))
	both := mul(k.leaf("a", hidden, hidden), k.leaf("b", hidden, hidden))
	right, left := mul(open, k.leaf("w", hidden, hidden)), mul(k.leaf("v", hidden, hidden), open)
	w := k.leaf("shared", hidden, hidden)
	shared := mul(must(gorgonia.Square(w)), w)
	found, skipped, err := FindLinears(k.g, both, right, left, shared)
	if err != nil {
		t.Fatal(err)
	}
	if len(found) != 2 || found[0].Output != right || found[1].Output != left || found[0].Input != open || found[1].Input != open {
		t.Errorf("found %v", found)
	}
	if len(skipped) != 2 || !strings.Contains(skipped[0].Reason, `may be the weight`) {
		t.Errorf("skipped %v", skipped)
	}
}

func TestSwapLinearErrors(t *testing.T) {
	broken := errors.New("broken")
	for want, choose := range map[string]func(int, *Linear) (ops.Weight, error){
		`graph: linear "y": broken`: func(int, *Linear) (ops.Weight, error) { return ops.Weight{}, broken },
		"from 6 inputs to 3": func(int, *Linear) (ops.Weight, error) {
			return ops.Weight{Matrix: weights.NewMatrix(weights.F32, 3, hidden)}, nil
		},
		"has a bias": func(_ int, l *Linear) (ops.Weight, error) {
			return ops.Weight{Matrix: l.Weight.Matrix, InputMajor: l.Weight.InputMajor, Bias: weights.NewMatrix(weights.F32, 1, intermediate)}, nil
		},
		"int32": func(_ int, l *Linear) (ops.Weight, error) { return l.As(weights.Int32) },
		"weight": func(int, *Linear) (ops.Weight, error) {
			return ops.Weight{Matrix: weights.NewMatrix(weights.F64, intermediate, hidden)}, nil
		},
	} {
		k := &draft{g: gorgonia.NewGraph(), dtype: tensor.Float32}
		y := mul(k.input(), k.leaf("w", hidden, intermediate))
		gorgonia.WithName("y")(y)
		if _, err := Swap(k.g, nil, Choose{Linear: choose}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
