package strictjson_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sparsegonia/sparsegonia/ops/weights/checkpoint/strictjson"
)

func Example() {
	read := func(text string) {
		v, err := strictjson.Parse([]byte(text))
		if err != nil {
			fmt.Println(err)
			return
		}
		file, err := v.Object()
		if err != nil {
			fmt.Println(err)
			return
		}
		model, err := file.Get("model").Object()
		if err != nil {
			fmt.Println(err)
			return
		}
		layers, err := model.Get("layers").Int()
		fmt.Println(layers, err)
	}
	read(`{"model": {"layers": 4}}`)
	read(`{"model": {"layers": "4"}}`)
	read(`{"model": {"layers": 4, "layers": 5}}`)
	read(`{"model": 7}`)
	read(`{"eps": NaN}`)
	// Output:
	// 4 <nil>
	// 0 model.layers: want an integer, got "4"
	// model: key "layers" appears twice
	// model: want an object, got 7
	// not JSON: "eps", byte 9: invalid character 'N' looking for beginning of value
}

func TestParseRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"":                            "unexpected end",
		" ":                           "unexpected end",
		"{} {}":                       "byte 4",
		"[1,]":                        "byte 4",
		"\xff":                        "not UTF-8",
		"{\"a\": 1, \"b\": \"\xff\"}": `"b", byte 15: not UTF-8`,
		`{"a": [1, 2}`:                `"a"`,
		strings.Repeat("[", 20000):    "depth",
		"\ufeff{}":                    "invalid character",
	} {
		_, err := strictjson.Parse([]byte(text))
		if err == nil || !strings.Contains(err.Error(), "not JSON") || !strings.Contains(err.Error(), want) {
			t.Errorf("%.20q: error %v, want one with %q", text, err, want)
		}
	}
}

// Every getter refuses the other kinds and names the place.
func TestKinds(t *testing.T) {
	texts := []string{`"a"`, `3`, `1.5`, `true`, `null`, `[1]`, `{"b": 1}`, ``}
	kinds := []struct {
		name string
		get  func(strictjson.Value) error
		ok   string // the indices of texts that are fine
	}{
		{"Str", func(v strictjson.Value) error { _, err := v.Str(); return err }, "0"},
		{"Int", func(v strictjson.Value) error { _, err := v.Int(); return err }, "1"},
		{"Float", func(v strictjson.Value) error { _, err := v.Float(); return err }, "12"},
		{"Bool", func(v strictjson.Value) error { _, err := v.Bool(); return err }, "3"},
		{"Items", func(v strictjson.Value) error { return v.Items(func(strictjson.Value) error { return nil }) }, "5"},
		{"Object", func(v strictjson.Value) error { _, err := v.Object(); return err }, "6"},
	}
	for i, text := range texts {
		file := `{"x": {}}`
		if text != "" {
			file = `{"x": {"a.b": ` + text + `}}`
		}
		v, err := strictjson.Parse([]byte(file))
		if err != nil {
			t.Fatal(err)
		}
		o, err := v.Object()
		if err != nil {
			t.Fatal(err)
		}
		x, err := o.Get("x").Object()
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range kinds {
			err := k.get(x.Get("a.b"))
			if fine := strings.Contains(k.ok, fmt.Sprint(i)); fine != (err == nil) {
				t.Errorf("%s of %q: %v", k.name, text, err)
			} else if !fine && !strings.HasPrefix(err.Error(), `x."a.b": `) {
				t.Errorf("%s of %q: error %q does not name the place", k.name, text, err)
			}
		}
	}
}

func TestStrings(t *testing.T) {
	for text, want := range map[string]string{
		`"a\u002eb"`: "a.b", `"😀"`: "😀", `"\ud83d\ude00"`: "😀", `"\ufffd"`: "\ufffd", `""`: "",
	} {
		v, err := strictjson.Parse([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := v.Str(); got != want || err != nil {
			t.Errorf("%s: %q, %v", text, got, err)
		}
	}
	v, err := strictjson.Parse([]byte(`"\ud83d"`))
	if err != nil {
		t.Fatal(err)
	}
	if s, err := v.Str(); err == nil {
		t.Errorf("half a surrogate pair: %q", s)
	}
}

// Whatever is accepted can be walked, and what Count says is there.
func Fuzz(f *testing.F) {
	for _, text := range []string{`{"a": [1, {"b": null}], "c": "\u0041"}`, `[[], {}, "]", "\\\""]`, `-1e5`, `{"a":1,"a":2}`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		v, err := strictjson.Parse(data)
		if err != nil {
			return
		}
		walk(t, v)
	})
}

func walk(t *testing.T, v strictjson.Value) {
	n := 0
	switch {
	case v.Is('['):
		if err := v.Items(func(item strictjson.Value) error { n++; walk(t, item); return nil }); err != nil {
			t.Error(err)
		}
	case v.Is('{'):
		// Each stops at a key with half a surrogate pair.
		if err := v.Each(func(_ string, m strictjson.Value) error { n++; walk(t, m); return nil }); err != nil {
			return
		}
	default:
		_, _, _, _ = v.Null(), v.Path(), v.Abridged(), v.Missing()
	}
	if n != v.Count() {
		t.Errorf("%d parts, Count is %d: %s", n, v.Count(), v.Abridged())
	}
}

func TestCheck(t *testing.T) {
	for text, want := range map[string]string{
		`{"a": [1, {"b": 2}], "c": null}`:      "",
		`{"a": [1, {"b": 2, "c": 3, "b": 2}]}`: `a[1]: key "b" appears twice`,
		`{"a": 1, "a": 1}`:                     `key "a" appears twice`,
		`{"a": 1} 2`:                           "2",
	} {
		err := strictjson.Check([]byte(text))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}
