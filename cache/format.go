package cache

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"

	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// The format is described in the documentation of the package.
const (
	magic        = "sgneuron"
	version      = 1
	fixedBytes   = 24
	layerBytes   = 24
	block        = 4096
	maxLayers    = 1 << 16
	maxLabel     = 1 << 16
	checksumSize = 4
)

// ErrCorrupt is wrapped by the errors of a neuron file that is not one, has been cut off or has changed.
var ErrCorrupt = errors.New("corrupt neuron file")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// header is the header of a neuron file.
type header struct {
	label  string
	layers []layer
}

// layer is where the neurons of an MLP lie in a file.
type layer struct {
	weights.Shape
	offset    int64  // of the bundles
	tableCRC  uint32 // of the checksums
	checksums []uint32
}

func (l *layer) tableOffset() int64 { return l.offset + int64(l.Intermediate)*int64(l.Bundle()) }

func (l *layer) end() int64 { return ceil(l.tableOffset() + int64(l.Intermediate)*checksumSize) }

// ceil is n rounded up to whole blocks.
func ceil(n int64) int64 { return (n + block - 1) / block * block }

func checksum(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

// headerBytes is the length of a header.
func headerBytes(layers, label int) int64 { return ceil(int64(fixedBytes + layers*layerBytes + label)) }

// encode writes the header to b, which has its length.
func (h *header) encode(b []byte) {
	clear(b)
	copy(b, magic)
	binary.LittleEndian.PutUint32(b[8:], version)
	binary.LittleEndian.PutUint32(b[12:], uint32(len(h.layers)))
	binary.LittleEndian.PutUint32(b[16:], uint32(len(h.label)))
	for i, l := range h.layers {
		to := b[fixedBytes+i*layerBytes:]
		copy(to[:8], l.Dtype.String())
		binary.LittleEndian.PutUint32(to[8:], uint32(l.Intermediate))
		binary.LittleEndian.PutUint32(to[12:], uint32(l.Hidden))
		if l.Gated {
			to[16] = 1
		}
		binary.LittleEndian.PutUint32(to[20:], l.tableCRC)
	}
	copy(b[fixedBytes+len(h.layers)*layerBytes:], h.label)
	binary.LittleEndian.PutUint32(b[20:], checksum(b))
}

// headerLength reads from the first bytes of a file how long its header is.
func headerLength(fixed []byte) (int64, error) {
	if string(fixed[:8]) != magic {
		return 0, fmt.Errorf("it begins with %q, not with %q", fixed[:8], magic)
	}
	if v := binary.LittleEndian.Uint32(fixed[8:]); v != version {
		return 0, fmt.Errorf("version %d, want %d", v, version)
	}
	layers, label := binary.LittleEndian.Uint32(fixed[12:]), binary.LittleEndian.Uint32(fixed[16:])
	if layers > maxLayers || label > maxLabel {
		return 0, fmt.Errorf("%d layers and a label of %d bytes (at most %d and %d)", layers, label, maxLayers, maxLabel)
	}
	return headerBytes(int(layers), int(label)), nil
}

// decode reads a header. size is the length of the file, which the layers have to fill.
func decode(b []byte, size int64) (*header, error) {
	sum := binary.LittleEndian.Uint32(b[20:])
	zeroed := bytes.Clone(b)
	clear(zeroed[20:24])
	if got := checksum(zeroed); got != sum {
		return nil, fmt.Errorf("the header has checksum %08x, want %08x", got, sum)
	}
	layers, label := int(binary.LittleEndian.Uint32(b[12:])), int(binary.LittleEndian.Uint32(b[16:]))
	h := &header{layers: make([]layer, layers)}
	end := int64(len(b))
	for i := range h.layers {
		l := &h.layers[i]
		if err := l.decode(b[fixedBytes+i*layerBytes:][:layerBytes]); err != nil {
			return nil, fmt.Errorf("layer %d: %w", i, err)
		}
		l.offset = end
		if int64(l.Intermediate) > (size-end)/int64(l.Bundle()+checksumSize) {
			return nil, fmt.Errorf("layer %d: %d neurons of %d bytes each from offset %d do not fit in the %d bytes of the file",
				i, l.Intermediate, l.Bundle(), end, size)
		}
		end = l.end()
	}
	if end != size {
		return nil, fmt.Errorf("it has %d bytes, its layers end at %d", size, end)
	}
	b = b[fixedBytes+layers*layerBytes:]
	h.label = string(b[:label])
	if rest := b[label:]; len(bytes.Trim(rest, "\x00")) > 0 {
		return nil, errors.New("the padding of the header is not zero")
	}
	return h, nil
}

func (l *layer) decode(b []byte) error {
	name := string(bytes.TrimRight(b[:8], "\x00"))
	d, err := weights.ParseDtype(name)
	if err != nil {
		return err
	}
	i, h, gated := binary.LittleEndian.Uint32(b[8:]), binary.LittleEndian.Uint32(b[12:]), binary.LittleEndian.Uint32(b[16:])
	if i > math.MaxInt32 || h > math.MaxInt32 || gated > 1 {
		return fmt.Errorf("%d neurons of hidden size %d, gated %d", i, h, gated)
	}
	l.Shape = weights.Shape{Dtype: d, Intermediate: int(i), Hidden: int(h), Gated: gated == 1}
	l.tableCRC = binary.LittleEndian.Uint32(b[20:])
	return l.Check()
}
