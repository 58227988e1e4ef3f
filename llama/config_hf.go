package llama

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/sparsegonia/sparsegonia/ops/activation"
	"github.com/sparsegonia/sparsegonia/ops/kernel"
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
	if f.err != nil || err != nil {
		return Config{}, cmp.Or(f.err, err)
	}
	if q := f.object("quantization_config"); q != nil {
		return Config{}, fmt.Errorf("quantization_config: checkpoints quantised by %.60q are %w", q.text("quant_method", "unknown"), ErrUnsupported)
	}
	c := a.json(f)
	c.Architecture = a.name
	if f.err != nil {
		return Config{}, f.err
	}
	return c, c.Validate()
}

// decoder reads what the configurations of all decoders have. missing has the values of keys that
// are not there.
func (f *fields) decoder(missing Config) Config {
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

// readGeneration takes what ends a text from a generation_config.json, which has the last word in transformers: chat models
// name the end of a turn only there. The rest of that file is a way to sample, which is for the caller to choose.
func (c *Config) readGeneration(name string, data []byte) error {
	f, err := parseFields(data)
	if err == nil {
		if _, ok := f.get("eos_token_id"); ok {
			c.EOS = f.ids("eos_token_id", nil)
		}
		err = f.err
	}
	if err == nil {
		err = c.Validate()
	}
	if err != nil {
		return fmt.Errorf("llama: %s: %w", name, err)
	}
	return nil
}

// parseRoPE reads the rotary embedding, which transformers has written in three ways: rope_theta beside a rope_scaling
// whose kind is "type" (4.31), or "rope_type" (4.43), and everything in rope_parameters (5.0).
func parseRoPE(f *fields, c Config) kernel.RotaryConfig {
	r := kernel.RotaryConfig{HeadDim: c.HeadDim, Dim: c.HeadDim, MaxContext: c.MaxContext, Scaling: "default", Factor: 1}
	r.Theta = f.number("rope_theta", 10000)

	scaling := f.object("rope_scaling")
	if scaling == nil {
		scaling = f.object("rope_parameters")
	}
	if scaling == nil {
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
		// The base grows with sequences longer than the model's own context, whatever original context is written down.
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

// fields are the members of one JSON object. The first bad one is kept in err, and everything after it reads as its
// default, so that a caller can read all fields and look once.
type fields struct {
	path    string // of the object in its file: "" or "rope_scaling."
	members map[string]json.RawMessage
	err     error
	parent  *fields
}

// parseFields splits a JSON object into its members. No key may be there twice: which one counts would depend on the reader.
func parseFields(data []byte) (*fields, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber() // a number of any length is a token, not an error that repeats it
	if t, err := d.Token(); err != nil {
		return nil, fmt.Errorf("not JSON: %w", unexpectedEnd(err))
	} else if t != json.Delim('{') {
		return nil, fmt.Errorf("not a JSON object but %s", abridged(data))
	}
	f := &fields{members: map[string]json.RawMessage{}}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil, fmt.Errorf("not JSON: %w", unexpectedEnd(err))
		}
		key, _ := t.(string) // the decoder lets nothing but strings be keys
		if _, twice := f.members[key]; twice {
			return nil, fmt.Errorf("%.60q is there twice", key)
		}
		var v json.RawMessage
		if err := d.Decode(&v); err != nil {
			return nil, fmt.Errorf("%.60q: %w", key, unexpectedEnd(err))
		}
		f.members[key] = v
	}
	if _, err := d.Token(); err != nil {
		return nil, fmt.Errorf("not JSON: %w", unexpectedEnd(err))
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is something after the JSON object")
	}
	return f, nil
}

func unexpectedEnd(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// fail records the error of a field unless there is one already.
func (f *fields) fail(key, format string, args ...any) {
	root := f
	for root.parent != nil {
		root = root.parent
	}
	if root.err == nil {
		root.err = fmt.Errorf("%s%s "+format, append([]any{f.path, key}, args...)...)
	}
}

// get is the raw value of a field, false if it is missing or null.
func (f *fields) get(key string) (json.RawMessage, bool) {
	v, ok := f.members[key]
	return v, ok && string(v) != "null"
}

// abridged is a value for an error message: one line, and no longer than that.
func abridged(v json.RawMessage) string {
	const most = 40
	text := string(v[:min(len(v), most)])
	if len(v) > most {
		text = strings.ToValidUTF8(text, "") + "…"
	}
	return strings.Join(strings.Fields(text), " ")
}

func (f *fields) integer(key string, missing int) int {
	v, ok := f.get(key)
	if !ok {
		return missing
	}
	n, err := strconv.Atoi(string(v))
	if err != nil {
		f.fail(key, "%s is not an integer", abridged(v))
		return missing
	}
	return n
}

// number reads a finite number. A missing value of NaN means that the field has to be there.
func (f *fields) number(key string, missing float64) float64 {
	v, ok := f.get(key)
	if !ok {
		if math.IsNaN(missing) {
			f.fail(key, "is missing")
		}
		return missing
	}
	var x float64
	if err := json.Unmarshal(v, &x); err != nil {
		f.fail(key, "%s is not a number", abridged(v))
		return missing
	}
	return x
}

func (f *fields) boolean(key string, missing bool) bool {
	v, ok := f.get(key)
	if !ok {
		return missing
	}
	var b bool
	if err := json.Unmarshal(v, &b); err != nil {
		f.fail(key, "%s is not true or false", abridged(v))
		return missing
	}
	return b
}

func (f *fields) text(key, missing string) string {
	v, ok := f.get(key)
	if !ok {
		return missing
	}
	var s string
	if err := json.Unmarshal(v, &s); err != nil {
		f.fail(key, "%s is not a string", abridged(v))
		return missing
	}
	return s
}

// object is nil if the field is missing.
func (f *fields) object(key string) *fields {
	v, ok := f.get(key)
	if !ok {
		return nil
	}
	o, err := parseFields(v)
	if err != nil {
		f.fail(key, "%s: %v", abridged(v), err)
		return nil
	}
	o.path, o.parent = f.path+key+".", f
	return o
}

// id reads a token id; null is −1, none.
func (f *fields) id(key string, missing int32) int32 {
	ids := f.ids(key, []int32{missing})
	if len(ids) == 0 {
		return -1
	}
	return ids[0]
}

// ids reads one token id or a list of them; null is none.
func (f *fields) ids(key string, missing []int32) []int32 {
	v, ok := f.members[key]
	if !ok {
		return slices.Clone(missing)
	}
	if !bytes.HasPrefix(v, []byte("[")) {
		v = slices.Concat([]byte("["), v, []byte("]"))
	}
	if string(v) == "[null]" {
		return nil
	}
	var numbers []json.Number
	err := json.Unmarshal(v, &numbers)
	ids := make([]int32, len(numbers))
	for i := 0; i < len(ids) && err == nil; i++ {
		var id int64
		id, err = strconv.ParseInt(string(numbers[i]), 10, 32)
		ids[i] = int32(id)
	}
	if err != nil {
		f.fail(key, "%s is not a token id or a list of them", abridged(v))
	}
	return ids
}
