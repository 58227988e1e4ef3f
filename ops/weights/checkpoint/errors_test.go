package checkpoint_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/sparsegonia/sparsegonia/ops/weights"
	"github.com/sparsegonia/sparsegonia/ops/weights/checkpoint"
)

// A caller can tell what is broken, what is missing and what is only not read.
func TestSentinels(t *testing.T) {
	f32 := filepath.Join(variants, "f32")
	weightsFile, err := os.ReadFile(filepath.Join(f32, "model.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	dir := func(files map[string]string) func() error {
		return func() error {
			dir := t.TempDir()
			for name, text := range files {
				write(t, filepath.Join(dir, name), text)
			}
			c, err := checkpoint.Open(dir)
			if err == nil {
				t.Cleanup(func() { c.Close() })
			}
			return err
		}
	}
	gguf := func(text string) func() error {
		return func() error {
			path := filepath.Join(t.TempDir(), "model.gguf")
			write(t, path, text)
			_, err := checkpoint.Open(path)
			return err
		}
	}
	sentinels := []error{checkpoint.ErrCorrupt, checkpoint.ErrUnsupported, checkpoint.ErrNotFound, fs.ErrNotExist, fs.ErrClosed}
	for name, c := range map[string]struct {
		do   func() error
		want error
	}{
		"cut off":         {dir(map[string]string{"config.json": "{}", "model.safetensors": string(weightsFile[:5000])}), checkpoint.ErrCorrupt},
		"a broken index":  {dir(map[string]string{"config.json": "{}", "model.safetensors.index.json": "{}"}), checkpoint.ErrCorrupt},
		"no weights":      {dir(map[string]string{"config.json": "{}"}), fs.ErrNotExist},
		"not a GGUF file": {gguf("something else"), checkpoint.ErrCorrupt},
		"version 9":       {gguf("GGUF\x09\x00\x00\x00" + string(make([]byte, 16))), checkpoint.ErrUnsupported},
		"no such tensor": {func() error {
			_, err := open(t, f32).Tensor("x")
			return err
		}, checkpoint.ErrNotFound},
		"closed": {func() error {
			c, err := checkpoint.Open(f32)
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
			_, err = c.Tensor("lm_head.weight")
			return err
		}, fs.ErrClosed},
	} {
		err := c.do()
		for _, s := range sentinels {
			if got := errors.Is(err, s); got != (s == c.want) {
				t.Errorf("%s: %v: is %q: %v", name, err, s, got)
			}
		}
	}
}

// Rows of a matrix are what Float32Row decodes, rounded to its dtype, whatever the tensor is stored as
// and wherever it lies.
func TestCopyTo(t *testing.T) {
	const cols, rows = 64, 5
	for _, typ := range []checkpoint.Type{
		checkpoint.F32, checkpoint.F16, checkpoint.BF16, checkpoint.F64, checkpoint.Q4_0, checkpoint.Q4_1, checkpoint.Q8_0, checkpoint.Q5_0,
	} {
		blockBytes := map[checkpoint.Type]int{
			checkpoint.F32: 128, checkpoint.F16: 64, checkpoint.BF16: 64, checkpoint.F64: 256,
			checkpoint.Q4_0: 18, checkpoint.Q4_1: 20, checkpoint.Q8_0: 34, checkpoint.Q5_0: 22,
		}[typ]
		for _, offset := range []int{0, 1} {
			all := make([]byte, rows*cols/32*blockBytes+offset)
			for i := range all {
				all[i] = byte(i*37) & 0x3b // no NaN, no infinity
			}
			x := checkpoint.Tensor{Name: "x", Type: typ, Shape: []int{rows, cols}, Data: all[offset:]}
			dtypes := []weights.Dtype{weights.F32, weights.F16, weights.Int8, weights.Int8G, weights.Int4M}
			own, exact := typ.Dtype()
			if exact {
				dtypes = append(dtypes, own)
			}
			for _, d := range dtypes {
				m := weights.NewMatrix(d, rows, cols)
				if err := x.CopyTo(nil, m); err != nil {
					t.Fatal(err)
				}
				if d == weights.F64 {
					continue // what it keeps beyond float32 is checked below
				}
				want := weights.NewMatrix(d, rows, cols)
				row, got := make([]float32, cols), make([]float32, cols)
				for i := range rows {
					if err := x.Float32Row(row, i); err != nil {
						t.Fatal(err)
					}
					if exact && d == own {
						weights.Row(m, i, got)
						for k := range got {
							if got[k] != row[k] {
								t.Fatalf("%v at %d as %v: row %d: %v, want %v", typ, offset, d, i, got[k], row[k])
							}
						}
						continue
					}
					weights.SetRow(want, i, row)
					if string(m.Row(i)) != string(want.Row(i)) {
						t.Fatalf("%v at %d as %v: row %d differs", typ, offset, d, i)
					}
				}
			}
			if typ == checkpoint.F64 {
				m := weights.NewMatrix(weights.F64, rows, cols)
				if err := x.CopyTo(nil, m); err != nil || string(m.Row(2)) != string(x.Data[2*8*cols:3*8*cols]) {
					t.Errorf("F64 at %d is not kept as it is: %v", offset, err)
				}
			}
			part := x.Slice(1, 3)
			if part.Rows() != 2 || &part.Data[0] != &x.Data[len(x.Data)/rows] {
				t.Errorf("%v: rows 1 and 2 are %d rows elsewhere", typ, part.Rows())
			}
		}
	}
	if err := (checkpoint.Tensor{Name: "x", Type: checkpoint.F32, Shape: []int{2, 3}, Data: make([]byte, 24)}).CopyTo(nil, weights.NewMatrix(weights.F32, 3, 2)); err == nil {
		t.Error("2×3 to 3×2")
	}
}
