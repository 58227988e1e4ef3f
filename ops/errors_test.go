package ops

import (
	"fmt"
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/sparsegonia/sparsegonia/cache"
	"github.com/sparsegonia/sparsegonia/ops/activation"
	"github.com/sparsegonia/sparsegonia/ops/kernel"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// structCache is a Cache without an identity.
type structCache struct{ cache.Cache }

// TestBuilderErrors gives every builder what it must refuse. The errors name the op and what is wrong.
func TestBuilderErrors(t *testing.T) {
	g := gorgonia.NewGraph()
	node := func(dtype tensor.Dtype, shape ...int) *gorgonia.Node {
		return gorgonia.NewTensor(g, dtype, len(shape), gorgonia.WithShape(shape...),
			gorgonia.WithName(fmt.Sprintf("in%d", len(g.AllNodes()))))
	}
	var (
		x       = node(tensor.Float32, 3, 8)
		x64     = node(tensor.Float64, 3, 8)
		xi      = node(tensor.Int32, 3, 8)
		cube    = node(tensor.Float32, 2, 3, 8)
		vector  = node(tensor.Float32, 8)
		bytes   = node(tensor.Uint8, 3, 8)
		mask    = node(tensor.Bool, 3, 5)
		active  = node(tensor.Bool, 5)
		slots   = node(tensor.Int32, 5)
		list    = node(tensor.Int32, 3)
		gate    = node(tensor.Float32, 3, 5)
		scalar  = gorgonia.NewScalar(g, tensor.Float32, gorgonia.WithName("scalar"))
		bare    = gorgonia.NewTensor(g, tensor.Float32, 2, gorgonia.WithName("bare"))
		foreign = gorgonia.NewTensor(gorgonia.NewGraph(), tensor.Int32, 1, gorgonia.WithShape(3), gorgonia.WithName("foreign"))

		w      = weight(1, weights.F32, 5, 8)
		wi     = weight(1, weights.Int32, 5, 8)
		m      = func(d weights.Dtype, rows, cols int) *weights.Matrix { return matrix(1, d, rows, cols) }
		store  = neurons(t, 1, weights.F32, 5, 8, true)
		gated  = cache.InPlace(store)
		plain  = cache.InPlace(neurons(t, 1, weights.F32, 5, 8, false))
		ragged = cache.InPlace(&weights.Neurons{Gate: m(weights.F32, 4, 8), Up: m(weights.F32, 5, 8), Down: m(weights.F32, 5, 8)})
		number = cache.InPlace(neurons(t, 1, weights.Int32, 5, 8, true))
		ahead  = window(t, store)
		file   = stream(t, 2, store, plain.Rows())
		nan    = math.NaN()
		nan32  = float32(nan)
		inf32  = float32(math.Inf(1))
	)
	rotary, err := kernel.NewRotary(kernel.RotaryConfig{HeadDim: 4, Dim: 4, Theta: 100, Scaling: "default", MaxContext: 8})
	require.NoError(t, err)
	kv, err := kernel.NewKV(weights.F32, 1, 4, 2, 4)
	require.NoError(t, err)
	packed, err := cache.NewPacked(store, nil)
	require.NoError(t, err)
	pred := func(down, up *weights.Matrix) Predictor { return Predictor{down, up} }

	type result struct {
		node *gorgonia.Node
		err  error
	}
	of := func(n *gorgonia.Node, err error) result { return result{n, err} }
	for name, c := range map[string]struct {
		build func() result
		want  string
	}{
		"Linear: nil x":           {func() result { return of(Linear(nil, w)) }, "ops: Linear: x is nil"},
		"Linear: scalar":          {func() result { return of(Linear(scalar, w)) }, "x is a float32"},
		"Linear: no shape":        {func() result { return of(Linear(bare, w)) }, "x is a Matrix float32 of shape ()"},
		"Linear: rank 3":          {func() result { return of(Linear(cube, w)) }, "want a vector or a matrix"},
		"Linear: no weight":       {func() result { return of(Linear(x, Weight{})) }, "no matrix"},
		"Linear: inputs":          {func() result { return of(Linear(x, Weight{Matrix: m(weights.F32, 5, 7)})) }, "length 8, the weight takes 7"},
		"Linear: input major":     {func() result { return of(Linear(x, Weight{Matrix: w.Matrix, InputMajor: true})) }, "length 8, the weight takes 5"},
		"Linear: dtype":           {func() result { return of(Linear(x64, w)) }, "x has dtype float64"},
		"Linear: dtype of bytes":  {func() result { return of(Linear(bytes, w)) }, "x has dtype uint8"},
		"Linear: bias length":     {func() result { return of(Linear(x, Weight{Matrix: w.Matrix, Bias: m(weights.F32, 1, 4)})) }, "bias is f32 1×4, want f32 1×5"},
		"Linear: bias rows":       {func() result { return of(Linear(x, Weight{Matrix: w.Matrix, Bias: m(weights.F32, 5, 1)})) }, "bias is f32 5×1"},
		"Linear: bias dtype":      {func() result { return of(Linear(x, Weight{Matrix: w.Matrix, Bias: m(weights.F16, 1, 5)})) }, "bias is f16"},
		"Activate: nil":           {func() result { return of(Activate(nil, activation.SiLU)) }, "x is nil"},
		"Activate: dtype":         {func() result { return of(Activate(bytes, activation.SiLU)) }, "dtype uint8, want float32, float64, int32, int64"},
		"Activate: integers":      {func() result { return of(Activate(xi, activation.SiLU)) }, "activation silu has no meaning for int32"},
		"Activate: unknown":       {func() result { return of(Activate(x, activation.Func(99))) }, "unknown activation 99"},
		"GLU: nil up":          {func() result { return of(GLU(x, nil, activation.SiLU)) }, "up is nil"},
		"GLU: shapes":          {func() result { return of(GLU(x, gate, activation.SiLU)) }, "up has shape (3, 5), want (3, 8)"},
		"GLU: ranks":           {func() result { return of(GLU(cube, x, activation.SiLU)) }, "up has shape (3, 8), want (2, 3, 8)"},
		"GLU: dtypes":          {func() result { return of(GLU(x, x64, activation.SiLU)) }, "up has dtype float64, want float32"},
		"GLU: integers":        {func() result { return of(GLU(xi, xi, activation.GELU)) }, "no meaning for int32"},
		"Gate: integers":          {func() result { return of(Gate(xi, wi, activation.GELUTanh)) }, "no meaning for int32"},
		"Gate: inputs":            {func() result { return of(Gate(gate, w, activation.SiLU)) }, "ops: Gate: x has rows of length 5, the weight takes 8"},
		"RMSNorm: dtype":          {func() result { return of(RMSNorm(x64, make([]float32, 8), 0)) }, "want float32"},
		"RMSNorm: length":         {func() result { return of(RMSNorm(x, make([]float32, 7), 0)) }, "the weight has length 7"},
		"RMSNorm: nil weight":     {func() result { return of(RMSNorm(x, nil, 0)) }, "the weight has length 0"},
		"RMSNorm: NaN eps":        {func() result { return of(RMSNorm(x, make([]float32, 8), nan32)) }, "eps is NaN"},
		"RMSNorm: negative eps":   {func() result { return of(RMSNorm(x, make([]float32, 8), -1)) }, "eps is -1"},
		"RMSNorm: rank 3":         {func() result { return of(RMSNorm(cube, make([]float32, 8), 0)) }, "want a vector or a matrix"},
		"RoPE: vector":            {func() result { return of(RoPE(vector, list, 2, rotary)) }, "want a matrix"},
		"RoPE: positions":         {func() result { return of(RoPE(x, slots, 2, rotary)) }, "positions has shape (5), want (3)"},
		"RoPE: position dtype":    {func() result { return of(RoPE(x, vector, 2, rotary)) }, "positions has dtype float32"},
		"RoPE: heads":             {func() result { return of(RoPE(x, list, 3, rotary)) }, "want 3 heads of size 4"},
		"RoPE: no heads":          {func() result { return of(RoPE(x, list, 0, rotary)) }, "want 0 heads"},
		"RoPE: nil":               {func() result { return of(RoPE(x, list, 2, nil)) }, "rotary embedding is nil"},
		"RoPE: other graph":       {func() result { return of(RoPE(x, foreign, 2, rotary)) }, "same graph"},
		"Attention: nil kv":       {func() result { return of(Attention(x, x, x, list, list, 2, nil, 1)) }, "KV cache is nil"},
		"Attention: heads":        {func() result { return of(Attention(x, x, x, list, list, 3, kv, 1)) }, "3 heads are not a multiple of the 2"},
		"Attention: no heads":     {func() result { return of(Attention(x, x, x, list, list, 0, kv, 1)) }, "0 heads"},
		"Attention: q":            {func() result { return of(Attention(gate, x, x, list, list, 2, kv, 1)) }, "q has shape (3, 5), want (3, 8)"},
		"Attention: k":            {func() result { return of(Attention(x, gate, x, list, list, 2, kv, 1)) }, "k has shape (3, 5), want (3, 8)"},
		"Attention: v dtype":      {func() result { return of(Attention(x, x, x64, list, list, 2, kv, 1)) }, "v has dtype float64"},
		"Attention: positions":    {func() result { return of(Attention(x, x, x, slots, list, 2, kv, 1)) }, "positions has shape (5), want (3)"},
		"Attention: sequences":    {func() result { return of(Attention(x, x, x, list, vector, 2, kv, 1)) }, "sequences has dtype float32"},
		"Attention: nil v":        {func() result { return of(Attention(x, x, nil, list, list, 2, kv, 1)) }, "v is nil"},
		"Attention: NaN scale":    {func() result { return of(Attention(x, x, x, list, list, 2, kv, nan32)) }, "scale is NaN"},
		"Attention: inf scale":    {func() result { return of(Attention(x, x, x, list, list, 2, kv, inf32)) }, "scale is +Inf"},
		"Embedding: dtype":        {func() result { return of(Embedding(vector, w.Matrix)) }, "tokens has dtype float32"},
		"Embedding: matrix":       {func() result { return of(Embedding(xi, w.Matrix)) }, "want a vector"},
		"Embedding: nil":          {func() result { return of(Embedding(list, nil)) }, "weight is nil"},
		"Embedding: weight dtype": {func() result { return of(Embedding(list, m(weights.F64, 5, 8))) }, "f64, which does not decode to float32"},
		"TakeRows: vector":        {func() result { return of(TakeRows(vector, list)) }, "x has shape (8), want a matrix"},
		"TakeRows: rows":          {func() result { return of(TakeRows(x, xi)) }, "rows has shape (3, 8), want a vector"},
		"TakeRows: rows dtype":    {func() result { return of(TakeRows(x, active)) }, "rows has dtype bool"},
		"LowRankScores: empty":    {func() result { return of(LowRankScores(x, Predictor{})) }, "lacks a matrix"},
		"LowRankScores: no up":    {func() result { return of(LowRankScores(x, pred(m(weights.F32, 2, 8), nil))) }, "lacks a matrix"},
		"LowRankScores: rank 0":   {func() result { return of(LowRankScores(x, pred(m(weights.F32, 0, 8), m(weights.F32, 5, 0)))) }, "1 ≤ r ≤ I"},
		"LowRankScores: rank 6":   {func() result { return of(LowRankScores(x, pred(m(weights.F32, 6, 8), m(weights.F32, 5, 6)))) }, "1 ≤ r ≤ I"},
		"LowRankScores: ranks":    {func() result { return of(LowRankScores(x, pred(m(weights.F32, 2, 8), m(weights.F32, 5, 3)))) }, "down is 2×8 and its up 5×3"},
		"LowRankScores: hidden":   {func() result { return of(LowRankScores(x, pred(m(weights.F32, 2, 7), m(weights.F32, 5, 2)))) }, "length 8, the weight takes 7"},
		"LowRankScores: dtypes":   {func() result { return of(LowRankScores(x, pred(m(weights.F32, 2, 8), m(weights.F64, 5, 2)))) }, "works on float64"},
		"Mask: no method":         {func() result { return of(Mask(x, MaskMethod{})) }, "no mask method"},
		"Mask: no thresholds":     {func() result { return of(Mask(x, Threshold())) }, "0 thresholds"},
		"Mask: 7 thresholds":      {func() result { return of(Mask(x, Threshold(make([]float64, 7)...))) }, "7 thresholds, want 1 or one for each of 8"},
		"Mask: NaN threshold":     {func() result { return of(Mask(x, Threshold(0, 0, nan, 0, 0, 0, 0, 0))) }, "threshold 2 is NaN"},
		"Mask: int threshold":     {func() result { return of(Mask(xi, Threshold(1<<31))) }, "above all integer scores"},
		"Mask: infinite int":      {func() result { return of(Mask(xi, Threshold(math.Inf(1)))) }, "above all integer scores"},
		"Mask: dtype":             {func() result { return of(Mask(mask, Threshold(0))) }, "scores has dtype bool"},
		"Mask: rank 3":            {func() result { return of(Mask(cube, Threshold(0))) }, "want a vector or a matrix"},
		"Mask: sparsity 1.1":      {func() result { return of(Mask(x, TopK(1.1))) }, "sparsity 1.1"},
		"Mask: sparsity -0.1":     {func() result { return of(Mask(x, TopK(-0.1))) }, "sparsity -0.1"},
		"Mask: sparsity NaN":      {func() result { return of(Mask(x, TopK(nan))) }, "sparsity NaN"},
		"Mask: statistical 0":     {func() result { return of(Mask(x, Statistical(0))) }, "sparsity 0 is not in (0, 1)"},
		"Mask: statistical 1":     {func() result { return of(Mask(x, Statistical(1))) }, "sparsity 1 is not in (0, 1)"},
		"Mask: topk magnitude":    {func() result { return of(Mask(x, TopK(0.5).Magnitude())) }, "only a threshold"},
		"Union: nil":              {func() result { return of(Union(nil, nil)) }, "mask is nil"},
		"Union: dtype":            {func() result { return of(Union(x, nil)) }, "mask has dtype float32"},
		"Union: live":             {func() result { return of(Union(mask, slots)) }, "live has shape (5), want (3)"},
		"Union: live dtype":       {func() result { return of(Union(mask, vector)) }, "live has dtype float32"},
		"Refresh: nil cache":      {func() result { return of(Refresh(active, nil)) }, "cache is a <nil>"},
		"Refresh: no identity":    {func() result { return of(Refresh(active, structCache{gated})) }, "want a pointer"},
		"Refresh: dtype":          {func() result { return of(Refresh(slots, gated)) }, "active has dtype int32"},
		"Refresh: length":         {func() result { return of(Refresh(node(tensor.Bool, 6), gated)) }, "active has shape (6), want (5)"},
		"Refresh: mask":           {func() result { return of(Refresh(mask, gated)) }, "active has shape (3, 5), want (5)"},
		"Prefetch: no cache":      {func() result { return of(Prefetch(active, nil)) }, "cache is a <nil>"},
		"Prefetch: a mask":        {func() result { return of(Prefetch(mask, ahead)) }, "active has shape (3, 5), want (5)"},
		"DenseMLP: no cache":      {func() result { return of(DenseMLP(x, MLP{})) }, "cache is a <nil>"},
		"DenseMLP: ragged cache":  {func() result { return of(DenseMLP(x, MLP{Cache: ragged})) }, "gate is 4×8"},
		"DenseMLP: packed cache":  {func() result { return of(DenseMLP(x, MLP{Cache: packed})) }, "does not hold every neuron in its place"},
		"DenseMLP: window":        {func() result { return of(DenseMLP(x, MLP{Cache: ahead})) }, "does not hold every neuron in its place"},
		"DenseMLP: x":             {func() result { return of(DenseMLP(gate, MLP{Cache: gated})) }, "x has rows of length 5, want 8"},
		"DenseMLP: x dtype":       {func() result { return of(DenseMLP(x64, MLP{Cache: gated})) }, "x has dtype float64"},
		"DenseMLP: rank 3":        {func() result { return of(DenseMLP(cube, MLP{Cache: gated})) }, "want a vector or a matrix"},
		"DenseMLP: plain bias":    {func() result { return of(DenseMLP(x, MLP{Cache: plain, GateBias: m(weights.F32, 1, 5)})) }, "no gate matrix"},
		"DenseMLP: gate bias":     {func() result { return of(DenseMLP(x, MLP{Cache: gated, GateBias: m(weights.F32, 1, 8)})) }, "gate bias is f32 1×8"},
		"DenseMLP: up bias":       {func() result { return of(DenseMLP(x, MLP{Cache: gated, UpBias: m(weights.F64, 1, 5)})) }, "up bias is f64"},
		"DenseMLP: down bias":     {func() result { return of(DenseMLP(x, MLP{Cache: gated, DownBias: m(weights.F32, 1, 5)})) }, "down bias is f32 1×5, want f32 1×8"},
		"DenseMLP: integers":      {func() result { return of(DenseMLP(xi, MLP{Cache: number, Act: activation.SiLU})) }, "no meaning for int32"},
		"DenseMLP: activation":    {func() result { return of(DenseMLP(x, MLP{Cache: gated, Act: 77})) }, "unknown activation 77"},
		"StreamMLP: no stream":    {func() result { return of(StreamMLP(x, StoredMLP{})) }, "there is no stream"},
		"StreamMLP: layer":        {func() result { return of(StreamMLP(x, StoredMLP{Stream: file, Layer: 2})) }, "layer 2, the file has 2"},
		"StreamMLP: x":            {func() result { return of(StreamMLP(gate, StoredMLP{Stream: file})) }, "x has rows of length 5, want 8"},
		"StreamMLP: x dtype":      {func() result { return of(StreamMLP(x64, StoredMLP{Stream: file})) }, "x has dtype float64"},
		"StreamMLP: rank 3":       {func() result { return of(StreamMLP(cube, StoredMLP{Stream: file})) }, "want a vector or a matrix"},
		"StreamMLP: activation":   {func() result { return of(StreamMLP(x, StoredMLP{Stream: file, Act: 77})) }, "unknown activation 77"},
		"StreamMLP: up bias":      {func() result { return of(StreamMLP(x, StoredMLP{Stream: file, UpBias: m(weights.F32, 1, 8)})) }, "up bias is f32 1×8"},
		"StreamMLP: down bias":    {func() result { return of(StreamMLP(x, StoredMLP{Stream: file, DownBias: m(weights.F64, 1, 8)})) }, "down bias is f64"},
		"StreamMLP: gate bias":    {func() result { return of(StreamMLP(x, StoredMLP{Stream: file, GateBias: m(weights.F32, 1, 8)})) }, "gate bias is f32 1×8"},
		"StreamMLP: plain bias": {func() result {
			return of(StreamMLP(x, StoredMLP{Stream: file, Layer: 1, GateBias: m(weights.F32, 1, 5)}))
		}, "no gate matrix"},
		"StreamMLP: gate copy":    {func() result { return of(StreamMLP(x, StoredMLP{Stream: file, Gate: m(weights.F32, 4, 8)})) }, "the copy of the gate is f32 4×8"},
		"SparseMLP: no cache":     {func() result { return of(SparseMLP(x, slots, nil, MLP{})) }, "cache is a <nil>"},
		"SparseMLP: ragged cache": {func() result { return of(SparseMLP(x, slots, nil, MLP{Cache: ragged})) }, "gate is 4×8"},
		"SparseMLP: x":            {func() result { return of(SparseMLP(gate, slots, nil, MLP{Cache: gated})) }, "x has rows of length 5, want 8"},
		"SparseMLP: x dtype":      {func() result { return of(SparseMLP(x64, slots, nil, MLP{Cache: gated})) }, "x has dtype float64"},
		"SparseMLP: rank 3":       {func() result { return of(SparseMLP(cube, slots, nil, MLP{Cache: gated})) }, "want a vector or a matrix"},
		"SparseMLP: slots":        {func() result { return of(SparseMLP(x, list, nil, MLP{Cache: gated})) }, "active has shape (3), want (5)"},
		"SparseMLP: a mask":       {func() result { return of(SparseMLP(x, active, nil, MLP{Cache: gated})) }, "active has dtype bool"},
		"SparseMLP: gate shape":   {func() result { return of(SparseMLP(x, slots, x, MLP{Cache: gated})) }, "gate has shape (3, 8), want (3, 5)"},
		"SparseMLP: gate vector":  {func() result { return of(SparseMLP(vector, slots, gate, MLP{Cache: gated})) }, "gate has shape (3, 5), want (5)"},
		"SparseMLP: gate dtype":   {func() result { return of(SparseMLP(x, slots, mask, MLP{Cache: gated})) }, "gate has dtype bool"},
		"SparseMLP: plain gate":   {func() result { return of(SparseMLP(x, slots, x, MLP{Cache: plain})) }, "gate has shape (3, 8), want (3, 5)"},
		"SparseMLP: plain bias":   {func() result { return of(SparseMLP(x, slots, nil, MLP{Cache: plain, GateBias: m(weights.F32, 1, 5)})) }, "no gate matrix"},
		"SparseMLP: gate bias":    {func() result { return of(SparseMLP(x, slots, nil, MLP{Cache: gated, GateBias: m(weights.F32, 1, 8)})) }, "gate bias is f32 1×8"},
		"SparseMLP: up bias":      {func() result { return of(SparseMLP(x, slots, nil, MLP{Cache: gated, UpBias: m(weights.F64, 1, 5)})) }, "up bias is f64"},
		"SparseMLP: down bias":    {func() result { return of(SparseMLP(x, slots, nil, MLP{Cache: gated, DownBias: m(weights.F32, 1, 5)})) }, "down bias is f32 1×5, want f32 1×8"},
		"SparseMLP: integers":     {func() result { return of(SparseMLP(xi, slots, nil, MLP{Cache: number, Act: activation.SiLU})) }, "no meaning for int32"},
		"SparseMLP: activation":   {func() result { return of(SparseMLP(x, slots, nil, MLP{Cache: gated, Act: 77})) }, "unknown activation 77"},
	} {
		t.Run(name, func(t *testing.T) {
			before := len(g.AllNodes())
			r := c.build()
			require.Nil(t, r.node)
			assert.ErrorContains(t, r.err, c.want)
			assert.LessOrEqual(t, len(g.AllNodes()), before+1, "nodes were left in the graph")
		})
	}
}

func TestWeightErrors(t *testing.T) {
	column, err := tensor.New(tensor.WithShape(3, 4), tensor.Of(tensor.Float32)).Slice(nil, tensor.S(1))
	require.NoError(t, err)
	for name, c := range map[string]struct {
		t    tensor.Tensor
		want string
	}{
		"nil":          {nil, "want a *tensor.Dense"},
		"nil dense":    {(*tensor.Dense)(nil), "want a *tensor.Dense"},
		"vector":       {input(1, weights.F32, 0, 4), "want a matrix"},
		"a column":     {column, "want a matrix"},
		"bools":        {bools(2, true, false), "dtype bool"},
		"rank 3":       {tensor.New(tensor.WithShape(1, 2, 3), tensor.Of(tensor.Float32)), "want a matrix"},
		"masked":       {tensor.New(tensor.WithShape(1, 2), tensor.WithBacking([]float32{1, 2}, []bool{true, false})), "masked"},
		"sparse":       {tensor.CSRFromCoord(tensor.Shape{2, 2}, []int{0}, []int{1}, []float32{1}), "want a *tensor.Dense"},
		"small floats": {tensor.New(tensor.WithShape(1, 2), tensor.Of(tensor.Complex64)), "dtype complex64"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := TensorWeight(c.t, false)
			assert.ErrorContains(t, err, c.want)
		})
	}
}

func TestNeuronsOfErrors(t *testing.T) {
	w := func(d weights.Dtype, outputs, inputs int) Weight {
		return Weight{Matrix: matrix(1, d, outputs, inputs)}
	}
	for name, c := range map[string]struct {
		gate, up, down Weight
		want           string
	}{
		"no up":         {w(weights.F32, 5, 8), Weight{}, w(weights.F32, 8, 5), "up or down has no matrix"},
		"no down":       {w(weights.F32, 5, 8), w(weights.F32, 5, 8), Weight{}, "up or down has no matrix"},
		"down sideways": {Weight{}, w(weights.F32, 5, 8), w(weights.F32, 5, 8), "down a f32 map from 8 to 5"},
		"down dtype":    {Weight{}, w(weights.F32, 5, 8), w(weights.F16, 8, 5), "down a f16 map"},
		"gate shape":    {w(weights.F32, 6, 8), w(weights.F32, 5, 8), w(weights.F32, 8, 5), "gate a f32 map from 8 to 6"},
		"gate dtype":    {w(weights.BF16, 5, 8), w(weights.F32, 5, 8), w(weights.F32, 8, 5), "gate a bf16 map"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := NeuronsOf(c.gate, c.up, c.down)
			assert.ErrorContains(t, err, c.want)
		})
	}
}
