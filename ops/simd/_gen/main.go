// Command _gen writes the assembly of package simd and its Go declarations.
//
//	go run . [-out DIR] [-check]
//
// With -check nothing is written; it fails if a file is not what would be written.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"go/format"
	"os"
	"path/filepath"
	"strings"
)

func main() {
	out := flag.String("out", "..", "directory of package simd")
	check := flag.Bool("check", false, "compare instead of writing")
	flag.Parse()
	if err := run(*out, *check); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func run(dir string, check bool) error {
	var g generator
	for _, v := range []isa{avx2, avx512} {
		g.isa = v
		g.file("kernels_" + strings.ToLower(v.name) + "_amd64.s")
		g.floatKernels()
		g.attention()
		g.groupKernels()
		g.tile()
		g.tilePairs()
		g.transpose()
		if g.width == 16 {
			g.inOrder()
		}
		g.packPairs()
		g.widenPairs()
		g.widen16()
		g.prefetchRange()
		g.elementwise()
		g.quantizers()
		g.read()
		g.amxKernels()
	}
	stubs, err := format.Source(g.stubs())
	if err != nil {
		return err
	}
	g.files["stubs_amd64.go"] = bytes.NewBuffer(stubs)
	for name, b := range g.files {
		path := filepath.Join(dir, name)
		if check {
			old, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			if !bytes.Equal(old, b.Bytes()) {
				return fmt.Errorf("%s is not up to date: run go generate", name)
			}
			continue
		}
		if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
			return err
		}
	}
	return nil
}
