package cache

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"unsafe"

	"github.com/sparsegonia/sparsegonia/ops/weights"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// image is the content of a neuron file.
func image(t require.TestingT, label string, layers ...*weights.Neurons) []byte {
	var b buffer
	require.NoError(t, writeNeurons(&b, label, len(layers), func(i int) (*weights.Neurons, error) { return layers[i], nil }))
	return b.data
}

// buffer is an io.WriteSeeker in memory.
type buffer struct {
	data []byte
	at   int
}

func (b *buffer) Write(p []byte) (int, error) {
	if grow := b.at + len(p) - len(b.data); grow > 0 {
		b.data = append(b.data, make([]byte, grow)...)
	}
	b.at += copy(b.data[b.at:], p)
	return len(p), nil
}

func (b *buffer) Seek(offset int64, _ int) (int64, error) {
	b.at = int(offset)
	return offset, nil
}

func openImage(t require.TestingT, data []byte) *File {
	f, err := NewFile(bytes.NewReader(data), int64(len(data)))
	require.NoError(t, err)
	return f
}

func requireSameNeurons(t require.TestingT, want, got *weights.Neurons) {
	require.Equal(t, want.Shape(), got.Shape())
	for i, m := range want.Matrices() {
		if m == nil {
			continue
		}
		for k := range m.Rows() {
			require.Equal(t, m.Row(k), got.Matrices()[i].Row(k), "matrix %d, neuron %d", i, k)
		}
	}
}

func TestFileRoundTrip(t *testing.T) {
	directory := t.TempDir()
	for name, options := range map[string][]FileOption{"buffered": nil, "direct": {WithDirect()}} {
		t.Run(name, func(t *testing.T) {
			if len(options) > 0 {
				requireDirect(t, directory)
			}
			rapid.Check(t, func(t *rapid.T) {
				layers := make([]*weights.Neurons, rapid.IntRange(0, 3).Draw(t, "layers"))
				for i := range layers {
					d := rapid.SampledFrom(dtypes).Draw(t, "dtype")
					hidden := rapid.IntRange(1, 100).Draw(t, "hidden")
					layers[i] = newStore(t, d, rapid.IntRange(1, 50).Draw(t, "intermediate"), hidden,
						rapid.Bool().Draw(t, "gated"), uint64(i))
				}
				label := rapid.StringN(0, 5000, -1).Draw(t, "label")
				path := filepath.Join(directory, "neurons")
				require.NoError(t, WriteFile(path, label, len(layers), func(i int) (*weights.Neurons, error) { return layers[i], nil }))
				f, err := OpenFile(path, options...)
				require.NoError(t, err)
				defer f.Close()
				require.Equal(t, label, f.Label())
				require.Len(t, f.Shapes(), len(layers))
				require.NoError(t, f.Verify())
				for i, want := range layers {
					require.Equal(t, want.Shape(), f.Shapes()[i])
					got, err := f.Load(i)
					require.NoError(t, err)
					requireSameNeurons(t, want, got)

					first := rapid.IntRange(0, want.Intermediate()-1).Draw(t, "first")
					count := rapid.IntRange(1, want.Intermediate()-first).Draw(t, "count")
					for _, part := range []*weights.Neurons{allocate(t, want, count), pools(t, want, count)} {
						require.NoError(t, f.Read(i, first, part))
						requireSameNeurons(t, slice(want, first, count), part)
					}
				}
			})
		})
	}
}

// requireDirect skips a test where the file system cannot read past the page cache.
func requireDirect(t *testing.T, directory string) {
	probe := filepath.Join(directory, "probe")
	require.NoError(t, os.WriteFile(probe, make([]byte, block), 0o600))
	defer os.Remove(probe)
	f, err := openDirect(probe)
	if err != nil {
		t.Skip("no direct reads here: ", err)
	}
	require.NoError(t, f.Close())
}

// allocate and pools make room for count neurons like n, bundled and not.
func allocate(t require.TestingT, n *weights.Neurons, count int) *weights.Neurons {
	part, err := weights.AllocateNeurons(n.Dtype(), count, n.Hidden(), n.Gated())
	require.NoError(t, err)
	return part
}

func pools(t require.TestingT, n *weights.Neurons, count int) *weights.Neurons {
	part, err := newPools(n, count)
	require.NoError(t, err)
	return part
}

func slice(n *weights.Neurons, first, count int) *weights.Neurons {
	var part weights.Neurons
	for i, to := range []**weights.Matrix{&part.Gate, &part.Up, &part.Down} {
		if m := n.Matrices()[i]; m != nil {
			*to = m.Slice(first, first+count)
		}
	}
	return &part
}

// Every byte that was changed is noticed when the file is opened or when it is verified, but for the zeros between layers.
func TestFileNoticesEveryChange(t *testing.T) {
	store := newStore(t, weights.Int4M, 3, 33, true, 1)
	data := image(t, "made of this", store, store)
	f := openImage(t, data)
	padding := map[int]bool{}
	for _, l := range f.header.layers {
		for i := l.tableOffset() + int64(l.Intermediate)*checksumSize; i < l.end(); i++ {
			padding[int(i)] = true
		}
	}
	for i := range data {
		changed := bytes.Clone(data)
		changed[i] ^= 0x10
		f, err := NewFile(bytes.NewReader(changed), int64(len(changed)))
		if err == nil {
			err = f.Verify()
		}
		if padding[i] {
			require.NoError(t, err)
			continue
		}
		require.ErrorIs(t, err, ErrCorrupt, "byte %d", i)
	}
	for _, size := range []int{0, 1, fixedBytes, block - 1, block, len(data) - block, len(data) - 1, len(data) + 1, len(data) + block} {
		longer := make([]byte, size)
		copy(longer, data)
		_, err := NewFile(bytes.NewReader(longer), int64(size))
		require.ErrorIs(t, err, ErrCorrupt, "%d bytes", size)
	}
}

// Headers that lie, with the right checksum.
func TestFileHostileHeaders(t *testing.T) {
	store := newStore(t, weights.F32, 3, 16, true, 1)
	for name, c := range map[string]struct {
		change func(header []byte)
		want   string
	}{
		"magic":             {func(h []byte) { h[0] = 'S' }, "begins with"},
		"version":           {func(h []byte) { h[8] = 2 }, "version 2"},
		"layers":            {func(h []byte) { put(h, 12, math.MaxUint32) }, "4294967295 layers"},
		"many layers":       {func(h []byte) { put(h, 12, maxLayers) }, "header of"},
		"too many layers":   {func(h []byte) { put(h, 12, 2) }, "layer 1: weights: unknown dtype"},
		"no layers":         {func(h []byte) { put(h, 12, 0) }, "layers end at"},
		"label":             {func(h []byte) { put(h, 16, math.MaxUint32) }, "label of 4294967295"},
		"long label":        {func(h []byte) { put(h, 16, maxLabel) }, "header of"},
		"padding":           {func(h []byte) { h[4000] = 1 }, "padding"},
		"dtype":             {func(h []byte) { copy(h[24:], "f33") }, `unknown dtype "f33"`},
		"dtype with a tail": {func(h []byte) { h[31] = 'x' }, "unknown dtype"},
		"wider dtype":       {func(h []byte) { copy(h[24:], "f64") }, "checksums have checksum"},
		"no neurons":        {func(h []byte) { put(h, 32, 0) }, "intermediate 0"},
		"many neurons":      {func(h []byte) { put(h, 32, math.MaxInt32) }, "do not fit"},
		"negative neurons":  {func(h []byte) { put(h, 32, math.MaxUint32) }, "4294967295 neurons"},
		"no hidden":         {func(h []byte) { put(h, 36, 0) }, "hidden 0"},
		"huge hidden":       {func(h []byte) { put(h, 36, math.MaxInt32) }, "too large"},
		"large hidden":      {func(h []byte) { put(h, 36, 1<<23) }, "do not fit"},
		"gated twice":       {func(h []byte) { put(h, 40, 2) }, "gated 2"},
		"plain":             {func(h []byte) { put(h, 40, 0) }, "checksums have checksum"},
		"table":             {func(h []byte) { h[44]++ }, "checksums have checksum"},
	} {
		t.Run(name, func(t *testing.T) {
			data := image(t, "", store)
			c.change(data[:block])
			put(data, 20, 0)
			put(data, 20, checksum(data[:block]))
			_, err := NewFile(bytes.NewReader(data), int64(len(data)))
			require.ErrorIs(t, err, ErrCorrupt)
			assert.ErrorContains(t, err, c.want)
		})
	}
}

func put(b []byte, at int, v uint32) { binary.LittleEndian.PutUint32(b[at:], v) }

func FuzzFileHeader(f *testing.F) {
	for _, layers := range [][]*weights.Neurons{
		nil,
		{newStore(f, weights.F32, 3, 16, true, 1)},
		{newStore(f, weights.Int4, 2, 5, false, 1), newStore(f, weights.Int8, 70, 3, true, 1)},
	} {
		data := image(f, "label", layers...)
		f.Add(data[:block], int64(len(data)), false)
		f.Add(data[:block], int64(len(data)), true)
	}
	f.Fuzz(func(t *testing.T, start []byte, size int64, fix bool) {
		data := bytes.Clone(start)
		if fix && len(data) >= fixedBytes {
			if n, err := headerLength(data); err == nil && n <= 1<<16 {
				data = append(data, make([]byte, max(0, int(n)-len(data)))...)
				put(data, 20, 0)
				put(data, 20, checksum(data[:n]))
			}
		}
		size &= 1<<24 - 1
		file, err := NewFile(zeroes{data}, size)
		if err != nil {
			return
		}
		// What opens is what its header says, byte for byte.
		again := make([]byte, headerBytes(len(file.header.layers), len(file.header.label)))
		file.header.encode(again)
		read := make([]byte, len(again))
		_, _ = zeroes{data}.ReadAt(read, 0)
		require.Equal(t, read, again)
		for i := range file.Shapes() {
			_, _ = file.Load(i)
		}
		_ = file.Verify()
	})
}

// zeroes reads zeros after the data.
type zeroes struct{ data []byte }

func (z zeroes) ReadAt(b []byte, offset int64) (int, error) {
	clear(b)
	if offset < int64(len(z.data)) {
		copy(b, z.data[offset:])
	}
	return len(b), nil
}

// faults is a file on a bad disk.
type faults struct {
	data  []byte
	fault atomic.Pointer[func(b []byte, offset int64) (n int, err error, happened bool)]
}

func (f *faults) ReadAt(b []byte, offset int64) (int, error) {
	n, err := bytes.NewReader(f.data).ReadAt(b, offset)
	if fault := f.fault.Load(); fault != nil {
		if n, err, happened := (*fault)(b, offset); happened {
			return n, err
		}
	}
	return n, err
}

var errDisk = errors.New("input/output error")

// diskFaults are what may happen to any read.
var diskFaults = map[string]struct {
	fault func(b []byte, offset int64) (int, error, bool)
	want  error
}{
	"short":   {func(b []byte, _ int64) (int, error, bool) { return len(b) / 2, nil, true }, ErrCorrupt},
	"cut off": {func([]byte, int64) (int, error, bool) { return 0, io.EOF, true }, ErrCorrupt},
	"EIO":     {func([]byte, int64) (int, error, bool) { return 0, errDisk, true }, errDisk},
	"changed": {func(b []byte, _ int64) (int, error, bool) { b[len(b)/2] ^= 1; return len(b), nil, true }, ErrCorrupt},
	"another neuron": {func(b []byte, _ int64) (int, error, bool) {
		clear(b)
		return len(b), nil, true
	}, ErrCorrupt},
}

func TestFileFaults(t *testing.T) {
	store := newStore(t, weights.F16, 20, 40, true, 1)
	disk := &faults{data: image(t, "", store)}
	f, err := NewFile(disk, int64(len(disk.data)))
	require.NoError(t, err)
	for name, c := range diskFaults {
		t.Run(name, func(t *testing.T) {
			disk.fault.Store(&c.fault)
			_, err := NewFile(disk, int64(len(disk.data)))
			require.ErrorIs(t, err, c.want)
			n := allocate(t, store, 5)
			require.ErrorIs(t, f.Read(0, 3, n), c.want)
			require.ErrorIs(t, f.Read(0, 3, pools(t, store, 5)), c.want)
			_, err = f.Load(0)
			require.ErrorIs(t, err, c.want)
			require.ErrorIs(t, f.Verify(), c.want)
			disk.fault.Store(nil)
			require.NoError(t, f.Read(0, 3, n))
			require.NoError(t, f.Verify())
		})
	}
}

// A neuron that lies where another should is not taken for it.
func TestFileSwappedNeurons(t *testing.T) {
	store := newStore(t, weights.F32, 4, 16, true, 1)
	data := image(t, "", store)
	f := openImage(t, data)
	l := f.header.layers[0]
	a := bytes.Clone(data[l.offset:][:l.Bundle()])
	b := data[int(l.offset)+l.Bundle():][:l.Bundle()]
	copy(data[l.offset:], b)
	copy(b, a)
	require.ErrorIs(t, f.Verify(), ErrCorrupt)
}

func TestFileReadErrors(t *testing.T) {
	store := newStore(t, weights.F32, 4, 16, true, 1)
	f := openImage(t, image(t, "", store))
	n := allocate(t, store, 2)
	plain, err := weights.AllocateNeurons(weights.F32, 2, 16, false)
	require.NoError(t, err)
	assert.ErrorContains(t, f.Read(1, 0, n), "layer 1, the file has 1")
	assert.ErrorContains(t, f.Read(-1, 0, n), "layer -1")
	assert.ErrorContains(t, f.Read(0, -1, n), "asked for -1 to 0")
	assert.ErrorContains(t, f.Read(0, 3, n), "asked for 3 to 4")
	assert.ErrorContains(t, f.Read(0, 0, plain), "the neurons to fill")
	_, err = f.Load(1)
	assert.ErrorContains(t, err, "layer 1")
}

// A file that is cut off while it is open gives errors, and so does one that has been closed.
func TestFileTruncatedWhileOpen(t *testing.T) {
	store := newStore(t, weights.F32, 100, 64, true, 1)
	path := filepath.Join(t.TempDir(), "neurons")
	one := func(int) (*weights.Neurons, error) { return store, nil }
	require.NoError(t, WriteFile(path, "", 1, one))
	f, err := OpenFile(path)
	require.NoError(t, err)
	require.NoError(t, os.Truncate(path, 2*block))
	require.ErrorIs(t, f.Verify(), ErrCorrupt)
	_, err = f.Load(0)
	require.ErrorIs(t, err, ErrCorrupt)
	_, err = OpenFile(path)
	require.ErrorIs(t, err, ErrCorrupt)

	require.NoError(t, WriteFile(path, "", 1, one), "another file takes the name")
	require.ErrorIs(t, f.Verify(), ErrCorrupt, "the open one is still cut off")
	require.NoError(t, f.Close())
	require.ErrorIs(t, f.Verify(), os.ErrClosed)
	require.ErrorIs(t, f.Close(), os.ErrClosed)
}

func TestOpenFileErrors(t *testing.T) {
	directory := t.TempDir()
	_, err := OpenFile(filepath.Join(directory, "none"))
	assert.ErrorIs(t, err, fs.ErrNotExist)
	_, err = OpenFile(directory)
	assert.ErrorContains(t, err, "not a regular file")
}

// What fails leaves neither a file nor a part of one, and an old file as it was.
func TestWriteFileIsAtomic(t *testing.T) {
	directory := t.TempDir()
	path := filepath.Join(directory, "neurons")
	store := newStore(t, weights.F32, 4, 16, true, 1)
	old := func(int) (*weights.Neurons, error) { return store, nil }
	require.NoError(t, WriteFile(path, "old", 1, old))

	broken := errors.New("broken checkpoint")
	require.ErrorIs(t, WriteFile(path, "new", 2, func(i int) (*weights.Neurons, error) {
		if i == 1 {
			return nil, broken
		}
		return store, nil
	}), broken)
	require.ErrorContains(t, WriteFile(path, "", 1, func(int) (*weights.Neurons, error) { return nil, nil }), "no neurons")
	require.ErrorContains(t, WriteFile(path, "", -1, old), "-1 layers")
	require.ErrorContains(t, WriteFile(path, string(make([]byte, maxLabel+1)), 1, old), "label of 65537")
	require.ErrorIs(t, WriteFile(filepath.Join(directory, "none", "neurons"), "", 1, old), fs.ErrNotExist)

	entries, err := os.ReadDir(directory)
	require.NoError(t, err)
	require.Len(t, entries, 1)
	f, err := OpenFile(path)
	require.NoError(t, err)
	defer f.Close()
	assert.Equal(t, "old", f.Label())

	require.NoError(t, WriteFile(path, "new", 1, old))
	assert.Equal(t, "old", f.Label(), "an open file stays what it was")
	require.NoError(t, f.Verify())
	g, err := OpenFile(path)
	require.NoError(t, err)
	defer g.Close()
	assert.Equal(t, "new", g.Label())
}

func TestFileConcurrentReads(t *testing.T) {
	store := newStore(t, weights.F32, 200, 64, true, 1)
	path := filepath.Join(t.TempDir(), "neurons")
	require.NoError(t, WriteFile(path, "", 1, func(int) (*weights.Neurons, error) { return store, nil }))
	for _, options := range [][]FileOption{nil, {WithDirect()}} {
		if len(options) > 0 {
			requireDirect(t, filepath.Dir(path))
		}
		f, err := OpenFile(path, options...)
		require.NoError(t, err)
		defer f.Close()
		var group sync.WaitGroup
		errs := make(chan error, 8)
		for g := range cap(errs) {
			group.Go(func() {
				n, err := f.Load(0)
				for i := 0; err == nil && i < n.Intermediate(); i++ {
					if !bytes.Equal(n.Up.Row(i), store.Up.Row(i)) {
						err = fmt.Errorf("reader %d: neuron %d differs", g, i)
					}
				}
				errs <- err
			})
		}
		group.Wait()
		close(errs)
		for err := range errs {
			require.NoError(t, err)
		}
	}
}

func TestFilesHoldNoNeuronsOfOtherOutputs(t *testing.T) {
	n, err := weights.NewNeurons(nil, weights.NewMatrix(weights.F32, 3, 2), weights.NewMatrix(weights.F32, 3, 5))
	require.NoError(t, err)
	name := filepath.Join(t.TempDir(), "neurons")
	err = WriteFile(name, "", 1, func(int) (*weights.Neurons, error) { return n, nil })
	assert.ErrorContains(t, err, "take 2 numbers and give 5")
}

var dtypes = []weights.Dtype{
	weights.F32, weights.F64, weights.F16, weights.BF16, weights.Int32, weights.Int64,
	weights.Int8, weights.Int8G, weights.Int4, weights.Int4M,
}

func address(row []byte) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(row))) }
