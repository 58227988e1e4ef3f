package calibrate_test

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparsegonia/sparsegonia/graph"
	"github.com/sparsegonia/sparsegonia/graph/calibrate"
	"github.com/sparsegonia/sparsegonia/ops"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

var unexported = cmpopts.IgnoreUnexported(calibrate.Plan{})

func TestPlanComesBackFromItsFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "plan.json")
	want := &calibrate.Plan{Layers: []calibrate.Layer{
		{Kind: calibrate.DenseKind{}},
		{Name: "a", Kind: calibrate.GateKind{Threshold: []float64{math.SmallestNonzeroFloat32}}, Density: 0.25},
		{Kind: calibrate.GateKind{Threshold: []float64{0.1, 1.0 / 3}}},
		{Kind: calibrate.LoRAKind{Threshold: []float64{0}, Predictor: "p.safetensors"}},
		{Kind: calibrate.LoRAKind{Method: calibrate.TopK, Sparsity: 0.7, Rank: 3}},
		{Kind: calibrate.LoRAKind{Method: calibrate.Statistical, Sparsity: 0.7, Rank: 3}},
	}}
	for range 2 { // also over a file that is there
		require.NoError(t, want.Write(file))
	}
	got, err := calibrate.ReadPlan(file)
	require.NoError(t, err)
	assert.Empty(t, cmp.Diff(want, got, unexported))
}

// Files that were written before kinds were types are read as they were, keys of other kinds ignored.
func TestReadOldPlan(t *testing.T) {
	file := filepath.Join(t.TempDir(), "plan.json")
	text := `{"sparsegonia_plan": 1, "layers": [
		{"selector": "dense", "threshold": [1], "density": 1},
		{"name": "a", "selector": "gate", "threshold": [0.5, 1], "rank": 3, "density": 0.25},
		{"selector": "lora", "threshold": [0], "method": "topk", "sparsity": 0.7, "predictor": "p.safetensors", "rank": 3}]}`
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	got, err := calibrate.ReadPlan(file)
	require.NoError(t, err)
	assert.Empty(t, cmp.Diff(&calibrate.Plan{Layers: []calibrate.Layer{
		{Kind: calibrate.DenseKind{}, Density: 1},
		{Name: "a", Kind: calibrate.GateKind{Threshold: []float64{0.5, 1}}, Density: 0.25},
		{Kind: calibrate.LoRAKind{
			Threshold: []float64{0}, Method: calibrate.TopK, Sparsity: 0.7, Predictor: "p.safetensors", Rank: 3,
		}},
	}}, got, unexported))
	require.NoError(t, got.Write(file))
	written, err := os.ReadFile(file)
	require.NoError(t, err)
	want := "{\"selector\":\"lora\",\"threshold\":[0],\"method\":\"topk\",\"sparsity\":0.7,\"predictor\":\"p.safetensors\",\"rank\":3}"
	assert.Contains(t, strings.NewReplacer("\n", "", "\t", "", ": ", ":").Replace(string(written)), want)
}

func TestKindBytes(t *testing.T) {
	gated, plain := weights.MLPShape(weights.F16, 10, 4, true), weights.MLPShape(weights.F16, 10, 4, false)
	for _, c := range []struct {
		kind  calibrate.Kind
		shape weights.Shape
		want  int64
	}{
		{calibrate.DenseKind{}, gated, 3 * 80},
		{calibrate.GateKind{}, gated, 80 + 2*40},
		{calibrate.GateKind{}, plain, 80 + 40},
		{calibrate.LoRAKind{Rank: 2}, gated, 3*40 + 4*2*14},
	} {
		if got := c.kind.Bytes(c.shape, 0.5); got != c.want {
			t.Errorf("%s: %d bytes, want %d", c.kind.Name(), got, c.want)
		}
	}
}

// A kind of another package works like ours.
type foreignKind struct{ calibrate.DenseKind }

func (foreignKind) Name() string { return "foreign" }
func (foreignKind) Selector(at calibrate.Place) (graph.Selector, error) {
	v, err := at.Share(func() (any, error) { return fmt.Sprint(at.Layer, at.MLP.Name), nil })
	return graph.GateSelector{Threshold: []float64{float64(len(v.(string)))}}, err
}

func TestForeignKind(t *testing.T) {
	p := &calibrate.Plan{Layers: []calibrate.Layer{{Kind: foreignKind{}}}}
	s, err := p.Selector(0, mlp())
	require.NoError(t, err)
	assert.Equal(t, graph.GateSelector{Threshold: []float64{4}}, s)
	assert.False(t, p.NeedsGate())
	_, err = p.Selector(0, nil)
	assert.ErrorContains(t, err, "there is no MLP")
	random := &calibrate.Plan{Layers: []calibrate.Layer{{Kind: calibrate.LoRAKind{Rank: 1, Method: calibrate.TopK}}}}
	_, err = random.Selector(0, &graph.MLP{Name: "empty"})
	assert.ErrorContains(t, err, "rank 1, empty has 0 neurons")
	_, err = (&calibrate.Plan{Layers: make([]calibrate.Layer, 1)}).Selector(0, mlp())
	assert.ErrorContains(t, err, "layers[0]: selector is missing")
}

// A plan that cannot be written leaves the one that was there.
func TestWriteKeepsTheOldPlan(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "plan.json")
	good := &calibrate.Plan{Layers: []calibrate.Layer{{Kind: calibrate.DenseKind{}}}}
	require.NoError(t, good.Write(file))
	bad := &calibrate.Plan{Layers: []calibrate.Layer{{Kind: calibrate.GateKind{Threshold: []float64{math.NaN()}}}}}
	assert.ErrorContains(t, bad.Write(file), "layers[0]: threshold NaN")
	assert.ErrorContains(t, good.Write(filepath.Join(dir, "none", "plan.json")), "none")
	_, err := calibrate.ReadPlan(file)
	require.NoError(t, err)
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Len(t, entries, 1, "nothing is left over")
}

func TestReadPlanRefuses(t *testing.T) {
	dir := t.TempDir()
	layers := func(layer string) string { return `{"sparsegonia_plan": 1, "layers": [` + layer + `]}` }
	for name, test := range map[string]struct{ text, want string }{
		"empty":             {"", "unexpected end"},
		"no object":         {"[]", "cannot unmarshal"},
		"a key twice":       {layers(`{"selector": "gate", "threshold": [1], "threshold": [2]}`), "appears twice"},
		"truncated":         {`{"sparsegonia_plan": 1, "layers": [{"sel`, "unexpected end"},
		"more":              {layers(`{"selector": "dense"}`) + "{}", "after top-level value"},
		"no version":        {`{"layers": [{"selector": "dense"}]}`, "sparsegonia_plan is 0"},
		"later version":     {`{"sparsegonia_plan": 2, "layers": [{"selector": "dense"}]}`, "sparsegonia_plan is 2"},
		"no layers":         {`{"sparsegonia_plan": 1}`, "layers: 0"},
		"unknown key":       {layers(`{"selector": "gate", "treshold": [1]}`), "treshold"},
		"unknown selector":  {layers(`{"selector": "magic"}`), `selector "magic"`},
		"no selector":       {layers(`{}`), `selector ""`},
		"second layer":      {layers(`{"selector": "dense"}, {"selector": "x"}`), "layers[1]"},
		"no threshold":      {layers(`{"selector": "gate"}`), "threshold is missing"},
		"huge threshold":    {layers(`{"selector": "gate", "threshold": [1e999]}`), "threshold"},
		"scalar threshold":  {layers(`{"selector": "gate", "threshold": 1}`), "threshold"},
		"density":           {layers(`{"selector": "dense", "density": 1.5}`), "density 1.5"},
		"no predictor":      {layers(`{"selector": "lora", "threshold": [0]}`), "neither a predictor nor a rank"},
		"huge rank":         {layers(`{"selector": "lora", "threshold": [0], "rank": 2000000}`), "rank from 1"},
		"lora, no tau":      {layers(`{"selector": "lora", "rank": 3}`), "threshold is missing"},
		"method":            {layers(`{"selector": "lora", "rank": 3, "method": "best"}`), `method "best"`},
		"top-k sparsity":    {layers(`{"selector": "lora", "rank": 3, "method": "topk", "sparsity": -0.1}`), "sparsity -0.1"},
		"stat sparsity":     {layers(`{"selector": "lora", "rank": 3, "method": "statistical", "sparsity": 1}`), "sparsity 1"},
		"ported method":     {`{"intermediate_size": 100, "sparsities": [0.5], "sparsity_method": "x"}`, `sparsity_method "x"`},
		"ported lora_size":  {`{"intermediate_size": 100, "sparsities": [0.5], "lora_size": 4}`, "lora_size 4"},
		"ported sp_layers":  {`{"intermediate_size": 100, "sparsities": [0.5], "sp_layers": [1]}`, "sp_layers: 1"},
		"ported sp_layers2": {`{"intermediate_size": 100, "sparsities": [0.5], "sp_layers": "some"}`, "sp_layers"},
		"ported, none":      {`{"intermediate_size": 100, "sparsities": []}`, "layers: 0"},
		"ported sparsity":   {`{"intermediate_size": 100, "sparsities": [2], "sparsity_method": "topk"}`, "sparsity 2"},
		"ported, no size":   {`{"sparsities": [0.5]}`, "rank from 1"},
		"ported type":       {`{"intermediate_size": 100, "sparsities": 0.5}`, "sparsities"},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(dir, "plan.json")
			require.NoError(t, os.WriteFile(file, []byte(test.text), 0o644))
			_, err := calibrate.ReadPlan(file)
			require.Error(t, err)
			assert.Contains(t, err.Error(), test.want)
			assert.Contains(t, err.Error(), file)
			assert.Equal(t, 1, strings.Count(err.Error(), file))
		})
	}
	_, err := calibrate.ReadPlan(filepath.Join(dir, "none.json"))
	assert.ErrorIs(t, err, os.ErrNotExist)
	_, err = calibrate.ReadPlan(dir)
	assert.ErrorContains(t, err, "not a file")
}

func TestReadPortedConfiguration(t *testing.T) {
	file := filepath.Join(t.TempDir(), "config.json")
	read := func(text string) *calibrate.Plan {
		t.Helper()
		require.NoError(t, os.WriteFile(file, []byte(text), 0o644))
		p, err := calibrate.ReadPlan(file)
		require.NoError(t, err)
		return p
	}
	naive := calibrate.Layer{Kind: calibrate.LoRAKind{Rank: 327, Threshold: []float64{0}}}
	assert.Empty(t, cmp.Diff(
		&calibrate.Plan{Layers: []calibrate.Layer{naive, naive}},
		read(`{"model_type": "llama-skip", "intermediate_size": 8192, "sparsity_method": "naive", "sparsities": [0.5, 0.7]}`), unexported))
	assert.Empty(t, cmp.Diff(
		&calibrate.Plan{Layers: []calibrate.Layer{
			{Kind: calibrate.DenseKind{}},
			{Kind: calibrate.LoRAKind{Rank: 10, Method: calibrate.Statistical, Sparsity: 0.7}},
		}},
		read(`{"intermediate_size": 100, "sparsity_method": "statistical_topk", "sparsities": [0.5, 0.7], "lora_size": 0.1, "sp_layers": [1]}`),
		unexported))
	assert.Empty(t, cmp.Diff(
		&calibrate.Plan{Layers: []calibrate.Layer{{Kind: calibrate.LoRAKind{Rank: 4, Method: calibrate.TopK, Sparsity: 0.5}}}},
		read(`{"intermediate_size": 100, "sparsity_method": "topk", "sparsities": [0.5], "sp_layers": "all"}`), unexported))
}

// mlp is an MLP of 2 inputs and 3 neurons.
func mlp() *graph.MLP {
	weight := func(rows, cols int) ops.Weight { return ops.Weight{Matrix: weights.NewMatrix(weights.F32, rows, cols)} }
	return &graph.MLP{Name: "mlp", Gate: weight(3, 2), Up: weight(3, 2), Down: weight(2, 3)}
}

// safetensors is a file of float32 matrices.
func safetensors(t testing.TB, tensors map[string][2]int) []byte {
	t.Helper()
	header, data := map[string]any{}, []byte{}
	for _, name := range []string{
		"layers.1.mlp_lora_proj.down.weight", "layers.1.mlp_lora_proj.up.weight",
		"model.layers.0.mlp_lora_proj.down.weight", "model.layers.0.mlp_lora_proj.up.weight",
	} {
		shape, ok := tensors[name]
		if !ok {
			continue
		}
		begin := len(data)
		for i := range shape[0] * shape[1] {
			data = binary.LittleEndian.AppendUint32(data, math.Float32bits(float32(i)))
		}
		header[name] = map[string]any{"dtype": "F32", "shape": shape, "data_offsets": [2]int{begin, len(data)}}
	}
	text, err := json.Marshal(header)
	require.NoError(t, err)
	return append(append(binary.LittleEndian.AppendUint64(nil, uint64(len(text))), text...), data...)
}

func TestPredictorFile(t *testing.T) {
	dir := t.TempDir()
	planFile := filepath.Join(dir, "plan.json")
	layer := calibrate.Layer{Kind: calibrate.LoRAKind{Threshold: []float64{0}, Predictor: "p.safetensors"}}
	require.NoError(t, (&calibrate.Plan{Layers: []calibrate.Layer{layer, layer}}).Write(planFile))
	down, up := [2]int{1, 2}, [2]int{3, 1}
	write := func(tensors map[string][2]int) *calibrate.Plan {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "p.safetensors"), safetensors(t, tensors), 0o644))
		p, err := calibrate.ReadPlan(planFile)
		require.NoError(t, err)
		return p
	}
	p := write(map[string][2]int{
		"model.layers.0.mlp_lora_proj.down.weight": down, "model.layers.0.mlp_lora_proj.up.weight": up,
		"layers.1.mlp_lora_proj.down.weight": down, "layers.1.mlp_lora_proj.up.weight": up,
	})
	var first graph.LowRank
	for i := range 2 {
		s, err := p.Selector(i, mlp())
		require.NoError(t, err)
		row := make([]float32, 1)
		weights.Row(s.(graph.LowRank).Predictor.Up, 2, row)
		assert.Equal(t, []float32{2}, row)
		if i == 0 {
			first = s.(graph.LowRank)
		}
	}
	again, err := p.Selector(0, mlp())
	require.NoError(t, err)
	assert.Same(t, first.Predictor.Up, again.(graph.LowRank).Predictor.Up, "graphs share predictors")

	for name, test := range map[string]struct {
		down, up [2]int
		want     string
	}{
		"ranks differ": {[2]int{2, 2}, up, "want r×H and I×r"},
		"rank over I":  {[2]int{4, 2}, [2]int{3, 4}, "want r×H and I×r"},
		"inputs":       {[2]int{1, 5}, up, "takes 5 inputs, mlp has 2"},
		"neurons":      {down, [2]int{7, 1}, "scores 7 neurons, mlp has 3"},
	} {
		p := write(map[string][2]int{"layers.1.mlp_lora_proj.down.weight": test.down, "layers.1.mlp_lora_proj.up.weight": test.up})
		_, err := p.Selector(1, mlp())
		assert.ErrorContains(t, err, test.want, name)
		assert.ErrorContains(t, err, "layers[1]", name)
		_, err = p.Selector(0, mlp())
		assert.ErrorContains(t, err, "layers.0.mlp_lora_proj.down.weight", name)
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "p.safetensors"), []byte("nonsense"), 0o644))
	p, err = calibrate.ReadPlan(planFile)
	require.NoError(t, err)
	_, err = p.Selector(0, mlp())
	assert.ErrorContains(t, err, "p.safetensors")
}

func TestRandomPredictorsDiffer(t *testing.T) {
	layer := calibrate.Layer{Kind: calibrate.LoRAKind{Threshold: []float64{0}, Rank: 2}}
	plan := func() *calibrate.Plan { return &calibrate.Plan{Layers: []calibrate.Layer{layer, layer}} }
	row := func(p *calibrate.Plan, i int) string {
		s, err := p.Selector(i, mlp())
		require.NoError(t, err)
		row := make([]float32, 2)
		weights.Row(s.(graph.LowRank).Predictor.Down, 0, row)
		return fmt.Sprint(row)
	}
	assert.Equal(t, row(plan(), 0), row(plan(), 0), "the same in every run")
	assert.NotEqual(t, row(plan(), 0), row(plan(), 1), "another in every layer")
	layer.Kind = calibrate.LoRAKind{Threshold: []float64{0}, Rank: 4}
	_, err := plan().Selector(0, mlp())
	assert.ErrorContains(t, err, "rank 4, mlp has 3 neurons")
	_, err = plan().Selector(2, mlp())
	assert.ErrorContains(t, err, "layer 2 of 2")
}

func TestNilPlansAndPlacesAreErrors(t *testing.T) {
	var p *calibrate.Plan
	_, selector := p.Selector(0, mlp())
	_, gate := calibrate.GateKind{Threshold: []float64{1}}.Selector(calibrate.Place{})
	_, lora := calibrate.LoRAKind{Threshold: []float64{1}, Rank: 1}.Selector(calibrate.Place{})
	for what, err := range map[string]error{
		"Selector": selector, "Write": p.Write(filepath.Join(t.TempDir(), "plan")), "gate": gate, "lora": lora,
	} {
		if err == nil {
			t.Errorf("%s: want an error", what)
		}
	}
	if p.NeedsGate() {
		t.Error("no plan needs the gate")
	}
	kind := calibrate.LoRAKind{Threshold: []float64{1}, Rank: 1}
	if _, err := kind.Selector(calibrate.Place{MLP: mlp()}); err != nil { // a place that is in no plan
		t.Error(err)
	}
}
