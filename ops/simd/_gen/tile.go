package main

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
	g.fn("tile", "(c, w unsafe.Pointer, rowStep, colStep int, x unsafe.Pointer, k int)", 0, 48)
	g.load("c+0", "AX", "w+8", "SI", "rowStep+16", "R8", "colStep+24", "R9", "x+32", "DX", "k+40", "CX")
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
	g.fn("tilePairs", "(c, w unsafe.Pointer, rowStep, colStep int, x, factors unsafe.Pointer, factorStep, pairs, groups int)", 0, 72)
	g.load("c+0", "AX", "w+8", "SI", "rowStep+16", "R8", "colStep+24", "R9", "x+32", "DX", "factors+40", "BX",
		"factorStep+48", "R15", "groups+64", "DI")
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
	g.p("MOVQ pairs+56(FP), CX")
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

// packPairs turns a panel of inputs, n × 2 vectors of float32, into the pairs of
// int16 that tilePairs reads, row k times the factor at k·factorStep. The scale of
// each of its tokens is written too; it is NaN if an input is not finite.
func (g *generator) packPairs() {
	w := g.width
	g.fn("packPairs", "(dst, src, scales, factors unsafe.Pointer, factorStep, n int)", 0, 48)
	g.load("dst+0", "DI", "src+8", "SI", "scales+16", "R8", "factors+24", "BX", "factorStep+32", "R9", "n+40", "CX")
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

// widenPairs writes the n int8 of two rows as pairs of int16, n a multiple of 32.
func (g *generator) widenPairs() {
	if g.width != 8 {
		return
	}
	g.fn("widenPairs", "(dst, a, b unsafe.Pointer, n int)", 0, 32)
	g.load("dst+0", "DI", "a+8", "SI", "b+16", "BX", "n+24", "CX")
	g.at("loop")
	for i := range 2 {
		g.p("VPMOVSXBW %d(SI), Y0", 16*i)
		g.p("VPMOVSXBW %d(BX), Y1", 16*i)
		g.p("VPUNPCKLWD Y1, Y0, Y2")
		g.p("VPUNPCKHWD Y1, Y0, Y3")
		g.p("VPERM2I128 $0x20, Y3, Y2, Y0")
		g.p("VPERM2I128 $0x31, Y3, Y2, Y1")
		g.p("VMOVDQU Y0, %d(DI)", 64*i)
		g.p("VMOVDQU Y1, %d(DI)", 64*i+32)
	}
	g.p("ADDQ $32, SI")
	g.p("ADDQ $32, BX")
	g.p("ADDQ $128, DI")
	g.p("SUBQ $32, CX")
	g.p("JNZ  loop")
	g.ret()
}

// widen16 writes n groups of quants, those of Int4 less 8, as int16.
func (g *generator) widen16() {
	if g.width != 8 {
		return
	}
	for _, d := range []string{"Int8G", "Int4", "Int4M"} {
		g.fn("widen16"+d, "(dst, src unsafe.Pointer, n int)", 0, 24)
		g.load("dst+0", "DI", "src+8", "SI", "n+16", "CX")
		if d != "Int8G" {
			g.p("VPBROADCASTQ %s, X4", g.constant("nibbles", 0x0f0f0f0f0f0f0f0f))
		}
		if d == "Int4" {
			g.p("VPBROADCASTQ %s, Y5", g.constant("eights", 0x0008000800080008))
		}
		g.at("loop")
		if d == "Int8G" {
			g.p("VPMOVSXBW (SI), Y0")
			g.p("VPMOVSXBW 16(SI), Y1")
		} else {
			g.p("VMOVDQU (SI), X0")
			g.p("VPSRLW $4, X0, X1")
			g.p("VPAND X4, X0, X0")
			g.p("VPAND X4, X1, X1")
			g.p("VPMOVZXBW X0, Y0")
			g.p("VPMOVZXBW X1, Y1")
		}
		if d == "Int4" {
			g.p("VPSUBW Y5, Y0, Y0")
			g.p("VPSUBW Y5, Y1, Y1")
		}
		g.p("VMOVDQU Y0, (DI)")
		g.p("VMOVDQU Y1, 32(DI)")
		g.p("ADDQ $64, DI")
		g.p("ADDQ $%d, SI", quantBytes(d))
		g.p("DECQ CX")
		g.p("JNZ  loop")
		g.ret()
	}
}

// prefetch asks for n bytes.
func (g *generator) prefetchRange() {
	if g.width != 8 {
		return
	}
	g.fn("prefetch", "(p uintptr, n int)", 0, 16)
	g.load("p+0", "SI", "n+8", "CX")
	g.at("loop")
	g.p("PREFETCHT0 (SI)")
	g.p("ADDQ $64, SI")
	g.p("SUBQ $64, CX")
	g.p("JG   loop")
	g.p("RET")
}
