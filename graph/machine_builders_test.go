package graph

import (
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

type unary = func(a *gorgonia.Node) (*gorgonia.Node, error)

type binary = func(a, b *gorgonia.Node) (*gorgonia.Node, error)

// The tape machine lets a comparison that gives bools write them over the numbers of an operand: it
// is asked for numbers.
type comparison = func(a, b *gorgonia.Node, retSame bool) (*gorgonia.Node, error)

type broadcast = func(a, b *gorgonia.Node, left, right []byte) (*gorgonia.Node, error)

type broadcastComparison = func(a, b *gorgonia.Node, retSame bool, left, right []byte) (*gorgonia.Node, error)

// builders are the functions of Gorgonia that make nodes with ops, each in the ways that matter:
// networks that this machine must run as the tape machine does. What it refuses is in refusals,
// what makes no op in notOps.
var builders = map[string][]recipe{}

func init() {
	for name, f := range map[string]unary{
		"Abs": gorgonia.Abs, "Sign": gorgonia.Sign, "Ceil": gorgonia.Ceil, "Floor": gorgonia.Floor, "Sin": gorgonia.Sin,
		"Cos": gorgonia.Cos, "Exp": gorgonia.Exp, "Log": gorgonia.Log, "Log2": gorgonia.Log2, "Neg": gorgonia.Neg,
		"Square": gorgonia.Square, "Sqrt": gorgonia.Sqrt, "Inverse": gorgonia.Inverse, "InverseSqrt": gorgonia.InverseSqrt,
		"Cube": gorgonia.Cube, "Tanh": gorgonia.Tanh, "Sigmoid": gorgonia.Sigmoid, "Log1p": gorgonia.Log1p,
		"Expm1": gorgonia.Expm1, "Softplus": gorgonia.Softplus, "Mish": gorgonia.Mish, "Rectify": gorgonia.Rectify,
	} {
		for _, shape := range [][]int{{7}, {3, 5}, {2, 3, 4}, {1, 6}, {}} {
			if len(shape) == 0 && (name == "Mish" || name == "Rectify") {
				continue
			}
			builders[name] = append(builders[name], func(n *network) {
				n.limit = func(_ int, x float64) float64 { return math.Abs(x) + 0.1 }
				n.out(must(f(n.in(shape...))))
			})
		}
	}
	for name, f := range map[string]binary{
		"Add": gorgonia.Add, "Sub": gorgonia.Sub, "HadamardProd": gorgonia.HadamardProd, "HadamardDiv": gorgonia.HadamardDiv,
		"Pow": gorgonia.Pow, "Div": gorgonia.Div,
	} {
		builders[name] = pairs(f)
	}
	for name, f := range map[string]binary{"Add": gorgonia.Add, "Sub": gorgonia.Sub, "HadamardProd": gorgonia.HadamardProd} {
		for _, dtype := range []tensor.Dtype{tensor.Int, tensor.Int32} {
			builders[name] = append(builders[name], func(n *network) { n.out(must(f(n.inOf(dtype, 3, 5), n.inOf(dtype, 3, 5)))) })
		}
	}
	builders["MinBetween"] = pairs(gorgonia.MinBetween)[:3]
	builders["MaxBetween"] = pairs(gorgonia.MaxBetween)[:3]
	for name, f := range map[string]comparison{
		"Lt": gorgonia.Lt, "Gt": gorgonia.Gt, "Lte": gorgonia.Lte, "Gte": gorgonia.Gte, "Eq": gorgonia.Eq, "Ne": gorgonia.Ne,
	} {
		for _, same := range []bool{true, false} {
			for i := range pairs(nil) {
				builders[name] = append(builders[name], func(n *network) {
					pairs(func(a, b *gorgonia.Node) (*gorgonia.Node, error) { return f(a, b, same || n.tape) })[i](n)
				})
			}
		}
	}
	for name, f := range map[string]broadcast{
		"BroadcastAdd": gorgonia.BroadcastAdd, "BroadcastSub": gorgonia.BroadcastSub,
		"BroadcastHadamardProd": gorgonia.BroadcastHadamardProd, "BroadcastHadamardDiv": gorgonia.BroadcastHadamardDiv,
		"BroadcastPow": gorgonia.BroadcastPow,
	} {
		builders[name] = broadcasts(f)
		builders["Auto"] = append(builders["Auto"], func(n *network) {
			n.limit = func(_ int, x float64) float64 { return math.Abs(x) + 0.1 }
			n.out(must(gorgonia.Auto(f, n.in(3, 4), n.in(1, 4))))
		})
	}
	for name, f := range map[string]broadcastComparison{
		"BroadcastLt": gorgonia.BroadcastLt, "BroadcastGt": gorgonia.BroadcastGt, "BroadcastLte": gorgonia.BroadcastLte,
		"BroadcastGte": gorgonia.BroadcastGte, "BroadcastEq": gorgonia.BroadcastEq, "BroadcastNe": gorgonia.BroadcastNe,
	} {
		for _, same := range []bool{true, false} {
			for i := range broadcasts(nil) {
				builders[name] = append(builders[name], func(n *network) {
					broadcasts(func(a, b *gorgonia.Node, left, right []byte) (*gorgonia.Node, error) {
						return f(a, b, same || n.tape, left, right)
					})[i](n)
				})
			}
		}
	}
	for name, f := range map[string]func(a *gorgonia.Node, along ...int) (*gorgonia.Node, error){
		"Sum": gorgonia.Sum, "Max": gorgonia.Max, "Mean": gorgonia.Mean,
	} {
		builders[name] = []recipe{
			func(n *network) { n.out(must(f(n.in(3, 4)))) },
			func(n *network) { n.out(must(f(n.in(3, 4), 0))) },
			func(n *network) { n.out(must(f(n.in(3, 4), 1))) },
			func(n *network) { n.out(must(f(n.in(2, 3, 4), 1))) },
			func(n *network) { n.out(must(f(n.in(2, 3, 4), 0, 2))) },
			func(n *network) { n.out(must(f(n.in(5)))) },
		}
	}
	for name, f := range map[string]func(a *gorgonia.Node, axes ...int) (*gorgonia.Node, error){
		"SoftMax": gorgonia.SoftMax, "LogSoftMax": gorgonia.LogSoftMax, "Sparsemax": gorgonia.Sparsemax,
	} {
		builders[name] = []recipe{
			func(n *network) { n.out(must(f(n.in(3, 4)))) },
			func(n *network) { n.out(must(f(n.in(6)))) },
			func(n *network) { n.out(must(f(n.in(1, 6)))) },
		}
		if name != "Sparsemax" {
			builders[name] = append(builders[name],
				func(n *network) { n.out(must(f(n.in(3, 4), 0))) },
				func(n *network) { n.out(must(f(n.in(2, 3, 4), 1))) })
		}
	}
	for name, b := range map[string][]recipe{
		"Mul": {
			func(n *network) { n.out(must(gorgonia.Mul(n.in(3, 4), n.in(4, 5)))) },
			func(n *network) { n.out(must(gorgonia.Mul(n.in(3, 4), n.in(4)))) },
			func(n *network) { n.out(must(gorgonia.Mul(n.in(3), n.in(3, 4)))) },
			func(n *network) { n.out(must(gorgonia.Mul(n.in(3), n.in(3)))) },
			func(n *network) { n.out(must(gorgonia.Mul(n.in(3, 4), n.constant(2)))) },
			func(n *network) { n.out(must(gorgonia.Mul(n.in(1, 4), n.in(4, 5)))) },
			func(n *network) { x := n.in(4, 4); n.out(must(gorgonia.Mul(x, x))) },
			func(n *network) {
				x := must(gorgonia.Tanh(n.in(4, 4)))
				y := must(gorgonia.Mul(x, must(gorgonia.Transpose(x))))
				n.out(y, must(gorgonia.Mul(y, x)))
			},
		},
		"BatchedMatMul": {
			func(n *network) { n.out(must(gorgonia.BatchedMatMul(n.in(2, 3, 4), n.in(2, 4, 5)))) },
			func(n *network) { n.out(must(gorgonia.BatchedMatMul(n.in(2, 4, 3), n.in(2, 4, 5), true))) },
			func(n *network) { n.out(must(gorgonia.BatchedMatMul(n.in(2, 3, 4), n.in(2, 5, 4), false, true))) },
			func(n *network) { x := n.in(2, 3, 4); n.out(must(gorgonia.BatchedMatMul(x, x, false, true))) },
			func(n *network) { n.out(must(gorgonia.BatchedMatMul(n.in(2, 2, 3, 4), n.in(2, 2, 4, 5)))) },
		},
		"OuterProd": {func(n *network) { n.out(must(gorgonia.OuterProd(n.in(3), n.in(4)))) }},
		"Tensordot": {
			func(n *network) { n.out(must(gorgonia.Tensordot([]int{1}, []int{0}, n.in(3, 4), n.in(4, 5)))) },
			func(n *network) {
				n.out(must(gorgonia.Tensordot([]int{1, 2}, []int{1, 0}, n.in(2, 3, 4), n.in(4, 3, 5))))
			},
			func(n *network) { x := n.in(3, 4); n.out(must(gorgonia.Tensordot([]int{0}, []int{0}, x, x))) },
		},
		"Transpose": {
			func(n *network) { n.out(must(gorgonia.Transpose(n.in(3, 4)))) },
			func(n *network) { n.out(must(gorgonia.Transpose(n.in(2, 3, 4), 2, 0, 1))) },
			func(n *network) { n.out(must(gorgonia.Neg(must(gorgonia.Transpose(n.in(3, 4)))))) },
		},
		"Reshape": {
			func(n *network) { n.out(must(gorgonia.Reshape(n.in(3, 4), tensor.Shape{2, 6}))) },
			func(n *network) {
				x := must(gorgonia.Tanh(n.in(3, 4)))
				y := must(gorgonia.Reshape(x, tensor.Shape{12}))
				z := must(gorgonia.Reshape(y, tensor.Shape{4, 3}))
				n.out(y, must(gorgonia.Mul(x, z)))
			},
			func(n *network) {
				n.out(must(gorgonia.Reshape(must(gorgonia.Transpose(n.in(3, 4))), tensor.Shape{12})))
			},
			func(n *network) {
				n.out(must(gorgonia.Reshape(must(gorgonia.Slice(n.in(3, 4), nil, gorgonia.S(1, 3))), tensor.Shape{6})))
			},
		},
		"Ravel": {func(n *network) { n.out(must(gorgonia.Ravel(n.in(3, 4)))) }},
		"Slice": {
			func(n *network) { n.out(must(gorgonia.Slice(n.in(5, 4), gorgonia.S(1, 3)))) },
			func(n *network) { n.out(must(gorgonia.Slice(n.in(5, 4), nil, gorgonia.S(1, 3)))) },
			func(n *network) { n.out(must(gorgonia.Slice(n.in(5, 4), gorgonia.S(2)))) },
			func(n *network) { n.out(must(gorgonia.Slice(n.in(5), gorgonia.S(2)))) },
			func(n *network) { n.out(must(gorgonia.Slice(n.in(6, 4), gorgonia.S(0, 6, 2)))) },
		},
		"Concat": {
			func(n *network) { n.out(must(gorgonia.Concat(0, n.in(3, 4), n.in(2, 4)))) },
			func(n *network) { n.out(must(gorgonia.Concat(1, n.in(3, 4), n.in(3, 2), n.in(3, 1)))) },
		},
		"Unconcat": {func(n *network) {
			parts, err := gorgonia.Unconcat(n.in(6, 4), 0, 3)
			must(nil, err)
			n.out(parts...)
		}},
		"KeepDims": {func(n *network) {
			n.out(must(gorgonia.KeepDims(n.in(3, 4), false, func(a *gorgonia.Node) (*gorgonia.Node, error) { return gorgonia.Sum(a, 1) })))
		}},
		"LogSumExp": {func(n *network) { n.out(must(gorgonia.LogSumExp(n.in(6), 0))) }},
		"Norm": {
			func(n *network) { n.out(must(gorgonia.Norm(n.in(3, 4), 1, 2))) },
			func(n *network) { n.out(must(gorgonia.Norm(n.in(3, 4), 0, 1))) },
		},
		"ReduceAdd": {func(n *network) { n.out(must(gorgonia.ReduceAdd(gorgonia.Nodes{n.in(3), n.in(3), n.in(3)}))) }},
		"ReduceMul": {func(n *network) { n.out(must(gorgonia.ReduceMul(gorgonia.Nodes{n.in(3), n.in(3), n.in(3)}))) }},
		"SizeOf":    {func(n *network) { n.out(must(gorgonia.SizeOf(1, n.in(3, 4)))) }},
		"DiagFlat":  {func(n *network) { n.out(must(gorgonia.DiagFlat(n.in(4)))) }},
		"LeakyRelu": {func(n *network) { n.out(must(gorgonia.LeakyRelu(n.in(3, 4), 0.1))) }},
		"BinaryXent": {func(n *network) {
			n.limit = func(_ int, x float64) float64 { return 1 / (1 + math.Exp(-x)) }
			n.out(must(gorgonia.BinaryXent(n.in(5), n.in(5))))
		}},
		"Dropout": {
			func(n *network) { n.out(must(gorgonia.Dropout(n.in(3, 4), 0.5))) },
			func(n *network) {
				n.out(must(gorgonia.Tanh(must(gorgonia.Dropout(must(gorgonia.Exp(n.in(3, 4))), 0.5)))))
			},
			func(n *network) { n.out(must(gorgonia.Dropout(n.in(3, 4), 0))) },
		},
		"ConvType": {func(n *network) { n.out(must(gorgonia.ConvType(n.inOf(tensor.Int, 3, 4), tensor.Int, n.dtype))) }},
		"CTCLoss": {func(n *network) {
			n.out(must(gorgonia.CTCLoss(must(gorgonia.LogSoftMax(n.in(4, 2, 5))), n.inOf(tensor.Int, 2, 3),
				n.lengths(4, 4), n.lengths(2, 3), gorgonia.ReductionSum)))
		}},
		"Im2Col": {func(n *network) {
			two, one := tensor.Shape{2, 2}, tensor.Shape{1, 1}
			n.out(must(gorgonia.Im2Col(n.in(2, 3, 6, 6), two, one, one, one)))
		}},
		"Conv2d": {
			func(n *network) {
				n.out(must(gorgonia.Conv2d(n.in(2, 3, 6, 6), n.in(4, 3, 3, 3), tensor.Shape{3, 3}, []int{1, 1}, []int{1, 1}, []int{1, 1})))
			},
			func(n *network) {
				n.out(must(gorgonia.Conv2d(n.in(1, 1, 7, 5), n.in(2, 1, 3, 3), tensor.Shape{3, 3}, []int{0, 0}, []int{2, 2}, []int{1, 1})))
			},
		},
		"Conv1d": {func(n *network) { n.out(must(gorgonia.Conv1d(n.in(2, 3, 1, 8), n.in(4, 3, 1, 3), 3, 1, 1, 1))) }},
		"MaxPool2D": {
			func(n *network) {
				n.out(must(gorgonia.MaxPool2D(n.in(2, 3, 6, 6), tensor.Shape{2, 2}, []int{0, 0}, []int{2, 2})))
			},
			func(n *network) {
				n.out(must(gorgonia.MaxPool2D(n.in(1, 2, 5, 5), tensor.Shape{3, 3}, []int{1, 1}, []int{1, 1})))
			},
		},
		"MaxPool1D": {func(n *network) { n.out(must(gorgonia.MaxPool1D(n.in(2, 3, 1, 6), 2, 0, 2))) }},
		"AveragePool2D": {func(n *network) {
			n.out(must(gorgonia.AveragePool2D(n.in(2, 3, 6, 6), tensor.Shape{2, 2}, []int{0, 0}, []int{2, 2})))
		}},
		"AveragePool1D":       {func(n *network) { n.out(must(gorgonia.AveragePool1D(n.in(2, 3, 1, 6), 2, 0, 2))) }},
		"GlobalAveragePool2D": {func(n *network) { n.out(must(gorgonia.GlobalAveragePool2D(n.in(2, 3, 4, 4)))) }},
		"Upsample2D":          {func(n *network) { n.out(must(gorgonia.Upsample2D(n.in(1, 2, 3, 3), 2))) }},
		"BatchNorm": {func(n *network) {
			x, scale, bias := n.in(4, 3, 2, 2), n.in(4, 3, 2, 2), n.in(4, 3, 2, 2)
			y, _, _, _, err := gorgonia.BatchNorm(x, scale, bias, 0.9, 1e-5)
			n.out(must(y, err))
		}},
		"GroupNorm": {func(n *network) {
			n.out(must(gorgonia.GroupNorm(n.in(2, 4, 3, 3), n.in(1, 4, 1, 1), n.in(1, 4, 1, 1), 2, 4, 1e-5)))
		}},
		"ByIndices": {
			func(n *network) { n.out(must(gorgonia.ByIndices(n.in(3, 4), n.inOf(tensor.Int, 5), 0))) },
			func(n *network) { n.out(must(gorgonia.ByIndices(n.in(3, 4), n.inOf(tensor.Int, 5), 1))) },
		},
		"YOLOv3": {func(n *network) {
			if n.dtype == tensor.Float64 { // it takes float32 alone
				n.out(must(gorgonia.Neg(n.in(3))))
				return
			}
			n.out(must(gorgonia.YOLOv3(n.in(1, 18, 2, 2), []float32{10, 13, 16, 30, 33, 23}, []int{0, 1, 2}, 32, 1, 0.7)))
		}},
	} {
		builders[name] = append(builders[name], b...)
	}
}

// pairs are networks of an elementwise function, of tensors and scalars on either side.
func pairs(f binary) []recipe {
	positive := func(_ int, x float64) float64 { return math.Round(4*math.Abs(x)) + 1 }
	return []recipe{
		func(n *network) { n.limit = positive; n.out(must(f(n.in(7), n.in(7)))) },
		func(n *network) { n.limit = positive; n.out(must(f(n.in(3, 5), n.in(3, 5)))) },
		func(n *network) { n.limit = positive; x := n.in(3, 5); n.out(must(f(x, x))) },
		func(n *network) { n.limit = positive; n.out(must(f(n.in(3, 5), n.in()))) },
		func(n *network) { n.limit = positive; n.out(must(f(n.in(), n.in(3, 5)))) },
		func(n *network) { n.limit = positive; n.out(must(f(n.in(3, 5), n.constant(3)))) },
		func(n *network) { n.limit = positive; n.out(must(f(n.in(), n.in()))) },
		func(n *network) { n.limit = positive; n.out(must(f(n.in(1), n.in(1)))) },
		func(n *network) { n.limit = positive; n.out(must(f(n.in(1, 1), n.in(1, 1)))) },
		func(n *network) { n.limit = positive; n.out(must(f(n.in(2, 1), n.in(2, 1)))) },
		func(n *network) {
			n.limit = positive
			n.out(must(f(must(gorgonia.Transpose(n.in(3, 5))), n.in(5, 3))))
		},
	}
}

func broadcasts(f broadcast) []recipe {
	positive := func(_ int, x float64) float64 { return math.Round(4*math.Abs(x)) + 1 }
	return []recipe{
		func(n *network) { n.limit = positive; n.out(must(f(n.in(3, 4), n.in(4), nil, []byte{0}))) },
		func(n *network) { n.limit = positive; n.out(must(f(n.in(3, 4), n.in(3, 1), nil, []byte{1}))) },
		func(n *network) { n.limit = positive; n.out(must(f(n.in(1, 4), n.in(3, 4), []byte{0}, nil))) },
	}
}

// notOps make nodes without ops, or call other builders.
var notOps = []string{
	"NewUniqueNode", "NodeFromAny", "NewScalar", "NewVector", "NewMatrix", "NewTensor", "NewConstant", "OneHotVector",
	"Must", "ApplyOp", "ApplyOpWithName", "NodesFromInputs", "Sort", "UnstableSort",
}

// elsewhere have tests of their own, since the tape machine cannot be asked.
var elsewhere = map[string]string{
	"Read": "TestRead", "Set": "TestRefuses", "Grad": "TestRefuses", "Backpropagate": "TestRefuses",
	"At": "TestAt", "Broadcast": "TestBroadcast",
	"UniformRandomNode": "TestRandomNodes", "GaussianRandomNode": "TestRandomNodes", "BinomialRandomNode": "TestRandomNodes",
}

func TestEveryBuilder(t *testing.T) {
	for name, networks := range builders {
		t.Run(name, func(t *testing.T) {
			for i, b := range networks {
				for _, dtype := range []tensor.Dtype{tensor.Float32, tensor.Float64} {
					t.Logf("%d %v", i, dtype)
					sameAsTape(t, dtype, b)
				}
			}
		})
	}
}

// Every function of Gorgonia that gives a node is in one of the lists.
func TestBuildersAreComplete(t *testing.T) {
	pkg, err := build.Import("gorgonia.org/gorgonia", ".", build.FindOnly)
	require.NoError(t, err)
	paths, err := filepath.Glob(filepath.Join(pkg.Dir, "*.go"))
	require.NoError(t, err)
	found := 0
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		require.NoError(t, err)
		for _, d := range file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || f.Recv != nil || !f.Name.IsExported() || !givesNode(f) {
				continue
			}
			found++
			name := f.Name.Name
			assert.True(t, builders[name] != nil || elsewhere[name] != "" || slices.Contains(notOps, name), "%s is in no list", name)
		}
	}
	assert.Greater(t, found, 100)
}

func givesNode(f *ast.FuncDecl) bool {
	if f.Type.Results == nil {
		return false
	}
	for _, r := range f.Type.Results.List {
		switch typ := r.Type.(type) {
		case *ast.StarExpr:
			if id, ok := typ.X.(*ast.Ident); ok && id.Name == "Node" {
				return true
			}
		case *ast.Ident:
			if typ.Name == "Nodes" {
				return true
			}
		}
	}
	return false
}
