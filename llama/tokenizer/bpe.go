package tokenizer

import (
	"fmt"
	"unicode/utf8"
)

// bpe merges the characters of a piece pair by pair, the pair that was learned
// first coming first (Sennrich et al., arXiv 1508.07909).
type bpe struct {
	vocab  map[string]int32
	merges map[[2]int32]merge
	bytes  *[256]int32 // tokens of single bytes, −1 where there is none; nil: no fallback
	// unknown stands for a character that has neither token nor bytes; −1: it is left out.
	unknown      int32
	fuseUnknown  bool // one unknown for a run of them
	ignoreMerges bool // a piece that is a token is that token
}

type merge struct{ rank, id int32 }

// addMerge enters a pair of tokens; a pair given twice has the later rank.
func (b *bpe) addMerge(rank int, left, right string) error {
	l, ok := b.vocab[left]
	if !ok {
		return fmt.Errorf("token %.60q is not in the vocabulary", left)
	}
	r, ok := b.vocab[right]
	if !ok {
		return fmt.Errorf("token %.60q is not in the vocabulary", right)
	}
	id, ok := b.vocab[left+right]
	if !ok {
		return fmt.Errorf("token %.60q is not in the vocabulary", left+right)
	}
	b.merges[[2]int32{l, r}] = merge{rank: int32(rank), id: id}
	return nil
}

func (b *bpe) encode(ids []int32, text string, m *merger) []int32 {
	if b.ignoreMerges {
		if id, ok := b.vocab[text]; ok {
			return append(ids, id)
		}
	}
	m.reset()
	unknown := false
	for i := 0; i < len(text); {
		_, size := utf8.DecodeRuneInString(text[i:])
		char := text[i : i+size]
		i += size
		if id, ok := b.vocab[char]; ok {
			if unknown {
				m.add(b.unknown)
				unknown = false
			}
			m.add(id)
			continue
		}
		// As in Hugging Face's, bytes do not end a run of unknowns.
		if b.addBytes(m, char) || b.unknown < 0 {
			continue
		}
		if unknown && !b.fuseUnknown {
			m.add(b.unknown)
		}
		unknown = true
	}
	if unknown {
		m.add(b.unknown)
	}
	m.merge(b.pair)
	for s := range m.live {
		ids = append(ids, s.id)
	}
	return ids
}

// addBytes adds the byte tokens of a character if there is one for each.
func (b *bpe) addBytes(m *merger, char string) bool {
	if b.bytes == nil {
		return false
	}
	for i := range len(char) {
		if b.bytes[char[i]] < 0 {
			return false
		}
	}
	for i := range len(char) {
		m.add(b.bytes[char[i]])
	}
	return true
}

func (b *bpe) pair(left, right symbol) (float64, int32, bool) {
	p, ok := b.merges[[2]int32{left.id, right.id}]
	return float64(p.rank), p.id, ok
}

// byteTokens returns the ids of the tokens <0x00> to <0xFF>, −1 where there is none.
func byteTokens(vocab map[string]int32) *[256]int32 {
	var ids [256]int32
	for b := range ids {
		id, ok := vocab[fmt.Sprintf("<0x%02X>", b)]
		if !ok {
			id = -1
		}
		ids[b] = id
	}
	return &ids
}

// spm is the byte-pair encoding of SentencePiece: two neighbours merge when they make a token, the
// token of the highest score first (Kudo and Richardson, arXiv 1808.06226).
type spm struct {
	vocab   map[string]int32
	scores  []float32
	longest int // bytes of the longest token
	bytes   *[256]int32
	unknown int32 // −1: characters without token and bytes are left out
}

func (s *spm) encode(ids []int32, text string, m *merger) []int32 {
	m.reset()
	for i := 0; i < len(text); {
		_, size := utf8.DecodeRuneInString(text[i:])
		id, ok := s.vocab[text[i:i+size]]
		if !ok {
			id = -1
		}
		m.addText(id, i, i+size)
		i += size
	}
	m.merge(func(left, right symbol) (float64, int32, bool) {
		if right.end-left.start > int32(s.longest) {
			return 0, 0, false
		}
		id, ok := s.vocab[text[left.start:right.end]]
		if !ok {
			return 0, 0, false
		}
		return -float64(s.scores[id]), id, true
	})
	unknown := false
	for sym := range m.live {
		if sym.id >= 0 {
			ids = append(ids, sym.id)
			unknown = false
			continue
		}
		char := text[sym.start:sym.end]
		for i := range len(char) {
			if id := s.bytes[char[i]]; id >= 0 {
				ids = append(ids, id)
				unknown = false
			} else if s.unknown >= 0 && !unknown {
				ids = append(ids, s.unknown)
				unknown = true
			}
		}
	}
	return ids
}
