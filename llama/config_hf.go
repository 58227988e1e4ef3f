package llama

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/sparsegonia/sparsegonia/ops/activation"
	"github.com/sparsegonia/sparsegonia/ops/kernel"
	"github.com/sparsegonia/sparsegonia/ops/weights/checkpoint/strictjson"
)

// ParseConfig reads a Hugging Face config.json. Keys that are missing or null have the defaults of
// transformers. name is what errors call the file.
//
// Both spellings of everything that changed over the years are read: rope_theta and rope_scaling at
// the top level or rope_parameters, "type" or "rope_type", one eos_token_id or a list. A model_type
// of an unknown architecture is an ErrUnsupported that names it.
func ParseConfig(name string, data []byte) (Config, error) {
	c, err := parseConfig(data)
	if err != nil {
		return Config{}, fmt.Errorf("llama: %s: %w", name, err)
	}
	return c, nil
}

func parseConfig(data []byte) (Config, error) {
	f, err := parseFields(data)
	if err != nil {
		return Config{}, err
	}
	a, err := findArchitecture("model_type", f.text("model_type", ""), hasType)
	if err := cmp.Or(*f.err, err); err != nil {
		return Config{}, err
	}
	if q, ok := f.object("quantization_config"); ok {
		return Config{}, fmt.Errorf("quantization_config: checkpoints quantised by %.60q are %w", q.text("quant_method", "unknown"), ErrUnsupported)
	}
	c := a.json(f)
	c.Architecture = a.name
	if *f.err != nil {
		return Config{}, *f.err
	}
	return c, c.Validate()
}

// decoder reads what the configurations of all decoders have. missing has the values of keys that
// are not there.
func (f fields) decoder(missing Config) Config {
	c := Config{
		HiddenSize:       f.integer("hidden_size", missing.HiddenSize),
		IntermediateSize: f.integer("intermediate_size", missing.IntermediateSize),
		Layers:           f.integer("num_hidden_layers", missing.Layers),
		Heads:            f.integer("num_attention_heads", missing.Heads),
		VocabSize:        f.integer("vocab_size", missing.VocabSize),
		MaxContext:       f.integer("max_position_embeddings", missing.MaxContext),
		RMSNormEps:       float32(f.number("rms_norm_eps", float64(missing.RMSNormEps))),
		TieEmbeddings:    f.boolean("tie_word_embeddings", missing.TieEmbeddings),
		BOS:              f.id("bos_token_id", missing.BOS),
		EOS:              f.ids("eos_token_id", missing.EOS),
		Activation:       missing.Activation,
	}
	c.KVHeads = f.integer("num_key_value_heads", cmp.Or(missing.KVHeads, c.Heads))
	c.HeadDim = f.integer("head_dim", c.HiddenSize/max(c.Heads, 1))
	if act := f.text("hidden_act", ""); act != "" {
		var err error
		if c.Activation, err = activation.Parse(act); err != nil {
			f.fail("hidden_act", "%.60q is %w", act, ErrUnsupported)
		}
	}
	c.RoPE = parseRoPE(f, c)
	return c
}

// readGeneration takes what ends a text from a generation_config.json, which has the last word in
// transformers: chat models name the end of a turn only there. The rest of that file is a way to
// sample, which is for the caller to choose.
func (c *Config) readGeneration(name string, data []byte) error {
	f, err := parseFields(data)
	if err == nil {
		if !f.Get("eos_token_id").Null() {
			c.EOS = f.ids("eos_token_id", nil)
		}
		err = *f.err
	}
	if err == nil {
		err = c.Validate()
	}
	if err != nil {
		return fmt.Errorf("llama: %s: %w", name, err)
	}
	return nil
}

// parseRoPE reads the rotary embedding, which transformers has written in three ways: rope_theta
// beside a rope_scaling whose kind is "type" (4.31), or "rope_type" (4.43), and everything in
// rope_parameters (5.0).
func parseRoPE(f fields, c Config) kernel.RotaryConfig {
	r := kernel.RotaryConfig{HeadDim: c.HeadDim, Dim: c.HeadDim, MaxContext: c.MaxContext, Scaling: "default", Factor: 1}
	r.Theta = f.number("rope_theta", 10000)

	scaling, ok := f.object("rope_scaling")
	if !ok {
		scaling, ok = f.object("rope_parameters")
	}
	if !ok {
		return r
	}
	r.Theta = scaling.number("rope_theta", r.Theta)
	r.Scaling = scaling.text("rope_type", scaling.text("type", "default"))
	if r.Scaling != "default" {
		if r.Factor = scaling.number("factor", math.NaN()); !positive(r.Factor) {
			scaling.fail("factor", "%v is not a positive number", r.Factor)
		}
	}
	switch r.Scaling {
	case "default", "linear":
	case "dynamic":
		// The base grows with sequences longer than the model's own context, whatever original
		// context is written down.
		r.OriginalContext = c.MaxContext
	case "llama3":
		r.LowFreqFactor = scaling.number("low_freq_factor", math.NaN())
		r.HighFreqFactor = scaling.number("high_freq_factor", math.NaN())
		r.OriginalContext = scaling.integer("original_max_position_embeddings", c.MaxContext)
	default:
		scaling.fail("rope_type", "%.60q is %w (default, linear, dynamic or llama3)", r.Scaling, ErrUnsupported)
	}
	// transformers' Llama ignores a partial rotation without scaling, and fails on one with it.
	if part := scaling.number("partial_rotary_factor", 1); part != 1 && r.Scaling != "default" {
		scaling.fail("partial_rotary_factor", "%v with %s scaling is %w", part, r.Scaling, ErrUnsupported)
	}
	return r
}

// fields read the members of an object with defaults for those that are missing or null. The first
// error stays in err; what follows it reads as its default, so that a caller looks once.
type fields struct {
	strictjson.Object
	err *error
}

func parseFields(data []byte) (fields, error) {
	v, err := strictjson.Parse(data)
	if err != nil {
		return fields{}, err
	}
	o, err := v.Object()
	return fields{o, new(error)}, err
}

// keep records an error unless there is one already.
func (f fields) keep(err error) {
	if *f.err == nil {
		*f.err = err
	}
}

// fail records the error of a field unless there is one already.
func (f fields) fail(key, format string, args ...any) { f.keep(f.Get(key).Errorf(format, args...)) }

// read returns a field, or missing if it is not there, null or not what get reads.
func read[T any](f fields, key string, missing T, get func(strictjson.Value) (T, error)) T {
	v := f.Get(key)
	if v.Null() {
		return missing
	}
	x, err := get(v)
	if err != nil {
		f.keep(err)
		return missing
	}
	return x
}

func (f fields) integer(key string, missing int) int {
	return read(f, key, missing, strictjson.Value.Int)
}

// number reads a finite number. A missing value of NaN means that the field has to be there.
func (f fields) number(key string, missing float64) float64 {
	if math.IsNaN(missing) && f.Get(key).Null() {
		f.fail(key, "is missing")
	}
	return read(f, key, missing, strictjson.Value.Float)
}

func (f fields) boolean(key string, missing bool) bool {
	return read(f, key, missing, strictjson.Value.Bool)
}

func (f fields) text(key, missing string) string {
	return read(f, key, missing, strictjson.Value.Str)
}

// object returns the members of a field; false if it is missing or null.
func (f fields) object(key string) (fields, bool) {
	o := read(f, key, strictjson.Object{}, strictjson.Value.Object)
	return fields{o, f.err}, o.Value != nil
}

// id reads a token id; null is −1, none.
func (f fields) id(key string, missing int32) int32 {
	ids := f.ids(key, []int32{missing})
	if len(ids) == 0 {
		return -1
	}
	return ids[0]
}

// ids reads one token id or a list of them; null is none.
func (f fields) ids(key string, missing []int32) (ids []int32) {
	v := f.Get(key)
	add := func(v strictjson.Value) error {
		id, err := strconv.ParseInt(string(v.Raw()), 10, 32)
		ids = append(ids, int32(id))
		return err
	}
	var err error
	switch {
	case v.Missing():
		return slices.Clone(missing)
	case v.Is('['):
		err = v.Items(add)
	case !v.Null():
		err = add(v)
	}
	if err != nil {
		f.keep(v.Wrong("a token id or a list of them"))
	}
	return ids
}
