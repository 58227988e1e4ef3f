package main

import "fmt"

// axpyBytes is axpy4 of Int8 and Int8G for AVX-512, of any number of columns or groups. Coefficients, of Int8G with the
// scales of 16 groups at a time, are rounded to int16 as in axpyPairs. A turn takes 64 columns, the last one under a mask.
// Lane l of its sums belongs to columns 16l to 16l+15, and they are left so: variant.sumOrder.
func (g *generator) axpyBytes(d string) {
	const (
		sums, rows, pairs, words = 0, 4, 8, 12 // of a turn
		coefs, factor            = 20, 22
		coefsOf, factorsOf       = 23, 25 // a number a group
		places, zero             = 26, 27
		scratch                  = 28
	)
	grouped := d == "Int8G"
	g.fn("axpy4"+d, "(y unsafe.Pointer, r *AxpyRows, n int)", 0, 24)
	g.load("y+0", "AX", "r+8", "BX", "n+16", "CX")
	for i, row := range rowRegs {
		g.p("MOVQ (AxpyRows_Row+%d)(BX), %s", 8*i, row)
		g.p("MOVQ (AxpyRows_Next+%d)(BX), %s", 8*i, nextRegs[i])
	}
	g.zero(zero)
	g.p("XORQ DX, DX")

	ask := func(at string) {
		for _, next := range nextRegs {
			g.p("PREFETCHT0 (%s)(%s*1)", next, at)
		}
	}
	// round leaves in to the coefficients of registers 0 to 3, rounded and in pairs, and in by what makes numbers of sums.
	round := func(to, by int) {
		const largest, t = 4, 5
		g.p("VPANDD %s, Z0, Z%d", g.repeated("magnitudes", 0x7fffffff), largest)
		for r := 1; r < 4; r++ {
			g.p("VPANDD %s, Z%d, Z%d", g.repeated("magnitudes", 0x7fffffff), r, t)
			g.p("VPMAXUD Z%d, Z%d, Z%d", t, largest, largest)
		}
		g.p("VMULPS %s, Z%d, Z%d", g.float("pairFactor", 1.0/pairLimit/256), largest, by)
		g.p("VMOVUPS %s, Z%d", g.float("pairLimit", pairLimit), t)
		g.p("VDIVPS Z%d, Z%d, Z%d", largest, t, t)
		for r := range 4 {
			g.p("VMULPS Z%d, Z%d, Z%d", t, r, r)
			g.p("VCVTPS2DQ Z%d, Z%d", r, r)
		}
		for p := range 2 {
			g.p("VPANDD %s, Z%d, Z%d", g.repeated("lowWord", 0xffff), 2*p, 2*p)
			g.p("VPSLLD $16, Z%d, Z%d", 2*p+1, 2*p+1)
			g.p("VPORD Z%d, Z%d, Z%d", 2*p+1, 2*p, to+p)
		}
	}
	turn := func(masked bool) {
		for p := range 2 {
			for i := range 2 {
				mem := fmt.Sprintf("(%s)(DX*1)", rowRegs[2*p+i])
				if masked {
					g.p("VMOVDQU8.Z %s, K1, Z%d", mem, rows+2*p+i)
				} else {
					g.p("VMOVDQU32 %s, Z%d", mem, rows+2*p+i)
				}
			}
			for i, half := range []string{"L", "H"} {
				g.p("VPUNPCK%sBW Z%d, Z%d, Z%d", half, rows+2*p+1, rows+2*p, pairs+2*p+i)
			}
			for k := range 4 {
				w := words + 4*p + k
				g.p("VPUNPCK%sBW Z%d, Z%d, Z%d", []string{"L", "H"}[k%2], pairs+2*p+k/2, zero, w)
				if p == 0 {
					g.p("VPMADDWD Z%d, Z%d, Z%d", coefs, w, sums+k)
				} else {
					g.p("VPDPWSSD Z%d, Z%d, Z%d", coefs+1, w, sums+k)
				}
			}
		}
		ask("DX")
		for k := range 4 {
			y := fmt.Sprintf("%d(AX)", 64*k)
			g.p("VCVTDQ2PS Z%d, Z%d", sums+k, sums+k)
			g.p("VFMADD213PS %s, Z%d, Z%d", y, factor, sums+k)
			g.p("VMOVUPS Z%d, %s", sums+k, y)
		}
	}

	if !grouped {
		for r := range 4 {
			g.p("VBROADCASTSS (AxpyRows_Coef+%d)(BX), Z%d", 4*r, r)
		}
		round(coefs, factor)
		g.p("SUBQ $64, CX")
		g.p("JL   rest")
		g.at("loop")
		turn(false)
		g.p("ADDQ $64, DX")
		g.p("ADDQ $256, AX")
		g.p("SUBQ $64, CX")
		g.p("JGE  loop")
		g.at("rest")
		ask("DX") // where the scales may be
		g.p("ADDQ $64, CX")
		g.p("JZ   done")
		g.p("MOVQ $1, BX")
		g.p("SHLQ CX, BX")
		g.p("DECQ BX")
		g.p("KMOVQ BX, K1")
		turn(true)
		g.p("ADDQ CX, DX")
		ask("DX")
		g.at("done")
		g.ret()
		return
	}

	g.p("MOVQ CX, R14") // where the scales are in a row
	g.p("SHRQ $5, CX")
	g.at("step")
	g.p("MOVQ $16, R15")
	g.p("CMPQ CX, R15")
	g.p("CMOVQLT CX, R15")
	g.p("SUBQ R15, CX")
	g.p("XCHGQ CX, R15") // groups of this step; R15 is what is left behind it
	g.p("MOVQ $1, BX")
	g.p("SHLQ CX, BX")
	g.p("DECQ BX")
	g.p("KMOVW BX, K1")
	g.load("r+8", "BX")
	for r, row := range rowRegs {
		g.p("VMOVDQU16.Z (%s)(R14*1), K1, Y%d", row, scratch)
		g.p("VCVTPH2PS Y%d, Z%d", scratch, scratch)
		g.p("VMULPS.BCST (AxpyRows_Coef+%d)(BX), Z%d, Z%d", 4*r, scratch, r)
	}
	ask("R14")
	g.p("ADDQ $32, R14")
	round(coefsOf, factorsOf)
	groupOf := make([]uint64, 8)
	for i := range groupOf {
		groupOf[i] = pair(uint32(i / 4))
	}
	g.p("VMOVDQU32 %s, Z%d", g.constant("halves", groupOf...), places)
	ofGroups := func() {
		for p := range 2 {
			g.p("VPERMD Z%d, Z%d, Z%d", coefsOf+p, places, coefs+p)
		}
		g.p("VPERMD Z%d, Z%d, Z%d", factorsOf, places, factor)
	}
	g.p("SUBQ $2, CX")
	g.p("JL   rest")
	g.at("loop")
	ofGroups()
	g.p("VPADDD %s, Z%d, Z%d", g.repeated("twos", 2), places, places)
	turn(false)
	g.p("ADDQ $64, DX")
	g.p("ADDQ $256, AX")
	g.p("SUBQ $2, CX")
	g.p("JGE  loop")
	g.at("rest")
	g.p("CMPQ CX, $-1")
	g.p("JL   none")
	ofGroups() // the last group
	g.p("MOVL $-1, BX")
	g.p("KMOVD BX, K1")
	turn(true)
	g.at("none")
	g.p("MOVQ R15, CX")
	g.p("TESTQ CX, CX")
	g.p("JNZ  step")
	g.ret()
}
