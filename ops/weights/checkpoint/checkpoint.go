package checkpoint

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
)

// Errors that callers may want to tell from others, with errors.Is.
var (
	// ErrNotFound is in the error for a tensor that the checkpoint does not have.
	ErrNotFound = errors.New("not found")

	// ErrUnsupported is in the errors for tensors of a type, and files of a
	// version or kind, that exist but that this package does not read.
	ErrUnsupported = errors.New("not supported")

	// ErrCorrupt is in the errors for files that are not what their format says.
	ErrCorrupt = errors.New("corrupt")
)

// corrupt makes err an ErrCorrupt, unless it is an ErrUnsupported. The text stays.
func corrupt(err error) error {
	if errors.Is(err, ErrUnsupported) {
		return err
	}
	return corruptError{err}
}

type corruptError struct{ error }

func (e corruptError) Unwrap() error { return e.error }

func (corruptError) Is(target error) bool { return target == ErrCorrupt }

// A Format is how a checkpoint is stored.
type Format uint8

const (
	HuggingFace Format = iota + 1 // a directory with config.json and safetensors
	GGUF                          // one file
)

func (f Format) String() string {
	switch f {
	case HuggingFace:
		return "Hugging Face"
	case GGUF:
		return "GGUF"
	default:
		return fmt.Sprintf("Format(%d)", uint8(f))
	}
}

// A Checkpoint is the open files of a model.
type Checkpoint struct {
	format     Format
	path       string
	config     []byte
	generation []byte
	metadata   *Metadata
	entries    []entry // by name
	files      []*file
	closed     bool
}

// Open opens a Hugging Face directory or a GGUF file.
//
// In a directory, model.safetensors is read if it is there, else
// model.safetensors.index.json and the shards that it names.
func Open(path string) (*Checkpoint, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	if info.IsDir() {
		return openHuggingFace(path, directory(path))
	}
	f, err := mapFile(path)
	if err != nil {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	metadata, entries, err := parseGGUF(f.name, f.data)
	if err != nil {
		return nil, errors.Join(err, f.close())
	}
	for i := range entries {
		entries[i].file = f
	}
	return &Checkpoint{format: GGUF, path: path, metadata: metadata, entries: entries, files: []*file{f}}, nil
}

// OpenFS opens the Hugging Face checkpoint in the root of a file system, such
// as one that is embedded in the program. The weights are read into memory.
func OpenFS(fsys fs.FS) (*Checkpoint, error) {
	return openHuggingFace(".", fileSystem{fsys})
}

// Close gives the mapping back. Data of tensors must not be used afterwards.
func (c *Checkpoint) Close() error {
	if c.closed {
		return nil
	}
	c.closed = true
	var errs []error
	for _, f := range c.files {
		errs = append(errs, f.close())
	}
	return errors.Join(errs...)
}

// Format returns how the checkpoint is stored.
func (c *Checkpoint) Format() Format { return c.format }

// Path returns what Open was given; "." for OpenFS.
func (c *Checkpoint) Path() string { return c.path }

// ConfigJSON returns the text of config.json, nil for GGUF. It is not checked,
// and must not be changed.
func (c *Checkpoint) ConfigJSON() []byte { return c.config }

// GenerationConfigJSON returns the text of generation_config.json, nil if there
// is none and for GGUF. It is not checked, and must not be changed.
func (c *Checkpoint) GenerationConfigJSON() []byte { return c.generation }

// Metadata returns the key/values of a GGUF file, nil for Hugging Face.
func (c *Checkpoint) Metadata() *Metadata { return c.metadata }

// Names returns the names of all tensors, sorted.
func (c *Checkpoint) Names() []string {
	names := make([]string, len(c.entries))
	for i := range c.entries {
		names[i] = c.entries[i].name
	}
	return names
}

// Has reports whether there is a tensor of this name, of whatever type.
func (c *Checkpoint) Has(name string) bool {
	_, ok := c.find(name)
	return ok
}

// Tensor returns a tensor. The error is or wraps ErrNotFound, ErrUnsupported
// (a type that is not a [Type]), or fs.ErrClosed.
func (c *Checkpoint) Tensor(name string) (Tensor, error) {
	e, ok := c.find(name)
	switch {
	case c.closed:
		return Tensor{}, fmt.Errorf("checkpoint: %s: %w", c.path, fs.ErrClosed)
	case !ok:
		return Tensor{}, fmt.Errorf("checkpoint: %s: tensor %s: %w", c.path, quote(name), ErrNotFound)
	case e.stored.kind == 0:
		return Tensor{}, fmt.Errorf("checkpoint: %s: tensor %s: type %s is %w", e.file.name, quote(name), e.stored.name, ErrUnsupported)
	}
	return Tensor{
		Name: e.name, File: e.file.name, Type: e.stored.kind, Shape: slices.Clone(e.shape), Data: e.data,
		mapped: e.file.mapped,
	}, nil
}

func (c *Checkpoint) find(name string) (*entry, bool) {
	i, ok := slices.BinarySearchFunc(c.entries, name, func(e entry, name string) int { return cmp.Compare(e.name, name) })
	if !ok {
		return nil, false
	}
	return &c.entries[i], true
}

// An entry is what a file says about a tensor, checked.
type entry struct {
	name   string
	stored storage
	shape  []int
	begin  uint64 // where data begin in the data section
	bytes  uint64 // and how long they are; 0 if the type does not tell
	data   []byte
	file   *file
}

// byName sorts entries and reports a name that two have. Earlier and later are
// in the order of the argument.
func byName(entries []entry) (earlier, later *entry) {
	slices.SortStableFunc(entries, func(a, b entry) int { return cmp.Compare(a.name, b.name) })
	for i := 1; i < len(entries); i++ {
		if entries[i-1].name == entries[i].name {
			return &entries[i-1], &entries[i]
		}
	}
	return nil, nil
}

// quote returns strconv.Quote for names in messages: a broken file may hold very long ones.
func quote(s string) string {
	const most = 100
	if len(s) > most {
		return fmt.Sprintf("%q… (%d bytes)", s[:most], len(s))
	}
	return fmt.Sprintf("%q", s)
}
