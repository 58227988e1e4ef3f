package main

import (
	"fmt"
	"slices"
)

var (
	plain  = []string{"F32", "F16", "BF16", "Int8"}
	bytes1 = map[string]int{"F32": 4, "F16": 2, "BF16": 2, "Int8": 1}
)

// widen loads a vector of weights as float32.
func (g *generator) widen(d, mem string, r int) {
	switch d {
	case "F32":
		g.p("VMOVUPS %s, v#%d", mem, r)
	case "F16":
		g.p("VCVTPH2PS %s, v#%d", mem, r)
	case "BF16":
		g.p("VPMOVZXWD %s, v#%d", mem, r)
		g.p("VPSLLD $16, v#%d, v#%d", r, r)
	case "Int8":
		g.p("VPMOVSXBD %s, v#%d", mem, r)
		g.p("VCVTDQ2PS v#%d, v#%d", r, r)
	}
}

func (g *generator) floatKernels() {
	for _, d := range plain {
		g.dot4(d)
		switch {
		case d != "Int8":
			g.axpy(d, 4)
			g.axpy(d, 1)
		case g.width == 8:
			g.axpyPairs()
			g.axpy(d, 1)
		default:
			g.axpyBytes(d)
		}
		if d != "F32" {
			g.widenRow(d)
		}
	}
}

// prefetch prefetches n more bytes of the next rows; DX counts them.
// Rows are short and lie anywhere, so that the hardware alone is always late.
func (g *generator) prefetch(n int, next ...string) {
	for o := 0; o < n; o += 64 {
		for _, row := range next {
			g.p("PREFETCHT0 %d(%s)(DX*1)", o, row)
		}
	}
	g.p("ADDQ $%d, DX", n)
}

// loop runs body over CX columns, a multiple of 32: main at a time, then 32.
func (g *generator) loop(main, rest int, body func(cols int)) {
	if main <= rest {
		g.at("loop")
		body(rest)
		g.p("SUBQ $%d, CX", rest)
		g.p("JNZ loop")
		return
	}
	g.p("SUBQ $%d, CX", main)
	g.p("JL   rest")
	g.at("loop")
	body(main)
	g.p("SUBQ $%d, CX", main)
	g.p("JGE  loop")
	g.at("rest")
	g.p("ADDQ $%d, CX", main)
	g.p("JZ   done")
	g.at("last")
	body(rest)
	g.p("SUBQ $%d, CX", rest)
	g.p("JNZ  last")
	g.at("done")
}

var rowRegs = []string{"SI", "DI", "R8", "R9"}

// axpy: y is read and written once for all rows.
func (g *generator) axpy(d string, rows int) {
	w, size := g.width, bytes1[d]
	g.axpyStart(d, rows)
	n := 32 / w
	g.at("loop")
	for i := range n {
		g.p("VMOVUPS %d(AX), v#%d", 4*w*i, i)
	}
	for r := range rows {
		for i := range n {
			mem := addr(size*w*i, rowRegs[r])
			if d == "F32" {
				g.p("VFMADD231PS %s, v#%d, v#%d", mem, 12+r, i)
				continue
			}
			g.widen(d, mem, 4+i)
			g.p("VFMADD231PS v#%d, v#%d, v#%d", 4+i, 12+r, i)
		}
		g.p("ADDQ $%d, %s", 32*size, rowRegs[r])
	}
	g.axpyNext(d, rows, 32*size)
	for i := range n {
		g.p("VMOVUPS v#%d, %d(AX)", i, 4*w*i)
	}
	g.p("ADDQ $128, AX")
	g.p("SUBQ $32, CX")
	g.p("JNZ  loop")
	g.ret()
}

func (g *generator) axpyStart(d string, rows int) {
	g.fn(fmt.Sprintf("axpy%d%s", rows, d), "(y unsafe.Pointer, r *AxpyRows, n int)", 0)
	g.load("y", "AX", "r", "BX", "n", "CX")
	for i := range rows {
		g.p("MOVQ (AxpyRows_Row+%d)(BX), %s", 8*i, rowRegs[i])
		g.p("VBROADCASTSS (AxpyRows_Coef+%d)(BX), v#%d", 4*i, 12+i)
	}
	switch {
	case rows == 1:
	case slices.Contains(plain, d):
		for i, next := range nextRegs {
			g.p("MOVQ (AxpyRows_Next+%d)(BX), %s", 8*i, next)
		}
		g.p("XORQ DX, DX")
	default:
		g.p("MOVQ AxpyRows_Next(BX), R14")
		g.p("MOVQ AxpyRows_bytes(BX), R15")
		g.p("XORQ DX, DX")
	}
}

// axpyNext prefetches n more bytes: of each stream or, of grouped rows, which are not read as
// streams, of one next row after the other. The hardware follows that better than four short rows.
func (g *generator) axpyNext(d string, rows, n int) {
	if rows == 1 {
		return
	}
	if slices.Contains(plain, d) {
		g.prefetch(n, nextRegs...)
		return
	}
	n *= rows
	for o := 0; o < n; o += 64 {
		g.p("PREFETCHT0 %d(R14)(DX*1)", o)
	}
	g.p("ADDQ $%d, DX", n)
	g.p("CMPQ DX, R15")
	g.p("JLT  same")
	g.p("ADDQ $8, BX")
	g.p("MOVQ AxpyRows_Next(BX), R14")
	g.p("XORQ DX, DX")
	g.at("same")
}

func (g *generator) widenRow(d string) {
	w, size := g.width, bytes1[d]
	g.fn("widen"+d, "(dst, src unsafe.Pointer, n int)", 0)
	g.load("dst", "DI", "src", "SI", "n", "CX")
	g.at("loop")
	for i := range 32 / w {
		g.widen(d, addr(size*w*i, "SI"), i)
		g.p("VMOVUPS v#%d, %d(DI)", i, 4*w*i)
	}
	g.p("ADDQ $128, DI")
	g.p("ADDQ $%d, SI", 32*size)
	g.p("SUBQ $32, CX")
	g.p("JNZ  loop")
	g.ret()
}

const dot4Sig = "(x unsafe.Pointer, r *DotRows, n int)"

var nextRegs = []string{"R10", "R11", "R12", "R13"}

// dot4: two accumulators a row. Four rows are four streams, which it takes a core to read memory as
// fast as it goes. Grouped rows take more work a byte and gain nothing by it.
func (g *generator) dot4(d string) {
	w, size := g.width, bytes1[d]
	g.fn("dot4"+d, dot4Sig, 0)
	g.load("x", "AX", "r", "BX", "n", "CX")
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

// dotRows loads the rows of the DotRows at r and the addresses to prefetch.
func (g *generator) dotRows(r string) {
	for i := range 4 {
		g.p("MOVQ (DotRows_Row+%d)(%s), %s", 8*i, r, rowRegs[i])
		g.p("MOVQ (DotRows_Next+%d)(%s), %s", 8*i, r, nextRegs[i])
	}
}

// sums4 leaves the sums of the floats of registers 0 to 3 in the lowest lane of register 0.
// Registers up to 7 are scratch.
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

// prefetch prefetches n bytes.
func (g *generator) prefetchRange() {
	if g.width != 8 {
		return
	}
	g.fn("prefetch", "(p uintptr, n int)", 0)
	g.load("p", "SI", "n", "CX")
	g.at("loop")
	g.p("PREFETCHT0 (SI)")
	g.p("ADDQ $64, SI")
	g.p("SUBQ $64, CX")
	g.p("JG   loop")
	g.p("RET")
}
