package llama

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/sparsegonia/sparsegonia/ops"
	"github.com/sparsegonia/sparsegonia/ops/parallel"
	"github.com/sparsegonia/sparsegonia/ops/weights"
	"github.com/sparsegonia/sparsegonia/ops/weights/checkpoint"
)

// load reads the configuration and all weights of c. Everything is checked before the first large allocation.
func load(c *checkpoint.Checkpoint, o Options) (*Model, error) {
	config, names, err := describe(c)
	if err != nil {
		return nil, err
	}
	if o.Dtype != nil {
		if _, err := weights.ParseDtype(o.Dtype.String()); err != nil {
			return nil, fmt.Errorf("llama: dtype of weights: %w", err)
		}
		if o.Dtype.Compute() != weights.F32 {
			return nil, fmt.Errorf("llama: weights of dtype %v do not compute in f32", *o.Dtype)
		}
	}
	l := loader{file: c, names: names, config: &config, dtype: o.Dtype, pool: o.Pool, neuronPath: o.Neurons}
	if err := l.check(); err != nil {
		return nil, err
	}
	return l.model()
}

// names are what a format calls the tensors. Those of a layer have the number of the layer where they have %d, and the
// suffix .weight or .bias.
type names struct {
	embedding, norm, head string

	attentionNorm, q, k, v, o string
	mlpNorm, gate, up, down   string
}

var huggingFaceNames = names{
	embedding: "model.embed_tokens",
	norm:      "model.norm",
	head:      "lm_head",

	attentionNorm: "model.layers.%d.input_layernorm",
	q:             "model.layers.%d.self_attn.q_proj",
	k:             "model.layers.%d.self_attn.k_proj",
	v:             "model.layers.%d.self_attn.v_proj",
	o:             "model.layers.%d.self_attn.o_proj",

	mlpNorm: "model.layers.%d.post_attention_layernorm",
	gate:    "model.layers.%d.mlp.gate_proj",
	up:      "model.layers.%d.mlp.up_proj",
	down:    "model.layers.%d.mlp.down_proj",
}

var ggufNames = names{
	embedding: "token_embd",
	norm:      "output_norm",
	head:      "output",

	attentionNorm: "blk.%d.attn_norm",
	q:             "blk.%d.attn_q",
	k:             "blk.%d.attn_k",
	v:             "blk.%d.attn_v",
	o:             "blk.%d.attn_output",

	mlpNorm: "blk.%d.ffn_norm",
	gate:    "blk.%d.ffn_gate",
	up:      "blk.%d.ffn_up",
	down:    "blk.%d.ffn_down",
}

// loader makes the weights of a model from the tensors of a checkpoint.
type loader struct {
	file   *checkpoint.Checkpoint
	names  names
	config *Config
	dtype  *weights.Dtype // nil: as stored
	pool   *parallel.Pool

	neuronPath string // of the file that MLPs go to; empty: they stay in memory

	wide *weights.Matrix // scratch: a down projection that was stored quantised, in f32, H×I
}

// check compares the name and the shape of every tensor that will be read with the configuration. A bias that would not
// be read is an error, since leaving it out gives wrong numbers; other tensors are left alone, as transformers does.
func (l *loader) check() error {
	c := l.config
	biases := map[string]bool{}
	want := func(name string, shape ...int) error {
		t, err := l.file.Tensor(name)
		if err != nil {
			return err
		}
		if !slices.Equal(t.Shape, shape) {
			return fmt.Errorf("llama: %s: tensor %s has shape %v, the configuration wants %v", t.File, name, t.Shape, shape)
		}
		return nil
	}
	linear := func(name string, outputs, inputs int, bias bool) error {
		if err := want(name+".weight", outputs, inputs); err != nil || !bias {
			return err
		}
		biases[name+".bias"] = true
		return want(name+".bias", outputs)
	}
	if err := linear(l.names.embedding, c.VocabSize, c.HiddenSize, false); err != nil {
		return err
	}
	if err := want(l.names.norm+".weight", c.HiddenSize); err != nil {
		return err
	}
	if !c.TieEmbeddings {
		if err := linear(l.names.head, c.VocabSize, c.HiddenSize, false); err != nil {
			return err
		}
	}
	for i := range c.Layers {
		for _, name := range []string{l.names.attentionNorm, l.names.mlpNorm} {
			if err := want(fmt.Sprintf(name, i)+".weight", c.HiddenSize); err != nil {
				return err
			}
		}
		for _, w := range []struct {
			name            string
			outputs, inputs int
			bias            bool
		}{
			{l.names.q, c.Heads * c.HeadDim, c.HiddenSize, c.AttentionBias},
			{l.names.k, c.KVHeads * c.HeadDim, c.HiddenSize, c.AttentionBias},
			{l.names.v, c.KVHeads * c.HeadDim, c.HiddenSize, c.AttentionBias},
			{l.names.o, c.HiddenSize, c.Heads * c.HeadDim, c.AttentionBias},
			{l.names.gate, c.IntermediateSize, c.HiddenSize, c.MLPBias},
			{l.names.up, c.IntermediateSize, c.HiddenSize, c.MLPBias},
			{l.names.down, c.HiddenSize, c.IntermediateSize, c.MLPBias},
		} {
			if err := linear(fmt.Sprintf(w.name, i), w.outputs, w.inputs, w.bias); err != nil {
				return err
			}
		}
	}
	for _, name := range l.file.Names() {
		if strings.HasSuffix(name, ".bias") && !biases[name] {
			return fmt.Errorf("llama: %s: tensor %.100q is there, but the configuration has no such bias", l.file.Path(), name)
		}
	}
	return nil
}

func (l *loader) model() (*Model, error) {
	m := &Model{Config: *l.config, layers: make([]layer, l.config.Layers)}
	var err error
	if m.embedding, err = l.matrix(l.names.embedding + ".weight"); err != nil {
		return nil, err
	}
	if m.norm, err = l.vector(l.names.norm + ".weight"); err != nil {
		return nil, err
	}
	m.head.Matrix = m.embedding
	if !m.Config.TieEmbeddings {
		if m.head.Matrix, err = l.matrix(l.names.head + ".weight"); err != nil {
			return nil, err
		}
	}
	for i := range m.layers {
		if err := l.layer(&m.layers[i], i); err != nil {
			return nil, err
		}
	}
	if l.neuronPath != "" {
		m.neurons, err = l.openNeurons(l.neuronPath)
	}
	return m, err
}

func (l *loader) layer(to *layer, i int) (err error) {
	name := func(pattern string) string { return fmt.Sprintf(pattern, i) }
	if to.attentionNorm, err = l.vector(name(l.names.attentionNorm) + ".weight"); err != nil {
		return err
	}
	if to.mlpNorm, err = l.vector(name(l.names.mlpNorm) + ".weight"); err != nil {
		return err
	}
	for _, w := range []struct {
		to   *ops.Weight
		name string
	}{{&to.q, l.names.q}, {&to.k, l.names.k}, {&to.v, l.names.v}, {&to.o, l.names.o}} {
		if w.to.Matrix, err = l.matrix(name(w.name) + ".weight"); err != nil {
			return err
		}
		if w.to.Bias, err = l.bias(name(w.name)+".bias", l.config.AttentionBias); err != nil {
			return err
		}
	}
	if l.neuronPath == "" {
		if to.neurons, err = l.neurons(i); err != nil {
			return err
		}
		to.viewNeurons()
	}
	for _, w := range []struct {
		to   *ops.Weight
		name string
	}{{&to.gate, l.names.gate}, {&to.up, l.names.up}, {&to.down, l.names.down}} {
		if w.to.Bias, err = l.bias(name(w.name)+".bias", l.config.MLPBias); err != nil {
			return err
		}
	}
	return nil
}

// viewNeurons makes the linears of the MLP views of its store.
func (l *layer) viewNeurons() {
	l.gate.Matrix = l.neurons.Gate()
	l.up.Matrix = l.neurons.Up()
	l.down.Matrix, l.down.InputMajor = l.neurons.Down(), true
}

// vector reads a tensor as float32.
func (l *loader) vector(name string) ([]float32, error) {
	t, err := l.file.Tensor(name)
	if err != nil {
		return nil, err
	}
	v := make([]float32, size(t.Shape))
	return v, t.Float32(v)
}

func size(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}

// bias reads a bias, or is nil if the configuration has none.
func (l *loader) bias(name string, wanted bool) (*weights.Matrix, error) {
	if !wanted {
		return nil, nil
	}
	v, err := l.vector(name)
	if err != nil {
		return nil, err
	}
	return weights.MatrixOf(1, len(v), v)
}

// matrix is a tensor in the width to be kept: a view of the file if it is stored so, else a copy.
func (l *loader) matrix(name string) (*weights.Matrix, error) {
	t, err := l.file.Tensor(name)
	if err != nil {
		return nil, err
	}
	d := l.width(t)
	if v, ok := view(t); ok && v.Dtype() == d {
		return v, nil
	}
	m := weights.NewMatrix(d, t.Shape[0], t.Shape[1])
	return m, l.fill(m, t)
}

// neurons copies the MLP of a layer into a store of its own. Its three matrices have one width: the wider where they
// differ.
func (l *loader) neurons(layer int) (*weights.Neurons, error) {
	var gate, up, down checkpoint.Tensor
	for name, t := range map[string]*checkpoint.Tensor{l.names.gate: &gate, l.names.up: &up, l.names.down: &down} {
		var err error
		if *t, err = l.file.Tensor(fmt.Sprintf(name, layer) + ".weight"); err != nil {
			return nil, err
		}
	}
	d := l.width(gate)
	if l.width(up) != d || l.width(down) != d {
		d = weights.F32
	}
	n, err := weights.AllocateNeurons(d, l.config.IntermediateSize, l.config.HiddenSize, true)
	if err != nil {
		return nil, err
	}
	if err := l.fill(n.Gate(), gate); err != nil {
		return nil, err
	}
	if err := l.fill(n.Up(), up); err != nil {
		return nil, err
	}
	return n, l.fillTransposed(n.Down(), down)
}

// width is what a matrix stored as t is kept in.
func (l *loader) width(t checkpoint.Tensor) weights.Dtype {
	if l.dtype != nil {
		return *l.dtype
	}
	switch t.Type {
	case checkpoint.F16:
		return weights.F16
	case checkpoint.BF16:
		return weights.BF16
	default:
		return weights.F32
	}
}

// view is t without a copy. Only types that kernels know, at an address that they can read, have one.
func view(t checkpoint.Tensor) (*weights.Matrix, bool) {
	var d weights.Dtype
	switch t.Type {
	case checkpoint.F32:
		d = weights.F32
	case checkpoint.F16:
		d = weights.F16
	case checkpoint.BF16:
		d = weights.BF16
	case checkpoint.F64:
		d = weights.F64
	default:
		return nil, false
	}
	m, err := weights.MatrixView(d, t.Shape[0], t.Shape[1], d.RowBytes(t.Shape[1]), t.Data)
	return m, err == nil
}

// fill copies t to m, which has its shape, and gives back the memory that reading the file took.
func (l *loader) fill(m *weights.Matrix, t checkpoint.Tensor) error {
	defer t.Release()
	if v, ok := view(t); ok {
		return failed(t, weights.Copy(l.pool, m, v))
	}
	if sameBlocks(m, t) {
		rowBytes := len(t.Data) / m.Rows()
		return failed(t, l.eachRow(m, func(i int, _ []float32) error {
			return weights.SetRowBlocks(m, i, t.Data[i*rowBytes:(i+1)*rowBytes])
		}))
	}
	return l.decode(m, t)
}

// sameBlocks tells whether m can take over the quantised blocks of t as they are.
func sameBlocks(m *weights.Matrix, t checkpoint.Tensor) bool {
	switch t.Type {
	case checkpoint.Q8_0:
		return m.Dtype() == weights.Int8G
	case checkpoint.Q4_0:
		return m.Dtype() == weights.Int4
	case checkpoint.Q4_1:
		return m.Dtype() == weights.Int4M
	}
	return false
}

// decode is fill for the types that only the checkpoint can read.
func (l *loader) decode(m *weights.Matrix, t checkpoint.Tensor) error {
	return l.eachRow(m, func(i int, row []float32) error {
		if err := t.Float32Row(row, i); err != nil {
			return err
		}
		weights.SetRow(m, i, row)
		return nil
	})
}

// eachRow calls do for every row of m on the threads of the pool, with room for the numbers of a row.
func (l *loader) eachRow(m *weights.Matrix, do func(i int, row []float32) error) error {
	const block = 32 // rows of one job
	errs := make([]error, (m.Rows()+block-1)/block)
	l.pool.Run(len(errs), func(b int) {
		row := make([]float32, m.Cols())
		for i := b * block; i < min((b+1)*block, m.Rows()) && errs[b] == nil; i++ {
			errs[b] = do(i, row)
		}
	})
	return cmp.Or(errs...)
}

// fillTransposed copies t, H×I, to m, I×H.
func (l *loader) fillTransposed(m *weights.Matrix, t checkpoint.Tensor) error {
	defer t.Release()
	if v, ok := view(t); ok {
		return failed(t, weights.Transpose(l.pool, m, v))
	}
	if l.wide == nil {
		l.wide = weights.NewMatrix(weights.F32, m.Cols(), m.Rows())
	}
	if err := l.decode(l.wide, t); err != nil {
		return err
	}
	return failed(t, weights.Transpose(l.pool, m, l.wide))
}

// failed names the tensor that a kernel refused.
func failed(t checkpoint.Tensor, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("llama: %s: tensor %s: %w", t.File, t.Name, err)
}
