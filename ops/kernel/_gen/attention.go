package main

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

// rowDots: two rows at a time, the last one alone with itself.
func (g *generator) rowDots(d string) {
	w, size := g.width, bytes1[d]
	g.fn("rowDots"+d, rowDotsSig, 0, 48)
	g.load("y+0", "R8", "x+8", "R9", "rows+16", "SI", "stride+24", "R10", "n+32", "R11", "count+40", "R12")

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

// rowSum: 32 columns at a time stay in registers, in as many accumulators as hide the latency of the FMA.
func (g *generator) rowSum(d string) {
	w, size := g.width, bytes1[d]
	vectors := 32 / w
	rows := 8 / vectors
	g.fn("rowSum"+d, rowSumSig, 0, 48)
	g.load("y+0", "AX", "coef+8", "BX", "rows+16", "SI", "stride+24", "R10", "n+32", "CX", "count+40", "R12")

	g.at("columns")
	for i := range vectors {
		g.p("VMOVUPS %d(AX), v#%d", 4*w*i, i)
	}
	for i := vectors; i < 8; i++ {
		g.zero(i)
	}
	g.p("MOVQ SI, DI")
	g.p("MOVQ BX, R9")
	g.p("MOVQ R12, R11")
	g.p("SUBQ $%d, R11", rows)
	g.p("JL   rest")
	row := func(r int) {
		g.p("VBROADCASTSS %d(R9), v#8", 4*r)
		for i := range vectors {
			g.multiply(d, addr(i*w*size, "DI"), 8, r*vectors+i, 9)
		}
		g.p("ADDQ R10, DI")
	}
	g.at("loop")
	for r := range rows {
		row(r)
	}
	g.p("ADDQ $%d, R9", 4*rows)
	g.p("SUBQ $%d, R11", rows)
	g.p("JGE  loop")
	g.at("rest")
	g.p("ADDQ $%d, R11", rows)
	g.p("JZ   done")
	g.at("last")
	row(0)
	g.p("ADDQ $4, R9")
	g.p("DECQ R11")
	g.p("JNZ  last")
	g.at("done")
	for half := 4; half >= vectors; half /= 2 {
		for i := range half {
			g.p("VADDPS v#%d, v#%d, v#%d", i+half, i, i)
		}
	}
	for i := range vectors {
		g.p("VMOVUPS v#%d, %d(AX)", i, 4*w*i)
	}
	g.p("ADDQ $128, AX")
	g.p("ADDQ $%d, SI", 32*size)
	g.p("SUBQ $32, CX")
	g.p("JNZ  columns")
	g.ret()
}
