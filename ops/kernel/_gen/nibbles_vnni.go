package main

import "fmt"

// axpy8VNNI is axpy8 for AVX-512. Coefficients are made for 16 groups at a time, under a mask; a turn then takes four
// groups of the rows. The bytes of four rows are interleaved, so that one instruction multiplies them with their
// coefficients: once the low nibbles, once whole bytes, of which the low ones are taken off for all rows together. Lane l
// of the sums belongs to group l.
func (g *generator) axpy8VNNI(d string) {
	const (
		rows                                              = 8
		low, high, t                                      = 0, 4, 8 // four registers each, and eight of scratch
		coefs, factor, sixteenth, offset                  = 16, 18, 19, 20
		lanes, nibbles                                    = 21, 22
		quadA, quadB, starts, startsHigh, factors, addend = 0, 64, 128, 192, 256, 320 // tables of a number a group
		left, bytes, current                              = 8, 16, 24                 // locals
		frame                                             = 416
	)
	local := func(o int) string { return fmt.Sprintf("local-%d(SP)", o) }
	table := func(o int) string { return fmt.Sprintf("table-%d(SP)", frame-o) }
	g.fn("axpy8"+d, "(y unsafe.Pointer, r *axpyRows, n int)", frame, 24)
	g.load("y+0", "AX", "r+8", "BX", "n+16", "CX")
	ptr := []string{"R8", "R9", "R10", "R11", "R12", "R13", "R14", "R15"}
	for i, reg := range ptr {
		g.p("MOVQ (axpyRows_row+%d)(BX), %s", 8*i, reg)
	}
	g.p("LEAQ axpyRows_next(BX), SI")
	g.p("MOVQ SI, %s", local(current))
	g.p("MOVQ axpyRows_bytes(BX), SI")
	g.p("MOVQ SI, %s", local(bytes))
	words := make([]uint64, 8)
	for i := range words {
		words[i] = pair(uint32(i / 2))
	}
	g.p("VMOVUPS %s, Z%d", g.constant("lanes", words...), lanes)
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
	const largest, exact, a, b = 8, 9, 10, 11
	scale := func(field string, r, to int) { // times the coefficient, which is left in b
		g.p("MOVQ (axpyRows_%s+%d)(BX), SI", field, 8*r)
		g.p("VMOVDQU16.Z (SI)(DI*1), K1, Y%d", a)
		g.p("VCVTPH2PS Y%d, Z%d", a, a)
		g.p("VBROADCASTSS (axpyRows_coef+%d)(BX), Z%d", 4*r, b)
		if field == "mins" {
			g.p("VFMADD231PS Z%d, Z%d, Z%d", a, b, to)
			return
		}
		g.p("VMULPS Z%d, Z%d, Z%d", b, a, to)
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
		g.p("VMOVUPS Z%d, %s", exact, table(addend))
	}
	g.p("VMULPS %s, Z%d, Z%d", g.float("reciprocal127", 1.0/127), largest, largest)
	g.p("VMOVUPS Z%d, %s", largest, table(factors))
	g.p("VMOVUPS %s, Z%d", g.float("one", 1), a)
	g.p("VDIVPS Z%d, Z%d, Z%d", largest, a, a)
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
	g.p("VPSUBD Z%d, Z%d, Z%d", a, b, a)
	g.p("VMOVDQU32 Z%d, %s", a, table(starts))
	g.p("VPSLLD $4, Z%d, Z%d", a, b)
	g.p("VPADDD Z%d, Z%d, Z%d", a, b, b)
	g.p("VMOVDQU32 Z%d, %s", b, table(startsHigh))
	for q, at := range []int{quadA, quadB} {
		c := 4 * q
		for i := range 3 {
			g.p("VPANDD %s, Z%d, Z%d", g.repeated("byte", 0xff), c+i, c+i)
		}
		for i := 1; i < 4; i++ {
			g.p("VPSLLD $%d, Z%d, Z%d", 8*i, c+i, c+i)
			g.p("VPORD Z%d, Z%d, Z%d", c+i, c, c)
		}
		g.p("VMOVDQU32 Z%d, %s", c, table(at))
	}
	g.p("LEAQ %s, SI", table(0))

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
	ofGroup := func(at, to int) {
		g.p("VBROADCASTI32X4 %d(SI), Z%d", at, to)
		g.p("VPERMILPS Z%d, Z%d, Z%d", lanes, to, to)
	}
	ofGroup(quadA, coefs)
	ofGroup(quadB, coefs+1)
	ofGroup(starts, low)
	ofGroup(startsHigh, high)
	for k := 1; k < 4; k++ {
		g.p("VMOVDQA32 Z%d, Z%d", low, low+k)
		g.p("VMOVDQA32 Z%d, Z%d", high, high+k)
	}
	ofGroup(factors, factor)
	g.p("VMULPS %s, Z%d, Z%d", g.float("sixteenth", 1.0/16), factor, sixteenth)
	if d == "Int4M" {
		ofGroup(addend, offset)
	}
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
			for _, s := range [][2]int{{low + k, factor}, {high + k, sixteenth}} {
				g.p("VCVTDQ2PS Z%d, Z%d", s[0], s[0])
				if d == "Int4M" {
					g.p("VFMADD213PS Z%d, Z%d, Z%d", offset, s[1], s[0])
				} else {
					g.p("VMULPS Z%d, Z%d, Z%d", s[1], s[0], s[0])
				}
			}
		}
		for i, s := range []int{low, high} { // lane l of the four goes to group l
			const even, odd = 0x88, 0xdd
			u := t + 4*i
			for j, order := range []int{even, odd} {
				g.p("VSHUFF32X4 $%#x, Z%d, Z%d, Z%d", order, s+1, s, u+2*j)
				g.p("VSHUFF32X4 $%#x, Z%d, Z%d, Z%d", order, s+3, s+2, u+2*j+1)
			}
			for l := range 4 {
				g.p("VSHUFF32X4 $%#x, Z%d, Z%d, Z%d", []int{even, odd}[l/2], u+l%2*2+1, u+l%2*2, s+l)
			}
		}
		for l := range 4 {
			if masked {
				if l == 3 {
					break
				}
				g.p("CMPQ %s, $%d", local(left), l)
				g.p("JLE  done")
			}
			for i, s := range []int{low, high} {
				g.p("VADDPS %d(AX), Z%d, Z%d", 128*l+64*i, s+l, s+l)
				g.p("VMOVUPS Z%d, %d(AX)", s+l, 128*l+64*i)
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
	g.p("ADDQ $16, SI")
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
