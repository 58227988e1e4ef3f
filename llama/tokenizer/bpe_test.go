package tokenizer

import (
	"fmt"
	"math/rand"
	"slices"
	"strings"
	"testing"
)

// slowMerge is byte-pair encoding as it is defined: the best pair of the whole
// piece is joined, again and again.
func slowMerge(b *bpe, ids []int32) []int32 {
	for {
		best, at := merge{rank: 1 << 30}, -1
		for i := range len(ids) - 1 {
			if p, ok := b.merges[[2]int32{ids[i], ids[i+1]}]; ok && p.rank < best.rank {
				best, at = p, i
			}
		}
		if at < 0 {
			return ids
		}
		ids = append(append(slices.Clone(ids[:at]), best.id), ids[at+2:]...)
	}
}

func TestMergeOrder(t *testing.T) {
	rng := rand.New(rand.NewSource(1))
	for range 300 {
		// A random vocabulary over three letters, every merge joining known tokens.
		b := &bpe{vocab: map[string]int32{"a": 0, "b": 1, "c": 2}, merges: map[[2]int32]merge{}, unknown: -1}
		tokens := []string{"a", "b", "c"}
		for rank := range 20 {
			left, right := tokens[rng.Intn(len(tokens))], tokens[rng.Intn(len(tokens))]
			if _, ok := b.vocab[left+right]; !ok {
				b.vocab[left+right] = int32(len(tokens))
				tokens = append(tokens, left+right)
			}
			if err := b.addMerge(rank, left, right); err != nil {
				t.Fatal(err)
			}
		}
		var text strings.Builder
		var letters []int32
		for range rng.Intn(60) {
			c := rng.Intn(3)
			text.WriteByte("abc"[c])
			letters = append(letters, int32(c))
		}
		got := b.encode(nil, text.String(), new(merger))
		if want := slowMerge(b, letters); !slices.Equal(got, want) {
			t.Fatalf("%s: got %v want %v, merges %v", text.String(), got, want, b.merges)
		}
	}
}

func TestUnknownCharacters(t *testing.T) {
	b := bpe{vocab: map[string]int32{"<unk>": 0, "a": 1, "<0xC3>": 2, "<0xA9>": 3}, unknown: 0}
	for _, c := range []struct {
		name string
		set  func(*bpe)
		want []int32
	}{
		{"each", func(*bpe) {}, []int32{1, 0, 0, 1, 0}},
		{"fused", func(b *bpe) { b.fuseUnknown = true }, []int32{1, 0, 1, 0}},
		{"bytes", func(b *bpe) { b.bytes = byteTokens(b.vocab) }, []int32{1, 2, 3, 0, 1, 2, 3}},
		{"left out", func(b *bpe) { b.unknown = -1 }, []int32{1, 1}},
	} {
		b := b
		c.set(&b)
		if got := b.encode(nil, "aé日aé", new(merger)); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %v want %v", c.name, got, c.want)
		}
	}
}

// repeats is a vocabulary in which runs of a merge to ever longer tokens.
func repeats(tb testing.TB, gguf bool) *Tokenizer {
	tb.Helper()
	v := DefaultVocabulary("gpt2", "gpt-2")
	if gguf {
		v = DefaultVocabulary("llama", "")
		v.AddBOS, v.AddSpacePrefix = false, false
	}
	for n := 1; n <= 64; n *= 2 {
		run := strings.Repeat("a", n)
		v.Tokens = append(v.Tokens, run)
		v.Scores = append(v.Scores, -float32(n))
		if n > 1 {
			v.Merges = append(v.Merges, fmt.Sprintf("%s %s", run[:n/2], run[:n/2]))
		}
	}
	tok, err := FromGGUF("repeats", v)
	if err != nil {
		tb.Fatal(err)
	}
	return tok
}

// A piece of n characters must not take n² steps: sixteen times the text may
// take sixteen times the work and a little, but not 256 times.
func TestLongPiecesAreNearLinear(t *testing.T) {
	for _, gguf := range []bool{false, true} {
		tok := repeats(t, gguf)
		const n = 6400
		steps := func(n int) int {
			var m merger
			m.reset()
			count := 0
			for range n {
				m.add(0)
			}
			m.merge(func(left, right symbol) (float64, int32, bool) {
				count++
				return 0, left.id + 1, left.id == right.id && left.id < 6
			})
			return count
		}
		if small, large := steps(n), steps(16*n); large > 17*small {
			t.Errorf("%d characters take %d steps, %d take %d", n, small, 16*n, large)
		}
		ids, err := tok.EncodePlain(strings.Repeat("a", 16*n))
		if err != nil || len(ids) != 16*n/64 {
			t.Errorf("%d ids, %v", len(ids), err)
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	tok := open(b, "llama3")
	text := strings.Repeat("The quick brown fox jumps over the lazy dog, isn't it?  12345\n\tfunc main() { return }\n", 100)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if _, err := tok.Encode(text); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncodeRepeats(b *testing.B) {
	tok := repeats(b, false)
	for _, n := range []int{1 << 10, 1 << 17} {
		text := strings.Repeat("a", n)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.SetBytes(int64(n))
			for b.Loop() {
				if _, err := tok.Encode(text); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
