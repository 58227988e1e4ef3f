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
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/sparsegonia/sparsegonia/ops/weights"
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
	for i, p := range want.Parts() {
		for k := range p.Rows() {
			require.Equal(t, p.Row(k), got.Parts()[i].Row(k), "part %s, neuron %d", p.Name, k)
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
					layers[i] = newStoreOf(t, drawShape(t, 50), uint64(i))
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
						requireSameNeurons(t, want.Slice(first, first+count), part)
					}
				}
			})
		})
	}
}

// requireDirect skips a test where the file system cannot read past the page cache.
func requireDirect(t *testing.T, directory string) {
	probe := filepath.Join(directory, "probe")
	require.NoError(t, os.WriteFile(probe, make([]byte, page), 0o600))
	defer os.Remove(probe)
	f, err := openDirect(probe)
	if err != nil {
		t.Skip("no direct reads here: ", err)
	}
	require.NoError(t, f.Close())
}

// allocate and pools make room for count neurons like n, bundled and not.
func allocate(t require.TestingT, n *weights.Neurons, count int) *weights.Neurons {
	shape := n.Shape()
	shape.Intermediate = count
	part, err := shape.Allocate()
	require.NoError(t, err)
	return part
}

func pools(t require.TestingT, n *weights.Neurons, count int) *weights.Neurons {
	part, err := newPools(n, count)
	require.NoError(t, err)
	return part
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
		if version := i >= 8 && i < 12; version {
			require.ErrorIs(t, err, ErrVersion)
			continue
		}
		require.ErrorIs(t, err, ErrCorrupt, "byte %d", i)
	}
	for _, size := range []int{0, 1, fixedBytes, page - 1, page, len(data) - page, len(data) - 1, len(data) + 1, len(data) + page} {
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
		"layers":            {func(h []byte) { put(h, 12, math.MaxUint32) }, "4294967295 layers"},
		"many layers":       {func(h []byte) { put(h, 12, maxLayers) }, "header of"},
		"too many layers":   {func(h []byte) { put(h, 12, 2) }, "layer 1: intermediate 0"},
		"no layers":         {func(h []byte) { put(h, 12, 0) }, "layers end at"},
		"label":             {func(h []byte) { put(h, 16, math.MaxUint32) }, "label of 4294967295"},
		"long label":        {func(h []byte) { put(h, 16, maxLabel) }, "header of"},
		"padding":           {func(h []byte) { h[4000] = 1 }, "padding"},
		"no neurons":        {func(h []byte) { put(h, 24, 0) }, "intermediate 0"},
		"many neurons":      {func(h []byte) { put(h, 24, math.MaxInt32) }, "do not fit"},
		"negative neurons":  {func(h []byte) { put(h, 24, math.MaxUint32) }, "4294967295 neurons"},
		"no parts":          {func(h []byte) { clear(h[28:][:4+4+3*28]) }, "0 parts"},
		"fewer parts":       {func(h []byte) { put(h, 28, 2) }, "what follows the parts is not zero"},
		"more parts":        {func(h []byte) { put(h, 28, 4) }, `unknown dtype ""`},
		"too many parts":    {func(h []byte) { put(h, 28, math.MaxUint32) }, "4294967295 parts"},
		"two parts":         {func(h []byte) { put(h, 28, 2); clear(h[36+2*28:][:28]) }, "checksums have checksum"},
		"table":             {func(h []byte) { h[32]++ }, "checksums have checksum"},
		"no name":           {func(h []byte) { clear(h[36:][:16]) }, `part ""`},
		"name":              {func(h []byte) { h[37] = ' ' }, `part "g te"`},
		"name with a tail":  {func(h []byte) { h[51] = 'x' }, `part "gate\x00`},
		"name twice":        {func(h []byte) { copy(h[36+28:], "gate") }, `part "gate" occurs twice`},
		"another name":      {func(h []byte) { h[36] = 'f' }, ""},
		"dtype":             {func(h []byte) { copy(h[52:], "f33") }, `unknown dtype "f33"`},
		"dtype with a tail": {func(h []byte) { h[59] = 'x' }, "unknown dtype"},
		"wider dtype":       {func(h []byte) { copy(h[52:], "f64") }, "checksums have checksum"},
		"no columns":        {func(h []byte) { put(h, 60, 0) }, `part "gate": 0 columns`},
		"negative columns":  {func(h []byte) { put(h, 60, math.MaxUint32) }, "too few or too many"},
		"many columns":      {func(h []byte) { put(h, 60, 1<<23) }, "do not fit"},
	} {
		t.Run(name, func(t *testing.T) {
			data := image(t, "", store)
			c.change(data[:page])
			put(data, 20, 0)
			put(data, 20, checksum(data[:page]))
			_, err := NewFile(bytes.NewReader(data), int64(len(data)))
			if c.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, ErrCorrupt)
			assert.ErrorContains(t, err, c.want)
		})
	}
}

// Files of other versions are told from damaged ones: whoever can write them anew removes them.
func TestFileOfAnotherVersion(t *testing.T) {
	data := image(t, "", newStore(t, weights.F32, 3, 16, true, 1))
	for _, v := range []uint32{0, 1, 3} {
		put(data, 8, v)
		_, err := NewFile(bytes.NewReader(data), int64(len(data)))
		if !errors.Is(err, ErrVersion) || errors.Is(err, ErrCorrupt) {
			t.Errorf("version %d: %v", v, err)
		}
		if want := fmt.Sprintf("version %d, want 2: delete the file", v); !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("version %d: %v, want %q", v, err, want)
		}
	}
}

func put(b []byte, at int, v uint32) { binary.LittleEndian.PutUint32(b[at:], v) }

func FuzzFileHeader(f *testing.F) {
	for _, layers := range [][]*weights.Neurons{
		nil,
		{newStore(f, weights.F32, 3, 16, true, 1)},
		{newStore(f, weights.Int4, 2, 5, false, 1), newStore(f, weights.Int8, 70, 3, true, 1)},
		{newStoreOf(f, weights.Shape{Intermediate: 5, Parts: []weights.PartShape{{Name: "plane-0", Dtype: weights.Int4, Cols: 64}, {Name: "plane-1", Dtype: weights.F16, Cols: 3}}}, 1)},
	} {
		data := image(f, "label", layers...)
		f.Add(data[:page], int64(len(data)), false)
		f.Add(data[:page], int64(len(data)), true)
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
	require.NoError(t, os.Truncate(path, 2*page))
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
	require.ErrorContains(t, WriteFile(path, "", 1, func(int) (*weights.Neurons, error) { return nil, nil }), "0 parts")
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
					if !bytes.Equal(n.Up().Row(i), store.Up().Row(i)) {
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

var dtypes = []weights.Dtype{
	weights.F32, weights.F64, weights.F16, weights.BF16, weights.Int32, weights.Int64,
	weights.Int8, weights.Int8G, weights.Int4, weights.Int4M,
}

func address(row []byte) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(row))) }
