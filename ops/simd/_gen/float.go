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

// prefetch asks for n more bytes of the rows that come next; DX counts them.
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
	g.fn(fmt.Sprintf("axpy%d%s", rows, d), "(y unsafe.Pointer, r *AxpyRows, n int)", 0, 24)
	g.load("y+0", "AX", "r+8", "BX", "n+16", "CX")
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

// axpyNext asks for n more bytes of what comes next: of each stream or, of grouped rows, which are not read as streams, of
// one next row after the other, which the hardware follows better than four short ones.
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
	g.fn("widen"+d, "(dst, src unsafe.Pointer, n int)", 0, 24)
	g.load("dst+0", "DI", "src+8", "SI", "n+16", "CX")
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
