package main

import (
	"fmt"
	"math"
)

var grouped = []string{"Int8G", "Int4", "Int4M"}

const dot2Sig = "(x, a, b unsafe.Pointer, n int, nextA, nextB uintptr) (xa, xb float32)"

func quantBytes(d string) int {
	if d == "Int8G" {
		return 32
	}
	return 16
}

func (g *generator) groupKernels() {
	for _, d := range grouped {
		switch {
		case g.width == 8:
			g.dotGroups(d)
			g.axpyGroups(d, 4)
			g.axpyGroups(d, 1)
			if d != "Int8G" {
				g.axpy8(d)
			}
		case d == "Int8G":
			g.dot4Groups(d)
			g.axpyBytes(d)
		default:
			g.dot4Groups(d)
			g.axpy8VNNI(d)
		}
		g.widenGroups(d)
	}
}

// Registers of dotGroups: two sums a row, what the offsets add, and the factors of a vector of
// groups.
const (
	rSum, rOffset, rFactors, rMin = 0, 4, 6, 7
	rX, rWeights, rTail, rFactor  = 8, 9, 10, 11
	rSpare, rShift, rOnes, rMask  = 12, 13, 14, 15
)

func groupBytes(d string) int {
	return quantBytes(d) + map[string]int{"Int8G": 2, "Int4": 2, "Int4M": 4}[d]
}

// offsetOf is what the sums of the input are multiplied with, times the scales of a row, and added
// to a dot: the quants of d are read as unsigned numbers, or have a minimum. 0 for none.
func (g *generator) offsetOf(d string) float64 {
	if d == "Int8G" && g.width == 8 {
		return 0
	}
	return map[string]float64{"Int8G": -128, "Int4": -8, "Int4M": 1}[d]
}

// dotGroups is dot2 of a grouped dtype: x is an operand, n the groups of a row, whose scales follow
// its quants.
func (g *generator) dotGroups(d string) {
	const step = 8 // groups whose scales fill a vector
	g.fn("dot2"+d, dot2Sig, 64)
	g.load("x", "BX", "a", "SI", "b", "DI", "n", "CX", "nextA", "R12", "nextB", "R14")
	g.p("MOVQ Operand_q(BX), AX")
	g.p("MOVQ Operand_d(BX), R10")
	g.p("MOVQ Operand_s(BX), R11")
	g.p("MOVQ CX, R13")
	g.p("SHLQ $%d, R13", map[int]int{16: 4, 32: 5}[quantBytes(d)])
	g.p("LEAQ (SI)(R13*1), R8")
	g.p("LEAQ (DI)(R13*1), R9")
	g.p("LEAQ (CX)(CX*1), R13") // from a scale to its minimum
	g.p("XORQ DX, DX")
	g.zero(rSum, rSum+1, rSum+2, rSum+3, rOffset, rOffset+1)
	if d != "Int8G" {
		g.p("VPBROADCASTQ %s, Y%d", g.constant("nibbles", 0x0f0f0f0f0f0f0f0f), rMask)
		g.p("VMOVUPS %s, Y%d", g.constant("shifts", 0, 0, 4, 4), rShift)
	}
	g.p("VPBROADCASTQ %s, Y%d", g.constant("ones", 0x0001000100010001), rOnes)
	quants, scales := []string{"SI", "DI"}, []string{"R8", "R9"}
	g.p("SUBQ $%d, CX", step)
	g.p("JL   rest")
	g.at("loop")
	for r := range 2 {
		g.scales(d, scales[r], r)
	}
	g.prefetch(step*groupBytes(d), "R12", "R14")
	for j := range step {
		g.p("VMOVUPS %d(AX), Y%d", 32*j, rX)
		for r := range 2 {
			w := rWeights + r
			g.products(d, addr(quantBytes(d)*j, quants[r]), w)
			g.p("VBROADCASTSS factors-%d(SP), Y%d", 64-32*r-4*j, rFactor)
			g.p("VFMADD231PS Y%d, Y%d, Y%d", rFactor, w, rSum+2*r+j&1)
		}
	}
	g.advance(d, step)
	g.p("SUBQ $%d, CX", step)
	g.p("JGE  loop")
	g.at("rest")
	g.zero(rTail, rSpare)
	g.p("ADDQ $%d, CX", step)
	g.p("JZ   done")
	g.at("last")
	g.p("VMOVUPS (AX), Y%d", rX)
	for r := range 2 {
		g.oneScale(d, scales[r], []int{rTail, rSpare}[r])
		g.products(d, addr(0, quants[r]), rWeights)
		g.p("VFMADD231PS Y%d, Y%d, Y%d", rFactor, rWeights, rSum+2*r)
	}
	g.prefetch(groupBytes(d), "R12", "R14")
	g.advance(d, 1)
	g.p("DECQ CX")
	g.p("JNZ  last")
	g.at("done")
	for r, result := range []string{g.arg("xa"), g.arg("xb")} {
		s := rSum + 2*r
		g.p("VADDPS Y%d, Y%d, Y%d", s+1, s, s)
		g.sum(s, rX)
		if offset := g.offsetOf(d); offset != 0 {
			g.sum(rOffset+r, rX)
			g.p("VADDSS X%d, X%d, X%d", []int{rTail, rSpare}[r], rOffset+r, rOffset+r)
			g.p("VFMADD231SS %s, X%d, X%d", g.constant("offset"+d, pair(math.Float32bits(float32(offset)))), rOffset+r, s)
		}
		g.p("VMOVSS X%d, %s", s, result)
	}
	g.ret()
}

// products sets register r to the sums of four products each of the weights at mem with the input
// in rX, as float32. The nibbles are unsigned.
func (g *generator) products(d, mem string, r int) {
	if d != "Int8G" {
		g.p("VBROADCASTI128 %s, Y%d", mem, r)
		g.p("VPSRLVQ Y%d, Y%d, Y%d", rShift, r, r)
		g.p("VPAND Y%d, Y%d, Y%d", rMask, r, r)
		g.p("VPMADDUBSW Y%d, Y%d, Y%d", rX, r, r)
	} else {
		g.p("VMOVDQU %s, Y%d", mem, r)
		g.p("VPSIGNB Y%d, Y%d, Y%d", r, rX, rMin)
		g.p("VPABSB Y%d, Y%d", r, r)
		g.p("VPMADDUBSW Y%d, Y%d, Y%d", rMin, r, r)
	}
	g.p("VPMADDWD Y%d, Y%d, Y%d", rOnes, r, r)
	g.p("VCVTDQ2PS Y%d, Y%d", r, r)
}

// scales stores the factors of a vector of groups of row r, whose scales are
// at base, and adds what the offsets of the weights contribute.
func (g *generator) scales(d, base string, r int) {
	f := rFactors
	g.p("VCVTPH2PS (%s), Y%d", base, f)
	switch {
	case d == "Int4M":
		g.p("VCVTPH2PS (%s)(R13*1), Y%d", base, rMin)
		g.p("VFMADD231PS (R11), Y%d, Y%d", rMin, rOffset+r)
	case g.offsetOf(d) != 0:
		g.p("VFMADD231PS (R11), Y%d, Y%d", f, rOffset+r)
	}
	g.p("VMULPS (R10), Y%d, Y%d", f, f)
	g.p("VMOVUPS Y%d, factors-%d(SP)", f, 64-32*r)
}

// oneScale does the same for one group, with the offsets in the lowest element
// of a register, and spreads the factor over rFactor.
func (g *generator) oneScale(d, base string, offset int) {
	half := func(mem string, r int) {
		g.p("MOVWLZX %s, BX", mem)
		g.p("VMOVD BX, X%d", r)
		g.p("VCVTPH2PS X%d, X%d", r, r)
	}
	half("("+base+")", rFactors)
	switch {
	case d == "Int4M":
		half("("+base+")(R13*1)", rMin)
		g.p("VFMADD231SS (R11), X%d, X%d", rMin, offset)
	case g.offsetOf(d) != 0:
		g.p("VFMADD231SS (R11), X%d, X%d", rFactors, offset)
	}
	g.p("VMULSS (R10), X%d, X%d", rFactors, rFactors)
	g.p("VBROADCASTSS X%d, Y%d", rFactors, rFactor)
}

func (g *generator) advance(d string, n int) {
	g.p("ADDQ $%d, AX", 32*n)
	for _, r := range []string{"SI", "DI"} {
		g.p("ADDQ $%d, %s", quantBytes(d)*n, r)
	}
	for _, r := range []string{"R8", "R9"} {
		g.p("ADDQ $%d, %s", 2*n, r)
	}
	for _, r := range []string{"R10", "R11"} {
		g.p("ADDQ $%d, %s", 4*n, r)
	}
}

// spread fills register t with the float16 at mem as float32.
func (g *generator) spread(mem string, t int) {
	half := "X"
	if g.width == 16 {
		half = "Y"
	}
	g.p("VPBROADCASTW %s, %s%d", mem, half, t)
	g.p("VCVTPH2PS %s%d, v#%d", half, t, t)
}

const rNibble = 10

// weights calls use for every vector of a group, converted to float32, with its
// position in the group. The registers 4 and 5 are scratch.
func (g *generator) weights(d, base string, use func(vector, r int)) {
	w := g.width
	mem := func(o int) string { return addr(o, base) }
	if d == "Int8G" {
		for i := range 32 / w {
			g.widen("Int8", mem(w*i), 4)
			use(i, 4)
		}
		return
	}
	n := 16 / w // vectors of each half
	for i := range n {
		g.p("VPMOVZXBD %s, v#4", mem(w*i))
		g.p("VPSRLD $4, v#4, v#5")
		g.and(fmt.Sprintf("v#%d", rNibble), "v#4")
		g.p("VCVTDQ2PS v#4, v#4")
		use(i, 4)
		g.p("VCVTDQ2PS v#5, v#5")
		use(n+i, 5)
	}
}

func (g *generator) axpyGroups(d string, rows int) {
	w := g.width
	g.axpyStart(d, rows)
	scaleRegs := []string{"R10", "R11", "R12", "R13"}
	for i := range rows {
		g.p("MOVQ (AxpyRows_scales+%d)(BX), %s", 8*i, scaleRegs[i])
	}
	if d == "Int4M" { // the minima lie equally far behind the scales in all rows
		g.p("MOVQ AxpyRows_mins(BX), R15")
		g.p("SUBQ R10, R15")
	}
	if d != "Int8G" {
		g.p("VPBROADCASTQ %s, v#%d", g.constant("nibble", pair(15)), rNibble)
	}
	n := 32 / w
	g.at("loop")
	for i := range n {
		g.p("VMOVUPS %d(AX), v#%d", 4*w*i, i)
	}
	if d != "Int8G" {
		g.zero(9)
	}
	for r := range rows {
		g.spread(fmt.Sprintf("(%s)", scaleRegs[r]), 11)
		g.p("VMULPS v#%d, v#11, v#11", 12+r)
		switch d {
		case "Int4":
			g.p("VADDPS v#11, v#9, v#9")
		case "Int4M":
			g.spread(fmt.Sprintf("(%s)(R15*1)", scaleRegs[r]), 8)
			g.p("VFMADD231PS v#%d, v#8, v#9", 12+r)
		}
		g.weights(d, rowRegs[r], func(i, t int) {
			g.p("VFMADD231PS v#%d, v#11, v#%d", t, i)
		})
		g.p("ADDQ $2, %s", scaleRegs[r])
		g.p("ADDQ $%d, %s", quantBytes(d), rowRegs[r])
	}
	if d == "Int8G" { // of 4 bits only a few columns come here
		g.axpyNext(d, rows, groupBytes(d))
	}
	switch d {
	case "Int4":
		words := make([]uint64, w/2)
		for i := range words {
			words[i] = pair(0xc1000000) // −8
		}
		g.p("VMULPS %s, v#9, v#9", g.constant("minus8", words...))
		fallthrough
	case "Int4M":
		for i := range n {
			g.p("VADDPS v#9, v#%d, v#%d", i, i)
		}
	}
	for i := range n {
		g.p("VMOVUPS v#%d, %d(AX)", i, 4*w*i)
	}
	g.p("ADDQ $128, AX")
	g.p("SUBQ $32, CX")
	g.p("JNZ  loop")
	g.ret()
}

func (g *generator) widenGroups(d string) {
	w := g.width
	g.fn("widen"+d, "(dst unsafe.Pointer, row weights.GroupRow, n int)", 0)
	g.load("dst", "AX", "row_Quants", "SI", "row_Scales", "DI", "row_Mins", "R10", "n", "CX")
	if d != "Int8G" {
		g.p("VPBROADCASTQ %s, v#%d", g.constant("nibble", pair(15)), rNibble)
	}
	if d == "Int4" {
		g.p("VBROADCASTSS %s, v#8", g.constant("offsetInt4", pair(0xc1000000)))
	}
	g.at("loop")
	g.spread("(DI)", 11)
	switch d {
	case "Int4":
		g.p("VMULPS v#8, v#11, v#9")
	case "Int4M":
		g.spread("(R10)", 9)
		g.p("ADDQ $2, R10")
	}
	g.weights(d, "SI", func(i, t int) {
		if d == "Int8G" {
			g.p("VMULPS v#11, v#%d, v#%d", t, t)
		} else {
			g.p("VFMADD213PS v#9, v#11, v#%d", t)
		}
		g.p("VMOVUPS v#%d, %d(AX)", t, 4*w*i)
	})
	g.p("ADDQ $128, AX")
	g.p("ADDQ $%d, SI", quantBytes(d))
	g.p("ADDQ $2, DI")
	g.p("DECQ CX")
	g.p("JNZ  loop")
	g.ret()
}

// dot4Groups is dot4 of a grouped dtype for AVX-512: x is an operand, n the groups of a row, whose
// scales follow its quants. A pass takes 64 bytes of quants of each row, which are four groups of
// nibbles or two of bytes; their scales are made for 16 groups at a time. The last groups, fewer
// than 16, are read under a mask.
func (g *generator) dot4Groups(d string) {
	const (
		sums, offsets, factors, places = 0, 4, 8, 12 // a register a row; where the factors of a pass stand
		mask, x, xLow, xHigh           = 20, 21, 23, 24
		w, low, acc, factor            = 25, 26, 27, 28
		step                           = 16
	)
	nibbles := d != "Int8G"
	perPass := 64 / quantBytes(d) // groups
	passes := step / perPass

	g.fn("dot4"+d, dot4Sig, 8)
	g.load("x", "BX", "r", "DX", "n", "R15")
	g.dotRows("DX")
	g.p("MOVQ Operand_q(BX), AX")
	g.p("MOVQ Operand_s(BX), CX")
	g.p("MOVQ Operand_d(BX), BX")
	g.p("MOVQ R15, left-8(SP)")
	g.p("MOVQ R15, R14") // of a row, R14 is where its scales are and R15 where its minima are, DX where its quants are
	g.p("SHLQ $%d, R14", map[bool]int{true: 4, false: 5}[nibbles])
	g.p("LEAQ (R14)(R15*2), R15")
	g.p("XORQ DX, DX")
	for r := range 4 {
		g.zero(sums+r, offsets+r)
	}
	for j := range passes {
		words := make([]uint64, 8)
		for i := range words {
			words[i] = pair(uint32(perPass*j + i*perPass/8))
		}
		g.p("VMOVDQU32 %s, Z%d", g.constant(fmt.Sprintf("pass%dof%d", j, passes), words...), places+j)
	}
	bits := uint64(0x8080808080808080) // makes signed bytes unsigned
	if nibbles {
		bits = 0x0f0f0f0f0f0f0f0f
	}
	g.p("VPBROADCASTQ %s, Z%d", g.constant(map[bool]string{true: "nibbles", false: "signs"}[nibbles], bits), mask)

	// load reads 64 bytes, or those of them whose 8 or 4 bytes have a bit in a mask.
	load := func(bytes int, mem, mask string, to int) {
		if mask == "" {
			g.p("VMOVDQU%d %s, Z%d", 8*bytes, mem, to)
			return
		}
		g.p("VMOVDQU%d.Z %s, %s, Z%d", 8*bytes, mem, mask, to)
	}
	scales := func(masked bool) {
		floats := func(from string, to int) {
			if masked {
				g.p("VMOVUPS.Z (%s), K1, Z%d", from, to)
			} else {
				g.p("VMOVUPS (%s), Z%d", from, to)
			}
		}
		floats("CX", x)
		floats("BX", x+1)
		for r, row := range rowRegs {
			float16s := func(at string, to int) {
				mem := fmt.Sprintf("(%s)(%s*1)", row, at)
				if masked {
					g.p("VMOVDQU16.Z %s, K1, Y%d", mem, to)
					mem = fmt.Sprintf("Y%d", to)
				}
				g.p("VCVTPH2PS %s, Z%d", mem, to)
			}
			float16s("R14", factors+r)
			if d == "Int4M" {
				float16s("R15", w)
				g.p("VFMADD231PS Z%d, Z%d, Z%d", x, w, offsets+r)
			} else {
				g.p("VFMADD231PS Z%d, Z%d, Z%d", x, factors+r, offsets+r)
			}
			g.p("VMULPS Z%d, Z%d, Z%d", x+1, factors+r, factors+r)
		}
	}
	pass := func(j int, masked bool) {
		k2, k3 := "", ""
		if masked {
			k2, k3 = "K2", "K3"
		}
		if nibbles {
			load(8, fmt.Sprintf("%d(AX)(DX*2)", 128*j), k2, x)
			load(8, fmt.Sprintf("%d(AX)(DX*2)", 128*j+64), k3, x+1)
			g.p("VSHUFI32X4 $0x88, Z%d, Z%d, Z%d", x+1, x, xLow)
			g.p("VSHUFI32X4 $0xdd, Z%d, Z%d, Z%d", x+1, x, xHigh)
		} else {
			load(8, fmt.Sprintf("%d(AX)(DX*1)", 64*j), k2, x)
		}
		for r, row := range rowRegs {
			mem := fmt.Sprintf("%d(%s)(DX*1)", 64*j, row)
			g.zero(acc)
			if nibbles {
				load(4, mem, k2, w)
				g.p("VPANDD Z%d, Z%d, Z%d", mask, w, low)
				g.p("VPSRLW $4, Z%d, Z%d", w, w)
				g.p("VPANDD Z%d, Z%d, Z%d", mask, w, w)
				g.p("VPDPBUSD Z%d, Z%d, Z%d", xLow, low, acc)
				g.p("VPDPBUSD Z%d, Z%d, Z%d", xHigh, w, acc)
			} else {
				load(8, mem, k2, w)
				g.p("VPXORD Z%d, Z%d, Z%d", mask, w, w)
				g.p("VPDPBUSD Z%d, Z%d, Z%d", x, w, acc)
			}
			g.p("VCVTDQ2PS Z%d, Z%d", acc, acc)
			g.p("VPERMPS Z%d, Z%d, Z%d", factors+r, places+j, factor)
			g.p("VFMADD231PS Z%d, Z%d, Z%d", factor, acc, sums+r)
		}
	}
	prefetch := func(from, to int) {
		for o := from; o < to; o += 64 {
			for _, next := range nextRegs {
				g.p("PREFETCHT0 %d(%s)", o, next)
			}
		}
	}

	bytes := step * groupBytes(d)
	g.p("SUBQ $%d, left-8(SP)", step)
	g.p("JL   rest")
	g.at("loop")
	scales(false)
	prefetch(0, bytes)
	for j := range passes {
		pass(j, false)
	}
	g.p("ADDQ $%d, DX", step*quantBytes(d))
	for _, r := range []string{"R14", "R15"} {
		g.p("ADDQ $%d, %s", 2*step, r)
	}
	for _, r := range []string{"BX", "CX"} {
		g.p("ADDQ $%d, %s", 4*step, r)
	}
	for _, next := range nextRegs {
		g.p("ADDQ $%d, %s", bytes, next)
	}
	g.p("SUBQ $%d, left-8(SP)", step)
	g.p("JGE  loop")
	g.at("rest")
	g.p("ADDQ $%d, left-8(SP)", step)
	g.p("JZ   done")
	prefetch(0, 64)
	g.p("CMPQ left-8(SP), $4")
	g.p("JLT  few")
	prefetch(64, bytes)
	g.at("few")
	g.p("MOVQ CX, R12")
	g.p("MOVQ left-8(SP), CX")
	g.p("MOVQ $1, R10")
	g.p("SHLQ CX, R10")
	g.p("DECQ R10")
	g.p("KMOVW R10, K1") // a bit for a group
	g.p("SHLQ $2, CX")
	g.p("MOVQ $1, R10")
	g.p("SHLQ CX, R10")
	g.p("DECQ R10") // four bits
	g.p("MOVQ R12, CX")
	scales(true)
	for j := range passes {
		g.p("KMOVW R10, K2")
		if nibbles {
			g.p("SHRQ $8, R10")
			g.p("KMOVW R10, K3")
		}
		pass(j, true)
		if j+1 < passes {
			g.p("SHRQ $8, R10")
			g.p("JZ   done")
		}
	}
	g.at("done")
	for r := range 4 {
		g.p("VFMADD231PS %s, Z%d, Z%d", g.float("dotOffset"+d, g.offsetOf(d)), offsets+r, sums+r)
	}
	g.load("r", "BX")
	g.sums4()
	g.p("VMOVUPS X0, DotRows_Sum(BX)")
	g.ret()
}

// widen16 writes n groups of quants, those of Int4 less 8, as int16.
func (g *generator) widen16() {
	if g.width != 8 {
		return
	}
	for _, d := range []string{"Int8G", "Int4", "Int4M"} {
		g.fn("widen16"+d, "(dst, src unsafe.Pointer, n int)", 0)
		g.load("dst", "DI", "src", "SI", "n", "CX")
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
