package tokenizer

import (
	"math/rand"
	"slices"
	"strings"
	"testing"

	"github.com/dlclark/regexp2/v2"
)

// matches cuts text as the regular expression does, with what lies between its
// matches.
func matches(t testing.TB, re *regexp2.Regexp, text string) []string {
	t.Helper()
	ranges, err := re.FindAllStringIndex(text, -1)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	end := 0
	for _, r := range ranges {
		if r[0] > end {
			out = append(out, text[end:r[0]])
		}
		end = r[1]
		out = append(out, text[r[0]:end])
	}
	if end < len(text) {
		out = append(out, text[end:])
	}
	return out
}

func scanned(scan scanner, text string) []string {
	var out []string
	for _, p := range (isolate{scan}).split(nil, piece{text: text}) {
		out = append(out, p.text)
	}
	return out
}

// reference is the pattern as regexp2 understands it: that engine does not fold
// ſ to s, as Oniguruma and Unicode do.
func reference(pattern string) *regexp2.Regexp {
	return regexp2.MustCompile(strings.Replace(pattern, "(?i:'s|", "(?i:'s|'ſ|", 1), regexp2.None)
}

func TestScannersMatchPatterns(t *testing.T) {
	alphabet := []rune("aZéſ日का'''stREVLlmd!?.,_ \t\n\r\v\x00\u0085\u00a0\u2028\u3000\u200d\u0301\ufffd🙂12٣½Ⅷ𝟏")
	rng := rand.New(rand.NewSource(1))
	texts := goldenStrings(t)
	for range 30000 {
		b := make([]rune, rng.Intn(16))
		for i := range b {
			b[i] = alphabet[rng.Intn(len(alphabet))]
		}
		texts = append(texts, string(b))
	}
	for pattern, scan := range patterns {
		re := reference(pattern)
		for _, text := range texts {
			if len(text) > 2000 {
				text = text[:900] // regexp2 backtracks
			}
			text = strings.ToValidUTF8(text, "")
			if got, want := scanned(scan, text), matches(t, re, text); !slices.Equal(got, want) {
				t.Fatalf("%s\n%q:\ngot  %q\nwant %q", pattern, text, got, want)
			}
		}
	}
}

func FuzzScanners(f *testing.F) {
	for _, s := range []string{"it's 1234  \n x", "'ſ", "a\u00a0 \r\n b", "½日🙂 !\n"} {
		f.Add(s)
	}
	references := map[string]*regexp2.Regexp{}
	for pattern := range patterns {
		references[pattern] = reference(pattern)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 1000 {
			return
		}
		text = strings.ToValidUTF8(text, "\uFFFD")
		for pattern, scan := range patterns {
			if got, want := scanned(scan, text), matches(t, references[pattern], text); !slices.Equal(got, want) {
				t.Fatalf("%s\n%q:\ngot  %q\nwant %q", pattern, text, got, want)
			}
		}
	})
}

// The scanners take bytes that are not UTF-8 for symbols and lose none.
func TestScannersKeepBytes(t *testing.T) {
	text := "a\xff\xfeb \xe6\x97 1\xf0\x9f\n\x80"
	for pattern, scan := range patterns {
		if got := strings.Join(scanned(scan, text), ""); got != text {
			t.Errorf("%s: %q", pattern, got)
		}
	}
	want := []string{"a", "\xff\xfe", "b", " \xe6\x97", " ", "1", "\xf0\x9f\n", "\x80"}
	if got := scanned(scanLlama3, text); !slices.Equal(got, want) {
		t.Errorf("got %q want %q", got, want)
	}
}

func TestMetaspace(t *testing.T) {
	for _, c := range []struct {
		m    metaspace
		in   piece
		want []string
	}{
		{metaspace{"▁", prependAlways, true}, piece{text: "a b"}, []string{"▁a", "▁b"}},
		{metaspace{"▁", prependAlways, true}, piece{text: "  a "}, []string{"▁", "▁a", "▁"}},
		{metaspace{"▁", prependToFirst, true}, piece{text: "a"}, []string{"a"}},
		{metaspace{"▁", prependToFirst, true}, piece{text: "a", first: true}, []string{"▁a"}},
		{metaspace{"▁", prependToFirst, false}, piece{text: " a b", first: true}, []string{"▁a▁b"}},
		{metaspace{"▁", prependNever, true}, piece{text: "a b", first: true}, []string{"a", "▁b"}},
	} {
		var got []string
		for _, p := range c.m.split(nil, c.in) {
			got = append(got, p.text)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%v %q: got %q want %q", c.m, c.in.text, got, c.want)
		}
	}
}
