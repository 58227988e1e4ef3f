package llama

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/sparsegonia/sparsegonia/llama/checkpoint"
	"github.com/sparsegonia/sparsegonia/llama/tokenizer"
)

// OpenTokenizer reads the tokenizer of a Hugging Face directory or a GGUF file, and no weights.
func OpenTokenizer(path string) (*tokenizer.Tokenizer, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("llama: %w", err)
	}
	if !info.IsDir() {
		return openGGUFTokenizer(path)
	}
	return openTokenizerFS(path, os.DirFS(path))
}

// openTokenizerFS reads the tokenizer.json in the root of a file system; path is what errors call the root.
func openTokenizerFS(path string, fsys fs.FS) (*tokenizer.Tokenizer, error) {
	const name = "tokenizer.json"
	data, err := fs.ReadFile(fsys, name)
	if err != nil {
		return nil, fmt.Errorf("llama: %s: %w", path, err)
	}
	if path != "" {
		return tokenizer.Parse(path+string(os.PathSeparator)+name, data)
	}
	return tokenizer.Parse(name, data)
}

func openGGUFTokenizer(path string) (t *tokenizer.Tokenizer, err error) {
	c, err := checkpoint.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	return ggufTokenizer(path, c.Metadata())
}

// ggufTokenizer makes a tokenizer of the vocabulary in the metadata of a GGUF file. What it returns does not need the
// file any more: the strings are copies.
func ggufTokenizer(path string, data *checkpoint.Metadata) (*tokenizer.Tokenizer, error) {
	const prefix = "tokenizer.ggml."
	m := metadata{Metadata: data}
	v := tokenizer.DefaultVocabulary(m.text(prefix+"model", ""), m.text(prefix+"pre", ""))
	for key, to := range map[string]*int32{
		"bos_token_id": &v.BOS, "eos_token_id": &v.EOS, "unknown_token_id": &v.Unknown, "eot_token_id": &v.EOT,
	} {
		*to = int32(m.integer(prefix+key, int(*to)))
	}
	for key, to := range map[string]*bool{
		"add_bos_token": &v.AddBOS, "add_eos_token": &v.AddEOS, "add_space_prefix": &v.AddSpacePrefix,
	} {
		value, ok, err := m.Bool(prefix + key)
		if ok {
			*to = value
		}
		if err != nil {
			m.fail(err)
		}
	}
	var errs [4]error
	var scores []float64
	var types []int64
	v.Tokens, _, errs[0] = m.Strings(prefix + "tokens")
	types, _, errs[1] = m.Ints(prefix + "token_type")
	scores, _, errs[2] = m.Floats(prefix + "scores")
	v.Merges, _, errs[3] = m.Strings(prefix + "merges")
	if err := cmp.Or(append(errs[:], m.err)...); err != nil {
		return nil, fmt.Errorf("llama: %s: %w", path, err)
	}
	for _, kind := range types {
		v.Types = append(v.Types, int32(kind))
	}
	for _, score := range scores {
		v.Scores = append(v.Scores, float32(score))
	}
	return tokenizer.FromGGUF(path, v)
}
