package main

import "fmt"

// turn transposes a square of as many rows and columns as a vector has: rows are interleaved by numbers, pairs of numbers
// and, what is left, the 128-bit lanes.
func (g *generator) turn() {
	w := g.width
	g.fn("turn", "(dst, src unsafe.Pointer, dstStep, srcStep int)", 0, 32)
	g.load("dst+0", "DI", "src+8", "SI", "dstStep+16", "R8", "srcStep+24", "R9")
	rows := func(base, step string, use func(i int, mem string)) {
		g.p("LEAQ (%s)(%s*2), R10", step, step)
		for i := range w {
			use(i, fmt.Sprintf("(%s)%s", base, []string{"", "(" + step + "*1)", "(" + step + "*2)", "(R10*1)"}[i%4]))
			if i%4 == 3 && i+1 < w {
				g.p("LEAQ (%s)(%s*4), %s", base, step, base)
			}
		}
	}
	rows("SI", "R9", func(i int, mem string) { g.p("VMOVUPS %s, v#%d", mem, i) })
	for i := 0; i < w; i += 2 {
		g.p("VUNPCKLPS v#%d, v#%d, v#%d", i+1, i, w+i)
		g.p("VUNPCKHPS v#%d, v#%d, v#%d", i+1, i, w+i+1)
	}
	for i := 0; i < w; i += 4 { // register i+c gets column c, c+4, … of rows i to i+3
		for c := range 4 {
			t := w + i + c/2
			g.p("VUNPCK%sPD v#%d, v#%d, v#%d", []string{"L", "H"}[c%2], t+2, t, i+c)
		}
	}
	out := make([]int, w) // register of each column
	for c := range 4 {
		if w == 8 {
			g.p("VPERM2F128 $0x20, Y%d, Y%d, Y%d", c+4, c, 8+c)
			g.p("VPERM2F128 $0x31, Y%d, Y%d, Y%d", c+4, c, 12+c)
			out[c], out[c+4] = 8+c, 12+c
			continue
		}
		t := w + 4*c
		g.lanes([4]int{c, c + 4, c + 8, c + 12}, [4]int{t, t + 1, t + 2, t + 3})
		for i := range 4 {
			out[c+4*i] = c + 4*i
		}
	}
	rows("DI", "R8", func(i int, mem string) { g.p("VMOVUPS v#%d, %s", out[i], mem) })
	g.ret()
}

// lanes gives lane i of register r[k] to lane k of register r[i]; t are scratch.
func (g *generator) lanes(r, t [4]int) {
	for i, order := range []int{0x88, 0xdd} { // the even lanes, the odd ones
		g.p("VSHUFF32X4 $%#x, Z%d, Z%d, Z%d", order, r[1], r[0], t[2*i])
		g.p("VSHUFF32X4 $%#x, Z%d, Z%d, Z%d", order, r[3], r[2], t[2*i+1])
	}
	for i, from := range []int{0, 2, 0, 2} {
		g.p("VSHUFF32X4 $%#x, Z%d, Z%d, Z%d", []int{0x88, 0xdd}[i/2], t[from+1], t[from], r[i])
	}
}
