package ops

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/sparsegonia/sparsegonia/cache"
	"github.com/sparsegonia/sparsegonia/ops/activation"
	"github.com/sparsegonia/sparsegonia/ops/kernel"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// derived are the fields that do not need to be in a hash, because other fields determine them.
var derived = map[string]string{
	"denseMLPOp.kernel":  "mlp in the form that the kernel takes",
	"lowRankOp.low":      "memory for an intermediate result",
	"maskOp.tau":         "method.tau in the dtype of the scores",
	"sparseMLPOp.kernel": "mlp in the form that the kernel takes",
	"streamMLPOp.kernel": "mlp in the form that the kernel takes",
}

// TestHashCoversEveryField changes every field of every op in turn, through all structs, slices and pointers, and
// wants another hash each time. A field of a kind that it cannot change fails the test.
func TestHashCoversEveryField(t *testing.T) {
	all := allOps(t)
	for _, name := range opTypes(t) {
		assert.Contains(t, all, name, "allOps lacks an op")
	}
	seen := map[string]bool{}
	for name, op := range all {
		t.Run(name, func(t *testing.T) {
			before := op.Hashcode()
			changes := 0
			v := reflect.ValueOf(op).Elem()
			mutate(t, name, v, func(path string) {
				changes++
				assert.NotEqual(t, before, op.Hashcode(), "%s is not in the hash", path)
			}, seen)
			assert.Equal(t, before, op.Hashcode(), "a change was not undone")
			assert.Positive(t, changes)
		})
	}
	for path := range derived {
		assert.True(t, seen[path], "derived names %s, which does not exist", path)
	}
}

// mutate changes each part of v and calls changed while the change lasts.
func mutate(t *testing.T, path string, v reflect.Value, changed func(path string), seen map[string]bool) {
	t.Helper()
	v = reflect.NewAt(v.Type(), unsafe.Pointer(v.UnsafeAddr())).Elem() // makes unexported fields settable
	seen[path] = true
	if _, ok := derived[path]; ok {
		return
	}
	try := func(other reflect.Value) {
		old := reflect.New(v.Type()).Elem()
		old.Set(v)
		v.Set(other.Convert(v.Type()))
		changed(path)
		v.Set(old)
	}
	switch x := v.Interface().(type) {
	case tensor.Dtype:
		other := tensor.Uint8
		if x == other {
			other = tensor.Bool
		}
		try(reflect.ValueOf(other))
		return
	case cache.Prefetcher:
		try(reflect.ValueOf(window(t, x.Rows())))
		return
	case cache.Cache:
		try(reflect.ValueOf(cache.InPlace(x.Rows())))
		return
	case []float32: // captured: another array of the same numbers is another weight
		try(reflect.ValueOf(slices.Clone(x)))
		return
	}
	switch v.Kind() {
	case reflect.Bool:
		try(reflect.ValueOf(!v.Bool()))
	case reflect.Int, reflect.Int32, reflect.Int64:
		try(reflect.ValueOf(v.Int() + 1))
	case reflect.Uint8:
		try(reflect.ValueOf(v.Uint() + 1))
	case reflect.Float32, reflect.Float64:
		try(reflect.ValueOf(v.Float() + 0.25))
	case reflect.String:
		try(reflect.ValueOf(v.String() + "x"))
	case reflect.Pointer:
		try(reflect.New(v.Type().Elem()))
		if !v.IsNil() {
			try(reflect.Zero(v.Type()))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			mutate(t, path+"."+v.Type().Field(i).Name, v.Field(i), changed, seen)
		}
	case reflect.Slice:
		require.NotZero(t, v.Len(), "%s is empty: give it elements in allOps", path)
		for i := range v.Len() {
			mutate(t, fmt.Sprintf("%s[%d]", path, i), v.Index(i), changed, seen)
		}
		try(v.Slice(0, v.Len()-1))
	default:
		t.Errorf("%s has type %v, which this test cannot change", path, v.Type())
	}
}

// allOps has an op of every type, with every option set.
func allOps(t *testing.T) map[string]gorgonia.Op {
	t.Helper()
	g := gorgonia.NewGraph()
	x := newInput(g, input(1, weights.F32, 3, 8))
	scores := newInput(g, input(1, weights.F32, 3, 2))
	list := newInput(g, ints(0, 1, 2))
	mask := newInput(g, bools(2, true, false, true, false, true, false))
	active := newInput(g, tensor.New(tensor.WithShape(2), tensor.WithBacking([]bool{true, false})))
	slots := newInput(g, ints(1, -1))
	rotary, err := kernel.NewRotary(kernel.RotaryConfig{HeadDim: 4, Dim: 4, Theta: 100, Scaling: "default", MaxContext: 8})
	require.NoError(t, err)
	kv, err := kernel.NewKV(weights.F32, 1, 4, 2, 4)
	require.NoError(t, err)
	w := weight(1, weights.F32, 2, 8)
	store := cache.InPlace(neurons(t, 1, weights.F32, 2, 8, true))
	mlp := MLP{
		Cache: store, GateBias: matrix(1, weights.F32, 1, 2), UpBias: matrix(1, weights.F32, 1, 2), DownBias: matrix(1, weights.F32, 1, 8),
	}
	cpu := WithCPU(otherPool)

	ops := map[string]gorgonia.Op{}
	add := func(n *gorgonia.Node, err error) {
		t.Helper()
		require.NoError(t, err)
		ops[reflect.TypeOf(n.Op()).Elem().Name()] = n.Op()
	}
	add(Linear(x, w, cpu))
	add(Activate(x, activation.SiLU, cpu))
	add(GLU(x, x, activation.SiLU, cpu))
	add(Gate(x, w, activation.SiLU, cpu))
	add(RMSNorm(x, make([]float32, 8), 1e-5, cpu))
	add(RoPE(x, list, 2, rotary, cpu))
	add(Attention(x, x, x, list, list, 2, kv, 0.5, cpu))
	add(Embedding(list, matrix(1, weights.F32, 5, 8), cpu))
	add(TakeRows(x, list))
	add(LowRankScores(x, Predictor{matrix(1, weights.F32, 2, 8), matrix(1, weights.F32, 3, 2)}, cpu))
	add(Mask(scores, Threshold(0.5, 0.25)))
	add(Union(mask, list))
	add(Refresh(active, store))
	add(SparseMLP(x, slots, scores, mlp, cpu))
	add(DenseMLP(x, mlp, cpu))
	add(Prefetch(active, window(t, store.Rows())))
	add(StreamMLP(x, StoredMLP{
		Stream: stream(t, 3, store.Rows()), GateBias: mlp.GateBias, UpBias: mlp.UpBias, DownBias: mlp.DownBias,
		Gate: matrix(1, weights.F32, 2, 8),
	}, cpu))
	gradient, err := newSparseMLPGradientOp(gorgonia.Nodes{x, slots, x}, mlp)
	require.NoError(t, err)
	add(gorgonia.ApplyOp(gradient, x, slots, x))
	return ops
}

// opTypes are the types of this package that embed signature.
func opTypes(t *testing.T) (names []string) {
	t.Helper()
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		ast.Inspect(parsed, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok {
				return true
			}
			if s, ok := spec.Type.(*ast.StructType); ok {
				for _, f := range s.Fields.List {
					if id, ok := f.Type.(*ast.Ident); ok && len(f.Names) == 0 && id.Name == "signature" {
						names = append(names, spec.Name.Name)
					}
				}
			}
			return true
		})
	}
	require.Len(t, names, 18)
	return names
}

// Layers of equal shapes keep their own results, in the graph and in the compiled program.
func TestLayersDoNotMerge(t *testing.T) {
	g := gorgonia.NewGraph()
	x := newInput(g, input(1, weights.F32, 2, 8))
	const layers = 6
	read := make([]gorgonia.Value, layers)
	layerWeights := make([]Weight, layers)
	for i := range layers {
		layerWeights[i] = Weight{Matrix: matrix(uint64(i), weights.F32, 8, 8)}
		n, err := Linear(x, layerWeights[i])
		require.NoError(t, err)
		gorgonia.Read(n, &read[i])
	}
	runTape(t, g)
	for i, w := range layerWeights {
		for r, x := range vectors(x.Value().(*tensor.Dense)) {
			assert.InDeltaSlice(t, apply(w, x), vectors(read[i].(*tensor.Dense))[r], 1e-4, "layer %d", i)
		}
	}
}

func runTape(t *testing.T, g *gorgonia.ExprGraph) {
	t.Helper()
	m := gorgonia.NewTapeMachine(g)
	defer m.Close()
	require.NoError(t, m.RunAll())
}
