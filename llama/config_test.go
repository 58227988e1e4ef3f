package llama_test

import (
	"encoding/json"
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sparsegonia/sparsegonia/llama"
	"github.com/sparsegonia/sparsegonia/ops/activation"
	"github.com/sparsegonia/sparsegonia/ops/kernel"
)

// small are the members of a valid config.json.
func small() map[string]any {
	return map[string]any{
		"model_type": "llama", "hidden_size": 32, "intermediate_size": 56, "num_hidden_layers": 2,
		"num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 128, "max_position_embeddings": 64,
		"rms_norm_eps": 1e-5, "bos_token_id": 0, "eos_token_id": 1,
	}
}

// with is small with some members changed; a nil value deletes one.
func with(t testing.TB, changes map[string]any) []byte {
	t.Helper()
	m := small()
	maps.Copy(m, changes)
	maps.DeleteFunc(m, func(_ string, v any) bool { return v == nil })
	data, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

type object = map[string]any

func TestParseConfig(t *testing.T) {
	base := llama.Config{
		Architecture: "llama",
		HiddenSize:   32, IntermediateSize: 56, Layers: 2, Heads: 4, KVHeads: 2, HeadDim: 8, VocabSize: 128, MaxContext: 64,
		RMSNormEps: 1e-5, Activation: activation.SiLU, BOS: 0, EOS: []int32{1},
		RoPE: kernel.RotaryConfig{HeadDim: 8, Dim: 8, Theta: 10000, Scaling: "default", Factor: 1, MaxContext: 64},
	}
	llama3 := object{
		"factor": 8.0, "low_freq_factor": 1, "high_freq_factor": 4.0, "original_max_position_embeddings": 16,
	}
	type edit func(*llama.Config)
	wantLlama3 := func(theta float64) edit {
		return func(c *llama.Config) {
			c.RoPE.Theta, c.RoPE.Scaling, c.RoPE.Factor, c.RoPE.OriginalContext = theta, "llama3", 8, 16
			c.RoPE.LowFreqFactor, c.RoPE.HighFreqFactor = 1, 4
		}
	}
	wantLinear := func(c *llama.Config) { c.RoPE.Scaling, c.RoPE.Factor = "linear", 2 }
	for name, test := range map[string]struct {
		changes object
		want    edit
	}{
		"plain":                  {nil, func(*llama.Config) {}},
		"the ported system's":    {object{"model_type": "llama-skip"}, func(*llama.Config) {}},
		"unknown keys":           {object{"torch_dtype": "bfloat16", "pretraining_tp": 1, "auto_map": object{}}, func(*llama.Config) {}},
		"kv heads default":       {object{"num_key_value_heads": nil}, func(c *llama.Config) { c.KVHeads = 4 }},
		"eps default":            {object{"rms_norm_eps": nil}, func(c *llama.Config) { c.RMSNormEps = 1e-6 }},
		"ids default":            {object{"bos_token_id": nil, "eos_token_id": nil}, func(c *llama.Config) { c.BOS, c.EOS = 1, []int32{2} }},
		"no ids":                 {object{"bos_token_id": json.RawMessage("null"), "eos_token_id": json.RawMessage("null")}, func(c *llama.Config) { c.BOS, c.EOS = -1, nil }},
		"several end tokens":     {object{"eos_token_id": []int{7, 9}}, func(c *llama.Config) { c.EOS = []int32{7, 9} }},
		"head_dim":               {object{"head_dim": 10}, func(c *llama.Config) { c.HeadDim, c.RoPE.HeadDim, c.RoPE.Dim = 10, 10, 10 }},
		"head_dim null":          {object{"head_dim": json.RawMessage("null")}, func(*llama.Config) {}},
		"flags":                  {object{"tie_word_embeddings": true, "attention_bias": true, "mlp_bias": true}, func(c *llama.Config) { c.TieEmbeddings, c.AttentionBias, c.MLPBias = true, true, true }},
		"relu":                   {object{"hidden_act": "relu"}, func(c *llama.Config) { c.Activation = activation.ReLU }},
		"gelu":                   {object{"hidden_act": "gelu"}, func(c *llama.Config) { c.Activation = activation.GELU }},
		"gelu_pytorch_tanh":      {object{"hidden_act": "gelu_pytorch_tanh"}, func(c *llama.Config) { c.Activation = activation.GELUTanh }},
		"theta":                  {object{"rope_theta": 500000}, func(c *llama.Config) { c.RoPE.Theta = 500000 }},
		"scaling null":           {object{"rope_scaling": json.RawMessage("null")}, func(*llama.Config) {}},
		"linear, type":           {object{"rope_scaling": object{"type": "linear", "factor": 2}}, wantLinear},
		"linear, rope_type":      {object{"rope_scaling": object{"rope_type": "linear", "factor": 2.0}}, wantLinear},
		"linear, parameters":     {object{"rope_parameters": object{"rope_type": "linear", "rope_theta": 1e4, "factor": 2.0}}, wantLinear},
		"theta in parameters":    {object{"rope_parameters": object{"rope_type": "default", "rope_theta": 7.5e5}}, func(c *llama.Config) { c.RoPE.Theta = 7.5e5 }},
		"dynamic":                {object{"rope_scaling": object{"type": "dynamic", "factor": 2}}, func(c *llama.Config) { c.RoPE.Scaling, c.RoPE.Factor, c.RoPE.OriginalContext = "dynamic", 2, 64 }},
		"llama3":                 {object{"rope_theta": 5e5, "rope_scaling": merge(llama3, object{"rope_type": "llama3"})}, wantLlama3(5e5)},
		"llama3, parameters":     {object{"rope_parameters": merge(llama3, object{"rope_type": "llama3", "rope_theta": 5e5})}, wantLlama3(5e5)},
		"llama3, no old context": {object{"rope_scaling": merge(llama3, object{"rope_type": "llama3", "original_max_position_embeddings": nil})}, func(c *llama.Config) { wantLlama3(1e4)(c); c.RoPE.OriginalContext = 64 }},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := llama.ParseConfig("config.json", with(t, test.changes))
			if err != nil {
				t.Fatal(err)
			}
			want := base
			test.want(&want)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func merge(a, b object) object {
	m := maps.Clone(a)
	maps.Copy(m, b)
	maps.DeleteFunc(m, func(_ string, v any) bool { return v == nil })
	return m
}

func TestParseConfigRefuses(t *testing.T) {
	llama3 := object{"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1, "high_freq_factor": 4.0}
	raw := func(s string) json.RawMessage { return json.RawMessage(s) }
	for name, test := range map[string]struct {
		changes object
		want    []string // parts of the error
	}{
		"no model type":             {object{"model_type": nil}, []string{"model_type", "missing"}},
		"another model":             {object{"model_type": "mistral"}, []string{"model_type", "mistral"}},
		"model type a number":       {object{"model_type": 3}, []string{"model_type"}},
		"quantised":                 {object{"quantization_config": object{"quant_method": "gptq"}}, []string{"quantization_config", "gptq"}},
		"string for a number":       {object{"hidden_size": "32"}, []string{"hidden_size", "an integer"}},
		"fraction":                  {object{"hidden_size": 32.5}, []string{"hidden_size", "32.5"}},
		"list for a number":         {object{"num_hidden_layers": []int{2}}, []string{"num_hidden_layers"}},
		"object for a number":       {object{"vocab_size": object{}}, []string{"vocab_size"}},
		"bool for a number":         {object{"vocab_size": true}, []string{"vocab_size"}},
		"zero layers":               {object{"num_hidden_layers": 0}, []string{"num_hidden_layers"}},
		"negative width":            {object{"hidden_size": -32}, []string{"hidden_size"}},
		"2^60 layers":               {object{"num_hidden_layers": 1 << 60}, []string{"num_hidden_layers"}},
		"2^60 neurons":              {object{"intermediate_size": 1 << 60}, []string{"intermediate_size"}},
		"2^60 tokens":               {object{"vocab_size": 1 << 60}, []string{"vocab_size"}},
		"2^60 positions":            {object{"max_position_embeddings": 1 << 60}, []string{"max_position_embeddings"}},
		"2^63 wide":                 {object{"hidden_size": raw("9223372036854775808")}, []string{"hidden_size"}},
		"1e400 wide":                {object{"hidden_size": raw("1e400")}, []string{"hidden_size"}},
		"no heads":                  {object{"num_attention_heads": 0}, []string{"num_attention_heads"}},
		"2^60 heads":                {object{"num_attention_heads": 1 << 60, "num_key_value_heads": 1}, []string{"num_attention_heads"}},
		"kv heads do not divide":    {object{"num_key_value_heads": 3}, []string{"num_key_value_heads 3", "num_attention_heads 4"}},
		"no kv heads":               {object{"num_key_value_heads": 0}, []string{"num_key_value_heads"}},
		"odd head_dim":              {object{"head_dim": 7}, []string{"head_dim"}},
		"negative head_dim":         {object{"head_dim": -8}, []string{"head_dim"}},
		"huge head_dim":             {object{"head_dim": 1 << 22}, []string{"head_dim"}},
		"eps negative":              {object{"rms_norm_eps": -1e-5}, []string{"rms_norm_eps"}},
		"eps infinite in float32":   {object{"rms_norm_eps": 1e300}, []string{"rms_norm_eps"}},
		"eps a string":              {object{"rms_norm_eps": "1e-5"}, []string{"rms_norm_eps"}},
		"tied a string":             {object{"tie_word_embeddings": "yes"}, []string{"tie_word_embeddings"}},
		"bias a number":             {object{"attention_bias": 1}, []string{"attention_bias"}},
		"mlp bias null list":        {object{"mlp_bias": []any{nil}}, []string{"mlp_bias"}},
		"unknown activation":        {object{"hidden_act": "swish9"}, []string{"hidden_act", "swish9"}},
		"activation a number":       {object{"hidden_act": 1}, []string{"hidden_act"}},
		"bos outside":               {object{"bos_token_id": 128}, []string{"bos_token_id 128"}},
		"eos outside":               {object{"eos_token_id": []int{1, 128}}, []string{"eos_token_id 128"}},
		"eos negative":              {object{"eos_token_id": -3}, []string{"eos_token_id"}},
		"eos nested":                {object{"eos_token_id": []any{[]int{1}}}, []string{"eos_token_id"}},
		"eos with null":             {object{"eos_token_id": []any{nil, 1}}, []string{"eos_token_id"}},
		"eos 2^40":                  {object{"eos_token_id": 1 << 40}, []string{"eos_token_id"}},
		"eos a word":                {object{"eos_token_id": "end"}, []string{"eos_token_id"}},
		"theta a list":              {object{"rope_theta": []int{1}}, []string{"rope_theta"}},
		"theta zero":                {object{"rope_theta": 0}, []string{"rope_theta 0"}},
		"theta negative":            {object{"rope_theta": -1e4}, []string{"rope_theta -10000"}},
		"scaling a string":          {object{"rope_scaling": "linear"}, []string{"rope_scaling"}},
		"scaling a list":            {object{"rope_scaling": []int{}}, []string{"rope_scaling"}},
		"scaling nested":            {object{"rope_scaling": object{"rope_type": object{"rope_type": "linear"}}}, []string{"rope_scaling.rope_type"}},
		"yarn":                      {object{"rope_scaling": object{"rope_type": "yarn", "factor": 2}}, []string{"rope_scaling.rope_type", "yarn"}},
		"longrope in parameters":    {object{"rope_parameters": object{"rope_type": "longrope", "factor": 2}}, []string{"rope_parameters.rope_type", "longrope"}},
		"no factor":                 {object{"rope_scaling": object{"type": "linear"}}, []string{"rope_scaling.factor", "missing"}},
		"factor a string":           {object{"rope_scaling": object{"type": "linear", "factor": "2"}}, []string{"rope_scaling.factor"}},
		"factor zero":               {object{"rope_scaling": object{"type": "linear", "factor": 0}}, []string{"rope", "factor"}},
		"factor negative":           {object{"rope_scaling": object{"type": "dynamic", "factor": -4}}, []string{"rope", "factor"}},
		"llama3 without low":        {object{"rope_scaling": merge(llama3, object{"low_freq_factor": nil})}, []string{"rope_scaling.low_freq_factor"}},
		"llama3 without high":       {object{"rope_scaling": merge(llama3, object{"high_freq_factor": nil})}, []string{"rope_scaling.high_freq_factor"}},
		"llama3 equal bands":        {object{"rope_scaling": merge(llama3, object{"low_freq_factor": 4})}, []string{"rope"}},
		"llama3 negative context":   {object{"rope_scaling": merge(llama3, object{"original_max_position_embeddings": -1})}, []string{"rope"}},
		"partial rotation, scaled":  {object{"rope_scaling": merge(llama3, object{"partial_rotary_factor": 0.5})}, []string{"partial_rotary_factor"}},
		"everything wrong: the 1st": {object{"hidden_size": "a", "intermediate_size": "b"}, []string{"hidden_size"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := llama.ParseConfig("dir/config.json", with(t, test.changes))
			wantError(t, err, append(test.want, "dir/config.json")...)
		})
	}
}

func TestParseConfigRefusesText(t *testing.T) {
	for name, test := range map[string]struct {
		text string
		want []string
	}{
		"empty":           {"", []string{"unexpected end"}},
		"not JSON":        {"GGUF", []string{"not JSON"}},
		"a list":          {"[1]", []string{"want an object"}},
		"a long number":   {strings.Repeat("1", 400), []string{"want an object"}},
		"null":            {"null", []string{"want an object"}},
		"truncated":       {`{"model_type": "llama", "eos_token_id": [3`, []string{"eos_token_id", "unexpected end"}},
		"truncated key":   {`{"model_type": "llama", "hidd`, []string{"not JSON"}},
		"no value":        {`{"model_type": "llama", "hidden_size"}`, []string{"hidden_size"}},
		"open":            {`{"model_type": "llama"`, []string{"unexpected end"}},
		"twice":           {`{"model_type": "llama", "hidden_size": 32, "hidden_size": 64}`, []string{"hidden_size", "twice"}},
		"twice inside":    {`{"model_type": "llama", "rope_scaling": {"type": "linear", "type": "dynamic"}}`, []string{"rope_scaling", "type", "twice"}},
		"something after": {`{"model_type": "llama"} {}`, []string{"after"}},
		"NaN":             {`{"model_type": "llama", "rms_norm_eps": NaN}`, []string{"rms_norm_eps"}},
		"Infinity":        {`{"model_type": "llama", "rope_theta": Infinity}`, []string{"rope_theta"}},
		"1e999":           {`{"model_type": "llama", "rope_theta": 1e999}`, []string{"rope_theta"}},
		"deep":            {`{"model_type": "llama", "rope_scaling": ` + strings.Repeat(`{"a":`, 20000), []string{"rope_scaling"}},
		"no UTF-8":        {"{\"model_type\": \"ll\xffama\"}", []string{"model_type"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := llama.ParseConfig("dir/config.json", []byte(test.text))
			wantError(t, err, append(test.want, "dir/config.json")...)
		})
	}
}

// wantError checks that err is one line that has all parts.
func wantError(t testing.TB, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one with %q", parts)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q does not have %q", err, part)
		}
	}
	if len(err.Error()) > 400 || strings.Contains(err.Error(), "\n") {
		t.Errorf("error of %d bytes: %q", len(err.Error()), err)
	}
}
