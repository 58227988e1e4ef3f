package main

// pairLimit is the largest coefficient, as int16, with which four rows of bytes, in the upper half of an int16, fit the
// int32 of a column.
const pairLimit = 16383

// axpyPairs is axpy4 of Int8 without floats: the coefficients are rounded to int16, up to pairLimit, so that the bytes of
// two rows meet them in one instruction.
func (g *generator) axpyPairs() {
	const (
		rA, rB, rLow, rHigh    = 8, 9, 10, 11
		rPairs, rFactor, rZero = 12, 14, 15 // two vectors of pairs of coefficients
	)
	g.fn("axpy4Int8", "(y unsafe.Pointer, r *AxpyRows, n int)", 0, 24)
	g.load("y+0", "AX", "r+8", "BX", "n+16", "CX")
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
