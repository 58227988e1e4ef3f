package program_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sparsegonia/sparsegonia/examples/internal/program"
	"github.com/sparsegonia/sparsegonia/llama"
	"github.com/sparsegonia/sparsegonia/testdata/tinysilu"
)

const directory = "../../../testdata/tinysilu"

var models = program.Embedded{"tinysilu": tinysilu.FS}

func TestEmbedded(t *testing.T) {
	for _, name := range []string{"tinysilu", directory} {
		m, err := models.Open(name, llama.Options{})
		if err != nil {
			t.Fatal(err)
		}
		fromModel, err := m.Tokenizer()
		if err != nil {
			t.Fatal(err)
		}
		alone, err := models.Tokenizer(name)
		if err != nil {
			t.Fatal(err)
		}
		if m.Config.Layers != 4 || fromModel.Size() != 4096 || alone.Size() != 4096 {
			t.Errorf("%s: %d layers, vocabularies of %d and %d", name, m.Config.Layers, fromModel.Size(), alone.Size())
		}
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A tokenizer needs no weights.
func TestTokenizerAlone(t *testing.T) {
	dir := t.TempDir()
	data, err := os.ReadFile(filepath.Join(directory, "tokenizer.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "tokenizer.json"), data, 0o666); err != nil {
		t.Fatal(err)
	}
	tok, err := models.Tokenizer(dir)
	if err != nil || tok.Size() != 4096 {
		t.Errorf("%v, %v", tok, err)
	}
	if _, err := models.Open(dir, llama.Options{}); err == nil {
		t.Error("a model without weights was opened")
	}
}

func TestUnknownModel(t *testing.T) {
	for _, name := range []string{"tinygelu", "", "no/such/dir"} {
		_, errModel := models.Open(name, llama.Options{})
		_, errTokenizer := models.Tokenizer(name)
		for _, err := range []error{errModel, errTokenizer} {
			if err == nil || !strings.Contains(err.Error(), "tinysilu") {
				t.Errorf("%q: error %v does not say which models there are", name, err)
			}
		}
	}
}
