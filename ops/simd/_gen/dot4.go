package main

import "fmt"

const dot4Sig = "(x unsafe.Pointer, r *DotRows, n int)"

var nextRegs = []string{"R10", "R11", "R12", "R13"}

// dot4: two accumulators a row. Four rows are four streams, which it takes a core to read memory as fast as it goes.
// Grouped rows take more work a byte and gain nothing by it.
func (g *generator) dot4(d string) {
	w, size := g.width, bytes1[d]
	g.fn("dot4"+d, dot4Sig, 0, 24)
	g.load("x+0", "AX", "r+8", "BX", "n+16", "CX")
	g.dotRows("BX")
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
					if g.width == 16 {
						g.p("VPDPWSSD Z%d, Z%d, Z%d", rX+i, rW+i, acc)
						continue
					}
					g.p("VPMADDWD Y%d, Y%d, Y%d", rX+i, rW+i, rW+i)
					g.p("VPADDD Y%d, Y%d, Y%d", rW+i, acc, acc)
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
	g.p("VMOVUPS X0, DotRows_Sum(BX)")
	g.ret()
}

// dotRows loads the rows of the dotRows at r and what to ask for.
func (g *generator) dotRows(r string) {
	for i := range 4 {
		g.p("MOVQ (DotRows_Row+%d)(%s), %s", 8*i, r, rowRegs[i])
		g.p("MOVQ (DotRows_Next+%d)(%s), %s", 8*i, r, nextRegs[i])
	}
}

// sums4 leaves the sums of the floats of registers 0 to 3 in the lowest lane of register 0. Registers up to 7 are scratch.
func (g *generator) sums4() {
	if g.width == 16 {
		for r := range 4 {
			g.p("VEXTRACTF64X4 $1, Z%d, Y%d", r, 4+r)
			g.p("VADDPS Y%d, Y%d, Y%d", 4+r, r, r)
		}
	}
	g.p("VHADDPS Y1, Y0, Y0")
	g.p("VHADDPS Y3, Y2, Y2")
	g.p("VHADDPS Y2, Y0, Y0")
	g.p("VEXTRACTF128 $1, Y0, X1")
	g.p("VADDPS X1, X0, X0")
}
