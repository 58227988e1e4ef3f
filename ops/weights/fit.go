package weights

import "github.com/chewxy/math32"

// The scale of a group of 4 bits is searched for: a range a little narrower or wider than that of the numbers rounds
// most of them better. For the levels that a range gives, the scale and minimum of least square error follow from them;
// with these the numbers are rounded again, and the range with the least error wins.

// fitRanges are the ranges that are tried, in levels.
var fitRanges = [...]float32{-1, -0.5, 0, 0.5, 1}

// nibbleScale returns the float16 scale d for which d·q, −8 ≤ q ≤ 7, is nearest to x; NaN if x is not finite. Errors
// count by |x|: without a minimum half of the levels may lie idle, and then it is the large numbers that must be kept.
func nibbleScale(x []float32) uint16 {
	var extreme float32
	for _, v := range x {
		if math32.Abs(v) > math32.Abs(extreme) {
			extreme = v
		}
	}
	if m := Largest(x); m != m {
		extreme = m
	}
	best := toF16(extreme / -8) // all 16 levels, as in Q4_0
	least := nibbleError(x, FromF16(best), 0, -8, true)
	if !(least > 0) {
		return best
	}
	for _, r := range fitRanges {
		inverse := -(8 + r) / extreme
		var xq, qq float32
		for _, v := range x {
			q := level(v*inverse, -8)
			w := math32.Abs(v)
			xq += w * v * q
			qq += w * q * q
		}
		h := toF16(xq / qq)
		if e := nibbleError(x, FromF16(h), 0, -8, true); e < least {
			best, least = h, e
		}
	}
	return best
}

// nibbleScaleMin returns the float16 scale d and minimum m for which d·q + m, 0 ≤ q ≤ 15, is nearest to x.
func nibbleScaleMin(x []float32) (d, m uint16) {
	lo, hi := x[0], x[0]
	var sum float32
	for _, v := range x {
		lo, hi = min(lo, v), max(hi, v)
		sum += v
	}
	d, m = toF16((hi-lo)/15), toF16(lo)
	least := nibbleError(x, FromF16(d), FromF16(m), 0, false)
	if !(least > 0) {
		return d, m
	}
	n := float32(len(x))
	for _, r := range fitRanges {
		inverse := (15 + r) / (hi - lo)
		var q1, qq, xq float32
		for _, v := range x {
			q := level((v-lo)*inverse, 0)
			q1 += q
			qq += q * q
			xq += v * q
		}
		s := (n*xq - q1*sum) / (n*qq - q1*q1)
		hs, hm := toF16(s), toF16((sum-s*q1)/n)
		if e := nibbleError(x, FromF16(hs), FromF16(hm), 0, false); e < least {
			d, m, least = hs, hm, e
		}
	}
	return d, m
}

// nibbleError is the sum of the squared errors of x, times |x| if weighted, in steps of s from base on, 16 levels from lowest on.
func nibbleError(x []float32, s, base float32, lowest int32, weighted bool) float32 {
	inverse := 1 / s
	var sum float32
	for _, v := range x {
		e := v - base - s*level((v-base)*inverse, lowest)
		e *= e
		if weighted {
			e *= math32.Abs(v)
		}
		sum += e
	}
	return sum
}

// level rounds to the nearest of the 16 whole numbers from lowest on.
func level(x float32, lowest int32) float32 {
	return float32(min(max(int32(x+64.5)-64, lowest), lowest+15))
}
