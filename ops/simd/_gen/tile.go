package main

import "fmt"

func (g *generator) tileRows() int { return 6 * g.width / 8 }

// tileBases points a register at every third row of a tile from SI on, whose
// rows are R8 bytes apart.
func (g *generator) tileBases() []string {
	bases := []string{"SI", "R10", "R11", "R12"}[:g.tileRows()/3]
	g.p("LEAQ (R8)(R8*2), R13")
	for i := 1; i < len(bases); i++ {
		g.p("LEAQ (%s)(R13*1), %s", bases[i-1], bases[i])
	}
	return bases
}

func tileRow(bases []string, r int) string {
	return "(" + bases[r/3] + ")" + []string{"", "(R8*1)", "(R8*2)"}[r%3]
}

// tile: tileRows rows of weights, broadcast, times two vectors of tokens.
func (g *generator) tile() {
	w, rows := g.width, g.tileRows()
	g.fn("tile", "(c, w unsafe.Pointer, rowStep, colStep int, x unsafe.Pointer, k int)", 0)
	g.load("c", "AX", "w", "SI", "rowStep", "R8", "colStep", "R9", "x", "DX", "k", "CX")
	bases := g.tileBases()
	x := 2 * rows // registers of the inputs, then of the weights
	for i := range 2 * rows {
		g.p("VMOVUPS %d(AX), v#%d", 4*w*i, i)
	}
	column := func(u int) {
		g.p("VMOVUPS %d(DX), v#%d", 8*w*u, x)
		g.p("VMOVUPS %d(DX), v#%d", 8*w*u+4*w, x+1)
		for r := range rows {
			t := x + 2 + r%2
			g.p("VBROADCASTSS %s, v#%d", tileRow(bases, r), t)
			g.p("VFMADD231PS v#%d, v#%d, v#%d", x, t, 2*r)
			g.p("VFMADD231PS v#%d, v#%d, v#%d", x+1, t, 2*r+1)
		}
		for _, b := range bases {
			g.p("ADDQ R9, %s", b)
		}
	}
	g.p("SUBQ $4, CX")
	g.p("JL   rest")
	g.at("loop")
	for u := range 4 {
		column(u)
	}
	g.p("ADDQ $%d, DX", 32*w)
	g.p("SUBQ $4, CX")
	g.p("JGE  loop")
	g.at("rest")
	g.p("ADDQ $4, CX")
	g.p("JZ   done")
	g.at("last")
	column(0)
	g.p("ADDQ $%d, DX", 8*w)
	g.p("DECQ CX")
	g.p("JNZ  last")
	g.at("done")
	for i := range 2 * rows {
		g.p("VMOVUPS v#%d, %d(AX)", i, 4*w*i)
	}
	g.ret()
}

// tilePairs is tile for weights and inputs of 16 bits, two columns at a time,
// exactly; a group of columns ends with the factors of its rows.
func (g *generator) tilePairs() {
	w, rows := g.width, g.tileRows()
	g.fn("tilePairs", "(c, w unsafe.Pointer, rowStep, colStep int, x, factors unsafe.Pointer, factorStep, pairs, groups int)", 0)
	g.load("c", "AX", "w", "SI", "rowStep", "R8", "colStep", "R9", "x", "DX", "factors", "BX",
		"factorStep", "R15", "groups", "DI")
	bases := g.tileBases()
	x := 2 * rows
	column := func(u int) {
		g.p("VMOVUPS %d(DX), v#%d", 8*w*u, x)
		g.p("VMOVUPS %d(DX), v#%d", 8*w*u+4*w, x+1)
		for r := range rows {
			if w == 16 {
				t := x + 2 + r%2
				g.p("VPBROADCASTD %s, Z%d", tileRow(bases, r), t)
				g.p("VPDPWSSD Z%d, Z%d, Z%d", t, x, 2*r)
				g.p("VPDPWSSD Z%d, Z%d, Z%d", t, x+1, 2*r+1)
				continue
			}
			g.p("VPBROADCASTD %s, Y%d", tileRow(bases, r), x+2)
			g.p("VPMADDWD Y%d, Y%d, Y%d", x+2, x, x+3)
			g.p("VPADDD Y%d, Y%d, Y%d", x+3, 2*r, 2*r)
			g.p("VPMADDWD Y%d, Y%d, Y%d", x+2, x+1, x+2)
			g.p("VPADDD Y%d, Y%d, Y%d", x+2, 2*r+1, 2*r+1)
		}
		for _, b := range bases {
			g.p("ADDQ R9, %s", b)
		}
	}
	g.at("group")
	for i := range 2 * rows {
		g.zero(i)
	}
	g.load("pairs", "CX")
	g.at("loop") // pairs is a multiple of 4
	for u := range 4 {
		column(u)
	}
	g.p("ADDQ $%d, DX", 32*w)
	g.p("SUBQ $4, CX")
	g.p("JNZ  loop")
	g.p("MOVQ BX, R14")
	for r := range rows {
		g.p("VBROADCASTSS (R14), v#%d", x+2)
		g.p("ADDQ R15, R14")
		for i := 2 * r; i < 2*r+2; i++ {
			g.p("VCVTDQ2PS v#%d, v#%d", i, i)
			g.p("VFMADD213PS %d(AX), v#%d, v#%d", 4*w*i, x+2, i)
			g.p("VMOVUPS v#%d, %d(AX)", i, 4*w*i)
		}
	}
	g.p("ADDQ $4, BX")
	g.p("DECQ DI")
	g.p("JNZ  group")
	g.ret()
}

// packPairs converts a panel of inputs, n × 2 vectors of float32, into the pairs of
// int16 that tilePairs reads, row k times the factor at k·factorStep. The scale of
// each of its tokens is written too; it is NaN if an input is not finite.
func (g *generator) packPairs() {
	w := g.width
	g.fn("packPairs", "(dst, src, scales, factors unsafe.Pointer, factorStep, n int)", 0)
	g.load("dst", "DI", "src", "SI", "scales", "R8", "factors", "BX", "factorStep", "R9", "n", "CX")
	words := func(bits uint32) []uint64 {
		out := make([]uint64, w/2)
		for i := range out {
			out[i] = pair(bits)
		}
		return out
	}
	g.p("VMOVUPS %s, v#14", g.constant("magnitudes", words(0x7fffffff)...))
	g.zero(0, 1)
	g.p("MOVQ SI, AX")
	g.p("MOVQ BX, DX")
	g.p("MOVQ CX, R10")
	g.at("largest")
	g.p("VBROADCASTSS (DX), v#4")
	for i := range 2 {
		g.p("VMULPS %d(AX), v#4, v#%d", 4*w*i, 2+i)
		g.and("v#14", map[int]string{0: "v#2", 1: "v#3"}[i])
		g.p("VPMAXUD v#%d, v#%d, v#%d", 2+i, i, i)
	}
	g.p("ADDQ $%d, AX", 8*w)
	g.p("ADDQ R9, DX")
	g.p("DECQ R10")
	g.p("JNZ  largest")
	g.p("VMOVUPS %s, v#4", g.constant("finite", words(0x7f7fffff)...))
	for i := range 2 {
		if w == 16 { // not finite: all ones, a NaN
			g.p("VPCMPUD $6, Z4, Z%d, K1", i)
			g.p("VPTERNLOGD $0xff, Z2, Z2, K1, Z%d", i)
		} else {
			g.p("VPCMPGTD Y4, Y%d, Y2", i)
			g.p("VPOR Y2, Y%d, Y%d", i, i)
		}
		g.p("VDIVPS %s, v#%d, v#%d", g.float("int16Limit", 16383), i, i)
		g.p("VMOVUPS v#%d, %d(R8)", i, 4*w*i)
	}
	g.p("VMOVUPS %s, v#13", g.constant("low", words(0xffff)...))
	g.at("loop")
	for k := range 2 {
		g.p("VBROADCASTSS (BX), v#4")
		g.p("ADDQ R9, BX")
		for i := range 2 {
			r := 5 + 2*k + i
			g.p("VMULPS %d(SI), v#4, v#%d", 8*w*k+4*w*i, r)
			g.p("VDIVPS v#%d, v#%d, v#%d", i, r, r)
			g.p("VCVTPS2DQ v#%d, v#%d", r, r)
		}
	}
	for i := range 2 {
		g.and("v#13", map[int]string{0: "v#5", 1: "v#6"}[i])
		g.p("VPSLLD $16, v#%d, v#%d", 7+i, 7+i)
		if w == 16 {
			g.p("VPORD Z%d, Z%d, Z%d", 5+i, 7+i, 7+i)
		} else {
			g.p("VPOR Y%d, Y%d, Y%d", 5+i, 7+i, 7+i)
		}
		g.p("VMOVUPS v#%d, %d(DI)", 7+i, 4*w*i)
	}
	g.p("ADDQ $%d, SI", 16*w)
	g.p("ADDQ $%d, DI", 8*w)
	g.p("SUBQ $2, CX")
	g.p("JNZ  loop")
	g.ret()
}

// transpose transposes a square of as many rows and columns as a vector has: rows are interleaved
// by numbers, pairs of numbers and, what is left, the 128-bit lanes.
func (g *generator) transpose() {
	w := g.width
	g.fn("transpose", "(dst, src unsafe.Pointer, dstStep, srcStep int)", 0)
	g.load("dst", "DI", "src", "SI", "dstStep", "R8", "srcStep", "R9")
	rows := func(base, step string, use func(i int, mem string)) {
		g.p("LEAQ (%s)(%s*2), R10", step, step)
		for i := range w {
			use(i, fmt.Sprintf("(%s)%s", base, []string{"", "(" + step + "*1)", "(" + step + "*2)", "(R10*1)"}[i%4]))
			if i%4 == 3 && i+1 < w {
				g.p("LEAQ (%s)(%s*4), %s", base, step, base)
			}
		}
	}
	rows("SI", "R9", func(i int, mem string) { g.p("VMOVUPS %s, v#%d", mem, i) })
	for i := 0; i < w; i += 2 {
		g.p("VUNPCKLPS v#%d, v#%d, v#%d", i+1, i, w+i)
		g.p("VUNPCKHPS v#%d, v#%d, v#%d", i+1, i, w+i+1)
	}
	for i := 0; i < w; i += 4 { // register i+c gets column c, c+4, … of rows i to i+3
		for c := range 4 {
			t := w + i + c/2
			g.p("VUNPCK%sPD v#%d, v#%d, v#%d", []string{"L", "H"}[c%2], t+2, t, i+c)
		}
	}
	out := make([]int, w) // register of each column
	for c := range 4 {
		if w == 8 {
			g.p("VPERM2F128 $0x20, Y%d, Y%d, Y%d", c+4, c, 8+c)
			g.p("VPERM2F128 $0x31, Y%d, Y%d, Y%d", c+4, c, 12+c)
			out[c], out[c+4] = 8+c, 12+c
			continue
		}
		t := w + 4*c
		g.lanes([4]int{c, c + 4, c + 8, c + 12}, [4]int{t, t + 1, t + 2, t + 3})
		for i := range 4 {
			out[c+4*i] = c + 4*i
		}
	}
	rows("DI", "R8", func(i int, mem string) { g.p("VMOVUPS v#%d, %s", out[i], mem) })
	g.ret()
}

// lanes gives lane i of register r[k] to lane k of register r[i]; t are scratch.
func (g *generator) lanes(r, t [4]int) {
	for i, order := range []int{0x88, 0xdd} { // the even lanes, the odd ones
		g.p("VSHUFF32X4 $%#x, Z%d, Z%d, Z%d", order, r[1], r[0], t[2*i])
		g.p("VSHUFF32X4 $%#x, Z%d, Z%d, Z%d", order, r[3], r[2], t[2*i+1])
	}
	for i, from := range []int{0, 2, 0, 2} {
		g.p("VSHUFF32X4 $%#x, Z%d, Z%d, Z%d", []int{0x88, 0xdd}[i/2], t[from+1], t[from], r[i])
	}
}

// inOrder puts 64 sums, of which lane l of register k belongs to columns 4k to 4k+3 of a row of 16,
// into four such rows, step bytes apart.
func (g *generator) inOrder() {
	g.fn("inOrder", "(dst, src unsafe.Pointer, step int)", 0)
	g.load("dst", "DI", "src", "SI", "step", "R8")
	for k := range 4 {
		g.p("VMOVUPS %d(SI), Z%d", 64*k, k)
	}
	g.lanes([4]int{0, 1, 2, 3}, [4]int{4, 5, 6, 7})
	for l := range 4 {
		g.p("VMOVUPS Z%d, (DI)", l)
		if l < 3 {
			g.p("ADDQ R8, DI")
		}
	}
	g.ret()
}
