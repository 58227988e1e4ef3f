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

// load reads the configuration and all weights of c. Everything is checked before the first large
// allocation.
func load(c *checkpoint.Checkpoint, o Options) (*Model, error) {
	config, err := readConfig(c)
	if err != nil {
		return nil, err
	}
	if err := o.Width.check(); err != nil {
		return nil, err
	}
	m := &Model{Config: config}
	if m.arch, err = config.architecture(); err != nil {
		return nil, fmt.Errorf("llama: %w", err)
	}
	l := loader{file: c, model: m, width: o.Width, pool: o.Pool}
	if err := l.check(); err != nil {
		return nil, err
	}
	return m, l.load(o.NeuronFile)
}

// loader makes the weights of a model from the tensors of a checkpoint.
type loader struct {
	file  *checkpoint.Checkpoint
	model *Model
	width Width
	pool  *parallel.Pool

	wide *weights.Matrix // scratch: a down projection that was stored quantised, in f32, H×I
}

// check compares the name and the shape of every tensor that will be read with the configuration. A
// bias that would not be read is an error, since leaving it out gives wrong numbers. Other tensors
// are left alone, as transformers does.
func (l *loader) check() error {
	biases := map[string]bool{}
	want := func(name string, shape []int) error {
		t, err := l.file.Tensor(name)
		if err != nil {
			return err
		}
		if !slices.Equal(t.Shape, shape) {
			return fmt.Errorf("llama: %s: tensor %s has shape %v, the configuration wants %v", t.File, name, t.Shape, shape)
		}
		return nil
	}
	err := l.model.tensors(func(i int, t spec) error {
		name := t.name(l.file.Format(), i)
		weight, bias := t.shape()
		if err := want(name+".weight", weight); err != nil || !t.bias {
			return err
		}
		biases[name+".bias"] = true
		return want(name+".bias", bias)
	})
	if err != nil {
		return err
	}
	for _, name := range l.file.Names() {
		if strings.HasSuffix(name, ".bias") && !biases[name] {
			return fmt.Errorf("llama: %s: tensor %.100q is there, but the configuration has no such bias", l.file.Path(), name)
		}
	}
	return nil
}

// load reads everything. The MLPs go to a neuron file if there is a path for one.
func (l *loader) load(neuronFile string) (err error) {
	m := l.model
	m.layers = make([]layer, m.Config.Layers)
	if err := m.tensors(l.read); err != nil {
		return err
	}
	m.finish()
	if neuronFile != "" {
		m.neurons, err = l.openNeurons(neuronFile)
		return err
	}
	for i := range m.layers {
		if m.layers[i].store, err = l.store(i); err != nil {
			return err
		}
		m.layers[i].viewStore()
	}
	return nil
}

// read reads the parts of a tensor, but for those of neuron stores.
func (l *loader) read(i int, t spec) error {
	name := t.name(l.file.Format(), i)
	var bias []float32
	if t.bias {
		var err error
		if bias, err = l.vector(name + ".bias"); err != nil {
			return err
		}
	}
	first := 0
	for _, p := range t.parts {
		var err error
		switch {
		case p.outputs == 0:
			var v []float32
			if v, err = l.vector(name + ".weight"); err == nil {
				p.to.Matrix, err = weights.MatrixOf(1, len(v), v)
			}
		case !l.model.stores(i, p.to):
			p.to.Matrix, err = l.matrix(name+".weight", first, first+p.outputs)
		}
		if err == nil && t.bias {
			n := cmp.Or(p.outputs, t.inputs)
			p.to.Bias, err = weights.MatrixOf(1, n, bias[first:][:n])
		}
		if err != nil {
			return err
		}
		first += p.outputs
	}
	return nil
}

// vector reads a tensor as float32.
func (l *loader) vector(name string) ([]float32, error) {
	t, err := l.file.Tensor(name)
	if err != nil {
		return nil, err
	}
	v := make([]float32, t.Rows()*t.Cols())
	return v, t.Float32(v)
}

// matrix returns rows of a tensor in the width to be kept: a view of the file if they are stored
// so, else a copy.
func (l *loader) matrix(name string, first, end int) (*weights.Matrix, error) {
	t, err := l.file.Tensor(name)
	if err != nil {
		return nil, err
	}
	t = t.Slice(first, end)
	d := l.width.of(t)
	if v, ok := t.View(); ok && v.Dtype() == d {
		return v, nil
	}
	m := weights.NewMatrix(d, t.Rows(), t.Cols())
	defer t.Release()
	return m, t.CopyTo(l.pool, m)
}

// mlp returns the tensors of a layer's MLP; gate has no name in a plain one.
func (l *loader) mlp(i int) (gate, up, down checkpoint.Tensor, err error) {
	var to layer
	into := map[*ops.Weight]*checkpoint.Tensor{&to.gate: &gate, &to.up: &up, &to.down: &down}
	for _, t := range l.model.arch.layer(&l.model.Config, &to) {
		first := 0
		for _, p := range t.parts {
			if to.stores(p.to) {
				stored, err := l.file.Tensor(t.name(l.file.Format(), i) + ".weight")
				if err != nil {
					return gate, up, down, err
				}
				*into[p.to] = stored.Slice(first, first+p.outputs)
			}
			first += p.outputs
		}
	}
	return gate, up, down, nil
}

// store copies the MLP of a layer into a store of its own. Its matrices have one width: f32 where
// theirs differ.
func (l *loader) store(i int) (*weights.Neurons, error) {
	gate, up, down, err := l.mlp(i)
	if err != nil {
		return nil, err
	}
	gated := gate.Name != ""
	d := l.width.of(up)
	if gated && l.width.of(gate) != d || l.width.of(down) != d {
		d = weights.F32
	}
	n, err := weights.AllocateNeurons(d, l.model.Config.IntermediateSize, l.model.Config.HiddenSize, gated)
	if err != nil {
		return nil, err
	}
	defer up.Release()
	defer down.Release()
	if gated {
		defer gate.Release()
		if err := gate.CopyTo(l.pool, n.Gate()); err != nil {
			return nil, err
		}
	}
	if err := up.CopyTo(l.pool, n.Up()); err != nil {
		return nil, err
	}
	return n, l.transpose(n.Down(), down)
}

// transpose copies t, H×I, to m, I×H.
func (l *loader) transpose(m *weights.Matrix, t checkpoint.Tensor) error {
	v, ok := t.View()
	if !ok {
		if l.wide == nil {
			l.wide = weights.NewMatrix(weights.F32, m.Cols(), m.Rows())
		}
		v = l.wide
		if err := t.CopyTo(l.pool, v); err != nil {
			return err
		}
	}
	if err := weights.Transpose(l.pool, m, v); err != nil {
		return fmt.Errorf("llama: %s: tensor %s: %w", t.File, t.Name, err)
	}
	return nil
}
