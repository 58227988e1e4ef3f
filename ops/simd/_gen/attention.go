package main

import "fmt"

const (
	rowDotsSig = "(y, x, rows unsafe.Pointer, stride, n, count int)"
	rowSumSig  = "(y, coef, rows unsafe.Pointer, stride, n, count int)"
)

func (g *generator) attention() {
	for _, d := range plain[:2] {
		g.rowDots(d)
		g.rowSum(d)
	}
}

// multiply adds mem times register x to register acc.
func (g *generator) multiply(d, mem string, x, acc, scratch int) {
	if d == "F32" {
		g.p("VFMADD231PS %s, v#%d, v#%d", mem, x, acc)
		return
	}
	g.widen(d, mem, scratch)
	g.p("VFMADD231PS v#%d, v#%d, v#%d", scratch, x, acc)
}

// rowDots: four rows at a time, then two, the last one alone with itself.
func (g *generator) rowDots(d string) {
	w, size := g.width, bytes1[d]
	g.fn("rowDots"+d, rowDotsSig, 0)
	g.load("y", "R8", "x", "R9", "rows", "SI", "stride", "R10", "n", "R11", "count", "R12")

	g.p("SUBQ $4, R12")
	g.p("JL   few")
	g.at("quad")
	g.p("LEAQ (SI)(R10*1), DI")
	g.p("LEAQ (SI)(R10*2), DX")
	g.p("LEAQ (DI)(R10*2), BX")
	g.p("LEAQ (SI)(R10*4), R13")
	g.zero(0, 1, 2, 3, 4, 5, 6, 7)
	g.p("MOVQ R9, AX")
	g.p("MOVQ R11, CX")
	g.at("columns")
	for i := range 32 / w {
		g.p("VMOVUPS %d(AX), v#8", 4*w*i)
		for r, row := range []string{"SI", "DI", "DX", "BX"} {
			g.multiply(d, addr(i*w*size, row), 8, r+4*(i%2), 9+r)
		}
	}
	g.p("ADDQ $128, AX")
	for _, row := range []string{"SI", "DI", "DX", "BX"} {
		g.p("ADDQ $%d, %s", 32*size, row)
	}
	g.p("SUBQ $32, CX")
	g.p("JNZ  columns")
	for r := range 4 {
		g.p("VADDPS v#%d, v#%d, v#%d", 4+r, r, r)
	}
	g.sums4()
	g.p("VADDPS (R8), X0, X0")
	g.p("VMOVUPS X0, (R8)")
	g.p("ADDQ $16, R8")
	g.p("MOVQ R13, SI")
	g.p("SUBQ $4, R12")
	g.p("JGE  quad")
	g.at("few")
	g.p("ADDQ $4, R12")
	g.p("JZ   done")

	g.at("pair")
	g.p("MOVQ SI, DI")
	g.p("CMPQ R12, $1")
	g.p("JE   begin")
	g.p("ADDQ R10, DI")
	g.at("begin")
	g.p("LEAQ (DI)(R10*1), R13")
	g.zero(0, 1, 2, 3)
	g.p("MOVQ R9, AX")
	g.p("MOVQ R11, CX")
	g.at("loop")
	for i := range 32 / w {
		g.p("VMOVUPS %d(AX), v#4", 4*w*i)
		g.multiply(d, addr(i*w*size, "SI"), 4, i%2, 5)
		g.multiply(d, addr(i*w*size, "DI"), 4, 2+i%2, 6)
	}
	g.p("ADDQ $128, AX")
	g.p("ADDQ $%d, SI", 32*size)
	g.p("ADDQ $%d, DI", 32*size)
	g.p("SUBQ $32, CX")
	g.p("JNZ  loop")
	for _, r := range []int{0, 2} {
		g.p("VADDPS v#%d, v#%d, v#%d", r+1, r, r)
		g.sum(r, 4)
	}
	g.p("VADDSS (R8), X0, X0")
	g.p("VMOVSS X0, (R8)")
	g.p("CMPQ R12, $1")
	g.p("JE   done")
	g.p("VADDSS 4(R8), X2, X2")
	g.p("VMOVSS X2, 4(R8)")
	g.p("ADDQ $8, R8")
	g.p("MOVQ R13, SI")
	g.p("SUBQ $2, R12")
	g.p("JNZ  pair")
	g.at("done")
	g.ret()
}

// rowSum: as many columns at a time as fill eight accumulators, which hide the latency of the FMA;
// of fewer columns, several rows fill them.
func (g *generator) rowSum(d string) {
	w, size := g.width, bytes1[d]
	g.fn("rowSum"+d, rowSumSig, 0)
	g.load("y", "AX", "coef", "BX", "rows", "SI", "stride", "R10", "n", "CX", "count", "R12")

	for vectors := 8; vectors*w >= 32; vectors /= 2 {
		rows, cols := 8/vectors, vectors*w
		label := func(s string) string { return fmt.Sprintf("%s%d", s, cols) }
		row := func(r int) {
			g.p("VBROADCASTSS %d(R9), v#8", 4*r)
			for i := range vectors {
				g.multiply(d, addr(i*w*size, "DI"), 8, r*vectors+i, 9+i%4)
			}
			g.p("ADDQ R10, DI")
		}
		g.at(label("columns"))
		g.p("CMPQ CX, $%d", cols)
		g.p("JLT  %s", label("fewer"))
		for i := range vectors {
			g.p("VMOVUPS %d(AX), v#%d", 4*w*i, i)
		}
		for i := vectors; i < 8; i++ {
			g.zero(i)
		}
		g.p("MOVQ SI, DI")
		g.p("MOVQ BX, R9")
		g.p("MOVQ R12, R11")
		if rows > 1 {
			g.p("SUBQ $%d, R11", rows)
			g.p("JL   %s", label("rest"))
			g.at(label("loop"))
			for r := range rows {
				row(r)
			}
			g.p("ADDQ $%d, R9", 4*rows)
			g.p("SUBQ $%d, R11", rows)
			g.p("JGE  %s", label("loop"))
			g.at(label("rest"))
			g.p("ADDQ $%d, R11", rows)
			g.p("JZ   %s", label("done"))
		}
		g.at(label("last"))
		row(0)
		g.p("ADDQ $4, R9")
		g.p("DECQ R11")
		g.p("JNZ  %s", label("last"))
		g.at(label("done"))
		for half := 4; half >= vectors; half /= 2 {
			for i := range half {
				g.p("VADDPS v#%d, v#%d, v#%d", i+half, i, i)
			}
		}
		for i := range vectors {
			g.p("VMOVUPS v#%d, %d(AX)", i, 4*w*i)
		}
		g.p("ADDQ $%d, AX", 4*cols)
		g.p("ADDQ $%d, SI", cols*size)
		g.p("SUBQ $%d, CX", cols)
		g.p("JMP  %s", label("columns"))
		g.at(label("fewer"))
	}
	g.ret()
}
