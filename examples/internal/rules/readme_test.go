package rules_test

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var (
	// goBlock is a snippet of Go and the link to a file before it.
	goBlock = regexp.MustCompile("(?s)```go\n(.*?)```")
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
)

// Every snippet of Go in the README is the body of an Example, in the file that was linked last
// before it.
func TestSnippetsAreExamples(t *testing.T) {
	readme := readFile(t, "README.md")
	blocks := goBlock.FindAllStringSubmatchIndex(readme, -1)
	if len(blocks) == 0 {
		t.Fatal("README.md has no snippet of Go")
	}
	for _, b := range blocks {
		links := link.FindAllStringSubmatch(readme[:b[0]], -1)
		if len(links) == 0 {
			t.Fatal("README.md has no link before its first snippet")
		}
		file := links[len(links)-1][1]
		if !strings.HasSuffix(file, "_test.go") {
			t.Errorf("the link before a snippet is to %s, not to a test", file)
			continue
		}
		snippet, bodies := readme[b[2]:b[3]], exampleBodies(t, file)
		if len(bodies) == 0 {
			t.Errorf("%s has no Example", file)
		}
		closest := ""
		for _, body := range bodies {
			if d := cmp.Diff(body, snippet); closest == "" || len(d) < len(closest) {
				closest = d
				if d == "" {
					break
				}
			}
		}
		if closest != "" {
			t.Errorf("a snippet is not an Example of %s (-Example +README):\n%s", file, closest)
		}
	}
}

// exampleBodies are the bodies of the Examples of a file, without their outputs and one tab less.
func exampleBodies(t *testing.T, file string) (bodies []string) {
	t.Helper()
	source := readFile(t, file)
	files := token.NewFileSet()
	syntax, err := parser.ParseFile(files, file, source, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range syntax.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok || !strings.HasPrefix(f.Name.Name, "Example") {
			continue
		}
		body := source[files.Position(f.Body.Lbrace).Offset+2 : files.Position(f.Body.Rbrace).Offset]
		body, _, _ = strings.Cut(body, "\t// Output:")
		body = strings.TrimPrefix(strings.ReplaceAll("\n"+body, "\n\t", "\n"), "\n")
		bodies = append(bodies, body)
	}
	return bodies
}

// Links to files of the module lead somewhere.
func TestLinks(t *testing.T) {
	for _, page := range []string{"README.md", "examples/benchmark/README.md", "testdata/README.md"} {
		for _, m := range link.FindAllStringSubmatch(readFile(t, page), -1) {
			target, _, _ := strings.Cut(m[1], "#")
			if target == "" || strings.Contains(target, "://") {
				continue
			}
			if _, err := os.Stat(filepath.Join(root, filepath.Dir(page), target)); err != nil {
				t.Errorf("%s: %v", page, err)
			}
		}
	}
}

// The README stays a front door.
func TestLength(t *testing.T) {
	const most = 140
	if n := strings.Count(readFile(t, "README.md"), "\n"); n > most {
		t.Errorf("README.md has %d lines, more than %d: figures belong beside their commands", n, most)
	}
}

func readFile(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root, file))
	if err != nil {
		t.Fatal(err)
	}
	return string(bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n")))
}
