package main

import (
	"fmt"
	"math"
)

// float is the address of a vector that repeats x.
func (g *generator) float(name string, x float64) string {
	return g.repeated(name, math.Float32bits(float32(x)))
}

// elements runs body for CX floats, a vector at a time; the last vector is
// masked. load and store move floats between memory and a register, keep
// clears what lies beyond the end in a register.
func (g *generator) elements(advance []string, body func(load, store func(base string, r int), keep func(r int))) {
	w := g.width
	bases := func() {
		for _, b := range advance {
			g.p("ADDQ $%d, %s", 4*w, b)
		}
	}
	g.p("SUBQ $%d, CX", w)
	g.p("JL   rest")
	g.at("loop")
	body(
		func(base string, r int) { g.p("VMOVUPS (%s), v#%d", base, r) },
		func(base string, r int) { g.p("VMOVUPS v#%d, (%s)", r, base) },
		func(int) {})
	bases()
	g.p("SUBQ $%d, CX", w)
	g.p("JGE  loop")
	g.at("rest")
	g.p("ADDQ $%d, CX", w)
	g.p("JZ   done")
	if w == 16 {
		g.p("MOVL $1, DX")
		g.p("SHLL CX, DX")
		g.p("DECL DX")
		g.p("KMOVW DX, K1")
		body(
			func(base string, r int) { g.p("VMOVUPS.Z (%s), K1, Z%d", base, r) },
			func(base string, r int) { g.p("VMOVUPS Z%d, K1, (%s)", r, base) },
			func(r int) { g.p("VMOVAPS.Z Z%d, K1, Z%d", r, r) })
	} else {
		all := uint64(math.MaxUint64)
		window := g.constant("window", all, all, all, all, 0, 0, 0, 0)
		g.p("LEAQ %s, DX", window)
		g.p("NEGQ CX")
		g.p("VMOVDQU 32(DX)(CX*4), Y15")
		body(
			func(base string, r int) { g.p("VMASKMOVPS (%s), Y15, Y%d", base, r) },
			func(base string, r int) { g.p("VMASKMOVPS Y%d, Y15, (%s)", r, base) },
			func(r int) { g.p("VANDPS Y15, Y%d, Y%d", r, r) })
	}
	g.at("done")
}

// exp leaves e^x in register x; a and b are scratch, registers 12 and 13 hold
// the bounds that expBounds loads. e^x is 2^n·p(r), n = x·log2 e rounded and p
// the minimax polynomial of Cephes' expf on |r| ≤ ln2/2; it is 0 below −88 and
// infinite above 88.4. NaN stays NaN: MAXPS and MINPS return their second
// operand then.
func (g *generator) exp(x, a, b int) {
	g.p("VMAXPS v#%d, v#12, v#%d", x, x)
	g.p("VMINPS v#%d, v#13, v#%d", x, x)
	g.p("VMULPS %s, v#%d, v#%d", g.float("log2e", math.Log2E), x, a)
	if g.width == 16 {
		g.p("VRNDSCALEPS $8, Z%d, Z%d", a, a)
	} else {
		g.p("VROUNDPS $8, Y%d, Y%d", a, a)
	}
	g.p("VFNMADD231PS %s, v#%d, v#%d", g.float("ln2hi", 0.693359375), a, x)
	g.p("VFNMADD231PS %s, v#%d, v#%d", g.float("ln2lo", -2.12194440e-4), a, x)
	g.p("VMOVUPS %s, v#%d", g.float("exp7", 1.9875691500e-4), b)
	for i, c := range []float64{1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1, 1, 1} {
		g.p("VFMADD213PS %s, v#%d, v#%d", g.float(fmt.Sprint("exp", 6-i), c), x, b)
	}
	words := make([]uint64, g.width/2)
	for i := range words {
		words[i] = pair(127)
	}
	g.p("VCVTPS2DQ v#%d, v#%d", a, a)
	g.p("VPADDD %s, v#%d, v#%d", g.constant("bias", words...), a, a)
	g.p("VPSLLD $23, v#%d, v#%d", a, a)
	g.p("VMULPS v#%d, v#%d, v#%d", a, b, x)
}

func (g *generator) expBounds() {
	g.p("VMOVUPS %s, v#12", g.float("lowest", -88))
	g.p("VMOVUPS %s, v#13", g.float("highest", 88.8))
}

func (g *generator) elementwise() {
	const sig = "(y, x unsafe.Pointer, n int)"
	start := func() { g.load("y", "DI", "x", "SI", "n", "CX") }
	both := []string{"DI", "SI"}

	// x/(1+e^−x); below −88 the limit, within 1e-36
	g.fn("silu", sig, 0)
	start()
	g.expBounds()
	g.elements(both, func(load, store func(string, int), _ func(int)) {
		load("SI", 0)
		g.p("VMAXPS v#0, v#12, v#0")
		g.zero(1)
		g.p("VSUBPS v#0, v#1, v#1")
		g.exp(1, 2, 3)
		g.p("VADDPS %s, v#1, v#1", g.float("one", 1))
		g.p("VDIVPS v#1, v#0, v#0")
		store("DI", 0)
	})
	g.ret()

	// x/(1+e^−2u), u = √(2/π)·(x + 0.044715·x³), is 0.5·x·(1+tanh u)
	g.fn("geluTanh", sig, 0)
	start()
	g.expBounds()
	g.p("VMOVUPS %s, v#11", g.float("geluLowest", -14))
	c := -2 * math.Sqrt(2/math.Pi)
	g.elements(both, func(load, store func(string, int), _ func(int)) {
		load("SI", 0)
		g.p("VMAXPS v#0, v#11, v#0")
		g.p("VMULPS v#0, v#0, v#1")
		g.p("VMOVUPS %s, v#2", g.float("gelu3", c*0.044715))
		g.p("VFMADD213PS %s, v#2, v#1", g.float("gelu1", c))
		g.p("VMULPS v#0, v#1, v#1")
		g.exp(1, 2, 3)
		g.p("VADDPS %s, v#1, v#1", g.float("one", 1))
		g.p("VDIVPS v#1, v#0, v#0")
		store("DI", 0)
	})
	g.ret()

	g.fn("relu", sig, 0)
	start()
	g.zero(1)
	g.elements(both, func(load, store func(string, int), _ func(int)) {
		load("SI", 0)
		g.p("VMAXPS v#0, v#1, v#0")
		store("DI", 0)
	})
	g.ret()

	for _, op := range []string{"mul", "add"} {
		g.fn(op, "(y, a, b unsafe.Pointer, n int)", 0)
		g.load("y", "DI", "a", "SI", "b", "BX", "n", "CX")
		g.elements([]string{"DI", "SI", "BX"}, func(load, store func(string, int), _ func(int)) {
			load("SI", 0)
			load("BX", 1)
			g.p("V%sPS v#1, v#0, v#0", map[string]string{"mul": "MUL", "add": "ADD"}[op])
			store("DI", 0)
		})
		g.ret()
	}

	g.fn("expSum", "(y, x unsafe.Pointer, shift float32, n int) float32", 0)
	g.load("y", "DI", "x", "SI", "n", "CX")
	g.p("VBROADCASTSS %s, v#11", g.arg("shift"))
	g.expBounds()
	g.zero(0)
	g.elements(both, func(load, store func(string, int), keep func(int)) {
		load("SI", 1)
		g.p("VSUBPS v#11, v#1, v#1")
		g.exp(1, 2, 3)
		store("DI", 1)
		keep(1)
		g.p("VADDPS v#1, v#0, v#0")
	})
	g.sum(0, 1)
	g.p("VMOVSS X0, %s", g.arg("ret"))
	g.ret()

	g.fn("norm", "(y, x, w unsafe.Pointer, scale float32, n int)", 0)
	g.load("y", "DI", "x", "SI", "w", "BX", "n", "CX")
	g.p("VBROADCASTSS %s, v#2", g.arg("scale"))
	g.elements([]string{"DI", "SI", "BX"}, func(load, store func(string, int), _ func(int)) {
		load("SI", 0)
		load("BX", 1)
		g.p("VMULPS v#2, v#0, v#0")
		g.p("VMULPS v#1, v#0, v#0")
		store("DI", 0)
	})
	g.ret()

	// Columns of two vectors.
	g.fn("maxColumns", "(largest, x unsafe.Pointer, rows int)", 0)
	g.load("largest", "DI", "x", "SI", "rows", "CX")
	two := func(base string, use func(i int, mem string)) {
		for i := range 2 {
			use(i, addr(4*g.width*i, base))
		}
	}
	two("DI", func(i int, mem string) { g.p("VMOVUPS %s, v#%d", mem, i) })
	g.at("loop")
	two("SI", func(i int, mem string) { g.p("VMAXPS %s, v#%d, v#%d", mem, i, i) })
	g.p("ADDQ $%d, SI", 8*g.width)
	g.p("DECQ CX")
	g.p("JNZ  loop")
	two("DI", func(i int, mem string) { g.p("VMOVUPS v#%d, %s", i, mem) })
	g.ret()

	g.fn("expColumns", "(x, shifts, sums unsafe.Pointer, rows int)", 0)
	g.load("x", "SI", "shifts", "DX", "sums", "DI", "rows", "CX")
	g.expBounds()
	two("DX", func(i int, mem string) { g.p("VMOVUPS %s, v#%d", mem, 8+i) })
	two("DI", func(i int, mem string) { g.p("VMOVUPS %s, v#%d", mem, 10+i) })
	g.at("loop")
	two("SI", func(i int, mem string) {
		g.p("VMOVUPS %s, v#%d", mem, i)
		g.p("VSUBPS v#%d, v#%d, v#%d", 8+i, i, i)
		g.exp(i, 2+2*i, 3+2*i)
		g.p("VMOVUPS v#%d, %s", i, mem)
		g.p("VADDPS v#%d, v#%d, v#%d", i, 10+i, 10+i)
	})
	g.p("ADDQ $%d, SI", 8*g.width)
	g.p("DECQ CX")
	g.p("JNZ  loop")
	two("DI", func(i int, mem string) { g.p("VMOVUPS v#%d, %s", 10+i, mem) })
	g.ret()

	g.fn("scale", "(y unsafe.Pointer, factor float32, n int)", 0)
	g.load("y", "DI", "n", "CX")
	g.p("VBROADCASTSS %s, v#1", g.arg("factor"))
	g.elements([]string{"DI"}, func(load, store func(string, int), _ func(int)) {
		load("DI", 0)
		g.p("VMULPS v#1, v#0, v#0")
		store("DI", 0)
	})
	g.ret()

	g.fn("sumSquares", "(x unsafe.Pointer, n int) float64", 0)
	g.load("x", "SI", "n", "CX")
	g.zero(0, 1)
	g.elements([]string{"SI"}, func(load, _ func(string, int), _ func(int)) {
		load("SI", 2)
		if g.width == 16 {
			g.p("VEXTRACTF64X4 $1, Z2, Y3")
			g.p("VCVTPS2PD Y2, Z2")
			g.p("VCVTPS2PD Y3, Z3")
		} else {
			g.p("VEXTRACTF128 $1, Y2, X3")
			g.p("VCVTPS2PD X2, Y2")
			g.p("VCVTPS2PD X3, Y3")
		}
		g.p("VFMADD231PD v#2, v#2, v#0")
		g.p("VFMADD231PD v#3, v#3, v#1")
	})
	g.p("VADDPD v#1, v#0, v#0")
	if g.width == 16 {
		g.p("VEXTRACTF64X4 $1, Z0, Y1")
		g.p("VADDPD Y1, Y0, Y0")
	}
	g.p("VEXTRACTF128 $1, Y0, X1")
	g.p("VADDPD X1, X0, X0")
	g.p("VUNPCKHPD X0, X0, X1")
	g.p("VADDSD X1, X0, X0")
	g.p("VMOVSD X0, %s", g.arg("ret"))
	g.ret()
}

// quantizers are written once: they are a small part of any product.
func (g *generator) quantizers() {
	if g.width != 8 {
		return
	}
	words := func(bits uint32) []uint64 { return []uint64{pair(bits), pair(bits), pair(bits), pair(bits)} }

	// The largest magnitude, as the bits of a float32, whose order is that of integers.
	g.fn("absMax", "(x unsafe.Pointer, n int) uint32", 0)
	g.load("x", "SI", "n", "CX")
	g.zero(0)
	g.p("VMOVUPS %s, Y14", g.constant("magnitude", words(0x7fffffff)...))
	g.elements([]string{"SI"}, func(load, _ func(string, int), _ func(int)) {
		load("SI", 1)
		g.p("VPAND Y14, Y1, Y1")
		g.p("VPMAXUD Y1, Y0, Y0")
	})
	g.maxLanes(0, 1)
	g.p("VMOVD X0, AX")
	g.p("MOVL AX, %s", g.arg("ret"))
	g.ret()

	// n is a multiple of 16
	g.fn("quantize16", "(q, x unsafe.Pointer, scale float32, n int)", 0)
	g.load("q", "DI", "x", "SI", "n", "CX")
	g.p("VBROADCASTSS %s, Y2", g.arg("scale"))
	g.at("loop")
	for i := range 2 {
		g.p("VMOVUPS %d(SI), Y%d", 32*i, i)
		g.p("VDIVPS Y2, Y%d, Y%d", i, i)
		g.p("VCVTPS2DQ Y%d, Y%d", i, i)
	}
	g.p("VPACKSSDW Y1, Y0, Y0")
	g.p("VPERMQ $0xd8, Y0, Y0")
	g.p("VMOVDQU Y0, (DI)")
	g.p("ADDQ $64, SI")
	g.p("ADDQ $32, DI")
	g.p("SUBQ $16, CX")
	g.p("JNZ  loop")
	g.ret()

	// n whole groups
	g.fn("quantizeGroups", "(q, d, s, x unsafe.Pointer, n int)", 0)
	g.load("q", "DI", "d", "R8", "s", "R9", "x", "SI", "n", "CX")
	g.p("VMOVUPS %s, Y14", g.constant("magnitude", words(0x7fffffff)...))
	g.p("VMOVUPS %s, Y13", g.constant("order", 4<<32, 5<<32|1, 6<<32|2, 7<<32|3))
	g.p("VPBROADCASTQ %s, Y12", g.constant("bytes", 0x0101010101010101))
	g.p("VPBROADCASTQ %s, Y11", g.constant("ones", 0x0001000100010001))
	g.at("loop")
	for i := range 4 {
		g.p("VMOVUPS %d(SI), Y%d", 32*i, i)
	}
	g.p("VPAND Y14, Y0, Y4")
	for i := 1; i < 4; i++ {
		g.p("VPAND Y14, Y%d, Y5", i)
		g.p("VPMAXUD Y5, Y4, Y4")
	}
	g.maxLanes(4, 5)
	g.p("VPCMPGTD %s, X4, X5", g.constant("largest", words(0x7f7fffff)...)) // not finite: all ones, a NaN
	g.p("VDIVSS %s, X4, X4", g.constant("limit", pair(math.Float32bits(127))))
	g.p("VPOR X5, X4, X4")
	g.p("VMOVSS X4, (R8)")
	g.p("VBROADCASTSS X4, Y5")
	for i := range 4 {
		g.p("VDIVPS Y5, Y%d, Y%d", i, i)
		g.p("VCVTPS2DQ Y%d, Y%d", i, i)
	}
	g.p("VPACKSSDW Y1, Y0, Y0")
	g.p("VPACKSSDW Y3, Y2, Y2")
	g.p("VPACKSSWB Y2, Y0, Y0")
	g.p("VPERMD Y0, Y13, Y0")
	g.p("VMOVDQU Y0, (DI)")
	g.p("VPMADDUBSW Y0, Y12, Y0")
	g.p("VPMADDWD Y11, Y0, Y0")
	g.p("VEXTRACTI128 $1, Y0, X1")
	g.p("VPADDD X1, X0, X0")
	g.p("VPSHUFD $0x4e, X0, X1")
	g.p("VPADDD X1, X0, X0")
	g.p("VPSHUFD $0xb1, X0, X1")
	g.p("VPADDD X1, X0, X0")
	g.p("VCVTDQ2PS X0, X0")
	g.p("VMULSS X4, X0, X0")
	g.p("VMOVSS X0, (R9)")
	g.p("ADDQ $128, SI")
	g.p("ADDQ $32, DI")
	g.p("ADDQ $4, R8")
	g.p("ADDQ $4, R9")
	g.p("DECQ CX")
	g.p("JNZ  loop")
	g.ret()
}

func (g *generator) maxLanes(r, t int) {
	g.p("VEXTRACTI128 $1, Y%d, X%d", r, t)
	g.p("VPMAXUD X%d, X%d, X%d", t, r, r)
	g.p("VPSHUFD $0x4e, X%d, X%d", r, t)
	g.p("VPMAXUD X%d, X%d, X%d", t, r, r)
	g.p("VPSHUFD $0xb1, X%d, X%d", r, t)
	g.p("VPMAXUD X%d, X%d, X%d", t, r, r)
}

// read sums what it reads, so that the loads cannot be left out: the bytes of
// 1, 2 or 4 streams, n each and a multiple of 256, step apart.
func (g *generator) read() {
	bases := []string{"SI", "DI", "R8", "R9"}
	for _, streams := range []int{1, 2, 4} {
		g.fn(fmt.Sprint("read", streams), "(p unsafe.Pointer, step, n int) float32", 0)
		g.load("p", "SI", "step", "BX", "n", "CX")
		for i := 1; i < streams; i++ {
			g.p("LEAQ (%s)(BX*1), %s", bases[i-1], bases[i])
		}
		g.zero(0, 1, 2, 3)
		g.at("loop")
		for i := range 64 / g.width {
			for _, b := range bases[:streams] {
				g.p("VADDPS %d(%s), v#%d, v#%d", 4*g.width*i, b, i%4, i%4)
			}
		}
		for _, b := range bases[:streams] {
			g.p("ADDQ $256, %s", b)
		}
		g.p("SUBQ $256, CX")
		g.p("JNZ  loop")
		for i := 1; i < 4; i++ {
			g.p("VADDPS v#%d, v#0, v#0", i)
		}
		g.sum(0, 1)
		g.p("VMOVSS X0, %s", g.arg("ret"))
		g.ret()
	}
}
