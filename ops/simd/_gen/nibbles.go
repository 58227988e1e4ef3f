package main

import "fmt"

// axpy8 adds eight rows of 4 bits at once. The coefficients times the scales of a
// group are rounded to int8, so that the nibbles of two rows meet their
// coefficients in one instruction; eight rows fit the int16 of a column.
//
// A turn of the loop takes the eight groups whose scales fill a vector. The last
// turn may take an even number of groups less: it goes back to where a whole
// vector ends with them and skips those that have been added.
func (g *generator) axpy8(d string) {
	const (
		rows = 8
		// registers: sums of the columns 0–7, 8–15, 16–23 and 24–31 of the groups in a vector, then scratch
		rOff, rA, rB, rLow, rHigh, rCoef, rLanes, rScale, rNibbles = 7, 8, 9, 10, 11, 12, 13, 14, 15
	)
	const w = 8
	const frame = 392
	pairs := func(p int) int { return frame - 4*w*p } // offsets of the tables below the frame
	factors, offsets, current := frame-16*w, frame-20*w, 8
	const skipped = 16 // with AVX2, the groups that a turn skips

	g.fn("axpy8"+d, "(y unsafe.Pointer, r *AxpyRows, n int)", frame, 24)
	g.load("y+0", "AX", "r+8", "BX", "n+16", "CX")
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
	// The middle of the nibbles is taken off with the rounded coefficients and, where it belongs to the weights, added with the exact ones.
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
