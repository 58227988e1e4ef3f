package checkpoint

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// The headers of safetensors are JSON, but package json keeps the last of two
// equal keys and ignores the case of keys: two readers could see different
// tensors in one file. Here, package json checks the syntax, and the functions
// below, which rely on that, find the parts. All parts are substrings of one
// copy of the text.

// A member is a key of an object and the text of its value.
type member struct{ key, value string }

// checkJSON returns the text of one valid JSON value without surrounding space.
func checkJSON(data []byte) (string, error) {
	if !utf8.Valid(data) {
		return "", errors.New("JSON is not UTF-8")
	}
	var nothing struct{} // syntax comes first; that the value is no object is for the caller to find
	var syntax *json.SyntaxError
	if err := json.Unmarshal(data, &nothing); errors.As(err, &syntax) {
		return "", fmt.Errorf("JSON: byte %d: %w", syntax.Offset, err)
	}
	return strings.Trim(string(data), whitespace), nil
}

// object returns the members of an object in the order of their keys, all different.
func object(text string) ([]member, error) {
	if text[0] != '{' {
		return nil, fmt.Errorf("%s is not a JSON object", quote(text))
	}
	n := 0
	for range parts(text) {
		n++
	}
	members := make([]member, 0, n/2)
	var key string
	for i, part := range parts(text) {
		if i%2 == 0 {
			key, _ = unquote(part)
		} else {
			members = append(members, member{key, part})
		}
	}
	slices.SortFunc(members, func(a, b member) int { return cmp.Compare(a.key, b.key) })
	for i := 1; i < len(members); i++ {
		if members[i-1].key == members[i].key {
			return nil, fmt.Errorf("key %s appears twice", quote(members[i].key))
		}
	}
	return members, nil
}

// unquote returns the value of a JSON string; false if text is something else.
func unquote(text string) (string, bool) {
	if text[0] != '"' {
		return "", false
	}
	if !strings.Contains(text, `\`) {
		return text[1 : len(text)-1], true
	}
	var s string
	err := json.Unmarshal([]byte(text), &s)
	return s, err == nil
}

const whitespace = " \t\r\n"

// parts yields the elements of an array, or the keys and the values of an object in turns, with their numbers.
func parts(text string) func(yield func(int, string) bool) {
	return func(yield func(int, string) bool) {
		rest := text[1:]
		for i := 0; ; i++ {
			rest = strings.TrimLeft(rest, whitespace+",:")
			n := extent(rest)
			if n == 0 || !yield(i, rest[:n]) {
				return
			}
			rest = rest[n:]
		}
	}
}

// extent is the length of the JSON value that text begins with, 0 if what it begins with closes an array or an object.
func extent(text string) int {
	depth := 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '"':
			for i++; text[i] != '"'; i++ {
				if text[i] == '\\' {
					i++
				}
			}
			if depth == 0 {
				return i + 1
			}
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1
			}
			if depth < 0 { // of what encloses the value: a number or a word ends before it
				return i
			}
		case ',', ' ', '\t', '\r', '\n':
			if depth == 0 {
				return i
			}
		}
	}
	return len(text)
}
