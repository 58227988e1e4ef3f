package cache

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// A File is an open neuron file: the neurons of the layers of a model. All that is read is checked
// against its checksum. Any number of goroutines may use a File at the same time.
type File struct {
	name   string
	r      io.ReaderAt
	header *header
	close  func() error // nil: there is nothing to close
}

// FileOption changes how OpenFile opens.
type FileOption func(*fileOptions)

type fileOptions struct{ direct bool }

// WithDirect reads past the page cache (O_DIRECT), so that the content of the file does not take
// memory twice. OpenFile returns an error where the system or the file system has no such reads.
func WithDirect() FileOption { return func(o *fileOptions) { o.direct = true } }

// OpenFile opens a neuron file and checks its header and its size.
func OpenFile(path string, opts ...FileOption) (*File, error) {
	var o fileOptions
	for i, opt := range opts {
		if opt == nil {
			return nil, fmt.Errorf("cache: open neuron file: option %d is nil", i)
		}
		opt(&o)
	}
	f, err := openFile(path, o)
	if err != nil {
		return nil, fmt.Errorf("cache: open neuron file: %w", err)
	}
	return f, nil
}

func openFile(path string, o fileOptions) (*File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() { // a pipe would block
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	open := os.Open
	if o.direct {
		open = openDirect
	}
	osFile, err := open(path)
	if err != nil {
		return nil, err
	}
	r := io.ReaderAt(osFile)
	if o.direct {
		r = directReader{osFile}
	}
	f, err := newFile(path, r, info.Size())
	if err != nil {
		_ = osFile.Close()
		return nil, err
	}
	f.close = osFile.Close
	return f, nil
}

// NewFile returns a neuron file of size bytes that r reads. r must allow concurrent calls.
func NewFile(r io.ReaderAt, size int64) (*File, error) {
	f, err := newFile("reader", r, size)
	if err != nil {
		return nil, fmt.Errorf("cache: neuron file: %w", err)
	}
	return f, nil
}

func newFile(name string, r io.ReaderAt, size int64) (*File, error) {
	if r == nil {
		return nil, errNoFile
	}
	f := &File{name: name, r: r}
	corrupt := func(err error) (*File, error) { return nil, fmt.Errorf("%s: %w: %w", name, ErrCorrupt, err) }
	if size < page {
		return corrupt(fmt.Errorf("%d bytes are too few", size))
	}
	fixed := make([]byte, fixedBytes)
	if err := f.readAt(fixed, 0); err != nil {
		return nil, err
	}
	length, err := headerLength(fixed)
	if errors.Is(err, ErrVersion) {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if err != nil {
		return corrupt(err)
	}
	if length > size {
		return corrupt(fmt.Errorf("a header of %d bytes in a file of %d", length, size))
	}
	b := make([]byte, length)
	if err := f.readAt(b, 0); err != nil {
		return nil, err
	}
	if f.header, err = decode(b, size); err != nil {
		return corrupt(err)
	}
	for i := range f.header.layers {
		l := &f.header.layers[i]
		table := make([]byte, l.Intermediate*checksumSize)
		if err := f.readAt(table, l.tableOffset()); err != nil {
			return nil, err
		}
		if got := checksum(table); got != l.tableCRC {
			return corrupt(fmt.Errorf("layer %d: the checksums have checksum %08x, want %08x", i, got, l.tableCRC))
		}
		l.checksums = make([]uint32, l.Intermediate)
		for k := range l.checksums {
			l.checksums[k] = binary.LittleEndian.Uint32(table[k*checksumSize:])
		}
	}
	return f, nil
}

// readAt fills b from offset on. A file that has become shorter is corrupt.
func (f *File) readAt(b []byte, offset int64) error {
	n, err := f.r.ReadAt(b, offset)
	switch {
	case n == len(b):
		return nil
	case err == nil || errors.Is(err, io.EOF):
		return fmt.Errorf("%s: %w: it ends at %d, want %d bytes at %d", f.name, ErrCorrupt, offset+int64(n), len(b), offset)
	default:
		return fmt.Errorf("%s: %d bytes at %d: %w", f.name, len(b), offset, err)
	}
}

// Label returns the label that WriteFile was given.
func (f *File) Label() string {
	if f.open() != nil {
		return ""
	}
	return f.header.label
}

// Shapes returns the shape of each layer.
func (f *File) Shapes() []weights.Shape {
	if f.open() != nil {
		return nil
	}
	shapes := make([]weights.Shape, len(f.header.layers))
	for i, l := range f.header.layers {
		shapes[i] = l.Shape
	}
	return shapes
}

var errNoFile = errors.New("there is no file")

// open returns an error of a File that nothing has opened: nil or zero.
func (f *File) open() error {
	if f == nil || f.header == nil {
		return errNoFile
	}
	return nil
}

// layer returns layer i.
func (f *File) layer(i int) (*layer, error) {
	if err := f.open(); err != nil {
		return nil, err
	}
	if i < 0 || i >= len(f.header.layers) {
		return nil, fmt.Errorf("%s: layer %d, the file has %d", f.name, i, len(f.header.layers))
	}
	return &f.header.layers[i], nil
}

// Read fills n with neurons of a layer, from number first on. It is fastest if n is from
// weights.Shape.Allocate. After an error the content of n is undefined.
func (f *File) Read(layer, first int, n *weights.Neurons) error {
	l, err := f.layer(layer)
	if err != nil {
		return fmt.Errorf("cache: read: %w", err)
	}
	want := l.Shape
	want.Intermediate = n.Intermediate()
	if got := n.Shape(); !got.Equal(want) {
		return fmt.Errorf("cache: read: %s: layer %d is %+v, the neurons to fill are %+v", f.name, layer, l.Shape, got)
	}
	if first < 0 || first > l.Intermediate-n.Intermediate() {
		return fmt.Errorf("cache: read: %s: layer %d has %d neurons, asked for %d to %d",
			f.name, layer, l.Intermediate, first, first+n.Intermediate()-1)
	}
	if err := f.read(l, layer, first, n); err != nil {
		return fmt.Errorf("cache: read: %w", err)
	}
	return nil
}

func (f *File) read(l *layer, number, first int, n *weights.Neurons) error {
	if n.Bundles != nil {
		return f.readBundles(number, first, n.Bundles[:n.Intermediate()*l.Bundle()])
	}
	bundle := make([]byte, l.Bundle())
	for i := range n.Intermediate() {
		if err := f.readBundles(number, first+i, bundle); err != nil {
			return err
		}
		from := bundle
		for k, p := range n.Parts() {
			copy(p.Row(i), from)
			from = from[l.Parts[k].Stride():]
		}
	}
	return nil
}

// readBundles fills b with consecutive bundles of layer number and checks them.
func (f *File) readBundles(number, first int, b []byte) error {
	l := &f.header.layers[number]
	size := l.Bundle()
	if err := f.readAt(b, l.offset+int64(first)*int64(size)); err != nil {
		return fmt.Errorf("layer %d, neuron %d: %w", number, first, err)
	}
	for i := first; len(b) >= size; i, b = i+1, b[size:] {
		if got := checksum(b[:size]); got != l.checksums[i] {
			return fmt.Errorf("%s: %w: layer %d, neuron %d has checksum %08x, want %08x",
				f.name, ErrCorrupt, number, i, got, l.checksums[i])
		}
	}
	return nil
}

// Load returns all neurons of a layer in memory.
func (f *File) Load(layer int) (*weights.Neurons, error) {
	l, err := f.layer(layer)
	if err != nil {
		return nil, fmt.Errorf("cache: load: %w", err)
	}
	n, err := l.Allocate()
	if err != nil {
		return nil, fmt.Errorf("cache: load: %s: layer %d: %w", f.name, layer, err)
	}
	return n, f.Read(layer, 0, n)
}

// Verify reads the whole file and checks every neuron.
func (f *File) Verify() error {
	if err := f.open(); err != nil {
		return fmt.Errorf("cache: verify: %w", err)
	}
	for i := range f.header.layers {
		l := &f.header.layers[i]
		const least = 1 << 20
		step := min(max(least/l.Bundle(), 1), l.Intermediate)
		b := make([]byte, step*l.Bundle())
		for first := 0; first < l.Intermediate; first += step {
			n := min(step, l.Intermediate-first)
			if err := f.readBundles(i, first, b[:n*l.Bundle()]); err != nil {
				return fmt.Errorf("cache: verify: %w", err)
			}
		}
	}
	return nil
}

// Close closes the file. Later reads are errors.
func (f *File) Close() error {
	err := f.open()
	if err == nil && f.close != nil {
		err = f.close()
	}
	if err != nil {
		return fmt.Errorf("cache: close neuron file: %w", err)
	}
	return nil
}
