package main

import "fmt"

var grouped = []string{"Int8G", "Int4", "Int4M"}

func quantBytes(d string) int {
	if d == "Int8G" {
		return 32
	}
	return 16
}

func (g *generator) groupKernels() {
	for _, d := range grouped {
		if g.width == 16 {
			g.dotGroups512(d)
		} else {
			g.dotGroups256(d)
		}
		for _, rows := range []int{4, 1} {
			g.axpyGroups(d, rows)
		}
		g.widenGroups(d)
	}
}

const (
	dotGroupsSig = "(x *operand, row groupRow, n int) float32"

	// registers of the dots of groups
	rOnes, rShift, rMask = 14, 13, 15
)

func (g *generator) dotGroupsStart(d string) {
	g.load("x+0", "BX", "row_quants+8", "SI", "row_scales+16", "DI", "row_mins+24", "R10", "n+32", "CX")
	g.p("MOVQ operand_q(BX), AX")
	g.p("MOVQ operand_d(BX), R8")
	g.p("MOVQ operand_s(BX), R9")
	g.zero(0, 1, 2, 3)
	if d == "Int8G" && g.width == 16 {
		g.p("VPBROADCASTQ %s, v#%d", g.constant("signs", 0x8080808080808080), rMask)
	}
	if d != "Int8G" {
		g.p("VPBROADCASTQ %s, v#%d", g.constant("nibbles", 0x0f0f0f0f0f0f0f0f), rMask)
		words := []uint64{0, 0, 4, 4, 0, 0, 4, 4}
		g.p("VMOVUPS %s, v#%d", g.constant("shifts", words[:g.width/2]...), rShift)
	}
	if g.width == 8 {
		g.p("VPBROADCASTQ %s, v#%d", g.constant("ones", 0x0001000100010001), rOnes)
	}
}

// products leaves in Y8 the sums of four products each of one group with the
// input at x, as int32. The nibbles, and with VNNI the bytes, are unsigned: what
// that adds is taken off for all groups together.
func (g *generator) products(d, w, x string) {
	if d != "Int8G" {
		g.p("VBROADCASTI128 %s, Y8", w)
		g.p("VPSRLVQ Y%d, Y8, Y8", rShift)
		g.p("VPAND Y%d, Y8, Y8", rMask)
		g.p("VPMADDUBSW %s, Y8, Y8", x)
	} else {
		g.p("VMOVDQU %s, Y8", w)
		g.p("VMOVDQU %s, Y10", x)
		g.p("VPSIGNB Y8, Y10, Y10")
		g.p("VPABSB Y8, Y8")
		g.p("VPMADDUBSW Y10, Y8, Y8")
	}
	g.p("VPMADDWD Y%d, Y8, Y8", rOnes)
}

func (g *generator) products512(d, w, x string, wide bool) {
	v := "Y"
	if wide {
		v = "Z"
	}
	switch {
	case d == "Int8G":
		g.p("VMOVDQU32 %s, %s8", w, v)
		g.p("VPXORD %s%d, %s8, %s8", v, rMask, v, v)
	case wide:
		g.p("VMOVDQU32 %s, Y8", w)
		g.p("VSHUFI32X4 $0x50, Z8, Z8, Z8")
	default:
		g.p("VBROADCASTI128 %s, Y8", w)
	}
	if d != "Int8G" {
		g.p("VPSRLVQ %s%d, %s8, %s8", v, rShift, v, v)
		g.p("VPANDD %s%d, %s8, %s8", v, rMask, v, v)
	}
	g.p("VPXORD %s10, %s10, %s10", v, v, v)
	g.p("VPDPBUSD %s, %s8, %s10", x, v, v)
	g.p("VCVTDQ2PS %s10, %s8", v, v)
}

// scales leaves the factors of a vector of groups in register 4 and adds what
// the offsets of the weights contribute to register 2.
func (g *generator) scales(d string) {
	g.p("VCVTPH2PS (DI), v#4")
	switch {
	case d == "Int4" || d == "Int8G" && g.width == 16:
		g.p("VFMADD231PS (R9), v#4, v#2")
	case d == "Int4M":
		g.p("VCVTPH2PS (R10), v#5")
		g.p("VFMADD231PS (R9), v#5, v#2")
	}
	g.p("VMULPS (R8), v#4, v#4")
}

// oneScale does the same for one group, in X4 and X3, and spreads the factor over Y9.
func (g *generator) oneScale(d string) {
	half := func(mem string, r int) {
		g.p("MOVWLZX %s, DX", mem)
		g.p("VMOVD DX, X%d", r)
		g.p("VCVTPH2PS X%d, X%d", r, r)
	}
	half("(DI)", 4)
	switch {
	case d == "Int4" || d == "Int8G" && g.width == 16:
		g.p("VFMADD231SS (R9), X4, X3")
	case d == "Int4M":
		half("(R10)", 5)
		g.p("VFMADD231SS (R9), X5, X3")
	}
	g.p("VMULSS (R8), X4, X4")
	g.p("VBROADCASTSS X4, Y9")
}

func (g *generator) advance(d string, n int) {
	g.p("ADDQ $%d, AX", 32*n)
	g.p("ADDQ $%d, SI", quantBytes(d)*n)
	g.p("ADDQ $%d, DI", 2*n)
	g.p("ADDQ $%d, R8", 4*n)
	g.p("ADDQ $%d, R9", 4*n)
	if d == "Int4M" {
		g.p("ADDQ $%d, R10", 2*n)
	}
}

func (g *generator) dotGroupsEnd(d string) {
	g.p("VADDPS v#1, v#0, v#0")
	g.sum(0, 8)
	offset := map[string]uint32{"Int4": 0xc1000000, "Int4M": 0x3f800000} // −8, 1
	if g.width == 16 {
		offset["Int8G"] = 0xc3000000 // −128
	}
	if bits, ok := offset[d]; ok {
		g.sum(2, 8)
		g.p("VADDSS X3, X2, X2")
		g.p("VFMADD231SS %s, X2, X0", g.constant("offset"+d, pair(bits)))
	}
	g.p("VMOVSS X0, ret+40(FP)")
	g.ret()
}

func (g *generator) dotGroups256(d string) {
	g.fn("dot"+d, dotGroupsSig, 32, 44)
	g.dotGroupsStart(d)
	g.p("SUBQ $8, CX")
	g.p("JL   rest")
	g.at("loop")
	g.scales(d)
	g.p("VMOVUPS Y4, factors-32(SP)")
	for j := range 8 {
		g.products(d, addr(quantBytes(d)*j, "SI"), addr(32*j, "AX"))
		g.p("VCVTDQ2PS Y8, Y8")
		g.p("VBROADCASTSS factors-%d(SP), Y9", 32-4*j)
		g.p("VFMADD231PS Y9, Y8, Y%d", j&1)
	}
	g.advance(d, 8)
	g.p("SUBQ $8, CX")
	g.p("JGE  loop")
	g.at("rest")
	g.p("ADDQ $8, CX")
	g.p("JZ   done")
	g.at("last")
	g.oneScale(d)
	g.products(d, "(SI)", "(AX)")
	g.p("VCVTDQ2PS Y8, Y8")
	g.p("VFMADD231PS Y9, Y8, Y0")
	g.advance(d, 1)
	g.p("DECQ CX")
	g.p("JNZ  last")
	g.at("done")
	g.dotGroupsEnd(d)
}

// dotGroups512 takes two groups per vector.
func (g *generator) dotGroups512(d string) {
	g.fn("dot"+d, dotGroupsSig, 0, 44)
	g.dotGroupsStart(d)
	for j := range 8 {
		lo, hi := pair(uint32(2*j)), pair(uint32(2*j+1))
		g.p("VMOVUPS %s, Z%d", g.constant(fmt.Sprint("pair", j), lo, lo, lo, lo, hi, hi, hi, hi), 16+j)
	}
	g.p("SUBQ $16, CX")
	g.p("JL   rest")
	g.at("loop")
	g.scales(d)
	for j := range 8 {
		g.products512(d, addr(2*quantBytes(d)*j, "SI"), addr(64*j, "AX"), true)
		g.p("VPERMPS Z4, Z%d, Z9", 16+j)
		g.p("VFMADD231PS Z9, Z8, Z%d", j&1)
	}
	g.advance(d, 16)
	g.p("SUBQ $16, CX")
	g.p("JGE  loop")
	g.at("rest")
	g.p("ADDQ $16, CX")
	g.p("JZ   done")
	g.p("VXORPS Y11, Y11, Y11")
	g.at("last")
	g.oneScale(d)
	g.products512(d, "(SI)", "(AX)", false)
	g.p("VFMADD231PS Y9, Y8, Y11")
	g.advance(d, 1)
	g.p("DECQ CX")
	g.p("JNZ  last")
	g.p("VADDPS Z11, Z0, Z0")
	g.at("done")
	g.dotGroupsEnd(d)
}

// groupFactor leaves coefficient·scale of the group at scale in register t.
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
func (g *generator) weights(d, base, index string, use func(vector, r int)) {
	w := g.width
	mem := func(o int) string { return fmt.Sprintf("%d(%s)%s", o, base, index) }
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
	g.fn(fmt.Sprintf("axpy%d%s", rows, d), "(y unsafe.Pointer, r *axpyRows, n int)", 0, 24)
	g.load("y+0", "AX", "r+8", "BX", "n+16", "CX")
	scaleRegs := []string{"R10", "R11", "R12", "R13"}
	for i := range rows {
		g.p("MOVQ (axpyRows_row+%d)(BX), %s", 8*i, rowRegs[i])
		g.p("MOVQ (axpyRows_scales+%d)(BX), %s", 8*i, scaleRegs[i])
		g.p("VBROADCASTSS (axpyRows_coef+%d)(BX), v#%d", 4*i, 12+i)
	}
	if d == "Int4M" { // the minima lie equally far behind the scales in all rows
		g.p("MOVQ axpyRows_mins(BX), BX")
		g.p("SUBQ R10, BX")
	}
	if d != "Int8G" {
		g.p("VPBROADCASTQ %s, v#%d", g.constant("nibble", pair(15)), rNibble)
	}
	g.p("XORQ DX, DX")
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
			g.spread(fmt.Sprintf("(%s)(BX*1)", scaleRegs[r]), 8)
			g.p("VFMADD231PS v#%d, v#8, v#9", 12+r)
		}
		g.weights(d, rowRegs[r], "(DX*1)", func(i, t int) {
			g.p("VFMADD231PS v#%d, v#11, v#%d", t, i)
		})
		g.p("ADDQ $2, %s", scaleRegs[r])
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
	g.p("ADDQ $%d, DX", quantBytes(d))
	g.p("SUBQ $32, CX")
	g.p("JNZ  loop")
	g.ret()
}

func (g *generator) widenGroups(d string) {
	w := g.width
	g.fn("widen"+d, "(dst unsafe.Pointer, row groupRow, n int)", 0, 40)
	g.load("dst+0", "AX", "row_quants+8", "SI", "row_scales+16", "DI", "row_mins+24", "R10", "n+32", "CX")
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
	g.weights(d, "SI", "", func(i, t int) {
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
