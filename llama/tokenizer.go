package llama

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/sparsegonia/sparsegonia/llama/tokenizer"
	"github.com/sparsegonia/sparsegonia/ops/weights/checkpoint"
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
	return tokenizer.Open(filepath.Join(path, tokenizerName))
}

const tokenizerName = "tokenizer.json"

// openTokenizerFS reads the tokenizer.json in the root of a file system.
func openTokenizerFS(fsys fs.FS) (*tokenizer.Tokenizer, error) {
	data, err := fs.ReadFile(fsys, tokenizerName)
	if err != nil {
		return nil, fmt.Errorf("llama: %w", err)
	}
	return tokenizer.Parse(tokenizerName, data)
}

func openGGUFTokenizer(path string) (t *tokenizer.Tokenizer, err error) {
	c, err := checkpoint.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	return ggufTokenizer(path, c.Metadata())
}

// ggufTokenizer makes a tokenizer of the vocabulary in the metadata of a GGUF file. What it returns
// does not need the file any more: the strings are copies.
func ggufTokenizer(path string, data *checkpoint.Metadata) (*tokenizer.Tokenizer, error) {
	const prefix = "tokenizer.ggml."
	m := metadata{Metadata: data, path: path}
	v := tokenizer.DefaultVocabulary(m.text(prefix+"model", ""), m.text(prefix+"pre", ""))
	for _, id := range []struct {
		key string
		to  *int32
	}{
		{"bos_token_id", &v.BOS}, {"eos_token_id", &v.EOS}, {"unknown_token_id", &v.Unknown}, {"eot_token_id", &v.EOT},
	} {
		*id.to = int32(m.integer(prefix+id.key, int(*id.to)))
	}
	for _, flag := range []struct {
		key string
		to  *bool
	}{
		{"add_bos_token", &v.AddBOS}, {"add_eos_token", &v.AddEOS}, {"add_space_prefix", &v.AddSpacePrefix},
	} {
		*flag.to = m.boolean(prefix+flag.key, *flag.to)
	}
	v.Tokens = m.texts(prefix + "tokens")
	v.Merges = m.texts(prefix + "merges")
	types, _, err := m.Ints(prefix + "token_type")
	m.keep(err)
	scores, _, err := m.Floats(prefix + "scores")
	m.keep(err)
	if types != nil {
		v.Types = make([]int32, len(types))
	}
	for i, kind := range types {
		if v.Types[i] = int32(kind); int64(v.Types[i]) != kind {
			m.fail("%stoken_type: element %d is %d", prefix, i, kind)
		}
	}
	v.Scores = make([]float32, len(scores))
	for i, score := range scores {
		v.Scores[i] = float32(score)
	}
	if m.err != nil {
		return nil, m.err
	}
	return tokenizer.FromGGUF(path, v)
}
