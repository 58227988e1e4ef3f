package tokenizer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A value is a JSON value and where it stands, as in "model.vocab", so that an
// error can name it.
type value struct {
	path string
	raw  json.RawMessage
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
	return value{raw: raw}, nil
}

func (v value) errorf(format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	if v.path == "" {
		return err
	}
	return fmt.Errorf("%s: %w", v.path, err)
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
	text := string(v.raw)
	if len(text) > 40 {
		text = strings.ToValidUTF8(text[:40], "") + "…"
	}
	return v.errorf("want %s, got %s", want, text)
}

// each calls f for every member of an object, in order; a key given twice is an
// error.
func (v value) each(f func(key string, member value) error) error {
	if !v.is('{') {
		return v.wrong("an object")
	}
	d := json.NewDecoder(bytes.NewReader(v.raw))
	if _, err := d.Token(); err != nil {
		return v.errorf("%w", err)
	}
	seen := map[string]bool{}
	for d.More() {
		from := d.InputOffset()
		token, err := d.Token()
		if err != nil {
			return v.errorf("%w", err)
		}
		key := token.(string)
		if err := v.whole(key, v.raw[from:d.InputOffset()]); err != nil {
			return err
		}
		if seen[key] {
			return v.errorf("key %q is given twice", key)
		}
		seen[key] = true
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			return v.errorf("%w", err)
		}
		if err := f(key, v.member(key, raw)); err != nil {
			return err
		}
	}
	return nil
}

// object returns the members of an object by key.
func (v value) object() (object, error) {
	o := object{value: v, members: map[string]value{}}
	err := v.each(func(key string, member value) error {
		o.members[key] = member
		return nil
	})
	return o, err
}

// member is the value of a key; keys that are not plain names are quoted.
func (v value) member(key string, raw json.RawMessage) value {
	name := key
	if strings.ContainsFunc(key, func(r rune) bool { return (r|0x20 < 'a' || r|0x20 > 'z') && r != '_' }) {
		name = strconv.Quote(key)
	}
	if v.path != "" {
		name = v.path + "." + name
	}
	return value{name, raw}
}

func (v value) list() ([]value, error) {
	if !v.is('[') {
		return nil, v.wrong("a list")
	}
	var raw []json.RawMessage
	if err := json.Unmarshal(v.raw, &raw); err != nil {
		return nil, v.errorf("%w", err)
	}
	values := make([]value, len(raw))
	for i, r := range raw {
		values[i] = value{v.path, r}
	}
	return values, nil
}

// at names the value as an element of a list.
func (v value) at(i int) value { return value{fmt.Sprintf("%s[%d]", v.path, i), v.raw} }

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
	return s, v.whole(s, v.raw)
}

// whole refuses half a surrogate pair, which encoding/json turns into U+FFFD.
func (v value) whole(s string, raw []byte) error {
	if strings.ContainsRune(s, utf8.RuneError) && !bytes.ContainsRune(raw, utf8.RuneError) &&
		!bytes.Contains(bytes.ToLower(raw), []byte(`\ufffd`)) {
		return v.errorf("%s holds half a surrogate pair", bytes.TrimLeft(raw, ", \t\r\n"))
	}
	return nil
}

// id is a token id: an integer from 0 to 2^31−1.
func (v value) id() (int32, error) {
	n, err := strconv.ParseInt(string(v.raw), 10, 64)
	if errors.Is(err, strconv.ErrSyntax) {
		return 0, v.wrong("a token id")
	}
	if err != nil || n < 0 || n > math.MaxInt32 {
		return 0, v.errorf("token id %s is outside 0 … %d", v.raw, math.MaxInt32)
	}
	return int32(n), nil
}

// An object gives its members by key; a missing one has no value.
type object struct {
	value
	members map[string]value
}

func (o object) get(key string) value {
	if v, ok := o.members[key]; ok {
		return v
	}
	return o.member(key, nil)
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
