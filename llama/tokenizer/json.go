package tokenizer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A value is a JSON value and where it stands, so that an error can name it.
type value struct {
	raw   json.RawMessage
	in    *value // the object or the list that it is in; nil: it is the file
	key   string // in an object
	index int    // in a list; −1 in an object
}

// path is where the value stands, as in "model.vocab".
func (v value) path() string {
	if v.in == nil {
		return ""
	}
	outer := v.in.path()
	if v.index >= 0 {
		return fmt.Sprintf("%s[%d]", outer, v.index)
	}
	name := fmt.Sprintf("%.60s", v.key)
	if strings.ContainsFunc(v.key, func(r rune) bool { return (r|0x20 < 'a' || r|0x20 > 'z') && r != '_' }) {
		name = fmt.Sprintf("%.60q", v.key)
	}
	if outer == "" {
		return name
	}
	return outer + "." + name
}

// parseJSON checks that data is one JSON value in UTF-8.
func parseJSON(data []byte) (value, error) {
	for i := 0; i < len(data); {
		r, size := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && size == 1 {
			return value{}, fmt.Errorf("byte %d: not UTF-8", i)
		}
		i += size
	}
	var raw json.RawMessage
	if err := json.Unmarshal(data, &raw); err != nil {
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			return value{}, fmt.Errorf("byte %d: %w", syntax.Offset, err)
		}
		return value{}, err
	}
	return value{raw: bytes.TrimSpace(raw)}, nil
}

func (v value) errorf(format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	if path := v.path(); path != "" {
		return fmt.Errorf("%s: %w", path, err)
	}
	return err
}

// is reports whether the value begins with c, which tells its kind.
func (v value) is(c byte) bool { return len(v.raw) > 0 && v.raw[0] == c }

// null reports whether the value is null or missing.
func (v value) null() bool { return len(v.raw) == 0 || v.is('n') }

// wrong is the error of a value that is not of the kind want.
func (v value) wrong(want string) error {
	if len(v.raw) == 0 {
		return v.errorf("missing")
	}
	return v.errorf("want %s, got %s", want, v.abridged())
}

// abridged is the value for an error message: one line, and no longer than that.
func (v value) abridged() string {
	const most = 40
	text := string(v.raw[:min(len(v.raw), most)])
	if len(v.raw) > most {
		text = strings.ToValidUTF8(text, "") + "…"
	}
	return strings.Join(strings.Fields(text), " ")
}

// each calls f for every member of an object, in order.
func (v *value) each(f func(key string, member value) error) error {
	if !v.is('{') {
		return v.wrong("an object")
	}
	for i := skipSpace(v.raw, 1); v.raw[i] != '}'; {
		end := skipValue(v.raw, i)
		key, err := value{raw: v.raw[i:end]}.str()
		if err != nil {
			return v.errorf("a key %w", err)
		}
		i = skipSpace(v.raw, skipSpace(v.raw, end)+1) // after the colon
		end = skipValue(v.raw, i)
		if err := f(key, value{v.raw[i:end], v, key, -1}); err != nil {
			return err
		}
		i = skipComma(v.raw, end)
	}
	return nil
}

// items calls f for every element of a list.
func (v value) items(f func(item value) error) error {
	return v.elements(func(i int, raw json.RawMessage) error { return f(value{raw, &v, "", i}) })
}

// elements is items without the place of the elements, which costs memory.
func (v value) elements(f func(i int, raw json.RawMessage) error) error {
	if !v.is('[') {
		return v.wrong("a list")
	}
	n := 0
	for i := skipSpace(v.raw, 1); v.raw[i] != ']'; n++ {
		end := skipValue(v.raw, i)
		if err := f(n, v.raw[i:end]); err != nil {
			return err
		}
		i = skipComma(v.raw, end)
	}
	return nil
}

// count returns how many members or elements a value has, 0 if it has none of either.
func (v value) count() (n int) {
	if !v.is('{') && !v.is('[') {
		return 0
	}
	for i := skipSpace(v.raw, 1); v.raw[i] != '}' && v.raw[i] != ']'; {
		if i = skipComma(v.raw, skipValue(v.raw, i)); v.raw[i] == ':' {
			i = skipComma(v.raw, skipValue(v.raw, skipSpace(v.raw, i+1)))
		}
		n++
	}
	return n
}

// The skip functions walk over JSON that is known to be valid, so that members
// and elements are parts of it, not copies.

func skipSpace(raw []byte, i int) int {
	for raw[i] == ' ' || raw[i] == '\t' || raw[i] == '\n' || raw[i] == '\r' {
		i++
	}
	return i
}

// skipComma goes to the next member or element, or to the closing bracket.
func skipComma(raw []byte, i int) int {
	i = skipSpace(raw, i)
	if raw[i] == ',' {
		i = skipSpace(raw, i+1)
	}
	return i
}

// skipValue returns the end of the value at i.
func skipValue(raw []byte, i int) int {
	for depth := 0; ; {
		switch raw[i] {
		case '"':
			for i++; raw[i] != '"'; i++ {
				if raw[i] == '\\' {
					i++
				}
			}
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		case ',', ':', ' ', '\t', '\n', '\r':
		default: // a number, true, false or null
			for i+1 < len(raw) && strings.IndexByte(",]} \t\n\r", raw[i+1]) < 0 {
				i++
			}
		}
		i++
		if depth == 0 {
			return i
		}
	}
}

// object returns the members of an object by key; a key given twice is an error.
func (v value) object() (object, error) {
	o := object{&v, make([]value, 0, v.count())}
	err := v.each(func(_ string, member value) error {
		o.members = append(o.members, member)
		return nil
	})
	if err != nil {
		return o, err
	}
	slices.SortFunc(o.members, func(a, b value) int { return strings.Compare(a.key, b.key) })
	for i := 1; i < len(o.members); i++ {
		if key := o.members[i].key; key == o.members[i-1].key {
			return o, v.errorf("key %.60q is given twice", key)
		}
	}
	return o, nil
}

func (v value) str() (string, error) {
	if !v.is('"') {
		return "", v.wrong("a string")
	}
	if bytes.IndexByte(v.raw, '\\') < 0 {
		return string(v.raw[1 : len(v.raw)-1]), nil
	}
	var s string
	if err := json.Unmarshal(v.raw, &s); err != nil {
		return "", v.errorf("%w", err)
	}
	// encoding/json turns half a surrogate pair into U+FFFD.
	if strings.ContainsRune(s, utf8.RuneError) && !bytes.ContainsRune(v.raw, utf8.RuneError) &&
		!bytes.Contains(bytes.ToLower(v.raw), []byte(`\ufffd`)) {
		return "", v.errorf("%s holds half a surrogate pair", v.abridged())
	}
	return s, nil
}

// id is a token id: an integer from 0 to 2^31−1.
func (v value) id() (int32, error) {
	n, err := strconv.ParseInt(string(v.raw), 10, 64)
	if errors.Is(err, strconv.ErrSyntax) {
		return 0, v.wrong("a token id")
	}
	if err != nil || n < 0 || n > math.MaxInt32 {
		return 0, v.errorf("token id %s is outside 0 … %d", v.abridged(), math.MaxInt32)
	}
	return int32(n), nil
}

// An object gives its members by key; a missing one has no value.
type object struct {
	*value
	members []value // by key
}

func (o object) get(key string) value {
	i, ok := slices.BinarySearchFunc(o.members, key, func(v value, key string) int { return strings.Compare(v.key, key) })
	if ok {
		return o.members[i]
	}
	return value{in: o.value, key: key, index: -1}
}

// str is a member that must be there.
func (o object) str(key string) (string, error) { return o.get(key).str() }

// bool is a member that is ifMissing when it is missing or null.
func (o object) bool(key string, ifMissing bool) (bool, error) {
	v := o.get(key)
	switch {
	case v.null():
		return ifMissing, nil
	case string(v.raw) == "true":
		return true, nil
	case string(v.raw) == "false":
		return false, nil
	}
	return false, v.wrong("true or false")
}
