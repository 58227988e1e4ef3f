package llama

import (
	"math"
	"testing"
)

func TestSampleGreedy(t *testing.T) {
	s, err := newSampler(0, 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	if id, err := s.sample([]float32{-1, 3, 2, 3}); err != nil || id != 1 {
		t.Errorf("greedy token %d, %v, want 1", id, err)
	}
}

// frequencies are the shares of each token in many draws.
func frequencies(t *testing.T, temperature, topP float64, logits []float32) []float64 {
	t.Helper()
	s, err := newSampler(temperature, topP, 7)
	if err != nil {
		t.Fatal(err)
	}
	const draws = 20000
	counts := make([]int, len(logits))
	for range draws {
		id, err := s.sample(logits)
		if err != nil {
			t.Fatal(err)
		}
		counts[id]++
	}
	share := make([]float64, len(logits))
	for id, n := range counts {
		share[id] = float64(n) / draws
	}
	return share
}

func TestSampleDistribution(t *testing.T) {
	log := func(p float64) float32 { return float32(math.Log(p)) }
	logits := []float32{log(.1), log(.5), log(.05), log(.3), log(.05)}
	for _, test := range []struct {
		name              string
		temperature, topP float64
		want              []float64
	}{
		{"as is", 1, 0, []float64{.1, .5, .05, .3, .05}},
		{"top-p 1", 1, 1, []float64{.1, .5, .05, .3, .05}},
		{"top-p 0.8", 1, .8, []float64{0, .625, 0, .375, 0}},
		{"top-p 0.81", 1, .81, []float64{1. / 9, 5. / 9, 0, 3. / 9, 0}},
		{"tiny top-p", 1, 1e-9, []float64{0, 1, 0, 0, 0}},
		{"cold", 1e-3, 0, []float64{0, 1, 0, 0, 0}},
		{"hotter", 2, 0, []float64{.1546, .3458, .1093, .2678, .1093}}, // √p, normalised
	} {
		t.Run(test.name, func(t *testing.T) {
			got := frequencies(t, test.temperature, test.topP, logits)
			for i, want := range test.want {
				// Five standard deviations of a binomial share; nothing where nothing may be drawn.
				if math.Abs(got[i]-want) > 5*math.Sqrt(want*(1-want)/20000) {
					t.Errorf("token %d drawn with frequency %.4f, want %.4f", i, got[i], want)
				}
			}
		})
	}
}

func TestSampleIsSeeded(t *testing.T) {
	logits := make([]float32, 100)
	draw := func(seed uint64) (ids [20]int32) {
		s, err := newSampler(1, 0.9, seed)
		if err != nil {
			t.Fatal(err)
		}
		for i := range ids {
			if ids[i], err = s.sample(logits); err != nil {
				t.Fatal(err)
			}
		}
		return ids
	}
	first, again := draw(3), draw(3)
	if first != again {
		t.Error("equal seeds give different tokens")
	}
	if first == draw(4) {
		t.Error("seeds 3 and 4 give the same 20 tokens of 100 equally likely ones")
	}
}

func TestSampleRefuses(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	for _, o := range [][2]float64{{nan, 0}, {inf, 0}, {-1, 0}, {1, nan}, {1, -0.1}, {1, 1.1}, {1, inf}} {
		if _, err := newSampler(o[0], o[1], 0); err == nil {
			t.Errorf("temperature %v, top-p %v: no error", o[0], o[1])
		}
	}
	for _, logits := range [][]float32{{float32(nan), float32(nan)}, {0, float32(inf)}, {float32(-inf), float32(-inf)}} {
		for _, temperature := range []float64{0, 1} {
			s, err := newSampler(temperature, 0.9, 0)
			if err != nil {
				t.Fatal(err)
			}
			if id, err := s.sample(logits); err == nil {
				t.Errorf("token %d from the logits %v", id, logits)
			}
		}
	}
}

func TestSampleDoesNotAllocate(t *testing.T) {
	s, err := newSampler(1, 0.9, 0)
	if err != nil {
		t.Fatal(err)
	}
	logits := make([]float32, 1000)
	for i := range logits {
		logits[i] = float32(i%17) / 4
	}
	sample := func() {
		if _, err := s.sample(logits); err != nil {
			t.Fatal(err)
		}
	}
	sample()
	if n := testing.AllocsPerRun(20, sample); n != 0 {
		t.Errorf("%v allocations a token", n)
	}
}
