package llama

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/sparsegonia/sparsegonia/ops/kernel"
)

// sampler draws tokens from logits. Equal seeds give equal draws on every machine. Its buffers are
// kept from token to token.
type sampler struct {
	temperature, topP float64

	pcg        rand.PCG
	weights    []float64 // of all tokens, 1 for the most likely
	candidates []candidate
}

type candidate struct {
	id int32
	p  float64
}

func newSampler(temperature, topP float64, seed uint64) (sampler, error) {
	switch {
	case !(temperature >= 0) || math.IsInf(temperature, 0):
		return sampler{}, fmt.Errorf("llama: temperature %v is not a finite number from 0 up", temperature)
	case !(topP >= 0 && topP <= 1):
		return sampler{}, fmt.Errorf("llama: top-p %v is not between 0 and 1", topP)
	}
	if topP == 0 {
		topP = 1
	}
	s := sampler{temperature: temperature, topP: topP}
	s.pcg.Seed(seed, 0)
	return s, nil
}

var errLogits = errors.New("llama: the logits are not finite numbers")

// sample draws a token: the most likely one (the first of equals) at temperature 0, else one of the
// smallest set of most likely tokens that together have probability top-p (Holtzman et al., arXiv
// 1904.09751).
func (s *sampler) sample(logits []float32) (int32, error) {
	best := kernel.Argmax(logits)
	highest := float64(logits[best])
	if math.IsNaN(highest) || math.IsInf(highest, 0) {
		return 0, errLogits
	}
	if s.temperature == 0 {
		return int32(best), nil
	}
	var sum float64
	s.weights = s.weights[:0]
	for _, x := range logits {
		w := math.Exp((float64(x) - highest) / s.temperature)
		s.weights = append(s.weights, w)
		sum += w
	}
	if math.IsNaN(sum) {
		return 0, errLogits
	}
	// Tokens below this probability are not in the set, even if all of them were as likely: sorting
	// the rest suffices.
	cutoff := (1 - s.topP) / float64(max(len(logits)-1, 1))
	s.candidates = s.candidates[:0]
	for id, w := range s.weights {
		if p := w / sum; p >= cutoff && p > 0 {
			s.candidates = append(s.candidates, candidate{int32(id), p})
		}
	}
	set, mass := s.candidates, 1.0
	if s.topP < 1 {
		set, mass = s.nucleus()
	}
	// 53 random bits make a number in [0, 1).
	r := float64(s.pcg.Uint64()>>11) / (1 << 53) * mass
	for _, c := range set {
		if r -= c.p; r < 0 {
			return c.id, nil
		}
	}
	return set[len(set)-1].id, nil
}

// nucleus returns the smallest set of the most likely candidates that has probability top-p, and
// its probability.
func (s *sampler) nucleus() ([]candidate, float64) {
	slices.SortFunc(s.candidates, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(b.p, a.p), cmp.Compare(a.id, b.id))
	})
	var mass float64
	for i, c := range s.candidates {
		if mass += c.p; mass >= s.topP {
			return s.candidates[:i+1], mass
		}
	}
	return s.candidates, mass
}
