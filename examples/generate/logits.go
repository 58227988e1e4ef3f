package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"math"

	"github.com/sparsegonia/sparsegonia/ops/weights/wholefile"

	"github.com/sparsegonia/sparsegonia/examples/internal/program"
	"github.com/sparsegonia/sparsegonia/llama"
)

// writeLogits writes the logits that follow every token of the prompt and gives the file its name.
func writeLogits(ctx context.Context, session *llama.Session, prompt []int32, f *wholefile.File, wait *program.Wait) error {
	w := bufio.NewWriterSize(f, 1<<20)
	var row []byte
	err := session.Logits(ctx, prompt, func(_ int, logits []float32) error {
		row = row[:0]
		for _, x := range logits {
			row = binary.LittleEndian.AppendUint32(row, math.Float32bits(x))
		}
		wait.Add(1)
		_, err := w.Write(row)
		return err
	})
	if err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return f.Commit()
}
