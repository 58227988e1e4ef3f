package graph

import (
	"fmt"
	"math"
	"reflect"
	"strings"
	"sync"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// kind is what an op does, as far as MLPs are concerned.
type kind uint8

const (
	opaqueKind kind = iota
	leafKind        // no op: an input or a weight
	constantKind
	matMulKind
	matVecKind
	batchedKind
	tensordotKind
	unaryKind
	binaryKind
	sliceKind
	transposeKind
	reshapeKind
	repeatKind
	sizeKind
	concatKind
	readKind
	setKind
)

// opName tells the ops of Gorgonia apart, whose types are not exported.
type opName struct {
	typ  reflect.Type
	name string
}

func nameOf(op gorgonia.Op) opName {
	return opName{reflect.TypeOf(op), strings.ReplaceAll(op.String(), "ᵀ", "")}
}

// vocabulary is what is known of Gorgonia's ops. It is learnt from nodes that the public API builds.
type vocabulary struct {
	kinds  map[reflect.Type]kind // of the types whose kind does not depend on the op's name
	named  map[opName]kind
	unary  map[opName]func(float64) float64
	binary map[opName]func(a, b float64) float64
}

var gorgoniaOps = sync.OnceValue(func() *vocabulary {
	g := gorgonia.NewGraph()
	input := func(name string, shape ...int) *gorgonia.Node {
		return gorgonia.NewTensor(g, tensor.Float32, len(shape), gorgonia.WithName(name), gorgonia.WithShape(shape...))
	}
	vector, matrix, cube := input("vector", 2), input("matrix", 2, 2), input("cube", 2, 2, 2)
	op := func(n *gorgonia.Node, err error) gorgonia.Op { return gorgonia.Must(n, err).Op() }
	typ := func(n *gorgonia.Node, err error) reflect.Type { return reflect.TypeOf(op(n, err)) }

	v := &vocabulary{unary: map[opName]func(float64) float64{}, binary: map[opName]func(a, b float64) float64{}}
	wide, _, err := gorgonia.Broadcast(vector, matrix, gorgonia.NewBroadcastPattern([]byte{0}, nil))
	var value gorgonia.Value
	v.kinds = map[reflect.Type]kind{
		typ(gorgonia.NewConstant(float32(1)), nil):                                      constantKind,
		typ(gorgonia.NewConstant(tensor.New(tensor.WithBacking([]float32{1, 2}))), nil): constantKind,
		typ(gorgonia.Tensordot([]int{0}, []int{0}, vector, matrix)):                     tensordotKind,
		typ(gorgonia.Slice(vector, gorgonia.S(0, 2))):                                   sliceKind,
		typ(gorgonia.Transpose(matrix)):                                                 transposeKind,
		typ(gorgonia.Reshape(matrix, tensor.Shape{4})):                                  reshapeKind,
		typ(wide, err):                          repeatKind,
		typ(gorgonia.SizeOf(0, matrix)):         sizeKind,
		typ(gorgonia.Concat(0, matrix, matrix)): concatKind,
		typ(gorgonia.Read(matrix, &value), nil): readKind,
		typ(gorgonia.Set(matrix, matrix), nil):  setKind,
	}
	v.named = map[opName]kind{
		nameOf(op(gorgonia.Mul(matrix, matrix))):       matMulKind,
		nameOf(op(gorgonia.Mul(matrix, vector))):       matVecKind,
		nameOf(op(gorgonia.BatchedMatMul(cube, cube))): batchedKind,
	}
	for _, u := range []struct {
		build func(*gorgonia.Node) (*gorgonia.Node, error)
		value func(float64) float64
	}{
		{gorgonia.Abs, math.Abs},
		{gorgonia.Sign, func(x float64) float64 {
			switch {
			case x > 0:
				return 1
			case x < 0:
				return -1
			}
			return 0
		}},
		{gorgonia.Ceil, math.Ceil},
		{gorgonia.Floor, math.Floor},
		{gorgonia.Sin, math.Sin},
		{gorgonia.Cos, math.Cos},
		{gorgonia.Exp, math.Exp},
		{gorgonia.Log, math.Log},
		{gorgonia.Log2, math.Log2},
		{gorgonia.Neg, func(x float64) float64 { return -x }},
		{gorgonia.Square, func(x float64) float64 { return x * x }},
		{gorgonia.Sqrt, math.Sqrt},
		{gorgonia.Inverse, func(x float64) float64 { return 1 / x }},
		{gorgonia.InverseSqrt, func(x float64) float64 { return 1 / math.Sqrt(x) }},
		{gorgonia.Cube, func(x float64) float64 { return x * x * x }},
		{gorgonia.Tanh, math.Tanh},
		{gorgonia.Sigmoid, func(x float64) float64 { return 1 / (1 + math.Exp(-x)) }},
		{gorgonia.Log1p, math.Log1p},
		{gorgonia.Expm1, math.Expm1},
		{gorgonia.Softplus, func(x float64) float64 { return max(x, 0) + math.Log1p(math.Exp(-math.Abs(x))) }},
	} {
		v.unary[nameOf(op(u.build(matrix)))] = u.value
	}

	type binaryBuilder = func(a, b *gorgonia.Node) (*gorgonia.Node, error)
	truth := func(compare func(a, b *gorgonia.Node, retSame bool) (*gorgonia.Node, error)) binaryBuilder {
		return func(a, b *gorgonia.Node) (*gorgonia.Node, error) { return compare(a, b, true) }
	}
	number := func(b bool) float64 {
		if b {
			return 1
		}
		return 0
	}
	other := input("other", 2, 2)
	for _, b := range []struct {
		build binaryBuilder
		value func(a, b float64) float64
	}{
		{gorgonia.Add, func(a, b float64) float64 { return a + b }},
		{gorgonia.Sub, func(a, b float64) float64 { return a - b }},
		{gorgonia.HadamardProd, func(a, b float64) float64 { return a * b }},
		{gorgonia.HadamardDiv, func(a, b float64) float64 { return a / b }},
		{gorgonia.Pow, math.Pow},
		{gorgonia.MinBetween, math.Min},
		{gorgonia.MaxBetween, math.Max},
		{truth(gorgonia.Lt), func(a, b float64) float64 { return number(a < b) }},
		{truth(gorgonia.Gt), func(a, b float64) float64 { return number(a > b) }},
		{truth(gorgonia.Lte), func(a, b float64) float64 { return number(a <= b) }},
		{truth(gorgonia.Gte), func(a, b float64) float64 { return number(a >= b) }},
		{truth(gorgonia.Eq), func(a, b float64) float64 { return number(a == b) }},
		{truth(gorgonia.Ne), func(a, b float64) float64 { return number(a != b) }},
	} {
		v.binary[nameOf(op(b.build(matrix, other)))] = b.value
	}
	return v
})

func kindOf(n *gorgonia.Node) kind {
	op := n.Op()
	if op == nil {
		return leafKind
	}
	v, typ := gorgoniaOps(), reflect.TypeOf(op)
	if k, ok := v.kinds[typ]; ok {
		return k
	}
	if typ.PkgPath() != gorgoniaPath { // all the others are structs
		return opaqueKind
	}
	name := nameOf(op)
	if k, ok := v.named[name]; ok {
		return k
	}
	if _, ok := v.unary[name]; ok {
		return unaryKind
	}
	if _, ok := v.binary[name]; ok {
		return binaryKind
	}
	return opaqueKind
}

// isUnary tells whether n is the result of the unary op of that name.
func isUnary(n *gorgonia.Node, name string) bool {
	return kindOf(n) == unaryKind && n.Op().String() == name
}

// isBinary tells whether n is the result of the binary op of that sign.
func isBinary(n *gorgonia.Node, sign string) bool {
	return kindOf(n) == binaryKind && strings.HasPrefix(n.Op().String(), sign+" ")
}

// transposed tells which operands of a matrix product are transposed; only the op's name says it.
func transposed(op gorgonia.Op) (a, b bool) {
	s := op.String()
	return strings.HasPrefix(s, "Aᵀ"), strings.HasSuffix(s, "ᵀ")
}

// sliceOf is the range that a slice takes of an axis of a tensor of shape from.
func sliceOf(op gorgonia.Op, from tensor.Shape) (axis, start, end, step int) {
	axis = strings.Count(op.String(), ":, ")
	s := op.(interface{ IsSlice() tensor.Slice }).IsSlice()
	if axis >= len(from) || s == nil || s.End() <= s.Start() {
		return axis, 0, from[min(axis, len(from)-1)], 1
	}
	return axis, s.Start(), min(s.End(), from[axis]), max(s.Step(), 1)
}

// permutationOf lists for every axis of a transpose the axis of its input.
func permutationOf(op gorgonia.Op) []int {
	return integers(strings.Trim(op.String(), "Aᵀ{}"))
}

// repeatedAxis is the axis that a repeat repeats along.
func repeatedAxis(op gorgonia.Op) int {
	var axis int
	if _, err := fmt.Sscanf(op.String(), "Repeat%d", &axis); err != nil {
		return -1
	}
	return axis
}

// contractedAxes are the axes that a tensordot contracts.
func contractedAxes(op gorgonia.Op) (a, b []int) {
	left, right, _ := strings.Cut(op.String(), "], ")
	_, left, _ = strings.Cut(left, "[")
	_, right, _ = strings.Cut(right, "[")
	right, _, _ = strings.Cut(right, "]")
	return integers(left), integers(right)
}

// integers are the decimal numbers in s.
func integers(s string) (out []int) {
	for _, field := range strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' }) {
		var i int
		if _, err := fmt.Sscanf(field, "%d", &i); err != nil {
			return nil
		}
		out = append(out, i)
	}
	return out
}
