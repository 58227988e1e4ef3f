package main

import (
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sparsegonia/sparsegonia/examples/internal/program"
	"github.com/sparsegonia/sparsegonia/llama"
	"github.com/sparsegonia/sparsegonia/ops/weights"
	"github.com/sparsegonia/sparsegonia/testdata/tinyrelu"
	"github.com/sparsegonia/sparsegonia/testdata/tinysilu"
)

// embedded are the models that need no file.
var embedded = program.Embedded{"tinyrelu": tinyrelu.FS, "tinysilu": tinysilu.FS}

// defaultModel has neurons that are exactly zero: what is left out to begin with changes nothing.
const defaultModel = "tinyrelu"

// configs are shapes that are measured without weights, by the paths that they have in the ported
// system.
//
//go:embed configs/*.json
var configs embed.FS

func configNames() []string {
	names, err := fs.Glob(configs, "configs/*.json")
	if err != nil {
		panic(err) // the pattern is wrong
	}
	return names
}

// source is where the weights come from.
type source struct {
	name   string
	random bool // weights of the shape of a -config

	dtype  weights.Dtype
	config llama.Config // if random
	data   []byte       // of the configuration
	sparse bool         // data says how sparse the layers are
}

// source finds out what -model, -config and -dtype ask for.
func (o *options) source() (*source, error) {
	if o.config != "" {
		return o.randomSource()
	}
	s := &source{name: o.model, dtype: weights.F32}
	if s.name == "" {
		s.name = defaultModel
	}
	if o.dtype != nil {
		s.dtype = *o.dtype
	}
	return s, nil
}

func (o *options) randomSource() (*source, error) {
	data, err := readConfig(o.config)
	if err != nil {
		return nil, fmt.Errorf("-config: %w", err)
	}
	s := &source{name: o.config, random: true}
	if s.config, err = llama.ParseConfig(o.config, data); err != nil {
		return nil, err
	}
	var keys struct {
		Dtype      string    `json:"torch_dtype"`
		Sparsities []float64 `json:"sparsities"`
	}
	if err := json.Unmarshal(data, &keys); err != nil {
		return nil, fmt.Errorf("%s: %w", o.config, err)
	}
	var known bool
	if s.dtype, known = torchDtypes[keys.Dtype]; !known {
		return nil, fmt.Errorf("%s: torch_dtype %q is not float32, float16 or bfloat16", o.config, keys.Dtype)
	}
	if o.dtype != nil {
		s.dtype = *o.dtype
	}
	s.data, s.sparse = data, keys.Sparsities != nil
	return s, nil
}

var torchDtypes = map[string]weights.Dtype{
	"": weights.F32, "float32": weights.F32, "float16": weights.F16, "bfloat16": weights.BF16,
}

// readConfig reads a file or, where there is none, the embedded one of the same path.
func readConfig(name string) ([]byte, error) {
	data, err := os.ReadFile(name)
	if !errors.Is(err, fs.ErrNotExist) {
		return data, err
	}
	if own := path.Clean(filepath.ToSlash(name)); slices.Contains(configNames(), own) {
		return configs.ReadFile(own)
	}
	return nil, fmt.Errorf("%w; without a file there are %s", err, strings.Join(configNames(), ", "))
}

// open makes the model. neurons, if not empty, is the path of a neuron file for its MLPs.
func (s *source) open(b *bench, neurons string) (*llama.Model, error) {
	if s.random {
		return llama.Random(s.config, s.dtype, b.seed, b.cpu.Pool())
	}
	return embedded.Open(s.name, llama.Options{Width: llama.As(s.dtype), NeuronFile: neurons, Pool: b.cpu.Pool()})
}

// weightBytes is the size of all weights in dtype d; that of its MLPs alone if mlps.
func weightBytes(c *llama.Config, d weights.Dtype, mlps bool) int64 {
	matrix := func(rows, cols int) int64 { return int64(rows) * int64(d.RowBytes(cols)) }
	total := int64(c.Layers) * 3 * matrix(c.IntermediateSize, c.HiddenSize)
	if mlps {
		return total
	}
	heads := matrix(c.Heads*c.HeadDim, c.HiddenSize) + 2*matrix(c.KVHeads*c.HeadDim, c.HiddenSize) + matrix(c.HiddenSize, c.Heads*c.HeadDim)
	total += int64(c.Layers) * (heads + 8*int64(c.HiddenSize))
	total += matrix(c.VocabSize, c.HiddenSize) + 4*int64(c.HiddenSize)
	if !c.TieEmbeddings {
		total += matrix(c.VocabSize, c.HiddenSize)
	}
	return total
}

// kvBytes is the size of the keys and values of one sequence.
func kvBytes(c *llama.Config, tokens int) int64 {
	return 2 * int64(c.Layers) * int64(tokens) * int64(c.KVHeads) * int64(weights.F32.RowBytes(c.HeadDim))
}

// checkMemory reports arms that do not fit beside the weights, before any is allocated. needed is
// what all arms take.
func (s *source) checkMemory(arms []string, tokens int) error {
	if !s.random {
		return nil // as large as its file, which is there
	}
	available := availableMemory()
	needed := s.needed(arms, tokens)
	if available == 0 || needed <= available {
		return nil
	}
	return fmt.Errorf("%s: arms %s with %v weights need %s (%d bytes) of memory, %s (%d bytes) are available; -dtype chooses another width",
		s.name, strings.Join(arms, ","), s.dtype, sizeOf(needed), needed, sizeOf(available), available)
}

// needed is how much memory arms take together, with some for what is computed and for the rest of
// the machine.
func (s *source) needed(arms []string, tokens int) int64 {
	c := &s.config
	needed := weightBytes(c, s.dtype, false)
	needed += needed / 16
	for _, name := range arms {
		needed += kvBytes(c, tokens)
		if name == stockArm { // its copies: see package llama
			if s.dtype == weights.F32 {
				needed += weightBytes(c, weights.F32, true)
			} else {
				needed += weightBytes(c, weights.F32, false)
			}
		}
	}
	return needed
}
