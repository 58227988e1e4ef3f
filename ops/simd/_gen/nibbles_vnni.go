package main

import "fmt"

// axpy8VNNI is axpy8 for AVX-512, of any number of groups. Coefficients are made for 16 groups at a time, under a mask; a
// turn then takes four groups of the rows. The bytes of four rows are interleaved, so that one instruction multiplies them
// with their coefficients: once the low nibbles, once whole bytes, of which the low ones are taken off for all rows
// together. Lane l of the sums belongs to group l, and they are left so: variant.sumOrder.
func (g *generator) axpy8VNNI(d string) {
	const (
		rows                                               = 8
		low, high, t                                       = 0, 4, 8            // four registers each, and eight of scratch
		quadsOf, startsOf, startsHighOf, factorsOf, addend = 16, 18, 19, 20, 21 // a number a group; quadsOf are two
		coefs, factor, sixteenth, offset                   = 22, 24, 25, 26     // those of a turn, in its lanes
		places, nibbles                                    = 27, 28
		left, bytes, current                               = 8, 16, 24 // locals
		frame                                              = 24
	)
	local := func(o int) string { return fmt.Sprintf("local-%d(SP)", o) }
	g.fn("axpy8"+d, "(y unsafe.Pointer, r *AxpyRows, n int)", frame, 24)
	g.load("y+0", "AX", "r+8", "BX", "n+16", "CX")
	ptr := []string{"R8", "R9", "R10", "R11", "R12", "R13", "R14", "R15"}
	for i, reg := range ptr {
		g.p("MOVQ (AxpyRows_Row+%d)(BX), %s", 8*i, reg)
	}
	g.p("LEAQ AxpyRows_Next(BX), SI")
	g.p("MOVQ SI, %s", local(current))
	g.p("MOVQ AxpyRows_bytes(BX), SI")
	g.p("MOVQ SI, %s", local(bytes))
	lanes := make([]uint64, 8)
	for i := range lanes {
		lanes[i] = pair(uint32(i / 2))
	}
	g.p("VPBROADCASTQ %s, Z%d", g.constant("nibbles", 0x0f0f0f0f0f0f0f0f), nibbles)
	g.p("XORQ DX, DX")
	g.p("XORQ DI, DI")

	g.at("loop")
	g.p("MOVQ r+8(FP), BX")
	g.p("MOVQ $16, SI")
	g.p("CMPQ CX, SI")
	g.p("CMOVQLT CX, SI")
	g.p("MOVQ SI, %s", local(left))
	g.p("MOVQ $-1, SI")
	g.p("CMPQ CX, $16")
	g.p("JGE  whole")
	g.p("MOVQ $1, SI")
	g.p("SHLQ CX, SI")
	g.p("DECQ SI")
	g.at("whole")
	g.p("KMOVW SI, K1")
	g.p("VMOVUPS %s, Z%d", g.constant("lanes", lanes...), places)
	const largest, exact, a, b = 8, 9, 10, 11
	scale := func(field string, r, to int) { // times the coefficient
		g.p("MOVQ (AxpyRows_%s+%d)(BX), SI", field, 8*r)
		g.p("VMOVDQU16.Z (SI)(DI*1), K1, Y%d", a)
		g.p("VCVTPH2PS Y%d, Z%d", a, a)
		if field == "mins" {
			g.p("VFMADD231PS.BCST (AxpyRows_Coef+%d)(BX), Z%d, Z%d", 4*r, a, to)
			return
		}
		g.p("VMULPS.BCST (AxpyRows_Coef+%d)(BX), Z%d, Z%d", 4*r, a, to)
	}
	g.zero(largest, exact)
	for r := range rows {
		scale("scales", r, r)
		if d == "Int4M" {
			g.p("VADDPS Z%d, Z%d, Z%d", r, exact, exact)
		}
		g.p("VPANDD %s, Z%d, Z%d", g.repeated("magnitudes", 0x7fffffff), r, a)
		g.p("VPMAXUD Z%d, Z%d, Z%d", a, largest, largest)
	}
	if d == "Int4M" { // the middle of the nibbles, which is taken off below, and the minima
		g.p("VMULPS %s, Z%d, Z%d", g.float("plus8", 8), exact, exact)
		for r := range rows {
			scale("mins", r, exact)
		}
		g.p("VMOVAPS Z%d, Z%d", exact, addend)
	}
	g.p("VMULPS %s, Z%d, Z%d", g.float("reciprocal127", 1.0/127), largest, factorsOf)
	g.p("VMOVUPS %s, Z%d", g.float("one", 1), a)
	g.p("VDIVPS Z%d, Z%d, Z%d", factorsOf, a, a)
	for r := range rows {
		g.p("VMULPS Z%d, Z%d, Z%d", a, r, r)
		g.p("VCVTPS2DQ Z%d, Z%d", r, r)
	}
	// Sums start at what the nibbles less 8 leave out: at −8 of the coefficients, and those of bytes at −136.
	g.p("VPADDD Z1, Z0, Z%d", a)
	for r := 2; r < rows; r++ {
		g.p("VPADDD Z%d, Z%d, Z%d", r, a, a)
	}
	g.zero(b)
	g.p("VPSLLD $3, Z%d, Z%d", a, a)
	g.p("VPSUBD Z%d, Z%d, Z%d", a, b, startsOf)
	g.p("VPSLLD $4, Z%d, Z%d", startsOf, b)
	g.p("VPADDD Z%d, Z%d, Z%d", startsOf, b, startsHighOf)
	for q := range 2 {
		c := 4 * q
		for i := range 3 {
			g.p("VPANDD %s, Z%d, Z%d", g.repeated("byte", 0xff), c+i, c+i)
		}
		for i := 1; i < 4; i++ {
			g.p("VPSLLD $%d, Z%d, Z%d", 8*i, c+i, c+i)
			g.p("VPORD Z%d, Z%d, Z%d", c+i, c, []int{c, quadsOf + q}[i/3])
		}
	}

	g.at("turn")
	n := rows * 4 * groupBytes(d)
	g.p("MOVQ %s, BX", local(current))
	g.p("MOVQ (BX), BX")
	for o := 0; o < n; o += 64 {
		g.p("PREFETCHT0 %d(BX)(DX*1)", o)
	}
	g.p("ADDQ $%d, DX", n)
	g.p("CMPQ DX, %s", local(bytes))
	g.p("JLT  same")
	g.p("ADDQ $8, %s", local(current))
	g.p("XORQ DX, DX")
	g.at("same")
	ofGroup := func(table, to int) { g.p("VPERMD Z%d, Z%d, Z%d", table, places, to) }
	for q := range 2 {
		ofGroup(quadsOf+q, coefs+q)
	}
	ofGroup(startsOf, low)
	ofGroup(startsHighOf, high)
	for k := 1; k < 4; k++ {
		g.p("VMOVDQA32 Z%d, Z%d", low, low+k)
		g.p("VMOVDQA32 Z%d, Z%d", high, high+k)
	}
	ofGroup(factorsOf, factor)
	g.p("VMULPS %s, Z%d, Z%d", g.float("sixteenth", 1.0/16), factor, sixteenth)
	if d == "Int4M" {
		ofGroup(addend, offset)
	}
	g.p("VPADDD %s, Z%d, Z%d", g.repeated("fours", 4), places, places)
	body := func(masked bool) {
		for q := range 2 {
			for i := range 4 {
				if masked {
					g.p("VMOVDQU32.Z (%s), K1, Z%d", ptr[4*q+i], t+i)
				} else {
					g.p("VMOVDQU32 (%s), Z%d", ptr[4*q+i], t+i)
				}
			}
			for i := range 2 {
				g.p("VPUNPCKLBW Z%d, Z%d, Z%d", t+2*i+1, t+2*i, t+4+i)
				g.p("VPUNPCKHBW Z%d, Z%d, Z%d", t+2*i+1, t+2*i, t+6+i)
			}
			for i := range 2 {
				g.p("VPUNPCKLWD Z%d, Z%d, Z%d", t+5+2*i, t+4+2*i, t+2*i)
				g.p("VPUNPCKHWD Z%d, Z%d, Z%d", t+5+2*i, t+4+2*i, t+2*i+1)
			}
			for k := range 4 {
				g.p("VPANDD Z%d, Z%d, Z%d", nibbles, t+k, t+4+k)
				g.p("VPDPBUSD Z%d, Z%d, Z%d", coefs+q, t+k, high+k)
				g.p("VPDPBUSD Z%d, Z%d, Z%d", coefs+q, t+4+k, low+k)
			}
		}
		for k := range 4 {
			g.p("VPSUBD Z%d, Z%d, Z%d", low+k, high+k, high+k)
			for i, s := range [][2]int{{low + k, factor}, {high + k, sixteenth}} {
				y := fmt.Sprintf("%d(AX)", 256*i+64*k)
				g.p("VCVTDQ2PS Z%d, Z%d", s[0], s[0])
				if d == "Int4M" {
					g.p("VFMADD213PS Z%d, Z%d, Z%d", offset, s[1], s[0])
					g.p("VADDPS %s, Z%d, Z%d", y, s[0], s[0])
				} else {
					g.p("VFMADD213PS %s, Z%d, Z%d", y, s[1], s[0])
				}
				g.p("VMOVUPS Z%d, %s", s[0], y)
			}
		}
	}
	g.p("CMPQ %s, $4", local(left))
	g.p("JLT  last")
	body(false)
	for _, reg := range ptr {
		g.p("ADDQ $64, %s", reg)
	}
	g.p("ADDQ $512, AX")
	g.p("SUBQ $4, %s", local(left))
	g.p("JNZ  turn")
	g.p("ADDQ $32, DI")
	g.p("SUBQ $16, CX")
	g.p("JG   loop")
	g.p("JMP  done")
	g.at("last") // one to three groups: four numbers of quants each
	g.p("MOVQ %s, CX", local(left))
	g.p("SHLQ $2, CX")
	g.p("MOVQ $1, BX")
	g.p("SHLQ CX, BX")
	g.p("DECQ BX")
	g.p("KMOVW BX, K1")
	body(true)
	g.at("done")
	g.ret()
}

// straighten puts 64 sums, of which lane l of register k belongs to columns 4k to 4k+3 of a row of 16, into four such
// rows, step bytes apart.
func (g *generator) straighten() {
	g.fn("straighten", "(dst, src unsafe.Pointer, step int)", 0, 24)
	g.load("dst+0", "DI", "src+8", "SI", "step+16", "R8")
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
