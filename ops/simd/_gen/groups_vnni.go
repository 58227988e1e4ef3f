package main

import "fmt"

// dot4Groups is dot4 of a grouped dtype for AVX-512: x is an operand, n the groups of a row, whose scales follow its
// quants. A turn takes 64 bytes of quants of each row, which are four groups of nibbles or two of bytes; their scales are
// made for 16 groups at a time. The last groups, fewer than 16, are read under a mask.
func (g *generator) dot4Groups(d string) {
	const (
		sums, offsets, factors, places = 0, 4, 8, 12 // a register a row; where the factors of a turn stand
		mask, x, xLow, xHigh           = 20, 21, 23, 24
		w, low, acc, factor            = 25, 26, 27, 28
		step                           = 16
	)
	nibbles := d != "Int8G"
	perTurn := 64 / quantBytes(d) // groups
	turns := step / perTurn

	g.fn("dot4"+d, dot4Sig, 8, 24)
	g.load("x+0", "BX", "r+8", "DX", "n+16", "R15")
	g.dotRows("DX")
	g.p("MOVQ Operand_Q(BX), AX")
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
	for j := range turns {
		words := make([]uint64, 8)
		for i := range words {
			words[i] = pair(uint32(perTurn*j + i*perTurn/8))
		}
		g.p("VMOVDQU32 %s, Z%d", g.constant(fmt.Sprintf("turn%dof%d", j, turns), words...), places+j)
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
			halves := func(at string, to int) {
				mem := fmt.Sprintf("(%s)(%s*1)", row, at)
				if masked {
					g.p("VMOVDQU16.Z %s, K1, Y%d", mem, to)
					mem = fmt.Sprintf("Y%d", to)
				}
				g.p("VCVTPH2PS %s, Z%d", mem, to)
			}
			halves("R14", factors+r)
			if d == "Int4M" {
				halves("R15", w)
				g.p("VFMADD231PS Z%d, Z%d, Z%d", x, w, offsets+r)
			} else {
				g.p("VFMADD231PS Z%d, Z%d, Z%d", x, factors+r, offsets+r)
			}
			g.p("VMULPS Z%d, Z%d, Z%d", x+1, factors+r, factors+r)
		}
	}
	turn := func(j int, masked bool) {
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
	ask := func(from, to int) {
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
	ask(0, bytes)
	for j := range turns {
		turn(j, false)
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
	ask(0, 64)
	g.p("CMPQ left-8(SP), $4")
	g.p("JLT  few")
	ask(64, bytes)
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
	for j := range turns {
		g.p("KMOVW R10, K2")
		if nibbles {
			g.p("SHRQ $8, R10")
			g.p("KMOVW R10, K3")
		}
		turn(j, true)
		if j+1 < turns {
			g.p("SHRQ $8, R10")
			g.p("JZ   done")
		}
	}
	g.at("done")
	for r := range 4 {
		g.p("VFMADD231PS %s, Z%d, Z%d", g.float("dotOffset"+d, g.offsetOf(d)), offsets+r, sums+r)
	}
	g.load("r+8", "BX")
	g.sums4()
	g.p("VMOVUPS X0, DotRows_Sum(BX)")
	g.ret()
}
