package main

import "fmt"

// dot4 reads four rows at a time: a core of the AVX2 kind needs as many streams to read memory as fast as it goes. AVX-512
// has dot2.

const dot4Sig = "(x unsafe.Pointer, r *dotRows, n int)"

var nextRegs = []string{"R10", "R11", "R12", "R13"}

func (g *generator) dots4() {
	for _, d := range plain {
		g.dot4(d)
	}
	for _, d := range grouped {
		g.dot4Groups(d)
	}
}

// dot4: two accumulators a row. Four rows are four streams of memory, which is what it takes to read as fast as it goes.
func (g *generator) dot4(d string) {
	w, size := g.width, bytes1[d]
	g.fn("dot4"+d, dot4Sig, 0, 24)
	g.load("x+0", "AX", "r+8", "BX", "n+16", "CX")
	for i := range 4 {
		g.p("MOVQ (dotRows_row+%d)(BX), %s", 8*i, rowRegs[i])
		g.p("MOVQ (dotRows_next+%d)(BX), %s", 8*i, nextRegs[i])
	}
	g.p("XORQ DX, DX")
	g.zero(0, 1, 2, 3, 4, 5, 6, 7)
	const rX, rW = 8, 12
	cols := 4 * w // of four vectors of the input
	if d == "Int8" {
		cols = 8 * w
	}
	step := func(n int) {
		vectors := 4 * n / cols
		scale := 4 / size
		if d == "Int8" {
			scale = 2
		}
		for i := range vectors {
			g.p("VMOVUPS %d(AX)(DX*%d), v#%d", 4*w*i, scale, rX+i)
		}
		for r, row := range rowRegs {
			for i := range vectors {
				mem, acc := fmt.Sprintf("%d(%s)(DX*1)", n/vectors*size*i, row), 2*r+i%2
				switch d {
				case "F32":
					g.p("VFMADD231PS %s, v#%d, v#%d", mem, rX+i, acc)
				case "Int8":
					g.p("VPMOVSXBW %s, v#%d", mem, rW+i)
					g.p("VPMADDWD v#%d, v#%d, v#%d", rX+i, rW+i, rW+i)
					g.p("VPADDD v#%d, v#%d, v#%d", rW+i, acc, acc)
				default:
					g.widen(d, mem, rW+i)
					g.p("VFMADD231PS v#%d, v#%d, v#%d", rW+i, rX+i, acc)
				}
			}
		}
		for o := 0; o < n*size; o += 64 {
			for _, next := range nextRegs {
				g.p("PREFETCHT0 %d(%s)(DX*1)", o, next)
			}
		}
		g.p("ADDQ $%d, DX", n*size)
	}
	g.loop(cols, 32, step)
	for r := range 4 {
		op := "VADDPS"
		if d == "Int8" {
			op = "VPADDD"
		}
		g.p("%s v#%d, v#%d, v#%d", op, 2*r+1, 2*r, r)
		if d == "Int8" {
			g.p("VCVTDQ2PS v#%d, v#%d", r, r)
		}
	}
	if d == "Int8" { // the scales
		for _, next := range nextRegs {
			g.p("PREFETCHT0 (%s)(DX*1)", next)
		}
	}
	g.sums4()
	g.ret()
}

// sums4 writes the sums of the floats of registers 0 to 3 to the dotRows at BX.
func (g *generator) sums4() {
	g.p("VHADDPS Y1, Y0, Y0")
	g.p("VHADDPS Y3, Y2, Y2")
	g.p("VHADDPS Y2, Y0, Y0")
	g.p("VEXTRACTF128 $1, Y0, X1")
	g.p("VADDPS X1, X0, X0")
	g.p("VMOVUPS X0, dotRows_sum(BX)")
}

// dot4Groups is dot4 of a grouped dtype: x is an operand, n the groups of a row, whose scales follow its quants. The rows
// share the indices of their quants, scales and minima, so that four of them find room in the registers.
func (g *generator) dot4Groups(d string) {
	const (
		rX, rA, rB, rFactor, rSums, rScale = 4, 8, 9, 10, 11, 12 // the input takes up to four registers
		rSpread, rOnes, rMask              = 13, 14, 15
		quants, scales, mins               = "DX", "R14", "CX" // indices
		x, inputScales, inputSums          = "AX", "BX", "R15"
		frame                              = 144
		whole, rest                        = "whole-8(SP)", "rest-16(SP)"
	)
	bytes := quantBytes(d)
	shift := map[int]int{16: 4, 32: 5}[bytes]
	factor := func(r, group int) string { return fmt.Sprintf("factors-%d(SP)", frame-32*r-4*group) }
	at := func(offset int, base, index string, times int) string {
		return fmt.Sprintf("%d(%s)(%s*%d)", offset, base, index, times)
	}
	xTimes := 32 / bytes // the input has 32 bytes a group

	g.fn("dot4"+d, dot4Sig, frame, 24)
	g.load("r+8", "BX", "n+16", "CX")
	g.askScales(d, "dotRows_then")
	for i := range 4 {
		g.p("MOVQ (dotRows_row+%d)(BX), %s", 8*i, rowRegs[i])
		g.p("MOVQ (dotRows_next+%d)(BX), %s", 8*i, nextRegs[i])
	}
	g.p("MOVQ CX, R15")
	g.p("ANDQ $7, R15")
	g.p("MOVQ R15, %s", rest)
	g.p("MOVQ CX, R14")
	g.p("SUBQ R15, R14")
	g.p("SHLQ $%d, R14", shift)
	g.p("MOVQ R14, %s", whole)
	g.p("MOVQ CX, %s", scales)
	g.p("SHLQ $%d, %s", shift, scales)
	g.p("LEAQ (%s)(CX*2), %s", scales, mins)
	g.load("x+0", "AX")
	g.p("MOVQ operand_d(AX), %s", inputScales) // read at twice the index of the scales
	g.p("MOVQ operand_s(AX), %s", inputSums)
	for _, r := range []string{inputScales, inputSums} {
		g.p("SUBQ %s, %s", scales, r)
		g.p("SUBQ %s, %s", scales, r)
	}
	g.p("MOVQ operand_q(AX), %s", x)
	g.p("XORQ %s, %s", quants, quants)
	g.zero(0, 1, 2, 3)
	g.p("VPBROADCASTQ %s, Y%d", g.constant("ones", 0x0001000100010001), rOnes)
	if d != "Int8G" {
		g.p("VPBROADCASTQ %s, Y%d", g.constant("nibbles", 0x0f0f0f0f0f0f0f0f), rMask)
		g.p("VMOVUPS %s, Y%d", g.constant("spread", 0, 0, pair(1), pair(1)), rSpread)
	}

	// finish adds the sums of products in rA, of int16, times the factor, to those of row r.
	finish := func(r int) {
		g.p("VPMADDWD Y%d, Y%d, Y%d", rOnes, rA, rA)
		g.p("VCVTDQ2PS Y%d, Y%d", rA, rA)
		g.p("VFMADD231PS Y%d, Y%d, Y%d", rFactor, rA, r)
	}
	// signed leaves in rA the products of the input in rX with the signed quants at mem.
	signed := func(mem string) {
		g.p("VMOVDQU %s, Y%d", mem, rA)
		g.p("VPSIGNB Y%d, Y%d, Y%d", rA, rX, rB)
		g.p("VPABSB Y%d, Y%d", rA, rA)
		g.p("VPMADDUBSW Y%d, Y%d, Y%d", rB, rA, rA)
	}

	g.p("JMP  test")
	g.at("loop")
	if d != "Int8G" {
		g.p("VMOVUPS %s, Y%d", at(0, inputSums, scales, 2), rSums)
		if d == "Int4" {
			g.p("VMULPS %s, Y%d, Y%d", g.float("minus8", -8), rSums, rSums)
		}
	}
	for r, row := range rowRegs {
		g.p("VCVTPH2PS %s, Y%d", at(0, row, scales, 1), rScale)
		switch d {
		case "Int4":
			g.p("VFMADD231PS Y%d, Y%d, Y%d", rScale, rSums, r)
		case "Int4M":
			g.p("VCVTPH2PS %s, Y%d", at(0, row, mins, 1), rFactor)
			g.p("VFMADD231PS Y%d, Y%d, Y%d", rFactor, rSums, r)
		}
		g.p("VMULPS %s, Y%d, Y%d", at(0, inputScales, scales, 2), rScale, rScale)
		g.p("VMOVUPS Y%d, %s", rScale, factor(r, 0))
	}
	if d == "Int8G" {
		for group := range 8 {
			g.p("VMOVDQU %s, Y%d", at(32*group, x, quants, xTimes), rX)
			for r, row := range rowRegs {
				signed(at(32*group, row, quants, 1))
				g.p("VBROADCASTSS %s, Y%d", factor(r, group), rFactor)
				finish(r)
				if group%2 == 0 {
					g.p("PREFETCHT0 %s", at(32*group, nextRegs[r], quants, 1))
				}
			}
		}
	} else {
		for group := 0; group < 8; group += 2 { // two groups a vector
			g.p("VMOVDQU %s, Y%d", at(32*group, x, quants, xTimes), rX)
			g.p("VMOVDQU %s, Y%d", at(32*group+32, x, quants, xTimes), rX+1)
			g.p("VPERM2I128 $0x20, Y%d, Y%d, Y%d", rX+1, rX, rX+2)
			g.p("VPERM2I128 $0x31, Y%d, Y%d, Y%d", rX+1, rX, rX+3)
			for r, row := range rowRegs {
				g.p("VMOVDQU %s, Y%d", at(16*group, row, quants, 1), rB)
				g.p("VPAND Y%d, Y%d, Y%d", rMask, rB, rA)
				g.p("VPSRLW $4, Y%d, Y%d", rB, rB)
				g.p("VPAND Y%d, Y%d, Y%d", rMask, rB, rB)
				g.p("VPMADDUBSW Y%d, Y%d, Y%d", rX+2, rA, rA)
				g.p("VPMADDUBSW Y%d, Y%d, Y%d", rX+3, rB, rB)
				g.p("VPADDW Y%d, Y%d, Y%d", rB, rA, rA)
				g.p("VBROADCASTSD %s, Y%d", factor(r, group), rFactor)
				g.p("VPERMILPS Y%d, Y%d, Y%d", rSpread, rFactor, rFactor)
				finish(r)
				if group%4 == 0 {
					g.p("PREFETCHT0 %s", at(16*group, nextRegs[r], quants, 1))
				}
			}
		}
	}
	g.p("ADDQ $%d, %s", 8*bytes, quants)
	g.p("ADDQ $16, %s", scales)
	g.p("ADDQ $16, %s", mins)
	g.at("test")
	g.p("CMPQ %s, %s", quants, whole)
	g.p("JLT  loop")

	g.p("CMPQ %s, $0", rest)
	g.p("JE   done")
	half := func(mem string, r int) {
		g.p("MOVWLZX %s, R10", mem)
		g.p("VMOVD R10, X%d", r)
		g.p("VCVTPH2PS X%d, X%d", r, r)
		g.p("VBROADCASTSS X%d, Y%d", r, r)
	}
	share := map[string]float64{"Int4": -1, "Int4M": 0.125} // of an offset, in each of eight lanes
	g.at("last")
	g.p("VMOVDQU %s, Y%d", at(0, x, quants, xTimes), rX)
	g.p("VBROADCASTSS %s, Y%d", at(0, inputScales, scales, 2), rX+1)
	if d != "Int8G" {
		g.p("VBROADCASTSS %s, Y%d", at(0, inputSums, scales, 2), rSums)
		g.p("VMULPS %s, Y%d, Y%d", g.float("share"+d, share[d]), rSums, rSums)
	}
	for r, row := range rowRegs {
		half(at(0, row, scales, 1), rScale)
		switch d {
		case "Int4":
			g.p("VFMADD231PS Y%d, Y%d, Y%d", rScale, rSums, r)
		case "Int4M":
			half(at(0, row, mins, 1), rFactor)
			g.p("VFMADD231PS Y%d, Y%d, Y%d", rFactor, rSums, r)
		}
		g.p("VMULPS Y%d, Y%d, Y%d", rX+1, rScale, rFactor)
		if d == "Int8G" {
			signed(at(0, row, quants, 1))
		} else {
			g.p("VBROADCASTI128 %s, Y%d", at(0, row, quants, 1), rA)
			g.p("VPSRLVQ %s, Y%d, Y%d", g.constant("shifts", 0, 0, 4, 4), rA, rA)
			g.p("VPAND Y%d, Y%d, Y%d", rMask, rA, rA)
			g.p("VPMADDUBSW Y%d, Y%d, Y%d", rX, rA, rA)
		}
		finish(r)
	}
	g.p("ADDQ $%d, %s", bytes, quants)
	g.p("ADDQ $2, %s", scales)
	g.p("ADDQ $2, %s", mins)
	g.p("DECQ %s", rest)
	g.p("JNZ  last")
	g.at("done")
	g.load("r+8", "BX")
	g.sums4()
	g.ret()
}

// askScales asks for the scales (and minima) of four rows of CX groups, whose addresses stand in a field of BX. They lie
// behind the quants, out of the way of what is asked for in order. R10 to R15 are scratch.
func (g *generator) askScales(d, field string) {
	for i, r := range nextRegs {
		g.p("MOVQ (%s+%d)(BX), %s", field, 8*i, r)
	}
	g.p("MOVQ CX, R14")
	g.p("SHLQ $%d, R14", map[int]int{16: 4, 32: 5}[quantBytes(d)])
	g.p("MOVQ CX, R15")
	g.p("IMULQ $%d, R15", groupBytes(d))
	label := fmt.Sprint("ask", g.labels())
	g.at(label)
	for _, r := range nextRegs {
		g.p("PREFETCHT0 (%s)(R14*1)", r)
	}
	g.p("ADDQ $64, R14")
	g.p("CMPQ R14, R15")
	g.p("JLE  %s", label)
}
