// Package vocabulary says what Gorgonia's ops do. Their types are not exported: it builds a node of
// each through the public API, once, and compares types and names with those.
package vocabulary

import (
	"fmt"
	"math"
	"reflect"
	"strings"
	"sync"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// Kind is what an op does.
type Kind uint8

// The kinds of ops. Opaque are all that are not known.
const (
	Opaque    Kind = iota
	Leaf           // no op: an input or a weight
	Constant       // of a scalar or a tensor
	MatMul         // Mul of two matrices
	MatVec         // Mul of a matrix and a vector
	Batched        // BatchedMatMul
	Tensordot      // see ContractedAxes
	Unary          // elementwise; see UnaryFunc
	Binary         // elementwise; see BinaryFunc
	Slice          // see SliceOf
	Transpose      // see PermutationOf
	Reshape
	Repeat // see RepeatedAxis
	Size
	Concat
	Read
	Set
)

// opName tells apart the ops of Gorgonia, whose types are not exported.
type opName struct {
	typ  reflect.Type
	name string
}

func nameOf(op gorgonia.Op) opName {
	return opName{reflect.TypeOf(op), strings.ReplaceAll(op.String(), "ᵀ", "")}
}

// vocabulary is what is known of Gorgonia's ops. It is learnt from nodes that the public API builds.
type vocabulary struct {
	kinds  map[reflect.Type]Kind // of the types whose kind does not depend on the op's name
	named  map[opName]Kind
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
	v.kinds = map[reflect.Type]Kind{
		typ(gorgonia.NewConstant(float32(1)), nil):                                      Constant,
		typ(gorgonia.NewConstant(tensor.New(tensor.WithBacking([]float32{1, 2}))), nil): Constant,
		typ(gorgonia.Tensordot([]int{0}, []int{0}, vector, matrix)):                     Tensordot,
		typ(gorgonia.Slice(vector, gorgonia.S(0, 2))):                                   Slice,
		typ(gorgonia.Transpose(matrix)):                                                 Transpose,
		typ(gorgonia.Reshape(matrix, tensor.Shape{4})):                                  Reshape,
		typ(wide, err):                          Repeat,
		typ(gorgonia.SizeOf(0, matrix)):         Size,
		typ(gorgonia.Concat(0, matrix, matrix)): Concat,
		typ(gorgonia.Read(matrix, &value), nil): Read,
		typ(gorgonia.Set(matrix, matrix), nil):  Set,
	}
	v.named = map[opName]Kind{
		nameOf(op(gorgonia.Mul(matrix, matrix))):       MatMul,
		nameOf(op(gorgonia.Mul(matrix, vector))):       MatVec,
		nameOf(op(gorgonia.BatchedMatMul(cube, cube))): Batched,
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

// KindOf returns what the op of n does.
func KindOf(n *gorgonia.Node) Kind {
	op := n.Op()
	if op == nil {
		return Leaf
	}
	v, typ := gorgoniaOps(), reflect.TypeOf(op)
	if k, ok := v.kinds[typ]; ok {
		return k
	}
	if typ.PkgPath() != gorgoniaPath { // all the others are structs
		return Opaque
	}
	name := nameOf(op)
	if k, ok := v.named[name]; ok {
		return k
	}
	if _, ok := v.unary[name]; ok {
		return Unary
	}
	if _, ok := v.binary[name]; ok {
		return Binary
	}
	return Opaque
}

// gorgoniaPath is the package of Gorgonia's ops.
var gorgoniaPath = reflect.TypeFor[gorgonia.Node]().PkgPath()

// TypeName returns the name of the type of one of Gorgonia's ops, and "" for other ops.
func TypeName(op gorgonia.Op) string {
	if op == nil {
		return ""
	}
	t := reflect.TypeOf(op)
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.PkgPath() != gorgoniaPath {
		return ""
	}
	return t.Name()
}

// UnaryFunc returns the function of an op of kind Unary, and nil for other ops.
func UnaryFunc(op gorgonia.Op) func(x float64) float64 { return gorgoniaOps().unary[nameOf(op)] }

// BinaryFunc returns the function of an op of kind Binary, and nil for other ops.
func BinaryFunc(op gorgonia.Op) func(a, b float64) float64 { return gorgoniaOps().binary[nameOf(op)] }

// IsUnary reports whether n is the result of the unary op of that name.
func IsUnary(n *gorgonia.Node, name string) bool {
	return KindOf(n) == Unary && n.Op().String() == name
}

// IsBinary reports whether n is the result of the binary op of that sign.
func IsBinary(n *gorgonia.Node, sign string) bool {
	return KindOf(n) == Binary && strings.HasPrefix(n.Op().String(), sign+" ")
}

// TransposesInputs reports which operands of a matrix product are transposed. Only the op's name
// shows it.
func TransposesInputs(op gorgonia.Op) (a, b bool) {
	s := op.String()
	return strings.HasPrefix(s, "Aᵀ"), strings.HasSuffix(s, "ᵀ")
}

// SliceOf returns the range that a slice takes of an axis of a tensor of shape from.
func SliceOf(op gorgonia.Op, from tensor.Shape) (axis, start, end, step int) {
	axis = strings.Count(op.String(), ":, ")
	s := op.(interface{ IsSlice() tensor.Slice }).IsSlice()
	if axis >= len(from) || s == nil || s.End() <= s.Start() {
		return axis, 0, from[min(axis, len(from)-1)], 1
	}
	return axis, s.Start(), min(s.End(), from[axis]), max(s.Step(), 1)
}

// PermutationOf returns for every axis of a transpose the axis of its input.
func PermutationOf(op gorgonia.Op) []int {
	return integers(strings.Trim(op.String(), "Aᵀ{}"))
}

// RepeatedAxis returns the axis that a repeat repeats along.
func RepeatedAxis(op gorgonia.Op) int {
	var axis int
	if _, err := fmt.Sscanf(op.String(), "Repeat%d", &axis); err != nil {
		return -1
	}
	return axis
}

// ContractedAxes returns the axes that a tensordot contracts.
func ContractedAxes(op gorgonia.Op) (a, b []int) {
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
