package main

import (
	"strings"
)

// docs are the loops that functions compute, by the beginning of their names: the longest that fits
// counts. $d stands for what follows it, the dtype of the rows.
var docs = map[string]string{
	"dot4": `sums products of x with four rows of $d and prefetches r.Next as it reads r.Row:

	r.Sum[i] = Σ x[k]·r.Row[i][k]    k < n, i < 4

x is float32. n is a multiple of 32.`,
	"dot4Int8": `sums products of x, int16, with four rows of int8 and prefetches r.Next as it reads r.Row:

	r.Sum[i] = Σ x[k]·r.Row[i][k]    k < n ≤ 8192, i < 4

n is a multiple of 32. Sums are exact up to their conversion.`,
	"dot4Int8G": dot4Groups + dotBytes, "dot4Int4": dot4Groups + dotNibbles, "dot4Int4M": dot4Groups + dotMinima,
	"dot2Int8G": dot2Groups + dotBytes, "dot2Int4": dot2Groups + dotNibbles, "dot2Int4M": dot2Groups + dotMinima,
	"axpy4": `adds four rows of $d and prefetches r.Next as it reads r.Row:

	y[k] += Σ r.Coef[i]·r.Row[i][k]    k < n, i < 4

n is a multiple of 32.`,
	"axpy1": `adds the first row of r, of $d:

	y[k] += r.Coef[0]·r.Row[0][k]    k < n

n is a multiple of 32.`,
	"axpy4Int8": `adds four rows of int8 and prefetches r.Next as it reads r.Row:

	f    = max |r.Coef[i]| / 16383
	y[k] += f·Σ round(r.Coef[i]/f)·r.Row[i][k]    k < n, i < 4

AVX2 takes a multiple of 32. AVX-512 takes any n and y in the order of step 16.`,
	"axpy1Int8": `adds the first row of r, of int8:

	y[k] += r.Coef[0]·r.Row[0][k]    k < n

n is a multiple of 32.`,
	"axpy4Int8G": `adds four rows of Int8G, n columns of whole groups, and prefetches r.Next one row after the other:

	c(i,g) = r.Coef[i]·scale(i,g)
	y[k]  += Σ c(i,k/32)·r.Row[i][k]    k < n, i < 4

AVX-512 rounds c(i,g) to multiples of max |c(·,g)| / 16383, and takes y in the order of step 16.`,
	"axpy1Int8G": axpy1Groups + `	y[k] += r.Coef[0]·scale(k/32)·r.Row[0][k]    k < n`,
	"axpy4Int4":  axpy4Groups + `	y[k] += Σ r.Coef[i]·scale(i,k/32)·(nibble(i,k) − 8)    k < n, i < 4`,
	"axpy1Int4":  axpy1Groups + `	y[k] += r.Coef[0]·scale(k/32)·(nibble(k) − 8)    k < n`,
	"axpy4Int4M": axpy4Groups + `	y[k] += Σ r.Coef[i]·(scale(i,k/32)·nibble(i,k) + min(i,k/32))    k < n, i < 4`,
	"axpy1Int4M": axpy1Groups + `	y[k] += r.Coef[0]·(scale(k/32)·nibble(k) + min(k/32))    k < n`,
	"axpy8Int4": axpy8 + `	y[k] += f(g)·Σ q(i,g)·(nibble(i,k) − 8)    g = k/32, k < 32n, i < 8
` + axpy8Groups,
	"axpy8Int4M": axpy8 + `	y[k] += f(g)·Σ q(i,g)·(nibble(i,k) − 8) + Σ (8·c(i,g) + r.Coef[i]·min(i,g))    g = k/32, k < 32n, i < 8
` + axpy8Groups,
	"widen": `converts a row of $d to float32, an int8 without the scale of its row:

	dst[k] = float32(src[k])    k < n

n is a multiple of 32.`,
	"widenInt8G": widenGroups + `	dst[k] = scale(k/32)·quant(k)    k < 32n`,
	"widenInt4":  widenGroups + `	dst[k] = scale(k/32)·nibble(k) − 8·scale(k/32)    k < 32n`,
	"widenInt4M": widenGroups + `	dst[k] = scale(k/32)·nibble(k) + min(k/32)    k < 32n`,
	"widen16Int8G": `converts n groups of int8 to int16:

	dst[k] = int16(src[k])    k < 32n`,
	"widen16Int4": `converts n groups of nibbles to int16:

	dst[k] = nibble(k) − 8    k < 32n`,
	"widen16Int4M": `converts n groups of nibbles to int16:

	dst[k] = nibble(k)    k < 32n`,
	"widenPairs": `makes pairs of int16 of two rows of int8:

	dst[2k], dst[2k+1] = a[k], b[k]    k < n

n is a multiple of 32.`,
	"rowDots": `sums products of x with count rows of $d, stride bytes apart:

	y[i] += Σ x[k]·row(i)[k]    k < n, i < count

n is a multiple of 32.`,
	"rowSum": `adds count rows of $d, stride bytes apart:

	y[k] += Σ coef[i]·row(i)[k]    k < n, i < count

n is a multiple of 32.`,
	"tile": `adds a product of rows of weights, at any distances in bytes, and of columns of inputs, k × C:

	c[i·C+j] += Σ w(i,l)·x[l·C+j]    w(i,l) at w + i·rowStep + l·colStep, l < k, i < R, j < C

AVX2 has R, C = 6, 16, AVX-512 12, 32.`,
	"tilePairs": `is tile of pairs of int16, with a factor for each row and group of pairs:

	c[i·C+j] += Σ f(i,g)·Σ (w(i,l)·x[l·C+j])    l of group g, g < groups
	w·x       = w[0]·x[0] + w[1]·x[1]
	f(i,g)    at factors + i·factorStep + 4g

pairs, of a group, is a multiple of 4. The inner sums are int32.`,
	"transpose": `transposes a square of S × S float32, rows dstStep and srcStep bytes apart:

	dst(j,i) = src(i,j)    i, j < S

AVX2 has S = 8, AVX-512 16.`,
	"inOrder": `puts 64 sums in order, as four rows of 16, step bytes apart:

	dst(l,4k+i) = src[16k+4l+i]    l, k, i < 4`,
	"packPairs": `rounds n rows of C inputs, n even, to pairs of int16:

	f(k)          at factors + k·factorStep
	scales[j]     = max |src[k·C+j]·f(k)| / 16383    NaN if one is not finite
	dst(k/2,j,k%2) = round(src[k·C+j]·f(k) / scales[j])    k < n, j < C

AVX2 has C = 16, AVX-512 32.`,
	"prefetch": `prefetches n bytes at any address:

	for o := 0; o < n; o += 64 { PREFETCHT0 (p+o) }`,
	"silu": `computes

	y[k] = x[k] / (1 + exp(−x[k]))    k < n`,
	"geluTanh": `computes

	y[k] = x[k] / (1 + exp(−2u)), u = √(2/π)·(x[k] + 0.044715·x[k]³)    k < n`,
	"relu": `computes

	y[k] = max(x[k], 0)    k < n; NaN stays NaN`,
	"mul": `computes

	y[k] = a[k]·b[k]    k < n`,
	"add": `computes

	y[k] = a[k] + b[k]    k < n`,
	"expSum": `computes and returns the sum of

	y[k] = exp(x[k] − shift)    k < n`,
	"norm": `computes

	y[k] = x[k]·scale·w[k]    k < n`,
	"maxColumns": `computes, of at least one row of C numbers,

	largest[j] = max(largest[j], x[i·C+j])    i < rows, j < C

AVX2 has C = 16, AVX-512 32.`,
	"expColumns": `computes, of at least one row of C numbers,

	x[i·C+j] = exp(x[i·C+j] − shifts[j])
	sums[j] += x[i·C+j]    i < rows, j < C

AVX2 has C = 16, AVX-512 32.`,
	"scale": `computes

	y[k] *= factor    k < n`,
	"sumSquares": `returns, in float64,

	Σ x[k]²    k < n`,
	"absMax": `returns the bits of

	max |x[k]|    k < n; a NaN counts as largest`,
	"quantize16": `rounds to int16:

	q[k] = round(x[k] / scale)    k < n

n is a multiple of 16.`,
	"quantizeGroups": `rounds n groups to int8:

	d[g] = max |x[k]| / 127        k of group g; NaN if one is not finite
	q[k] = round(x[k] / d[k/32])   k < 32n
	s[g] = d[g]·Σ q[k]             k of group g`,
	"read": `sums what it reads: n bytes of each of some streams, step bytes apart. n is a multiple of 256.`,
	"tileSplit": `multiplies bfloat16 on AMX; aLow and bLow may be nil:

	c(i,j) += Σ a(i,k)·b(k,j) + aLow(i,k)·b(k,j) + a(i,k)·bLow(k,j)    i, j < 32, k < bytes/2
	a(i,k)  at a + i·aStep + 2k
	b(k,j)  at b + k/2·bStep + 4j + k%2·2
	c(i,j)  at c + i·cStep + 4j, float32

bytes is a multiple of 64.`,
	"tileBytes": `multiplies int8 on AMX; aLow and bLow may be nil:

	c(i,j) += Σ a(i,k)·b(k,j) + aLow(i,k)·b(k,j) + a(i,k)·bLow(k,j)    i, j < 32, k < bytes
	a(i,k)  at a + i·aStep + k
	b(k,j)  at b + k/4·bStep + 4j + k%4
	c(i,j)  at c + i·cStep + 4j, int32

bytes is a multiple of 64.`,
	"splitRow": `splits float32 into two bfloat16; low may be nil:

	high[k] = bf16(src[k])
	low[k]  = bf16(src[k] − high[k])    k < n

n is a multiple of 16.`,
	"splitPairs": `is splitRow of two rows, of which it makes pairs:

	high[2k], high[2k+1] = bf16(a[k]), bf16(b[k])    k < n; low as in splitRow

n is a multiple of 16.`,
	"splitColumns": `is splitRow of the columns of 16 rows of 32 numbers:

	high(j,i) = bf16(src[32i+j])    high(j,i) at high + j·step + 2i, i < 16, j < 32; low as in splitRow`,
	"bytesOfRow": `splits int16 into two int8:

	256·high[k] + low[k] = src[k]    k < n

n is a multiple of 32.`,
	"bytesOfPairs": `is bytesOfRow of two rows of n pairs, of which it makes quads:

	high[4k…4k+3] = a[2k], a[2k+1], b[2k], b[2k+1]    k < n, the high bytes; low likewise

n is a multiple of 16.`,
	"bytesOfColumns": `is bytesOfRow of the columns of 16 rows of 32 pairs:

	high(j,2i…2i+1) = src[64i+2j…]    high(j,·) at high + j·step, i < 16, j < 32, the high bytes; low likewise`,
	"quads": `makes quads of the bytes of four rows:

	dst[4k…4k+3] = a[k], b[k], c[k], d[k]    k < n

n is a multiple of 32.`,
	"joinBytes": `joins sums of int32:

	dst[k] = (256·high[k] + low[k])·factor    k < n

n is a multiple of 16.`,
}

const (
	dot4Groups = `sums products of an Operand with four rows of n groups and prefetches r.Next as it reads r.Row:

	r.Sum[i] = dot(x, r.Row[i])    i < 4
`
	dot2Groups = `sums products of an Operand with two rows of n groups and prefetches nextA and nextB as it reads a and b:

	xa, xb = dot(x, a), dot(x, b)
`
	dotBytes   = `	dot(x, w) = Σ scale(g)·x.d[g]·Σ x.q[k]·w[k]    k of group g, g < n`
	dotNibbles = `	dot(x, w) = Σ scale(g)·(x.d[g]·Σ x.q[k]·nibble(k) − 8·x.s[g])    k of group g, g < n`
	dotMinima  = `	dot(x, w) = Σ scale(g)·x.d[g]·Σ x.q[k]·nibble(k) + min(g)·x.s[g]    k of group g, g < n`

	axpy4Groups = "adds four rows of n columns of whole groups:\n\n"
	axpy1Groups = "adds the first row of r, n columns of whole groups:\n\n"

	axpy8 = `adds eight rows of n groups of nibbles and prefetches r.Next one row after the other:

	c(i,g) = r.Coef[i]·scale(i,g)
	f(g)   = max |c(i,g)| / 127
	q(i,g) = round(c(i,g)/f(g))
`
	axpy8Groups = `
AVX2 takes an even n from 8 on. AVX-512 takes any n and y in the order of step 32.`

	widenGroups = "converts n groups to float32:\n\n"
)

// docOf returns what the comment of a function says behind its name.
func docOf(name string) string {
	best := ""
	for prefix := range docs {
		if strings.HasPrefix(name, prefix) && len(prefix) > len(best) {
			best = prefix
		}
	}
	if best == "" {
		panic("no comment for " + name)
	}
	return strings.ReplaceAll(docs[best], "$d", strings.TrimPrefix(name, best))
}
