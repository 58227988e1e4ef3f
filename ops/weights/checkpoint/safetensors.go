package checkpoint

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/sparsegonia/sparsegonia/ops/weights/checkpoint/strictjson"
)

// maxHeader is the limit of the format, in bytes; no other JSON of a checkpoint comes near it.
const maxHeader = 100_000_000

// maxSizes is far more dimensions than any tensor of a model has.
const maxSizes = 64

// safetensorsTypes are the dtypes of the format.
var safetensorsTypes = map[string]storage{
	"F64": stored(F64), "F32": stored(F32), "F16": stored(F16), "BF16": stored(BF16),

	"BOOL": other("BOOL", 1, 1), "C64": other("C64", 1, 8),
	"U8": other("U8", 1, 1), "U16": other("U16", 1, 2), "U32": other("U32", 1, 4), "U64": other("U64", 1, 8),
	"I8": other("I8", 1, 1), "I16": other("I16", 1, 2), "I32": other("I32", 1, 4), "I64": other("I64", 1, 8),
	"F8_E4M3": other("F8_E4M3", 1, 1), "F8_E5M2": other("F8_E5M2", 1, 1), "F8_E8M0": other("F8_E8M0", 1, 1),
	"F8_E4M3FNUZ": other("F8_E4M3FNUZ", 1, 1), "F8_E5M2FNUZ": other("F8_E5M2FNUZ", 1, 1),
	"F6_E2M3": other("F6_E2M3", 4, 3), "F6_E3M2": other("F6_E3M2", 4, 3), "F4": other("F4", 2, 1),
}

// parseSafetensors returns the tensors of a file in the order of their names.
//
//	length of header: u64 | header: JSON | data, every byte in one tensor
func parseSafetensors(name string, data []byte) ([]entry, error) {
	fail := func(err error) ([]entry, error) {
		return nil, fmt.Errorf("checkpoint: %s: %w", name, corrupt(err))
	}
	if isGGUF(data) {
		return fail(errors.New("header length: a GGUF file, which is opened by its own name"))
	}
	if len(data) < 8 {
		return fail(fmt.Errorf("header length: the file has %d bytes, want at least 8", len(data)))
	}
	length, data := binary.LittleEndian.Uint64(data), data[8:]
	if length > uint64(len(data)) {
		return fail(fmt.Errorf("header length %d: only %d bytes follow", length, len(data)))
	}
	if length > maxHeader {
		return fail(fmt.Errorf("header length %d is over the format's limit of %d", length, maxHeader))
	}
	header, data := data[:length], data[length:]
	if length == 0 || header[0] != '{' {
		return fail(errors.New("header: does not begin with {"))
	}
	tensors, err := parseObject(header)
	if err != nil {
		return fail(fmt.Errorf("header: %w", err))
	}
	entries := make([]entry, 0, len(tensors.Members))
	for _, m := range tensors.Members {
		if m.Key() == "__metadata__" {
			if _, err := m.Object(); err != nil {
				return fail(fmt.Errorf("header: %w", err))
			}
			continue
		}
		e, err := parseInfo(m.Alone(), data)
		if err != nil {
			return fail(fmt.Errorf("tensor %s: %w", quote(m.Key()), err))
		}
		e.name = m.Key()
		entries = append(entries, e)
	}
	if err := checkContiguous(entries, uint64(len(data))); err != nil {
		return fail(err)
	}
	return entries, nil
}

// isSafetensors reports whether a file begins with a header length that it can have, and a header.
func isSafetensors(data []byte) bool {
	return len(data) > 8 && data[8] == '{' && binary.LittleEndian.Uint64(data) <= uint64(len(data)-8)
}

// parseInfo reads what the header says about a tensor: dtype, shape, data_offsets. Other fields are
// ignored.
func parseInfo(v strictjson.Value, data []byte) (entry, error) {
	var e entry
	info, err := v.Object()
	if err != nil {
		return e, err
	}
	dtype, err := info.Str("dtype")
	if err != nil {
		return e, err
	}
	var ok bool
	if e.stored, ok = safetensorsTypes[dtype]; !ok {
		return e, fmt.Errorf("dtype: %s is unknown", quote(dtype))
	}
	shape, err := numbers(info.Get("shape"), maxSizes)
	if err != nil {
		return e, err
	}
	var size uint64
	if e.shape, size, err = e.stored.size(shape); err != nil {
		return e, err
	}
	offsets, err := numbers(info.Get("data_offsets"), 2)
	if err != nil {
		return e, err
	}
	if len(offsets) != 2 {
		return e, fmt.Errorf("data_offsets: %d numbers, want 2", len(offsets))
	}
	begin, end := offsets[0], offsets[1]
	switch {
	case begin > end:
		return e, fmt.Errorf("data_offsets: begin %d is after end %d", begin, end)
	case end > uint64(len(data)):
		return e, fmt.Errorf("data_offsets: end %d is past the end of the data, %d bytes", end, len(data))
	case end-begin != size:
		return e, fmt.Errorf("data_offsets: %d bytes from %d to %d, but %s of shape %v takes %d", end-begin, begin, end, dtype, e.shape, size)
	}
	e.begin, e.bytes, e.data = begin, size, data[begin:end:end]
	return e, nil
}

// numbers reads an array of at most so many integers that are not negative.
func numbers(v strictjson.Value, most int) (list []uint64, err error) {
	err = v.Items(func(item strictjson.Value) error {
		if len(list) == most {
			return v.Errorf("more than %d numbers", most)
		}
		n, err := strconv.ParseUint(string(item.Raw()), 10, 64)
		if err != nil {
			return item.Wrong("an integer from 0 to 2^64-1")
		}
		list = append(list, n)
		return nil
	})
	return list, err
}

// checkContiguous checks that every byte of the data belongs to one tensor, as the format demands.
func checkContiguous(entries []entry, size uint64) error {
	order := make([]*entry, len(entries))
	for i := range entries {
		order[i] = &entries[i]
	}
	slices.SortFunc(order, func(a, b *entry) int {
		return cmp.Or(cmp.Compare(a.begin, b.begin), cmp.Compare(a.bytes, b.bytes))
	})
	var end uint64
	for i, e := range order {
		if e.begin < end {
			return fmt.Errorf("tensor %s: data_offsets: begins at %d, inside tensor %s", quote(e.name), e.begin, quote(order[i-1].name))
		}
		if e.begin > end {
			return fmt.Errorf("tensor %s: data_offsets: begins at %d, but the bytes from %d belong to no tensor", quote(e.name), e.begin, end)
		}
		end += e.bytes
	}
	if end < size {
		return fmt.Errorf("data: the last %d of %d bytes belong to no tensor", size-end, size)
	}
	return nil
}
