package simd

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

var (
	byteLine = regexp.MustCompile(`^\t((?:BYTE \$0x[0-9a-f]{2}; )+)// (.*)$`)
	byteWord = regexp.MustCompile(`0x([0-9a-f]{2})`)
)

// Instructions that Go's assembler does not know are written as bytes. The bytes say what their
// comment says.
func TestEncodings(t *testing.T) {
	files, err := filepath.Glob("*.s")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	found := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for i, line := range strings.Split(string(text), "\n") {
			if !strings.Contains(line, "BYTE") {
				continue
			}
			m := byteLine.FindStringSubmatch(line)
			if m == nil {
				t.Errorf("%s:%d: %q is no line of bytes and a comment", file, i+1, line)
				continue
			}
			var code []byte
			for _, b := range byteWord.FindAllStringSubmatch(m[1], -1) {
				n, _ := strconv.ParseUint(b[1], 16, 8)
				code = append(code, byte(n))
			}
			if got, err := disassemble(code); err != nil || got != m[2] {
				t.Errorf("%s:%d: % x is %q (%v), the comment says %q", file, i+1, code, got, err, m[2])
			}
			found++
		}
	}
	if found < 70 {
		t.Errorf("%d instructions are written as bytes, want the 72 of AMX and BF16", found)
	}
}

func TestDisassemble(t *testing.T) {
	for _, c := range []struct{ code, want string }{ // from the manuals' tables and other assemblers
		{"c4e2794903", "STTILECFG (BX)"},
		{"c4e2784900", "LDTILECFG (AX)"},
		{"c4e27849c0", "TILERELEASE"},
		{"c4e27b4b0c18", "TILELOADD 0(AX)(BX*1), tmm1"},
		{"c4c27b4b6c1340", "TILELOADD 64(R11)(DX*1), tmm5"},
		{"c4e24a5ccc", "TDPBF16PS tmm6, tmm4, tmm1"},
		{"c4e25b5ed9", "TDPBSSD tmm4, tmm1, tmm3"},
		{"62f27e4872d1", "VCVTNEPS2BF16 Z1, Y2"},
		{"62527e4872d1", "VCVTNEPS2BF16 Z9, Y10"},
	} {
		var code []byte
		if _, err := fmt.Sscanf(c.code, "%x", &code); err != nil {
			t.Fatal(err)
		}
		if got, err := disassemble(code); err != nil || got != c.want {
			t.Errorf("%s is %q (%v), want %q", c.code, got, err, c.want)
		}
	}
	for _, code := range []string{"", "c4", "90", "c4e27849c100", "c4e2785c03", "62f27e48", "c4e27b4b04"} {
		var b []byte
		_, _ = fmt.Sscanf(code, "%x", &b)
		if got, err := disassemble(b); err == nil {
			t.Errorf("%q is %q, want an error", code, got)
		}
	}
}

// vector is the prefix of a vector instruction and what it says of its operands (Intel 64 and IA-32
// Architectures Software Developer's Manual, volume 2, 2.3.5 and 2.7.1).
type vector struct {
	space   string // "vex" or "evex", vector bits, implied prefix, opcode map, W
	reg     byte   // the high bits of ModRM.reg, ModRM.rm and SIB.index
	base    byte
	index   byte
	operand byte // vvvv
}

// disassemble returns the one instruction in code, of those that this package writes as bytes.
func disassemble(code []byte) (string, error) {
	bad := fmt.Errorf("no instruction of AMX or BF16")
	var v vector
	inverted := func(b byte, bit int) byte { return (b>>bit&1 ^ 1) << 3 }
	switch {
	case len(code) >= 5 && code[0] == 0xc4: // VEX: RXB map, W vvvv L pp
		p, q := code[1], code[2]
		v = vector{
			fmt.Sprintf("vex.%d.%s.map%d.w%d", 128<<(q>>2&1), implied(q), p&31, q>>7),
			inverted(p, 7), inverted(p, 5), inverted(p, 6), ^q >> 3 & 15,
		}
		code = code[3:]
	case len(code) >= 6 && code[0] == 0x62: // EVEX: RXBR' 0 map, W vvvv 1 pp, z L'L b V' aaa
		p, q, r := code[1], code[2], code[3]
		if p&8 != 0 || q&4 == 0 || r&0x97 != 0 || p&0x10 == 0 || r&8 == 0 {
			return "", bad // masks, broadcasts and registers from 16 on are not written
		}
		v = vector{
			fmt.Sprintf("evex.%d.%s.map%d.w%d", 128<<(r>>5&3), implied(q), p&7, q>>7),
			inverted(p, 7), inverted(p, 5), inverted(p, 6), ^q >> 3 & 15,
		}
		code = code[4:]
	default:
		return "", bad
	}
	opcode, modrm, rest := code[0], code[1], code[2:]
	mod, reg, rm := modrm>>6, modrm>>3&7|v.reg, modrm&7|v.base
	registers := mod == 3 && len(rest) == 0
	switch name := fmt.Sprintf("%s.%02x", v.space, opcode); {
	case name == "vex.128.none.map2.w0.49" && modrm == 0xc0 && len(rest) == 0 && v.operand == 0:
		return "TILERELEASE", nil
	case (name == "vex.128.none.map2.w0.49" || name == "vex.128.66.map2.w0.49") && mod == 0 && modrm&7 < 4 && reg == 0 && len(rest) == 0:
		return map[bool]string{true: "LDTILECFG", false: "STTILECFG"}[strings.Contains(name, "none")] + " (" + general(rm) + ")", nil
	case (name == "vex.128.f2.map2.w0.4b" || name == "vex.128.f3.map2.w0.4b") && modrm&7 == 4 && mod < 2 && v.operand == 0:
		if len(rest) != 1+int(mod) || rest[0]>>6 != 0 || mod == 0 && rest[0]&7 == 5 {
			return "", bad
		}
		offset := 0
		if mod == 1 {
			offset = int(int8(rest[1]))
		}
		base, index := rest[0]&7|v.base, rest[0]>>3&7|v.index
		load := map[bool]string{true: "TILELOADD", false: "TILESTORED"}[strings.Contains(name, "f2")]
		return fmt.Sprintf("%s %d(%s)(%s*1), tmm%d", load, offset, general(base), general(index), reg), nil
	case name == "vex.128.f3.map2.w0.5c" && registers:
		return fmt.Sprintf("TDPBF16PS tmm%d, tmm%d, tmm%d", v.operand, rm, reg), nil
	case name == "vex.128.f2.map2.w0.5e" && registers:
		return fmt.Sprintf("TDPBSSD tmm%d, tmm%d, tmm%d", v.operand, rm, reg), nil
	case name == "evex.512.f3.map2.w0.72" && registers && v.operand == 0:
		return fmt.Sprintf("VCVTNEPS2BF16 Z%d, Y%d", rm, reg), nil
	}
	return "", bad
}

func implied(q byte) string { return []string{"none", "66", "f3", "f2"}[q&3] }

func general(r byte) string {
	return []string{"AX", "CX", "DX", "BX", "SP", "BP", "SI", "DI", "R8", "R9", "R10", "R11", "R12", "R13", "R14", "R15"}[r]
}
