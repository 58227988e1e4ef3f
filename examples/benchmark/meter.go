package main

import (
	"context"
	"time"
	"unsafe"

	"github.com/sparsegonia/sparsegonia/ops/kernel"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// trial is something to be timed, again and again.
type trial struct {
	name string
	work float64 // bytes read or floating-point operations of a run; 0: only the time counts
	unit roofKind
	runs int // in one measurement, for what is over in a few microseconds; 0: 1

	prepare func(round int) error // before each run, not timed; may be nil
	run     func(round int) error
}

// roofKind is what limits a trial at best.
type roofKind uint8

const (
	readRoof roofKind = iota // reading memory, bytes a second
	fmaRoof                  // multiplying and adding, operations a second
	noRoof                   // neither: only the time counts
)

// measured is what came of a trial.
type measured struct {
	seconds   summary
	runs      []float64 // seconds of the run of each round
	rate      float64   // work per second at the median
	roof      float64   // median of the roofs around the runs
	ratio     float64   // median of rate by roof, run by run
	disturbed int       // runs whose two roofs differ by over a tenth, although they were tried again
}

// meter times trials between measurements of what the machine can do.
//
// A run that reads much more than the cache holds, or the roof that is read in between, leaves no
// weight of the next run in the cache: every run is cold.
type meter struct {
	cpu     *kernel.CPU
	data    []byte // read by readRoof
	streams int    // as so many: what this machine reads fastest

	budget time.Duration // of a measure: it ends after the round in which this has passed; 0: never
}

func newMeter(p *kernel.CPU, bytes int) *meter {
	m := &meter{cpu: p, data: weights.NewMatrix(weights.F32, 1, bytes/4).Row(0)}
	words := unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(m.data))), bytes/4)
	for i := range words { // memory that was never written is one page of zeros
		words[i] = float32(i & 255)
	}
	fastest := 0.0
	for _, streams := range []int{1, 2, 4} {
		var rates []float64
		for range 5 {
			rates = append(rates, kernel.ReadRoof(p, m.data, streams))
		}
		if rate := summarise(rates).Median; rate > fastest {
			fastest, m.streams = rate, streams
		}
	}
	return m
}

func (m *meter) roof(k roofKind) float64 {
	switch k {
	case readRoof:
		return kernel.ReadRoof(m.cpu, m.data, m.streams)
	case fmaRoof:
		return kernel.FMAPeak(m.cpu, 5*time.Millisecond)
	default:
		kernel.ReadRoof(m.cpu, m.data, 1) // leaves nothing else in the cache
		return 0
	}
}

// fewest are the rounds that a budget does not cut.
const fewest = 3

// measure runs every trial in turn, for a number of rounds after one to warm up, each between two
// measurements of its roof. A run whose roofs differ by over a tenth was disturbed and is tried
// again, as often as there are rounds.
func (m *meter) measure(ctx context.Context, rounds int, trials []trial) ([]measured, error) {
	type times struct{ seconds, roofs, ratios []float64 }
	all := make([]times, len(trials))
	results := make([]measured, len(trials))
	retries := make([]int, len(trials))
	start := time.Now()
	for round := -1; round < rounds; round++ {
		late := m.budget > 0 && time.Since(start) > m.budget
		if late && round >= fewest {
			break
		}
		for i := range trials {
			t := &trials[i]
			for {
				if err := ctx.Err(); err != nil {
					return nil, err
				}
				seconds, before, after, err := m.once(t, round+1)
				if err != nil {
					return nil, err
				}
				if round < 0 {
					break
				}
				if disturbed(before, after) {
					if retries[i] < rounds && !late {
						retries[i]++
						continue
					}
					results[i].disturbed++
				}
				a := &all[i]
				a.seconds = append(a.seconds, seconds)
				if t.work > 0 && t.unit != noRoof {
					roof := (before + after) / 2
					a.roofs = append(a.roofs, roof)
					a.ratios = append(a.ratios, t.work/seconds/roof)
				}
				break
			}
		}
	}
	for i, a := range all {
		r := &results[i]
		r.seconds, r.runs = summarise(a.seconds), a.seconds
		r.roof, r.ratio = summarise(a.roofs).Median, summarise(a.ratios).Median
		if trials[i].work > 0 {
			r.rate = trials[i].work / r.seconds.Median
		}
	}
	return results, nil
}

// timesAsFast is how many times as fast m is as other: the median of the quotients of their runs in
// each round.
func (m *measured) timesAsFast(other *measured) float64 {
	quotients := make([]float64, len(m.runs))
	for i, t := range m.runs {
		quotients[i] = other.runs[i] / t
	}
	return summarise(quotients).Median
}

func disturbed(before, after float64) bool { return max(before, after) > 1.1*min(before, after) }

func (m *meter) once(t *trial, round int) (seconds, before, after float64, err error) {
	if t.prepare != nil {
		if err := t.prepare(round); err != nil {
			return 0, 0, 0, err
		}
	}
	before = m.roof(t.unit)
	runs := max(t.runs, 1)
	start := time.Now()
	for range runs {
		if err := t.run(round); err != nil {
			return 0, 0, 0, err
		}
	}
	seconds = time.Since(start).Seconds() / float64(runs)
	if t.unit != noRoof {
		after = m.roof(t.unit)
	}
	return seconds, before, after, nil
}
