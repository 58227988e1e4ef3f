package tokenizer

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// A stream emits whole characters only, and in all what Decode gives, whatever the ids: any of the vocabulary, and many
// of those that are single bytes, which are cut characters more often than not.
func TestStreamEmitsWholeCharacters(t *testing.T) {
	for _, kind := range kinds {
		tok := open(t, kind)
		var all, bytes []int32
		for id, token := range tok.tokens {
			all = append(all, id)
			if _, ok := byteOf(token); ok || len(appendBytes(nil, token)) == 1 {
				bytes = append(bytes, id)
			}
		}
		slices.Sort(all)
		slices.Sort(bytes)
		if len(bytes) == 0 {
			bytes = all
		}
		t.Run(kind, rapid.MakeCheck(func(t *rapid.T) {
			id := rapid.OneOf(rapid.SampledFrom(all), rapid.SampledFrom(bytes), rapid.SampledFrom(bytes))
			ids := rapid.SliceOfN(id, 0, 40).Draw(t, "ids")
			want, err := tok.Decode(ids, true)
			if err != nil {
				t.Fatal(err)
			}
			var got strings.Builder
			s := tok.NewStream()
			for i := 0; i <= len(ids); i++ {
				var part string
				if i == len(ids) {
					part = s.Flush()
				} else if part, err = s.Push(ids[i]); err != nil {
					t.Fatal(err)
				}
				if !utf8.ValidString(part) {
					t.Fatalf("id %d of %v emits %q", i, ids, part)
				}
				got.WriteString(part)
				if !strings.HasPrefix(want, got.String()) {
					t.Fatalf("after id %d of %v: %q, which does not begin %q", i, ids, got.String(), want)
				}
			}
			if got.String() != want {
				t.Fatalf("%v: stream %q, Decode %q", ids, got.String(), want)
			}
		}))
	}
}
