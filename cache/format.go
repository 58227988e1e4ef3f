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
	version      = 2
	fixedBytes   = 24
	partBytes    = 28
	layerBytes   = 12 + weights.MaxParts*partBytes
	page         = 4096
	maxLayers    = 1 << 16
	maxLabel     = 1 << 16
	checksumSize = 4
)

// ErrCorrupt is wrapped by errors of a file that is not a neuron file, is cut off or has changed.
var ErrCorrupt = errors.New("corrupt neuron file")

// ErrVersion is wrapped by errors of a file of another version of the format. Write it anew.
var ErrVersion = errors.New("neuron file of another version")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// header is the header of a neuron file.
type header struct {
	label  string
	layers []layer
}

// layer says where the neurons of an MLP lie in a file.
type layer struct {
	weights.Shape
	offset    int64  // of the bundles
	tableCRC  uint32 // of the checksums
	checksums []uint32
}

func (l *layer) tableOffset() int64 { return l.offset + int64(l.Intermediate)*int64(l.Bundle()) }

func (l *layer) end() int64 { return ceil(l.tableOffset() + int64(l.Intermediate)*checksumSize) }

// ceil returns n rounded up to whole pages.
func ceil(n int64) int64 { return (n + page - 1) / page * page }

func checksum(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

// headerBytes returns the length of a header.
func headerBytes(layers, label int) int64 { return ceil(int64(fixedBytes + layers*layerBytes + label)) }

// encode writes the header into b, of length headerBytes.
func (h *header) encode(b []byte) {
	clear(b)
	copy(b, magic)
	binary.LittleEndian.PutUint32(b[8:], version)
	binary.LittleEndian.PutUint32(b[12:], uint32(len(h.layers)))
	binary.LittleEndian.PutUint32(b[16:], uint32(len(h.label)))
	for i, l := range h.layers {
		to := b[fixedBytes+i*layerBytes:]
		binary.LittleEndian.PutUint32(to, uint32(l.Intermediate))
		binary.LittleEndian.PutUint32(to[4:], uint32(len(l.Parts)))
		binary.LittleEndian.PutUint32(to[8:], l.tableCRC)
		for k, p := range l.Parts {
			to := to[12+k*partBytes:]
			copy(to[:16], p.Name)
			copy(to[16:24], p.Dtype.String())
			binary.LittleEndian.PutUint32(to[24:], uint32(p.Cols))
		}
	}
	copy(b[fixedBytes+len(h.layers)*layerBytes:], h.label)
	binary.LittleEndian.PutUint32(b[20:], checksum(b))
}

// headerLength returns the length of a header from its first fixedBytes bytes.
func headerLength(fixed []byte) (int64, error) {
	if string(fixed[:8]) != magic {
		return 0, fmt.Errorf("it begins with %q, not with %q", fixed[:8], magic)
	}
	if v := binary.LittleEndian.Uint32(fixed[8:]); v != version {
		return 0, fmt.Errorf("%w: version %d, want %d: delete the file, it is written anew", ErrVersion, v, version)
	}
	layers, label := binary.LittleEndian.Uint32(fixed[12:]), binary.LittleEndian.Uint32(fixed[16:])
	if layers > maxLayers || label > maxLabel {
		return 0, fmt.Errorf("%d layers and a label of %d bytes (at most %d and %d)", layers, label, maxLayers, maxLabel)
	}
	return headerBytes(int(layers), int(label)), nil
}

// decode returns the header b of a file of size bytes, which the layers must fill.
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
	if !zero(b[label:]) {
		return nil, errors.New("the padding of the header is not zero")
	}
	return h, nil
}

func zero(b []byte) bool { return len(bytes.Trim(b, "\x00")) == 0 }

func (l *layer) decode(b []byte) error {
	neurons, parts := binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint32(b[4:])
	l.tableCRC = binary.LittleEndian.Uint32(b[8:])
	if neurons > math.MaxInt32 || parts > weights.MaxParts {
		return fmt.Errorf("%d neurons of %d parts", neurons, parts)
	}
	l.Intermediate, l.Parts = int(neurons), make([]weights.PartShape, parts)
	b = b[12:]
	for i := range l.Parts {
		dtype, err := weights.ParseDtype(string(bytes.TrimRight(b[16:24], "\x00")))
		if err != nil {
			return err
		}
		cols := min(binary.LittleEndian.Uint32(b[24:]), math.MaxInt32) // Check refuses that many
		l.Parts[i] = weights.PartShape{Name: string(bytes.TrimRight(b[:16], "\x00")), Dtype: dtype, Cols: int(cols)}
		b = b[partBytes:]
	}
	if !zero(b) {
		return errors.New("what follows the parts is not zero")
	}
	return l.Check()
}
