package kernel

import (
	"math"
	"slices"
	"sync"

	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// MaskThreshold marks the scores that reach their threshold: s ≥ τ, or |s| ≥ τ if abs.
//
//	scores, mask  T×I
//	tau           one number, or one for each of the I columns
//
// NaN reaches nothing. The magnitude of the least integer, which its type does not hold, is larger
// than all others: −s is then s, and negative.
func MaskThreshold[E weights.Elem](mask []bool, scores, tau []E, abs bool) {
	if len(mask) != len(scores) || len(tau) == 0 && len(scores) != 0 || len(tau) > 1 && len(scores)%len(tau) != 0 {
		panic(panicShape)
	}
	if len(tau) == 1 {
		limit := tau[0]
		for i, s := range scores {
			if abs && s < 0 {
				s = -s
			}
			mask[i] = s >= limit || abs && s < 0
		}
		return
	}
	for o := 0; o < len(scores); o += len(tau) {
		row, out := scores[o:][:len(tau)], mask[o:][:len(tau)]
		for i, s := range row {
			if abs && s < 0 {
				s = -s
			}
			out[i] = s >= tau[i] || abs && s < 0
		}
	}
}

// MaskTopK marks the k largest scores in every row of that many columns; of equal scores those of
// lower index come first. NaN is never marked.
func MaskTopK[E weights.Elem](mask []bool, scores []E, columns, k int) {
	checkRows(len(mask), len(scores), columns)
	if k < 0 || k > columns {
		panic(panicShape)
	}
	scratch := topKScratch.Get().(*[]uint64)
	defer topKScratch.Put(scratch)
	*scratch = slices.Grow((*scratch)[:0], 2*columns)
	keys, copies := (*scratch)[:columns], (*scratch)[columns:2*columns]
	for o := 0; o < len(scores); o += columns {
		out := mask[o:][:columns]
		k := min(k, orderedKeys(keys, scores[o:][:columns]))
		if k == 0 {
			clear(out)
			continue
		}
		copy(copies, keys)
		limit, equal, ties := kthLargest(copies, k)
		for i, key := range keys {
			out[i] = key >= limit
		}
		for i := columns - 1; equal > ties; i-- {
			if keys[i] == limit {
				out[i] = false
				equal--
			}
		}
	}
}

var topKScratch = sync.Pool{New: func() any { return new([]uint64) }}

// orderedKeys sets keys to numbers that are ordered as the scores are: −0 and 0 are equal, and the
// key of NaN is 0. It returns the number of scores that are not NaN.
func orderedKeys[E weights.Elem](keys []uint64, scores []E) (numbers int) {
	numbers = len(scores)
	switch floats := any(scores).(type) {
	case []float32:
		for i, s := range floats {
			b := math.Float32bits(s + 0)
			keys[i] = uint64(b^(uint32(int32(b)>>31)|1<<31)) << 32
			if s != s {
				keys[i] = 0
				numbers--
			}
		}
	case []float64:
		for i, s := range floats {
			b := math.Float64bits(s + 0)
			keys[i] = b ^ (uint64(int64(b)>>63) | 1<<63)
			if s != s {
				keys[i] = 0
				numbers--
			}
		}
	default:
		for i, s := range scores {
			keys[i] = uint64(int64(s)) ^ 1<<63
		}
	}
	return numbers
}

// kthLargest returns the k-th largest key, 1 ≤ k ≤ len(keys), how many keys are equal to it, and
// how many of them are among the k largest. It counts keys by their first digit, then those that
// share it with the result by the next one, which takes no branch that depends on the data. It
// overwrites keys.
func kthLargest(keys []uint64, k int) (key uint64, equal, ties int) {
	const bits = 12
	for shift := 64 - bits; ; shift = max(shift-bits, 0) {
		var counts [1 << bits]uint32
		for _, key := range keys {
			counts[key>>shift%(1<<bits)]++
		}
		digit := uint64(len(counts) - 1)
		for k > int(counts[digit]) {
			k -= int(counts[digit])
			digit--
		}
		n := 0
		for _, key := range keys {
			keys[n] = key
			if key>>shift%(1<<bits) == digit {
				n++
			}
		}
		keys = keys[:n]
		if shift == 0 || n == 1 {
			return keys[0], n, k
		}
	}
}

// MaskStatistical marks, in every row of that many columns, the scores above mean + std·z. std is
// the unbiased estimate (divisor columns−1), as torch.std computes it. A row that holds a NaN has
// no mark.
func MaskStatistical[E weights.Elem](mask []bool, scores []E, columns int, z float64) {
	checkRows(len(mask), len(scores), columns)
	for o := 0; o < len(scores); o += columns {
		row, out := scores[o:][:columns], mask[o:][:columns]
		var sum, squares float64
		for _, s := range row {
			sum += float64(s)
		}
		mean := sum / float64(columns)
		for _, s := range row {
			squares += (float64(s) - mean) * (float64(s) - mean)
		}
		limit := mean
		if columns > 1 && z != 0 {
			limit += math.Sqrt(squares/float64(columns-1)) * z
		}
		for i, s := range row {
			out[i] = float64(s) > limit
		}
	}
}

func checkRows(mask, scores, columns int) {
	if mask != scores || columns <= 0 && scores != 0 || columns > 0 && scores%columns != 0 {
		panic(panicShape)
	}
}

// Union marks in dst the columns that any row of mask T×len(dst) marks. Rows t with live[t] < 0 do
// not count; live nil means that all do.
func Union(dst, mask []bool, live []int32) {
	clear(dst)
	if len(dst) == 0 && len(mask) == 0 {
		return
	}
	if len(dst) == 0 || len(mask)%len(dst) != 0 || live != nil && len(live)*len(dst) != len(mask) {
		panic(panicShape)
	}
	for t := range len(mask) / len(dst) {
		if live != nil && live[t] < 0 {
			continue
		}
		for i, m := range mask[t*len(dst):][:len(dst)] {
			dst[i] = dst[i] || m
		}
	}
}
