package main

import "fmt"

// pairLimit is the largest coefficient, as int16, with which four rows of bytes, in the upper half
// of an int16, fit the int32 of a column.
const pairLimit = 16383

// axpyPairs is axpy4 of Int8 without floats: the coefficients are rounded to int16, up to
// pairLimit, so that the bytes of two rows meet them in one instruction.
func (g *generator) axpyPairs() {
	const (
		rA, rB, rLow, rHigh    = 8, 9, 10, 11
		rPairs, rFactor, rZero = 12, 14, 15 // two vectors of pairs of coefficients
	)
	g.fn("axpy4Int8", "(y unsafe.Pointer, r *AxpyRows, n int)", 0)
	g.load("y", "AX", "r", "BX", "n", "CX")
	for i, row := range rowRegs {
		g.p("MOVQ (AxpyRows_Row+%d)(BX), %s", 8*i, row)
		g.p("MOVQ (AxpyRows_Next+%d)(BX), %s", 8*i, nextRegs[i])
	}
	g.p("VMOVUPS AxpyRows_Coef(BX), X0")
	g.p("VPAND %s, X0, X1", g.repeated("magnitudes", 0x7fffffff))
	for _, order := range []int{0x4e, 0xb1} {
		g.p("VPSHUFD $%d, X1, X2", order)
		g.p("VPMAXUD X2, X1, X1")
	}
	g.p("VMOVUPS %s, X2", g.float("pairLimit", pairLimit))
	g.p("VDIVPS X1, X2, X2")
	g.p("VMULPS %s, X1, X1", g.float("pairFactor", 1.0/pairLimit/256))
	g.p("VBROADCASTSS X1, Y%d", rFactor)
	g.p("VMULPS X2, X0, X0")
	g.p("VCVTPS2DQ X0, X0")
	g.p("VPSRLQ $32, X0, X1")
	g.p("VPSLLD $16, X1, X1")
	g.p("VPBLENDW $0xaa, X1, X0, X0") // the pairs are the dwords 0 and 2
	g.p("VPBROADCASTD X0, Y%d", rPairs)
	g.p("VPSHUFD $0xaa, X0, X0")
	g.p("VPBROADCASTD X0, Y%d", rPairs+1)
	g.zero(rZero)
	g.p("XORQ DX, DX")
	g.at("loop")
	for p := range 2 {
		g.p("VMOVDQU (%s)(DX*1), Y%d", rowRegs[2*p], rA)
		g.p("VMOVDQU (%s)(DX*1), Y%d", rowRegs[2*p+1], rB)
		g.p("VPUNPCKLBW Y%d, Y%d, Y%d", rB, rA, rLow)
		g.p("VPUNPCKHBW Y%d, Y%d, Y%d", rB, rA, rHigh)
		for k, r := range []int{rLow, rLow, rHigh, rHigh} {
			sum := 4*p + k
			g.p("VPUNPCK%sBW Y%d, Y%d, Y%d", []string{"L", "H"}[k%2], r, rZero, sum)
			g.p("VPMADDWD Y%d, Y%d, Y%d", rPairs+p, sum, sum)
			if p == 1 {
				g.p("VPADDD Y%d, Y%d, Y%d", sum, k, k)
			}
		}
	}
	// The sums are those of columns 0–3 and 16–19, 4–7 and 20–23, and so on.
	for k := 0; k < 4; k += 2 {
		g.p("VPERM2I128 $0x20, Y%d, Y%d, Y%d", k+1, k, 4+k)
		g.p("VPERM2I128 $0x31, Y%d, Y%d, Y%d", k+1, k, 5+k)
	}
	for k, column := range []int{0, 16, 8, 24} {
		g.p("VCVTDQ2PS Y%d, Y%d", 4+k, 4+k)
		g.p("VFMADD213PS %d(AX), Y%d, Y%d", 4*column, rFactor, 4+k)
		g.p("VMOVUPS Y%d, %d(AX)", 4+k, 4*column)
	}
	for _, next := range nextRegs {
		g.p("PREFETCHT0 (%s)(DX*1)", next)
	}
	g.p("ADDQ $32, DX")
	g.p("ADDQ $128, AX")
	g.p("SUBQ $32, CX")
	g.p("JNZ  loop")
	g.ret()
}

// axpyBytes is axpy4 of Int8 and Int8G for AVX-512, of any number of columns or groups.
// Coefficients, of Int8G with the scales of 16 groups at a time, are rounded to int16 as in
// axpyPairs. A pass takes 64 columns, the last one under a mask. Lane l of its sums belongs to
// columns 16l to 16l+15, and they are left so: RowKernel.InOrder.
func (g *generator) axpyBytes(d string) {
	const (
		sums, rows, pairs, words = 0, 4, 8, 12 // of a pass
		coefs, factor            = 20, 22
		coefsOf, factorsOf       = 23, 25 // a number a group
		places, zero             = 26, 27
		scratch                  = 28
	)
	grouped := d == "Int8G"
	g.fn("axpy4"+d, "(y unsafe.Pointer, r *AxpyRows, n int)", 0)
	g.load("y", "AX", "r", "BX", "n", "CX")
	for i, row := range rowRegs {
		g.p("MOVQ (AxpyRows_Row+%d)(BX), %s", 8*i, row)
		g.p("MOVQ (AxpyRows_Next+%d)(BX), %s", 8*i, nextRegs[i])
	}
	g.zero(zero)
	g.p("XORQ DX, DX")

	prefetch := func(at string) {
		for _, next := range nextRegs {
			g.p("PREFETCHT0 (%s)(%s*1)", next, at)
		}
	}
	// round rounds the coefficients in registers 0 to 3. It sets registers "to" and to+1 to pairs
	// of them, and register "by" to the factor that makes numbers of sums.
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
	pass := func(masked bool) {
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
		prefetch("DX")
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
		pass(false)
		g.p("ADDQ $64, DX")
		g.p("ADDQ $256, AX")
		g.p("SUBQ $64, CX")
		g.p("JGE  loop")
		g.at("rest")
		prefetch("DX") // where the scales may be
		g.p("ADDQ $64, CX")
		g.p("JZ   done")
		g.p("MOVQ $1, BX")
		g.p("SHLQ CX, BX")
		g.p("DECQ BX")
		g.p("KMOVQ BX, K1")
		pass(true)
		g.p("ADDQ CX, DX")
		prefetch("DX")
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
	g.load("r", "BX")
	for r, row := range rowRegs {
		g.p("VMOVDQU16.Z (%s)(R14*1), K1, Y%d", row, scratch)
		g.p("VCVTPH2PS Y%d, Z%d", scratch, scratch)
		g.p("VMULPS.BCST (AxpyRows_Coef+%d)(BX), Z%d, Z%d", 4*r, scratch, r)
	}
	prefetch("R14")
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
	pass(false)
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
	pass(true)
	g.at("none")
	g.p("MOVQ R15, CX")
	g.p("TESTQ CX, CX")
	g.p("JNZ  step")
	g.ret()
}

// widenPairs writes the n int8 of two rows as pairs of int16, n a multiple of 32.
func (g *generator) widenPairs() {
	if g.width != 8 {
		return
	}
	g.fn("widenPairs", "(dst, a, b unsafe.Pointer, n int)", 0)
	g.load("dst", "DI", "a", "SI", "b", "BX", "n", "CX")
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
