package checkpoint

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// Metadata is the key/values of a GGUF file. It is a copy that does not need
// the checkpoint.
//
// The getters return false where there is no such key, and an error that names
// the key where its value is of another type. Arrays are decoded when asked
// for.
type Metadata struct {
	name   string // of the file
	values []value
}

// A value is stored as in the file; raw is one element after the other.
type value struct {
	key           string
	kind, element kind // equal unless kind is arrayKind
	count         uint64
	raw           string
}

// A kind is a type of values (enum gguf_metadata_value_type).
type kind uint8

const (
	boolKind   kind = 7
	stringKind kind = 8
	arrayKind  kind = 9
)

var kinds = [...]struct {
	name   string
	size   uint64 // bytes; 0 for those that have a length
	class  class
	signed bool
}{
	{"u8", 1, integer, false},
	{"i8", 1, integer, true},
	{"u16", 2, integer, false},
	{"i16", 2, integer, true},
	{"u32", 4, integer, false},
	{"i32", 4, integer, true},
	{"f32", 4, float, true},
	{"bool", 1, boolean, false},
	{"string", 0, text, false},
	{"array", 0, 0, false},
	{"u64", 8, integer, false},
	{"i64", 8, integer, true},
	{"f64", 8, float, true},
}

func (k kind) String() string { return kinds[k].name }

// A class is the kinds that one getter reads.
type class uint8

const (
	integer class = iota + 1
	float
	boolean
	text
)

func (c class) String() string {
	return [...]string{integer: "integer", float: "float", boolean: "bool", text: "string"}[c]
}

// sort puts the values in order and reports a key that two have.
func (m *Metadata) sort() (key string, twice bool) {
	slices.SortFunc(m.values, func(a, b value) int { return cmp.Compare(a.key, b.key) })
	for i := 1; i < len(m.values); i++ {
		if m.values[i-1].key == m.values[i].key {
			return m.values[i].key, true
		}
	}
	return "", false
}

// Keys returns all keys, sorted.
func (m *Metadata) Keys() []string {
	keys := make([]string, len(m.values))
	for i := range m.values {
		keys[i] = m.values[i].key
	}
	return keys
}

// Uint returns an integer of any width. A negative one is an error.
func (m *Metadata) Uint(key string) (n uint64, ok bool, err error) {
	v, ok, err := m.get(key, integer, false)
	if !ok || err != nil {
		return 0, ok, err
	}
	if n = v.bits(0); kinds[v.kind].signed && int64(n) < 0 {
		return 0, true, fmt.Errorf("checkpoint: %s: %s is %d, want no negative number", m.name, key, int64(n))
	}
	return n, true, nil
}

// Float returns a float of either width.
func (m *Metadata) Float(key string) (x float64, ok bool, err error) {
	v, ok, err := m.get(key, float, false)
	if !ok || err != nil {
		return 0, ok, err
	}
	return v.float(0), true, nil
}

// Bool returns a bool.
func (m *Metadata) Bool(key string) (b, ok bool, err error) {
	v, ok, err := m.get(key, boolean, false)
	if !ok || err != nil {
		return false, ok, err
	}
	return v.bits(0) == 1, true, nil
}

// String returns a string. The format wants UTF-8, which is not checked.
func (m *Metadata) String(key string) (s string, ok bool, err error) {
	v, ok, err := m.get(key, text, false)
	if !ok || err != nil {
		return "", ok, err
	}
	return v.strings()[0], true, nil
}

// Ints returns an array of integers of any width. One over 2^63−1 is an error.
func (m *Metadata) Ints(key string) (list []int64, ok bool, err error) {
	v, ok, err := m.get(key, integer, true)
	if !ok || err != nil {
		return nil, ok, err
	}
	list = make([]int64, v.count)
	for i := range list {
		n := v.bits(i)
		if n > math.MaxInt64 && !kinds[v.element].signed {
			return nil, true, fmt.Errorf("checkpoint: %s: %s: element %d is %d, over 2^63-1", m.name, key, i, n)
		}
		list[i] = int64(n)
	}
	return list, true, nil
}

// Floats returns an array of floats of either width.
func (m *Metadata) Floats(key string) (list []float64, ok bool, err error) {
	v, ok, err := m.get(key, float, true)
	if !ok || err != nil {
		return nil, ok, err
	}
	list = make([]float64, v.count)
	for i := range list {
		list[i] = v.float(i)
	}
	return list, true, nil
}

// Strings returns an array of strings. They share one piece of memory.
func (m *Metadata) Strings(key string) (list []string, ok bool, err error) {
	v, ok, err := m.get(key, text, true)
	if !ok || err != nil {
		return nil, ok, err
	}
	return v.strings(), true, nil
}

// get finds a value and checks what it is.
func (m *Metadata) get(key string, want class, array bool) (value, bool, error) {
	i, ok := slices.BinarySearchFunc(m.values, key, func(v value, key string) int { return cmp.Compare(v.key, key) })
	if !ok {
		return value{}, false, nil
	}
	v := m.values[i]
	if kinds[v.element].class == want && (v.kind == arrayKind) == array {
		return v, true, nil
	}
	describe := func(array bool, element string) string {
		if array {
			return "array of " + element
		}
		return element
	}
	return value{}, true, fmt.Errorf("checkpoint: %s: %s has type %s, want %s", m.name, key,
		describe(v.kind == arrayKind, v.element.String()), describe(array, want.String()))
}

// bits returns element i of a fixed size, with its sign extended.
func (v *value) bits(i int) uint64 {
	k := kinds[v.element]
	size := int(k.size)
	n := littleEndian(v.raw[i*size:][:size])
	if unused := 64 - 8*size; k.signed {
		n = uint64(int64(n<<unused) >> unused)
	}
	return n
}

func (v *value) float(i int) float64 {
	if kinds[v.element].size == 4 {
		return float64(math.Float32frombits(uint32(v.bits(i))))
	}
	return math.Float64frombits(v.bits(i))
}

func (v *value) strings() []string {
	list := make([]string, v.count)
	raw := v.raw
	for i := range list {
		n := littleEndian(raw[:8])
		list[i], raw = raw[8:8+n], raw[8+n:]
	}
	return list
}

func littleEndian(s string) (n uint64) {
	for i, b := range []byte(s) {
		n |= uint64(b) << (8 * i)
	}
	return n
}
