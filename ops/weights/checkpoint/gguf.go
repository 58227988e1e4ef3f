package checkpoint

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

const (
	maxDims          = 4  // GGML_MAX_DIMS
	defaultAlignment = 32 // GGUF_DEFAULT_ALIGNMENT
)

const ggufMagic = "GGUF"

func isGGUF(data []byte) bool { return bytes.HasPrefix(data, []byte(ggufMagic)) }

// ggmlTypes are the values of enum ggml_type. Types that were removed have no
// extent any more.
var ggmlTypes = map[uint64]storage{
	0: stored(F32), 1: stored(F16), 28: stored(F64), 30: stored(BF16),
	2: stored(Q4_0), 3: stored(Q4_1), 6: stored(Q5_0), 7: stored(Q5_1), 8: stored(Q8_0),
	10: stored(Q2_K), 11: stored(Q3_K), 12: stored(Q4_K), 13: stored(Q5_K), 14: stored(Q6_K),

	9: other("Q8_1", 32, 36), 15: other("Q8_K", 256, 292), 41: other("Q1_0", 128, 18),
	16: other("IQ2_XXS", 256, 66), 17: other("IQ2_XS", 256, 74), 22: other("IQ2_S", 256, 82),
	18: other("IQ3_XXS", 256, 98), 21: other("IQ3_S", 256, 110),
	19: other("IQ1_S", 256, 50), 29: other("IQ1_M", 256, 56),
	20: other("IQ4_NL", 32, 18), 23: other("IQ4_XS", 256, 136),
	34: other("TQ1_0", 256, 54), 35: other("TQ2_0", 256, 66),
	39: other("MXFP4", 32, 17), 40: other("NVFP4", 64, 36),
	24: other("I8", 1, 1), 25: other("I16", 1, 2), 26: other("I32", 1, 4), 27: other("I64", 1, 8),

	4: other("Q4_2 (removed)", 1, 0), 5: other("Q4_3 (removed)", 1, 0),
	31: other("Q4_0_4_4 (removed)", 1, 0), 32: other("Q4_0_4_8 (removed)", 1, 0), 33: other("Q4_0_8_8 (removed)", 1, 0),
	36: other("IQ4_NL_4_4 (removed)", 1, 0), 37: other("IQ4_NL_4_8 (removed)", 1, 0), 38: other("IQ4_NL_8_8 (removed)", 1, 0),
}

// parseGGUF returns the key/values and the tensors of a file, both in the order of their names.
//
//	"GGUF" | version: u32 | tensors: u64 | key/values: u64 | key/values | tensor infos | padding | data
func parseGGUF(name string, data []byte) (*Metadata, []entry, error) {
	p := ggufParser{cursor: cursor{data: data}, metadata: &Metadata{name: name}}
	if err := p.parse(); err != nil {
		return nil, nil, fmt.Errorf("checkpoint: %s: %w", name, corrupt(err))
	}
	return p.metadata, p.entries, nil
}

type ggufParser struct {
	cursor
	metadata *Metadata
	entries  []entry
}

func (p *ggufParser) parse() error {
	tensors, pairs, err := p.header()
	if err != nil {
		return err
	}
	if err := p.pairs(pairs); err != nil {
		return err
	}
	if n, ok, err := p.metadata.Uint("split.count"); err == nil && ok && n > 1 {
		return fmt.Errorf("split.count: a model in %d files is %w", n, ErrUnsupported)
	}
	if err := p.infos(tensors); err != nil {
		return err
	}
	return p.place()
}

func (p *ggufParser) header() (tensors, pairs uint64, err error) {
	if !isGGUF(p.data) {
		if isSafetensors(p.data) {
			return 0, 0, errors.New("magic: a safetensors file, which is opened by the directory that has its config.json, too")
		}
		return 0, 0, errors.New("magic: not a GGUF file (a Hugging Face checkpoint is opened by its directory)")
	}
	p.at = len(ggufMagic)
	version, err := p.uint(4)
	switch {
	case err != nil:
		return 0, 0, fmt.Errorf("version: %w", err)
	case version&0xffff == 0 && version != 0:
		return 0, 0, fmt.Errorf("version %#x: big-endian GGUF is %w", version, ErrUnsupported)
	case version != 2 && version != 3:
		return 0, 0, fmt.Errorf("version %d is %w (want 2 or 3)", version, ErrUnsupported)
	}
	if tensors, err = p.uint(8); err != nil {
		return 0, 0, fmt.Errorf("number of tensors: %w", err)
	}
	if pairs, err = p.uint(8); err != nil {
		return 0, 0, fmt.Errorf("number of key/values: %w", err)
	}
	return tensors, pairs, nil
}

// pairs reads the key/values.
func (p *ggufParser) pairs(n uint64) error {
	const least = 8 + 4 + 1 // bytes of one: key, type, value
	if n > p.rest()/least {
		return fmt.Errorf("number of key/values: %d do not fit in the %d bytes that follow", n, p.rest())
	}
	m := p.metadata
	m.values = make([]value, 0, n)
	for i := range n {
		key, err := p.text()
		if err == nil && len(key) == 0 {
			err = errors.New("is empty")
		}
		if err != nil {
			return fmt.Errorf("key %d of %d: %w", i, n, err)
		}
		v, err := p.value()
		if err != nil {
			return fmt.Errorf("%s: %w", quote(string(key)), err)
		}
		v.key = string(key)
		m.values = append(m.values, v)
	}
	if key, twice := m.sort(); twice {
		return fmt.Errorf("key %s appears twice", quote(key))
	}
	return nil
}

// value reads a type and a value of it.
func (p *ggufParser) value() (v value, err error) {
	if v.kind, err = p.kind(); err != nil {
		return v, err
	}
	if v.kind == arrayKind {
		if v.element, err = p.kind(); err != nil {
			return v, fmt.Errorf("elements: %w", err)
		}
		if v.element == arrayKind {
			return v, fmt.Errorf("an array of arrays is %w", ErrUnsupported)
		}
		if v.count, err = p.uint(8); err != nil {
			return v, fmt.Errorf("length of array: %w", err)
		}
	} else {
		v.element, v.count = v.kind, 1
	}
	begin := p.at
	if err := p.skip(v.element, v.count); err != nil {
		return v, err
	}
	v.raw = string(p.data[begin:p.at])
	return v, nil
}

func (p *ggufParser) kind() (kind, error) {
	k, err := p.uint(4)
	if err != nil {
		return 0, fmt.Errorf("type of value: %w", err)
	}
	if k >= uint64(len(kinds)) {
		return 0, fmt.Errorf("type of value %d is unknown", k)
	}
	return kind(k), nil
}

// skip passes count values.
func (p *ggufParser) skip(k kind, count uint64) error {
	if k == stringKind {
		if count > p.rest()/8 {
			return fmt.Errorf("%d strings do not fit in the %d bytes that follow", count, p.rest())
		}
		for i := range count {
			if _, err := p.text(); err != nil {
				return fmt.Errorf("string %d of %d: %w", i, count, err)
			}
		}
		return nil
	}
	size := kinds[k].size
	if count > p.rest()/size {
		return fmt.Errorf("%d values of type %v do not fit in the %d bytes that follow", count, k, p.rest())
	}
	raw, err := p.take(count * size)
	if k == boolKind {
		for _, b := range raw {
			if b > 1 {
				return fmt.Errorf("bool is %d, want 0 or 1", b)
			}
		}
	}
	return err
}

// infos reads the names, types and shapes of the tensors.
func (p *ggufParser) infos(n uint64) error {
	const least = 8 + 4 + 8 + 4 + 8 // bytes of one: name, dimensions, a size, type, offset
	if n > p.rest()/least {
		return fmt.Errorf("number of tensors: %d do not fit in the %d bytes that follow", n, p.rest())
	}
	p.entries = make([]entry, 0, n)
	for i := range n {
		name, err := p.text()
		if err == nil && len(name) == 0 {
			err = errors.New("is empty")
		}
		if err != nil {
			return fmt.Errorf("name of tensor %d of %d: %w", i, n, err)
		}
		e := entry{name: string(name)}
		if err := p.info(&e); err != nil {
			return fmt.Errorf("tensor %s: %w", quote(e.name), err)
		}
		p.entries = append(p.entries, e)
	}
	if e, _ := byName(p.entries); e != nil {
		return fmt.Errorf("tensor %s appears twice", quote(e.name))
	}
	return nil
}

// info reads what follows the name of a tensor. Its data are placed when all infos are read.
func (p *ggufParser) info(e *entry) error {
	n, err := p.uint(4)
	if err != nil {
		return fmt.Errorf("number of dimensions: %w", err)
	}
	if n < 1 || n > maxDims {
		return fmt.Errorf("number of dimensions is %d, want 1 to %d", n, maxDims)
	}
	dims := make([]uint64, n)
	for i := range dims {
		if dims[i], err = p.uint(8); err != nil {
			return fmt.Errorf("size of dimension %d: %w", i, err)
		}
		if dims[i] == 0 {
			return fmt.Errorf("size of dimension %d is 0", i)
		}
	}
	slices.Reverse(dims)
	number, err := p.uint(4)
	if err != nil {
		return fmt.Errorf("type: %w", err)
	}
	var ok bool
	if e.stored, ok = ggmlTypes[number]; !ok {
		e.stored = other(fmt.Sprintf("number %d", number), 1, 0)
	}
	if e.shape, e.bytes, err = e.stored.size(dims); err != nil {
		return err
	}
	if e.begin, err = p.uint(8); err != nil {
		return fmt.Errorf("offset: %w", err)
	}
	return nil
}

// place finds the data of the tensors, which start at a multiple of the alignment. There may be
// gaps.
func (p *ggufParser) place() error {
	alignment, ok, err := p.metadata.Uint("general.alignment")
	switch {
	case err != nil:
		return err
	case !ok:
		alignment = defaultAlignment
	case alignment == 0 || alignment&(alignment-1) != 0:
		return fmt.Errorf("general.alignment is %d, want a power of two", alignment)
	}
	if len(p.entries) == 0 {
		return nil
	}
	padding := -uint64(p.at) & (alignment - 1)
	if padding > p.rest() {
		return fmt.Errorf("general.alignment is %d: the data would begin past the end of the file, %d bytes", alignment, len(p.data))
	}
	data := p.data[uint64(p.at)+padding:]

	order := make([]*entry, len(p.entries))
	for i := range p.entries {
		order[i] = &p.entries[i]
	}
	slices.SortFunc(order, func(a, b *entry) int {
		return cmp.Or(cmp.Compare(a.begin, b.begin), cmp.Compare(a.bytes, b.bytes))
	})
	var end uint64
	for i, e := range order {
		switch size := uint64(len(data)); {
		case e.begin&(alignment-1) != 0:
			return fmt.Errorf("tensor %s: offset %d is not a multiple of general.alignment, %d", quote(e.name), e.begin, alignment)
		case e.begin > size || e.bytes > size-e.begin:
			return fmt.Errorf("tensor %s: %d bytes at offset %d are past the end of the data, %d bytes", quote(e.name), e.bytes, e.begin, size)
		case e.begin < end:
			return fmt.Errorf("tensor %s: offset %d is inside tensor %s", quote(e.name), e.begin, quote(order[i-1].name))
		}
		end = e.begin + e.bytes
		e.data = data[e.begin:end:end]
	}
	return nil
}

// A cursor reads little-endian values one after the other.
type cursor struct {
	data []byte
	at   int
}

func (c *cursor) rest() uint64 { return uint64(len(c.data) - c.at) }

// take returns the next n bytes.
func (c *cursor) take(n uint64) ([]byte, error) {
	if n > c.rest() {
		return nil, fmt.Errorf("%d bytes at byte %d are past the end of the file, %d bytes", n, c.at, len(c.data))
	}
	b := c.data[c.at:][:n]
	c.at += int(n)
	return b, nil
}

// uint reads an unsigned integer of 4 or 8 bytes.
func (c *cursor) uint(size uint64) (uint64, error) {
	b, err := c.take(size)
	switch {
	case err != nil:
		return 0, err
	case size == 4:
		return uint64(binary.LittleEndian.Uint32(b)), nil
	default:
		return binary.LittleEndian.Uint64(b), nil
	}
}

// text reads a string: its length and its bytes.
func (c *cursor) text() ([]byte, error) {
	n, err := c.uint(8)
	if err != nil {
		return nil, fmt.Errorf("length of string: %w", err)
	}
	b, err := c.take(n)
	if err != nil {
		return nil, fmt.Errorf("string: %w", err)
	}
	return b, nil
}
