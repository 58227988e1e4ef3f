package kernel

import (
	"math"
	"slices"
	"sync"
)

// MaskThreshold marks the scores that reach their threshold: s ≥ τ, or |s| ≥ τ
// if abs. tau has one number for all or one for each of the I columns; scores
// and mask are T×I. NaN does not reach anything.
func MaskThreshold[E Elem](mask []bool, scores, tau []E, abs bool) {
	if len(mask) != len(scores) || len(tau) == 0 && len(scores) != 0 || len(tau) > 1 && len(scores)%len(tau) != 0 {
		panic(panicShape)
	}
	if len(tau) == 1 {
		limit := tau[0]
		for i, s := range scores {
			if abs && s < 0 {
				s = -s
			}
			mask[i] = s >= limit
		}
		return
	}
	for o := 0; o < len(scores); o += len(tau) {
		row, out := scores[o:][:len(tau)], mask[o:][:len(tau)]
		for i, s := range row {
			if abs && s < 0 {
				s = -s
			}
			out[i] = s >= tau[i]
		}
	}
}

// MaskTopK marks the k largest scores in every row of columns numbers, of
// equal scores the ones of lower index. NaN is never marked.
func MaskTopK[E Elem](mask []bool, scores []E, columns, k int) {
	checkRows(len(mask), len(scores), columns)
	if k < 0 || k > columns {
		panic(panicShape)
	}
	scratch := topKScratch.Get().(*[]uint64)
	defer topKScratch.Put(scratch)
	*scratch = slices.Grow((*scratch)[:0], columns)
	for o := 0; o < len(scores); o += columns {
		row, out := scores[o:][:columns], mask[o:][:columns]
		keys := (*scratch)[:0]
		for _, s := range row {
			if s == s {
				keys = append(keys, orderedKey(s))
			}
		}
		limit, ties := uint64(0), len(keys) // everything that is a number
		if k < len(keys) {
			limit, ties = kthLargest(keys, k)
		}
		for i, s := range row {
			out[i] = false
			if s != s {
				continue
			}
			switch key := orderedKey(s); {
			case k == 0:
			case key > limit || k >= len(keys):
				out[i] = true
			case key == limit && ties > 0:
				out[i] = true
				ties--
			}
		}
	}
}

var topKScratch = sync.Pool{New: func() any { return new([]uint64) }}

// orderedKey orders like s does; −0 and 0 are equal.
func orderedKey[E Elem](s E) uint64 {
	if d := dtypeOf[E](); d == Int32 || d == Int64 {
		return uint64(int64(s)) ^ 1<<63
	}
	b := math.Float64bits(float64(s) + 0)
	if b>>63 != 0 {
		return ^b
	}
	return b | 1<<63
}

// kthLargest returns the k-th largest key, 1 ≤ k ≤ len(keys), and how many keys
// equal to it are among the k largest. It reorders keys.
func kthLargest(keys []uint64, k int) (key uint64, ties int) {
	if k == 0 {
		return math.MaxUint64, 0
	}
	lo, hi, need := 0, len(keys), k
	for {
		pivot := median(keys[lo], keys[(lo+hi)/2], keys[hi-1])
		// larger | equal | smaller
		larger, i, smaller := lo, lo, hi
		for i < smaller {
			switch x := keys[i]; {
			case x > pivot:
				keys[i], keys[larger] = keys[larger], x
				larger++
				i++
			case x < pivot:
				smaller--
				keys[i], keys[smaller] = keys[smaller], x
			default:
				i++
			}
		}
		switch {
		case need <= larger-lo:
			hi = larger
		case need <= smaller-lo:
			return pivot, need - (larger - lo)
		default:
			need -= smaller - lo
			lo = smaller
		}
	}
}

func median(a, b, c uint64) uint64 { return max(min(a, b), min(max(a, b), c)) }

// MaskStatistical marks, in every row of columns numbers, the scores above
// mean + std·z, std being the unbiased estimate (divisor columns−1), as
// torch.std computes it. A row that holds a NaN has no mark.
func MaskStatistical[E Elem](mask []bool, scores []E, columns int, z float64) {
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

// Union marks in dst the columns that a row of mask T×len(dst) marks. Rows t
// with live[t] < 0 do not count; live nil means that all do.
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
