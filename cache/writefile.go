package cache

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/sparsegonia/sparsegonia/ops/weights/wholefile"

	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// WriteFile writes a neuron file. It calls layer for each layer in order, so only one need be in
// memory. The label, at most 64 KiB, says what the neurons were made from. The file appears whole
// or not at all: it is renamed to path when all of it is on the disk.
func WriteFile(path, label string, layers int, layer func(i int) (*weights.Neurons, error)) error {
	if err := writeFile(path, label, layers, layer); err != nil {
		return fmt.Errorf("cache: write neuron file %s: %w", path, err)
	}
	return nil
}

func writeFile(path, label string, layers int, layer func(i int) (*weights.Neurons, error)) error {
	if layer == nil {
		return errors.New("there is no function that returns the layers")
	}
	if layers < 0 || layers > maxLayers || len(label) > maxLabel {
		return fmt.Errorf("%d layers and a label of %d bytes (at most %d and %d)", layers, len(label), maxLayers, maxLabel)
	}
	f, err := wholefile.Create(path)
	if err != nil {
		return err
	}
	if err := writeNeurons(f, label, layers, layer); err != nil {
		f.Discard()
		return err
	}
	return f.Commit()
}

// writeNeurons writes the layers and then the header, which has their checksums.
func writeNeurons(f io.WriteSeeker, label string, layers int, layer func(i int) (*weights.Neurons, error)) error {
	h := header{label: label}
	b := make([]byte, headerBytes(layers, len(label)))
	offset, err := f.Seek(int64(len(b)), io.SeekStart)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, 1<<20)
	for i := range layers {
		n, err := layer(i)
		if err != nil {
			return fmt.Errorf("layer %d: %w", i, err)
		}
		l, err := writeLayer(w, n, offset)
		if err != nil {
			return fmt.Errorf("layer %d: %w", i, err)
		}
		h.layers = append(h.layers, l)
		offset = l.end()
	}
	if err := w.Flush(); err != nil {
		return err
	}
	h.encode(b)
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	_, err = f.Write(b)
	return err
}

func writeLayer(w io.Writer, n *weights.Neurons, offset int64) (layer, error) {
	l := layer{Shape: n.Shape(), offset: offset}
	if err := l.Check(); err != nil {
		return layer{}, err
	}
	bundle := make([]byte, l.Bundle())
	table := make([]byte, l.end()-l.tableOffset())
	for i := range l.Intermediate {
		to := bundle
		for k, p := range n.Parts() {
			copy(to, p.Row(i))
			to = to[l.Parts[k].Stride():]
		}
		binary.LittleEndian.PutUint32(table[i*checksumSize:], checksum(bundle))
		if _, err := w.Write(bundle); err != nil {
			return layer{}, err
		}
	}
	l.tableCRC = checksum(table[:l.Intermediate*checksumSize])
	_, err := w.Write(table)
	return l, err
}
