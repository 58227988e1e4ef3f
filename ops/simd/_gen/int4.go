package main

import "fmt"

// axpy8 adds eight rows of 4 bits at once. The coefficients times the scales of a
// group are rounded to int8, so that the nibbles of two rows meet their
// coefficients in one instruction; eight rows fit the int16 of a column.
//
// A pass of the loop takes the eight groups whose scales fill a vector. The last
// pass may take an even number of groups less: it goes back to where a whole
// vector ends with them and skips those that have been added.
func (g *generator) axpy8(d string) {
	const (
		rows = 8
		// registers: sums of the columns 0–7, 8–15, 16–23 and 24–31 of the groups in a vector, then
		// scratch
		rOff, rA, rB, rLow, rHigh, rCoef, rLanes, rScale, rNibbles = 7, 8, 9, 10, 11, 12, 13, 14, 15
	)
	const w = 8
	const frame = 392
	pairs := func(p int) int { return frame - 4*w*p } // offsets of the tables below the frame
	factors, offsets, current := frame-16*w, frame-20*w, 8
	const skipped = 16 // with AVX2, the groups that a pass skips

	g.fn("axpy8"+d, "(y unsafe.Pointer, r *AxpyRows, n int)", frame)
	g.load("y", "AX", "r", "BX", "n", "CX")
	ptr := []string{"R8", "R9", "R10", "R11", "R12", "R13", "R14", "R15"}
	for i, reg := range ptr {
		g.p("MOVQ (AxpyRows_Row+%d)(BX), %s", 8*i, reg)
	}
	g.p("LEAQ AxpyRows_Next(BX), SI")
	g.p("MOVQ SI, table-%d(SP)", current)
	lanes := make([]uint64, w/2)
	for i := range lanes {
		lanes[i] = pair(uint32(i / 2))
	}
	g.p("VMOVUPS %s, Y%d", g.constant("lanes", lanes...), rLanes)
	g.p("VPBROADCASTQ %s, Y%d", g.constant("nibbles", 0x0f0f0f0f0f0f0f0f), rNibbles)
	g.p("XORQ DX, DX")
	g.p("XORQ DI, DI")
	g.p("MOVQ $0, table-%d(SP)", skipped)
	g.at("loop")

	// the coefficients of w groups
	for r := range rows {
		g.p("MOVQ (AxpyRows_scales+%d)(BX), SI", 8*r)
		g.p("VCVTPH2PS (SI)(DI*1), Y%d", r)
		g.p("VBROADCASTSS (AxpyRows_Coef+%d)(BX), Y%d", 4*r, rA)
		g.p("VMULPS Y%d, Y%d, Y%d", rA, r, r)
		if d == "Int4M" {
			if r == 0 {
				g.zero(rCoef)
			}
			g.p("VADDPS Y%d, Y%d, Y%d", r, rCoef, rCoef)
		}
		dst := rLow
		if r == 0 {
			dst = rB
		}
		g.p("VPAND %s, Y%d, Y%d", g.repeated("magnitudes", 0x7fffffff), r, dst)
		if r > 0 {
			g.p("VPMAXUD Y%d, Y%d, Y%d", rLow, rB, rB)
		}
	}
	g.p("VMULPS %s, Y%d, Y%d", g.float("reciprocal127", 1.0/127), rB, rB)
	g.p("VMOVUPS Y%d, table-%d(SP)", rB, factors)
	g.p("VMOVUPS %s, Y%d", g.float("one", 1), rA)
	g.p("VDIVPS Y%d, Y%d, Y%d", rB, rA, rA)
	for r := range rows {
		g.p("VMULPS Y%d, Y%d, Y%d", rA, r, r)
		g.p("VCVTPS2DQ Y%d, Y%d", r, r)
	}
	// The middle of the nibbles is taken off with the rounded coefficients and, where it belongs to
	// the weights, added with the exact ones.
	g.p("VPADDD Y1, Y0, Y%d", rLow)
	for r := 2; r < rows; r++ {
		g.p("VPADDD Y%d, Y%d, Y%d", r, rLow, rLow)
	}
	g.p("VCVTDQ2PS Y%d, Y%d", rLow, rLow)
	g.p("VMULPS Y%d, Y%d, Y%d", rB, rLow, rLow)
	if d == "Int4M" {
		g.p("VSUBPS Y%d, Y%d, Y%d", rCoef, rLow, rLow)
	}
	g.p("VMULPS %s, Y%d, Y%d", g.float("minus8", -8), rLow, rLow)
	if d == "Int4M" {
		for r := range rows {
			g.p("MOVQ (AxpyRows_mins+%d)(BX), SI", 8*r)
			g.p("VCVTPH2PS (SI)(DI*1), Y%d", rA)
			g.p("VBROADCASTSS (AxpyRows_Coef+%d)(BX), Y%d", 4*r, rHigh)
			g.p("VFMADD231PS Y%d, Y%d, Y%d", rA, rHigh, rLow)
		}
	}
	g.p("VMOVUPS Y%d, table-%d(SP)", rLow, offsets)
	for p := range rows / 2 {
		a, b := 2*p, 2*p+1
		g.p("VPSLLD $24, Y%d, Y%d", a, a)
		g.p("VPSRLD $24, Y%d, Y%d", a, a)
		g.p("VPSLLD $24, Y%d, Y%d", b, b)
		g.p("VPSRLD $16, Y%d, Y%d", b, b)
		g.p("VPOR Y%d, Y%d, Y%d", a, b, a)
		g.p("VPSLLD $16, Y%d, Y%d", a, b)
		g.p("VPOR Y%d, Y%d, Y%d", a, b, a)
		g.p("VMOVUPS Y%d, table-%d(SP)", a, pairs(p))
	}

	g.p("MOVQ table-%d(SP), SI", skipped)
	for j := 1; j < 4; j++ {
		g.p("CMPQ SI, $%d", 2*j)
		g.p("JEQ  step%d", j)
	}
	const perVector = 2 // groups
	for j := range 4 {
		if j > 0 {
			g.at(fmt.Sprint("step", j))
		}
		for p := range rows / 2 {
			mem := func(r int) string { return addr(16*perVector*j, ptr[r]) }
			g.p("VMOVUPS %s, Y%d", mem(2*p), rA)
			g.p("VMOVUPS %s, Y%d", mem(2*p+1), rB)
			g.p("VPUNPCKLBW Y%d, Y%d, Y%d", rB, rA, rLow)
			g.p("VPUNPCKHBW Y%d, Y%d, Y%d", rB, rA, rHigh)
			coef := fmt.Sprintf("table-%d(SP)", pairs(p)-4*perVector*j)
			g.p("VPBROADCASTQ %s, Y%d", coef, rCoef)
			g.p("VPERMILPS Y%d, Y%d, Y%d", rLanes, rCoef, rCoef)
			add := func(src, sum int) {
				g.p("VPAND Y%d, Y%d, Y%d", rNibbles, src, src)
				if p == 0 {
					g.p("VPMADDUBSW Y%d, Y%d, Y%d", rCoef, src, sum)
					return
				}
				g.p("VPMADDUBSW Y%d, Y%d, Y%d", rCoef, src, src)
				g.p("VPADDW Y%d, Y%d, Y%d", src, sum, sum)
			}
			g.p("VPSRLW $4, Y%d, Y%d", rLow, rA)
			g.p("VPSRLW $4, Y%d, Y%d", rHigh, rB)
			add(rLow, 0)
			add(rHigh, 1)
			add(rA, 2)
			add(rB, 3)
		}
		n := rows * perVector * groupBytes(d) // as axpyNext does
		g.p("MOVQ table-%d(SP), SI", current)
		g.p("MOVQ (SI), SI")
		for o := 0; o < n; o += 64 {
			g.p("PREFETCHT0 %d(SI)(DX*1)", o)
		}
		g.p("ADDQ $%d, DX", n)
		g.p("CMPQ DX, AxpyRows_bytes(BX)")
		g.p("JLT  same%d", j)
		g.p("ADDQ $8, table-%d(SP)", current)
		g.p("XORQ DX, DX")
		g.at(fmt.Sprint("same", j))
		for l := range perVector {
			group := perVector*j + l
			g.p("VBROADCASTSS table-%d(SP), Y%d", factors-4*group, rScale)
			g.p("VBROADCASTSS table-%d(SP), Y%d", offsets-4*group, rOff)
			for i := range 32 / w { // vectors of a group
				if l == 0 {
					g.p("VPMOVSXWD X%d, Y%d", i, rLow)
				} else {
					g.p("VEXTRACTI128 $1, Y%d, X%d", i, rLow)
					g.p("VPMOVSXWD X%d, Y%d", rLow, rLow)
				}
				o := 128*group + 4*w*i
				g.p("VCVTDQ2PS Y%d, Y%d", rLow, rLow)
				g.p("VADDPS %d(AX), Y%d, Y%d", o, rOff, rHigh)
				g.p("VFMADD231PS Y%d, Y%d, Y%d", rLow, rScale, rHigh)
				g.p("VMOVUPS Y%d, %d(AX)", rHigh, o)
			}
		}
	}
	for _, reg := range ptr {
		g.p("ADDQ $%d, %s", 16*w, reg)
	}
	g.p("ADDQ $%d, AX", 128*w)
	g.p("ADDQ $%d, DI", 2*w)
	g.p("SUBQ $%d, CX", w)
	g.p("JLE  done")
	g.p("CMPQ CX, $%d", w)
	g.p("JGE  loop")
	g.p("MOVQ $%d, SI", w) // back by the groups of the last vector that are not left
	g.p("SUBQ CX, SI")
	g.p("MOVQ SI, table-%d(SP)", skipped)
	g.p("MOVQ $%d, CX", w)
	g.p("SUBQ SI, DI")
	g.p("SUBQ SI, DI")
	g.p("SHLQ $4, SI")
	for _, reg := range ptr {
		g.p("SUBQ SI, %s", reg)
	}
	g.p("SHLQ $3, SI")
	g.p("SUBQ SI, AX")
	g.p("JMP  loop")
	g.at("done")
	g.ret()
}

// axpy8VNNI is axpy8 for AVX-512, of any number of groups. Coefficients are made for 16 groups at a
// time, under a mask; a pass then takes four groups of the rows. The bytes of four rows are
// interleaved, so that one instruction multiplies them with their coefficients: once the low
// nibbles, once whole bytes, of which the low ones are taken off for all rows together. Lane l of
// the sums belongs to group l, and they are left so: RowKernel.InOrder.
func (g *generator) axpy8VNNI(d string) {
	const (
		rows                                               = 8
		low, high, t                                       = 0, 4, 8            // four registers each, and eight of scratch
		quadsOf, startsOf, startsHighOf, factorsOf, addend = 16, 18, 19, 20, 21 // a number a group; quadsOf are two
		coefs, factor, sixteenth, offset                   = 22, 24, 25, 26     // those of a pass, in its lanes
		places, nibbles                                    = 27, 28
		left, bytes, current                               = 8, 16, 24 // locals
		frame                                              = 24
	)
	local := func(o int) string { return fmt.Sprintf("local-%d(SP)", o) }
	g.fn("axpy8"+d, "(y unsafe.Pointer, r *AxpyRows, n int)", frame)
	g.load("y", "AX", "r", "BX", "n", "CX")
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
	g.load("r", "BX")
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
	// Sums start at what the nibbles less 8 leave out: at −8 of the coefficients, and those of
	// bytes at −136.
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

	g.at("quad")
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
	g.p("JNZ  quad")
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
