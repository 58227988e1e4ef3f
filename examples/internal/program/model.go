package program

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/sparsegonia/sparsegonia/llama"
	"github.com/sparsegonia/sparsegonia/llama/tokenizer"
)

// Embedded are the models that a program carries, by name. A name that is not among them is the
// path of a Hugging Face directory or a GGUF file; ./ in front keeps a path from being taken for a
// name.
type Embedded map[string]fs.FS

// Names lists the models.
func (e Embedded) Names() []string { return slices.Sorted(maps.Keys(e)) }

// Open opens a model by name or path.
func (e Embedded) Open(name string, o llama.Options) (*llama.Model, error) {
	if fsys, ok := e[name]; ok {
		return llama.OpenFS(fsys, o)
	}
	if err := e.checkPath(name); err != nil {
		return nil, err
	}
	return llama.Open(name, o)
}

// Tokenizer opens the tokenizer of a model, whose weights need not be there.
func (e Embedded) Tokenizer(name string) (*tokenizer.Tokenizer, error) {
	if fsys, ok := e[name]; ok {
		const file = "tokenizer.json"
		data, err := fs.ReadFile(fsys, file)
		if err != nil {
			return nil, err
		}
		return tokenizer.Parse(name+"/"+file, data)
	}
	if err := e.checkPath(name); err != nil {
		return nil, err
	}
	return llama.OpenTokenizer(name)
}

// checkPath says of a path where nothing is what else a model may be called.
func (e Embedded) checkPath(path string) error {
	_, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) && len(e) > 0 {
		return fmt.Errorf("model %q is neither a directory, a .gguf file nor %s: %w", path, strings.Join(e.Names(), " or "), fs.ErrNotExist)
	}
	return err
}
