// Package strictjson reads JSON so that no two readers can see different things in a file: UTF-8
// only, one value, no key twice, no half of a surrogate pair, no text in place of a number. Errors
// say where the value stands, as in "model.vocab" or "layers[3].threshold".
//
// Nothing is decoded before it is asked for: a [Value] is a part of one copy of the text.
package strictjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A Value is a JSON value and where it stands, so that an error can name it.
type Value struct {
	raw   []byte // empty: there is no such value
	in    *Value // the object or the list that it is in; nil: the place is not known, or it is the file
	key   string // in an object
	index int    // in a list; −1 in an object
}

// Parse checks that data is one JSON value in UTF-8.
func Parse(data []byte) (Value, error) {
	for i := 0; i < len(data); {
		r, size := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && size == 1 {
			return Value{}, syntaxError(data, i, errors.New("not UTF-8"))
		}
		i += size
	}
	var raw json.RawMessage
	if err := json.Unmarshal(data, &raw); err != nil {
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			return Value{}, syntaxError(data, int(syntax.Offset), err)
		}
		return Value{}, fmt.Errorf("not JSON: %w", err)
	}
	return Value{raw: bytes.TrimSpace(raw)}, nil
}

// syntaxError says at which byte there is one and, in an object, in which member.
func syntaxError(data []byte, at int, err error) error {
	d := json.NewDecoder(bytes.NewReader(data))
	if t, _ := d.Token(); t == json.Delim('{') {
		for d.More() {
			key, _ := d.Token()
			var member json.RawMessage
			if name, ok := key.(string); ok && (d.Decode(&member) != nil || int(d.InputOffset()) > at) {
				return fmt.Errorf("not JSON: %.60q, byte %d: %w", name, at, err)
			} else if !ok {
				break
			}
		}
	}
	return fmt.Errorf("not JSON: byte %d: %w", at, err)
}

// Path returns where the value stands, as in "model.vocab".
func (v Value) Path() string {
	if v.in == nil {
		return ""
	}
	outer := v.in.Path()
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

// Errorf returns an error of the value.
func (v Value) Errorf(format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	if path := v.Path(); path != "" {
		return fmt.Errorf("%s: %w", path, err)
	}
	return err
}

// Is reports whether the value begins with c, which shows its kind.
func (v Value) Is(c byte) bool { return len(v.raw) > 0 && v.raw[0] == c }

// Missing reports whether there is no such value.
func (v Value) Missing() bool { return len(v.raw) == 0 }

// Null reports whether the value is null or missing.
func (v Value) Null() bool { return v.Missing() || v.Is('n') }

// Wrong returns the error of a value that is not of the kind want.
func (v Value) Wrong(want string) error {
	if v.Missing() {
		return v.Errorf("is missing")
	}
	return v.Errorf("want %s, got %s", want, v.Abridged())
}

// Abridged returns the text of the value for an error message: one line, and no longer than that.
func (v Value) Abridged() string {
	const most = 40
	text := string(v.raw[:min(len(v.raw), most)])
	if len(v.raw) > most {
		text = strings.ToValidUTF8(text, "") + "…"
	}
	return strings.Join(strings.Fields(text), " ")
}

// Each calls f for every member of an object, in order.
func (v *Value) Each(f func(key string, member Value) error) error {
	if !v.Is('{') {
		return v.Wrong("an object")
	}
	for i := skipSpace(v.raw, 1); v.raw[i] != '}'; {
		end := skipValue(v.raw, i)
		key, err := Value{raw: v.raw[i:end]}.Str()
		if err != nil {
			return v.Errorf("a key %w", err)
		}
		i = skipSpace(v.raw, skipSpace(v.raw, end)+1) // after the colon
		end = skipValue(v.raw, i)
		if err := f(key, Value{v.raw[i:end], v, key, -1}); err != nil {
			return err
		}
		i = skipComma(v.raw, end)
	}
	return nil
}

// Items calls f for every element of a list.
func (v Value) Items(f func(item Value) error) error {
	return v.Elements(func(i int, item Value) error { return f(Value{item.raw, &v, "", i}) })
}

// Elements is Items without the places of the elements, which cost memory.
func (v Value) Elements(f func(i int, item Value) error) error {
	if !v.Is('[') {
		return v.Wrong("a list")
	}
	n := 0
	for i := skipSpace(v.raw, 1); v.raw[i] != ']'; n++ {
		end := skipValue(v.raw, i)
		if err := f(n, Value{raw: v.raw[i:end]}); err != nil {
			return err
		}
		i = skipComma(v.raw, end)
	}
	return nil
}

// Count returns how many members or elements a value has, 0 if it has none of either.
func (v Value) Count() (n int) {
	if !v.Is('{') && !v.Is('[') {
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

// Check reports the first fault of data, for those who then decode it otherwise: all that Parse
// refuses, and a key given twice in any object.
func Check(data []byte) error {
	v, err := Parse(data)
	if err != nil {
		return err
	}
	return v.check()
}

func (v Value) check() error {
	switch {
	case v.Is('{'):
		o, err := v.Object()
		for i := 0; i < len(o.Members) && err == nil; i++ {
			err = o.Members[i].check()
		}
		return err
	case v.Is('['):
		return v.Items(Value.check)
	}
	return nil
}

// Object returns the members of an object by key; a key given twice is an error.
func (v Value) Object() (Object, error) {
	o := Object{&v, make([]Value, 0, v.Count())}
	err := v.Each(func(_ string, member Value) error {
		o.Members = append(o.Members, member)
		return nil
	})
	if err != nil {
		return o, err
	}
	slices.SortFunc(o.Members, func(a, b Value) int { return strings.Compare(a.key, b.key) })
	for i := 1; i < len(o.Members); i++ {
		if key := o.Members[i].key; key == o.Members[i-1].key {
			return o, v.Errorf("key %.60q appears twice", key)
		}
	}
	return o, nil
}

// Str returns the text of a string.
func (v Value) Str() (string, error) {
	if !v.Is('"') {
		return "", v.Wrong("a string")
	}
	if bytes.IndexByte(v.raw, '\\') < 0 {
		return string(v.raw[1 : len(v.raw)-1]), nil
	}
	var s string
	if err := json.Unmarshal(v.raw, &s); err != nil {
		return "", v.Errorf("%w", err)
	}
	// encoding/json turns half a surrogate pair into U+FFFD.
	if strings.ContainsRune(s, utf8.RuneError) && !bytes.ContainsRune(v.raw, utf8.RuneError) &&
		!bytes.Contains(bytes.ToLower(v.raw), []byte(`\ufffd`)) {
		return "", v.Errorf("%s holds half a surrogate pair", v.Abridged())
	}
	return s, nil
}

// Int returns an integer that is written without fraction and exponent.
func (v Value) Int() (int, error) {
	n, err := strconv.Atoi(string(v.raw))
	if err != nil {
		return 0, v.Wrong("an integer")
	}
	return n, nil
}

// Float returns a number, which fits in a float64.
func (v Value) Float() (x float64, err error) {
	if v.Null() || json.Unmarshal(v.raw, &x) != nil {
		return 0, v.Wrong("a number")
	}
	return x, nil
}

// Bool returns true or false.
func (v Value) Bool() (bool, error) {
	switch string(v.raw) {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, v.Wrong("true or false")
}

// Raw returns the text of the value, which must not be changed.
func (v Value) Raw() []byte { return v.raw }

// Key returns the key of a member of an object.
func (v Value) Key() string { return v.key }

// At returns the place of element i of a list, for errors.
func (v Value) At(i int) Value { return Value{in: &v, index: i} }

// Alone returns the value without its place, for errors that name it otherwise.
func (v Value) Alone() Value { return Value{raw: v.raw} }

// An Object gives its members by key; a missing one has no value.
type Object struct {
	*Value
	Members []Value // in the order of their keys
}

// Get returns a member, or where it would stand.
func (o Object) Get(key string) Value {
	i, ok := slices.BinarySearchFunc(o.Members, key, func(v Value, key string) int { return strings.Compare(v.key, key) })
	if ok {
		return o.Members[i]
	}
	return Value{in: o.Value, key: key, index: -1}
}

// Str returns a member that must be there.
func (o Object) Str(key string) (string, error) { return o.Get(key).Str() }

// Bool returns a member, or missing if it is null or not there.
func (o Object) Bool(key string, missing bool) (bool, error) {
	v := o.Get(key)
	if v.Null() {
		return missing, nil
	}
	return v.Bool()
}
