package ops

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/sparsegonia/sparsegonia/cache"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// derived are the fields that do not need to be in a hash, because other fields determine them.
var derived = map[string]string{
	"maskOp.tau":   "method.tau in the dtype of the scores",
	"signature.op": "the op itself",
}

// TestHashCoversEveryField changes every field of every op in turn, through all structs, slices and pointers, and
// wants another hash each time. A field of a kind that it cannot change fails the test.
func TestHashCoversEveryField(t *testing.T) {
	all := allOps(t)
	for _, name := range opTypes(t) {
		assert.Contains(t, all, name, "no op of the type is registered")
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
	if i := strings.LastIndex(path, ".signature.op"); i >= 0 {
		path = path[i+1:]
	}
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
	case Prefetcher:
		try(reflect.ValueOf(window(t, x.Rows())))
		return
	case Cache:
		try(reflect.ValueOf(cache.InPlace(x.Rows())))
		return
	case weights.Source:
		try(reflect.ValueOf(new(weights.Neurons)))
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
		require.NotZero(t, v.Len(), "%s is empty: give it elements in the sample of the op", path)
		for i := range v.Len() {
			mutate(t, fmt.Sprintf("%s[%d]", path, i), v.Index(i), changed, seen)
		}
		try(v.Slice(0, v.Len()-1))
	default:
		t.Errorf("%s has type %v, which this test cannot change", path, v.Type())
	}
}

// opTypes lists the ops of this package: they embed signature.
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
					if id, ok := f.Type.(*ast.Ident); ok && len(f.Names) == 0 && id.Name == "signature" && spec.Name.Name != "builder" {
						names = append(names, spec.Name.Name)
					}
				}
			}
			return true
		})
	}
	require.NotEmpty(t, names)
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
