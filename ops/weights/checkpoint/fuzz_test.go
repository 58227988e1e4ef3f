package checkpoint

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// The readers must not panic, whatever they read, must name the file in every error, and must not allocate more than a
// small multiple of what they read.

// bounded calls read and checks what it returned and allocated for size bytes.
func bounded(t *testing.T, size int, name string, read func() error) error {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	err := read()
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > uint64(16*size)+1<<20 {
		t.Errorf("%d bytes allocated for %d", got, size)
	}
	if err != nil && (!strings.HasPrefix(err.Error(), "checkpoint: ") || !strings.Contains(err.Error(), name) ||
		strings.Contains(err.Error(), "\n") || len(err.Error()) > 600) {
		t.Errorf("error %q", err)
	}
	return err
}

// checkEntries reads all tensors of a file that was taken.
func checkEntries(t *testing.T, entries []entry) {
	t.Helper()
	c := &Checkpoint{entries: entries}
	for i := range entries {
		entries[i].file = &file{name: "x"}
		if i > 0 && entries[i-1].name >= entries[i].name {
			t.Fatalf("%q and %q are not in order", entries[i-1].name, entries[i].name)
		}
		x, err := c.Tensor(entries[i].name)
		if err != nil {
			if !errors.Is(err, ErrUnsupported) {
				t.Fatal(err)
			}
			continue
		}
		if x.Rows()*x.Cols() > 1<<20 {
			continue
		}
		v := make([]float32, x.Rows()*x.Cols())
		if err := x.Float32(v); err != nil {
			t.Fatalf("%v of shape %v in %d bytes: %v", x.Type, x.Shape, len(x.Data), err)
		}
		if x.Rows() > 0 {
			row := make([]float32, x.Cols())
			if err := x.Float32Row(row, x.Rows()-1); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func seedFile(f *testing.F, path string) []byte {
	f.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	return data
}

// safetensorsOf is a file of this header and so many bytes of data.
func safetensorsOf(header string, data int) []byte {
	return slices.Concat(binary.LittleEndian.AppendUint64(nil, uint64(len(header))), []byte(header), make([]byte, data))
}

func FuzzSafetensors(f *testing.F) {
	f.Add(seedFile(f, "testdata/types.safetensors"))
	for _, header := range []string{
		`{}`, `{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}} `,
		`{"__metadata__":{"a":"b"},"a":{"dtype":"F16","shape":[],"data_offsets":[0,2]},"b":{"dtype":"F4","shape":[1,4],"data_offsets":[2,4]}}`,
		`{"a":{"dtype":"F64","shape":[0,18446744073709551615],"data_offsets":[0,0]}}`,
		"{\"\\u0061\":{\"dtype\":\"BF16\",\"shape\":[2],\"data_offsets\":[0,4],\"x\":[{},[[]],\"}\\\"\"]}}\n",
	} {
		f.Add(safetensorsOf(header, 4))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var entries []entry
		err := bounded(t, len(data), "some/x.safetensors", func() (err error) {
			entries, err = parseSafetensors("some/x.safetensors", data)
			return err
		})
		if err != nil {
			return
		}
		total := uint64(0)
		for _, e := range entries {
			total += e.bytes
		}
		if header := binary.LittleEndian.Uint64(data); 8+header+total != uint64(len(data)) {
			t.Fatalf("a header of %d bytes and tensors of %d in %d bytes", header, total, len(data))
		}
		checkEntries(t, entries)
	})
}

func FuzzIndex(f *testing.F) {
	f.Add(seedFile(f, filepath.Join("..", "..", "..", "testdata", "variants", "sharded", indexName)))
	for _, index := range []string{
		`{"metadata":{"total_size":8},"weight_map":{"a":"1.safetensors","b":"two/2.safetensors"}}`,
		`{"weight_map":{"b":"two/2.safetensors"}} `, `{"weight_map":{"b":"../2.safetensors"}}`, `{"weight_map":{}}`, `[]`,
	} {
		f.Add([]byte(index))
	}
	shard := func(name string) *fstest.MapFile {
		return &fstest.MapFile{Data: safetensorsOf(`{"`+name+`":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, 4)}
	}
	f.Fuzz(func(t *testing.T, index []byte) {
		var c *Checkpoint
		err := bounded(t, len(index), "", func() (err error) {
			c, err = OpenFS(fstest.MapFS{
				configName: {Data: []byte("{}")}, indexName: {Data: index},
				"1.safetensors": shard("a"), "two/2.safetensors": shard("b"),
			})
			return err
		})
		if err != nil {
			return
		}
		checkEntries(t, c.entries)
		if n := len(c.Names()); n < 1 || n > 2 {
			t.Fatalf("%d tensors", n)
		}
	})
}

// ggufOf is a file of these key/values, as they are stored, and tensor infos.
func ggufOf(version uint32, pairs, infos []string, data int) []byte {
	var b bytes.Buffer
	b.WriteString(ggufMagic)
	_ = binary.Write(&b, binary.LittleEndian, version)
	_ = binary.Write(&b, binary.LittleEndian, []uint64{uint64(len(infos)), uint64(len(pairs))})
	for _, s := range slices.Concat(pairs, infos) {
		b.WriteString(s)
	}
	b.Write(make([]byte, -b.Len()&(defaultAlignment-1)+data))
	return b.Bytes()
}

func FuzzGGUF(f *testing.F) {
	const (
		u8     = "\x01\x00\x00\x00\x00\x00\x00\x00a" + "\x00\x00\x00\x00" + "\x05"
		align  = "\x11\x00\x00\x00\x00\x00\x00\x00general.alignment" + "\x04\x00\x00\x00" + "\x10\x00\x00\x00"
		list   = "\x01\x00\x00\x00\x00\x00\x00\x00b" + "\x09\x00\x00\x00\x08\x00\x00\x00" + "\x02\x00\x00\x00\x00\x00\x00\x00" + "\x00\x00\x00\x00\x00\x00\x00\x00" + "\x01\x00\x00\x00\x00\x00\x00\x00x"
		scalar = "\x01\x00\x00\x00\x00\x00\x00\x00t" + "\x01\x00\x00\x00" + "\x01\x00\x00\x00\x00\x00\x00\x00" + "\x00\x00\x00\x00" + "\x00\x00\x00\x00\x00\x00\x00\x00"
		q4     = "\x01\x00\x00\x00\x00\x00\x00\x00q" + "\x02\x00\x00\x00" + "\x20\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00" + "\x02\x00\x00\x00" + "\x20\x00\x00\x00\x00\x00\x00\x00"
	)
	f.Add(ggufOf(3, []string{u8, align, list}, []string{scalar, q4}, 64))
	f.Add(ggufOf(2, []string{u8}, []string{scalar}, 4))
	f.Add(ggufOf(3, nil, nil, 0))
	f.Add(seedFile(f, "testdata/quants.gguf")[:2048])
	f.Fuzz(func(t *testing.T, data []byte) {
		var m *Metadata
		var entries []entry
		err := bounded(t, len(data), "some/x.gguf", func() (err error) {
			m, entries, err = parseGGUF("some/x.gguf", data)
			return err
		})
		if err != nil {
			return
		}
		checkEntries(t, entries)
		for _, key := range m.Keys() {
			found := 0
			for _, get := range []func() (bool, error){
				func() (bool, error) { _, ok, err := m.Uint(key); return ok, err },
				func() (bool, error) { _, ok, err := m.Float(key); return ok, err },
				func() (bool, error) { _, ok, err := m.Bool(key); return ok, err },
				func() (bool, error) { _, ok, err := m.String(key); return ok, err },
				func() (bool, error) { _, ok, err := m.Ints(key); return ok, err },
				func() (bool, error) { _, ok, err := m.Floats(key); return ok, err },
				func() (bool, error) { _, ok, err := m.Strings(key); return ok, err },
			} {
				ok, err := get()
				if !ok {
					t.Fatalf("key %q is not found", key)
				}
				if err == nil {
					found++
				}
			}
			if found > 1 {
				t.Fatalf("key %q is of %d kinds", key, found)
			}
		}
	})
}
