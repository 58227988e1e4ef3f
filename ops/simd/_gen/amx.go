package main

import "fmt"

// Go's assembler knows neither AMX nor AVX512_BF16: their instructions are written as bytes.
// Encodings are those of the Intel 64 and IA-32 Architectures Software Developer's Manual, volume
// 2.

var registers = map[string]int{
	"AX": 0, "CX": 1, "DX": 2, "BX": 3, "SI": 6, "DI": 7,
	"R8": 8, "R9": 9, "R10": 10, "R11": 11, "R12": 12, "R13": 13, "R14": 14, "R15": 15,
}

func (g *generator) bytes(instruction string, bytes ...int) {
	s := ""
	for _, b := range bytes {
		s += fmt.Sprintf("BYTE $0x%02x; ", b)
	}
	g.p("%s// %s", s, instruction)
}

// tileMove loads or stores a tile, whose rows of 64 bytes are step apart.
func (g *generator) tileMove(name string, prefix, tile, offset int, base, step string) {
	b, s := registers[base], registers[step]
	low := func(r int) int { return 1 - r>>3 }
	g.bytes(fmt.Sprintf("%s %d(%s)(%s*1), tmm%d", name, offset, base, step, tile),
		0xc4, 0x82|low(s)<<6|low(b)<<5, 0x78|prefix, 0x4b, 0x44|tile<<3, s&7<<3|b&7, offset)
}

func (g *generator) tileLoad(tile, offset int, base, step string) {
	g.tileMove("TILELOADD", 3, tile, offset, base, step)
}

func (g *generator) tileStore(tile, offset int, base, step string) {
	g.tileMove("TILESTORED", 2, tile, offset, base, step)
}

// dotProduct adds to each number of a tile the products of four bytes: pairs of bfloat16 or quads
// of int8.
type dotProduct struct {
	name           string
	prefix, opcode int
}

var (
	dotBF16 = dotProduct{"TDPBF16PS", 2, 0x5c}
	dotInt8 = dotProduct{"TDPBSSD", 3, 0x5e}
)

// tileProduct adds to tile c the product of tiles a and b.
func (g *generator) tileProduct(d dotProduct, c, a, b int) {
	g.bytes(fmt.Sprintf("%s tmm%d, tmm%d, tmm%d", d.name, b, a, c), 0xc4, 0xe2, (^b&15)<<3|d.prefix, d.opcode, 0xc0|c<<3|a)
}

// toBF16 rounds a wide register of float32, one of the first eight, to bfloat16 in half of another.
func (g *generator) toBF16(src, dst int) {
	g.bytes(fmt.Sprintf("VCVTNEPS2BF16 Z%d, Y%d", src, dst), 0x62, 0xf2, 0x7e, 0x48, 0x72, 0xc0|dst<<3|src)
}

// amxKernels are the kernels of products on bfloat16, for which a float32 is split into a high and
// a low one, and on int8, for which an int16 is.
func (g *generator) amxKernels() {
	if g.width == 8 {
		return
	}
	g.name = "AMX"
	g.tileSplit("tileSplit", dotBF16)
	g.splitRow()
	g.splitPairs()
	g.splitColumns()
	g.tileSplit("tileBytes", dotInt8)
	g.bytesOfRow()
	g.bytesOfPairs()
	g.bytesOfColumns()
	g.quads()
	g.joinBytes()
	g.name = avx512.name
}

// tileSplit adds to c, 32 × 32, a·b + aLow·b + a·bLow: two by two tiles. For every 64 bytes of the
// rows of a and 16 rows of b, two tiles of each are loaded for four products.
func (g *generator) tileSplit(name string, d dotProduct) {
	g.fn(name, "(c unsafe.Pointer, cStep int, a, aLow unsafe.Pointer, aStep int, b, bLow unsafe.Pointer, bStep, bytes int)", 0)
	g.load("c", "AX", "cStep", "R10", "a", "SI", "aLow", "R14", "aStep", "R8", "b", "DI", "bLow", "DX",
		"bStep", "R9", "bytes", "CX")
	const rows = 0x0040004000400040 // of 64 bytes
	g.p("LEAQ %s, BX", g.constant("tiles", 1, 0, rows, rows, 0, 0, 0x1010101010101010, 0))
	g.bytes("LDTILECFG (BX)", 0xc4, 0xe2, 0x78, 0x49, 0x03)
	below := func(base, step, to string) { // the second tile of rows
		g.p("MOVQ %s, %s", step, to)
		g.p("SHLQ $4, %s", to)
		g.p("ADDQ %s, %s", base, to)
	}
	below("AX", "R10", "R11")
	below("SI", "R8", "R12")
	below("R14", "R8", "R15")
	g.p("MOVQ R14, BX")
	g.p("MOVQ R9, R13")
	g.p("SHLQ $4, R13")
	for i, base := range []string{"AX", "AX", "R11", "R11"} {
		g.tileLoad(i, i%2*64, base, "R10")
	}
	g.p("MOVQ DX, AX")
	left := func(a, below string) {
		g.tileLoad(4, 0, a, "R8")
		g.tileLoad(5, 0, below, "R8")
	}
	right := func(b string) {
		g.tileLoad(6, 0, b, "R9")
		g.tileLoad(7, 64, b, "R9")
	}
	products := func() {
		for i := range 4 {
			g.tileProduct(d, i, 4+i/2, 6+i%2)
		}
	}
	g.at("loop")
	right("DI")
	g.p("TESTQ BX, BX")
	g.p("JZ   high")
	left("R14", "R15")
	products()
	g.at("high")
	left("SI", "R12")
	products()
	g.p("TESTQ AX, AX")
	g.p("JZ   next")
	right("DX")
	products()
	g.at("next")
	for _, a := range []string{"SI", "R12", "R14", "R15"} {
		g.p("ADDQ $64, %s", a)
	}
	g.p("ADDQ R13, DI")
	g.p("ADDQ R13, DX")
	g.p("SUBQ $64, CX")
	g.p("JNZ  loop")
	g.load("c", "AX")
	for i, base := range []string{"AX", "AX", "R11", "R11"} {
		g.tileStore(i, i%2*64, base, "R10")
	}
	g.bytes("TILERELEASE", 0xc4, 0xe2, 0x78, 0x49, 0xc0)
	g.p("RET")
}

// split sets register high to the bfloat16 of the float32 in register 0 and, if both, low to that
// of the rest. Register 1 is scratch.
func (g *generator) split(high, low int, both bool) {
	g.toBF16(0, high)
	if !both {
		return
	}
	g.p("VPMOVZXWD Y%d, Z1", high)
	g.p("VPSLLD $16, Z1, Z1")
	g.p("VSUBPS Z1, Z0, Z0")
	g.toBF16(0, low)
}

// onceOrTwice writes the loop body for both parts and, where the pointer DX to the low ones is nil,
// for the high ones alone.
func (g *generator) onceOrTwice(body func(both bool, loop string)) {
	g.p("TESTQ DX, DX")
	g.p("JZ   high")
	body(true, "both")
	g.ret()
	body(false, "high")
	g.ret()
}

func (g *generator) splitRow() {
	g.fn("splitRow", "(high, low, src unsafe.Pointer, n int)", 0)
	g.load("high", "DI", "low", "DX", "src", "SI", "n", "CX")
	g.onceOrTwice(func(both bool, loop string) {
		g.at(loop)
		g.p("VMOVUPS (SI), Z0")
		g.split(2, 3, both)
		g.p("VMOVDQU Y2, (DI)")
		if both {
			g.p("VMOVDQU Y3, (DX)")
			g.p("ADDQ $32, DX")
		}
		g.p("ADDQ $64, SI")
		g.p("ADDQ $32, DI")
		g.p("SUBQ $16, CX")
		g.p("JNZ  %s", loop)
	})
}

// splitPairs makes pairs of the numbers of rows a and b.
func (g *generator) splitPairs() {
	g.fn("splitPairs", "(high, low, a, b unsafe.Pointer, n int)", 0)
	g.load("high", "DI", "low", "DX", "a", "SI", "b", "R8", "n", "CX")
	pair := func(a, b int, dst string) {
		g.p("VPMOVZXWD Y%d, Z%d", a, a)
		g.p("VPMOVZXWD Y%d, Z%d", b, b)
		g.p("VPSLLD $16, Z%d, Z%d", b, b)
		g.p("VPORD Z%d, Z%d, Z%d", a, b, b)
		g.p("VMOVDQU32 Z%d, (%s)", b, dst)
		g.p("ADDQ $64, %s", dst)
	}
	g.onceOrTwice(func(both bool, loop string) {
		g.at(loop)
		g.p("VMOVUPS (SI), Z0")
		g.split(2, 3, both)
		g.p("VMOVUPS (R8), Z0")
		g.split(4, 5, both)
		pair(2, 4, "DI")
		if both {
			pair(3, 5, "DX")
		}
		g.p("ADDQ $64, SI")
		g.p("ADDQ $64, R8")
		g.p("SUBQ $16, CX")
		g.p("JNZ  %s", loop)
	})
}

// places sets register 6 to the offsets of the numbers of a column of a panel.
func (g *generator) places() {
	places := make([]uint64, 8)
	for i := range places {
		places[i] = uint64(2*i*128) | uint64((2*i+1)*128)<<32
	}
	g.p("VMOVDQU32 %s, Z6", g.constant("places", places...))
}

// splitColumns splits 32 columns of 16 float32, which are rows of the panel at src, into rows of
// bfloat16, step bytes apart.
func (g *generator) splitColumns() {
	g.fn("splitColumns", "(high, low, src unsafe.Pointer, step int)", 0)
	g.columns()
	g.onceOrTwice(func(both bool, loop string) { g.column(loop, both, func() { g.split(2, 3, both) }) })
}

// columns begins a function that makes rows of the columns of a panel.
func (g *generator) columns() {
	g.load("high", "DI", "low", "DX", "src", "SI", "step", "R8")
	g.places()
	g.p("MOVQ $32, CX")
}

// column is the loop of such a function: a column is gathered into register 0, of which parts makes
// registers 2 and 3.
func (g *generator) column(loop string, both bool, parts func()) {
	g.at(loop)
	g.p("KXNORW K1, K1, K1")
	g.p("VPGATHERDD (SI)(Z6*1), K1, Z0")
	parts()
	g.p("VMOVDQU Y2, (DI)")
	if both {
		g.p("VMOVDQU Y3, (DX)")
		g.p("ADDQ R8, DX")
	}
	g.p("ADDQ $4, SI")
	g.p("ADDQ R8, DI")
	g.p("DECQ CX")
	g.p("JNZ  %s", loop)
}

// bytesOf sets registers high and low to the bytes of the int16 in register r = high·256 + low. The
// low one is signed too.
func (g *generator) bytesOf(r, high, low int) {
	g.p("VPADDW %s, Z%d, Z1", g.repeated("half", 0x00800080), r)
	g.p("VPSRLW $8, Z1, Z1")
	g.p("VPMOVWB Z1, Y%d", high)
	g.p("VPMOVWB Z%d, Y%d", r, low)
}

func (g *generator) bytesOfRow() {
	g.fn("bytesOfRow", "(high, low, src unsafe.Pointer, n int)", 0)
	g.load("high", "DI", "low", "DX", "src", "SI", "n", "CX")
	g.at("loop")
	g.p("VMOVDQU32 (SI), Z0")
	g.bytesOf(0, 2, 3)
	g.p("VMOVDQU Y2, (DI)")
	g.p("VMOVDQU Y3, (DX)")
	g.p("ADDQ $64, SI")
	g.p("ADDQ $32, DI")
	g.p("ADDQ $32, DX")
	g.p("SUBQ $32, CX")
	g.p("JNZ  loop")
	g.ret()
}

// bytesOfPairs makes quads of the bytes of n pairs in each of two rows.
func (g *generator) bytesOfPairs() {
	g.fn("bytesOfPairs", "(high, low, a, b unsafe.Pointer, n int)", 0)
	g.load("high", "DI", "low", "DX", "a", "SI", "b", "R8", "n", "CX")
	g.at("loop")
	for i, row := range []string{"SI", "R8"} {
		g.p("VMOVDQU32 (%s), Z0", row)
		g.bytesOf(0, 2, 3)
		for _, r := range []int{2, 3} {
			g.p("VPMOVZXWD Y%d, Z%d", r, r)
			if i == 1 {
				g.p("VPSLLD $16, Z%d, Z%d", r, r)
				g.p("VPORD Z%d, Z%d, Z%d", r+2, r, r+2)
			} else {
				g.p("VMOVDQA32 Z%d, Z%d", r, r+2)
			}
		}
	}
	g.p("VMOVDQU32 Z4, (DI)")
	g.p("VMOVDQU32 Z5, (DX)")
	for _, r := range []string{"DI", "DX", "SI", "R8"} {
		g.p("ADDQ $64, %s", r)
	}
	g.p("SUBQ $16, CX")
	g.p("JNZ  loop")
	g.ret()
}

// bytesOfColumns makes 32 rows of bytes, step bytes apart, of the 32 columns of 16 rows of pairs.
func (g *generator) bytesOfColumns() {
	g.fn("bytesOfColumns", "(high, low, src unsafe.Pointer, step int)", 0)
	g.columns()
	g.column("loop", true, func() { g.bytesOf(0, 2, 3) })
	g.ret()
}

// quads interleaves the bytes of four rows.
func (g *generator) quads() {
	g.fn("quads", "(dst, a, b, c, d unsafe.Pointer, n int)", 0)
	g.load("dst", "DI", "a", "SI", "b", "R8", "c", "R9", "d", "R10", "n", "CX")
	g.p("XORQ DX, DX")
	g.at("loop")
	for i, row := range []string{"SI", "R8", "R9", "R10"} {
		g.p("VMOVDQU (%s)(DX*1), Y%d", row, i)
	}
	for i := range 2 {
		g.p("VPUNPCKLBW Y%d, Y%d, Y%d", 2*i+1, 2*i, 4+i)
		g.p("VPUNPCKHBW Y%d, Y%d, Y%d", 2*i+1, 2*i, 6+i)
	}
	for i := range 2 { // columns 8i of each lane on
		g.p("VPUNPCKLWD Y%d, Y%d, Y%d", 5+2*i, 4+2*i, 2*i)
		g.p("VPUNPCKHWD Y%d, Y%d, Y%d", 5+2*i, 4+2*i, 2*i+1)
	}
	for i := range 4 {
		g.p("VMOVDQU X%d, %d(DI)", i, 16*i)
		g.p("VEXTRACTI128 $1, Y%d, %d(DI)", i, 64+16*i)
	}
	g.p("ADDQ $32, DX")
	g.p("ADDQ $128, DI")
	g.p("SUBQ $32, CX")
	g.p("JNZ  loop")
	g.ret()
}

// joinBytes writes (high·256 + low)·factor of n int32.
func (g *generator) joinBytes() {
	g.fn("joinBytes", "(dst, high, low unsafe.Pointer, factor float32, n int)", 0)
	g.load("dst", "DI", "high", "SI", "low", "R8", "n", "CX")
	g.p("VBROADCASTSS %s, Z2", g.arg("factor"))
	g.p("VMOVUPS %s, Z3", g.float("shift", 256))
	g.at("loop")
	g.p("VCVTDQ2PS (SI), Z0")
	g.p("VCVTDQ2PS (R8), Z1")
	g.p("VFMADD231PS Z3, Z0, Z1")
	g.p("VMULPS Z2, Z1, Z1")
	g.p("VMOVUPS Z1, (DI)")
	for _, r := range []string{"DI", "SI", "R8"} {
		g.p("ADDQ $64, %s", r)
	}
	g.p("SUBQ $16, CX")
	g.p("JNZ  loop")
	g.ret()
}
