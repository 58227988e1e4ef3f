package main

import (
	"math"
	"math/rand/v2"
)

const (
	side    = 28
	pixels  = side * side
	classes = 10
)

// artist draws images of ten classes: each class is a few strokes, and every image of it is moved,
// faded and noisy.
type artist struct {
	rng    *rand.Rand
	shapes [classes][]stroke
}

// stroke is a line between two points.
type stroke struct{ x0, y0, x1, y1 float64 }

func newArtist(seed uint64) *artist {
	a := &artist{rng: rand.New(rand.NewPCG(seed, 1))}
	at := func() float64 { return 5 + 18*a.rng.Float64() }
	for c := range a.shapes {
		for range 3 {
			a.shapes[c] = append(a.shapes[c], stroke{at(), at(), at(), at()})
		}
	}
	return a
}

// draw fills an image of class c with brightnesses of about 0 to 1.
func (a *artist) draw(image []float32, c int) {
	dx, dy := 4*a.rng.Float64()-2, 4*a.rng.Float64()-2
	ink := 0.6 + 0.4*a.rng.Float64()
	for i := range image {
		x, y := float64(i%side)-dx, float64(i/side)-dy
		bright := 0.0
		for _, s := range a.shapes[c] {
			d := s.distance(x, y)
			bright = max(bright, math.Exp(-d*d/2))
		}
		image[i] = float32(ink*bright + 0.1*a.rng.NormFloat64())
	}
}

// distance is that of a point from the stroke.
func (s stroke) distance(x, y float64) float64 {
	dx, dy := s.x1-s.x0, s.y1-s.y0
	t := ((x-s.x0)*dx + (y-s.y0)*dy) / max(dx*dx+dy*dy, 1e-9)
	t = min(max(t, 0), 1)
	return math.Hypot(x-s.x0-t*dx, y-s.y0-t*dy)
}
