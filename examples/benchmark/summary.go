package main

import (
	"fmt"
	"slices"
)

// summary describes repeated measurements of one quantity.
type summary struct {
	Median float64 `json:"median"`
	Q1     float64 `json:"q1"` // quartiles, interpolated linearly
	Q3     float64 `json:"q3"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
	N      int     `json:"n"`
}

// summarise describes values, which it leaves as they are. Of none it is the zero summary.
func summarise(values []float64) summary {
	if len(values) == 0 {
		return summary{}
	}
	s := slices.Sorted(slices.Values(values))
	return summary{
		Median: quantile(s, 0.5), Q1: quantile(s, 0.25), Q3: quantile(s, 0.75),
		Min: s[0], Max: s[len(s)-1], N: len(s),
	}
}

// quantile is the value below which the fraction q of sorted lies, interpolated linearly.
func quantile(sorted []float64, q float64) float64 {
	at := q * float64(len(sorted)-1)
	i := int(at)
	if i+1 >= len(sorted) {
		return sorted[len(sorted)-1]
	}
	return sorted[i] + (at-float64(i))*(sorted[i+1]-sorted[i])
}

// spread is half the distance of the quartiles as a fraction of the median.
func (s summary) spread() float64 {
	if s.Median == 0 {
		return 0
	}
	return (s.Q3 - s.Q1) / 2 / s.Median
}

// percent writes the spread.
func (s summary) percent() string {
	if s.N < 2 {
		return "" // one value has no spread
	}
	return fmt.Sprintf("±%.0f%%", 100*s.spread())
}
