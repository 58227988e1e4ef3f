// Package rules_test holds the rules of this module that no compiler checks.
package rules_test

import (
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	root   = "../../.."
	module = "github.com/sparsegonia/sparsegonia"
)

// floors of the house, the ground floor first. A package imports from the floors below its own.
var floors = [][]string{
	{"ops/parallel", "ops/activation", "ops/weights/checkpoint/strictjson", "ops/weights/wholefile", "cuda/ptx", "graph/vocabulary"},
	{"ops/weights"},
	{"ops/weights/checkpoint", "ops/simd", "cache"},
	{"ops/kernel"},
	{"ops"},
	{"ops/optest", "graph", "llama/tokenizer"},
	{"graph/calibrate"},
	{"llama"},
	{"cuda", "testdata", "testdata/tinyrelu", "testdata/tinysilu"},
	{"examples/internal/program"},
	{"examples/benchmark", "examples/generate", "examples/swap"},
}

// forbidden are arrows down that are not wanted all the same. A room stands for what is in it, too.
var forbidden = []struct{ from, to, why string }{
	{"ops", "cache", "an op asks for a cache by an interface of its own"},
	{"ops/kernel", "gorgonia.org", "kernels are for slices"},
	{"ops/simd", "gorgonia.org", "kernels are for slices"},
	{"ops/weights", "gorgonia.org", "weights are bytes"},
	{"ops/parallel", "gorgonia.org", "threads know nothing of graphs"},
	{"ops/activation", "gorgonia.org", "functions know nothing of graphs"},
	{"cache", "gorgonia.org", "a policy moves bytes"},
	{"cuda", "gorgonia.org", "a probe and a text need no graph"},
	{"llama/tokenizer", "gorgonia.org", "a text needs no graph"},
}

const (
	// purego makes every program that has it a dynamically linked one.
	purego = "github.com/ebitengine/purego"

	maxLines   = 3500 // of a package, without tests and generated files
	maxForeign = 4    // packages of others that cache may depend on
)

// room is what is known of a package from its files, for all build tags.
type room struct {
	imports  map[string]string // path to the file that has it, without those of tests
	lines    int               // of files that are neither tests nor generated
	command  bool              // package main
	examples int               // that run
}

// readRooms reads all packages of the module, by their folders.
func readRooms(t *testing.T) map[string]*room {
	t.Helper()
	rooms := map[string]*room{}
	err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if strings.HasPrefix(d.Name(), "_") || strings.HasPrefix(d.Name(), ".") && file != root {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(file, ".go") {
			return nil
		}
		relative, err := filepath.Rel(root, file)
		if err != nil {
			return err
		}
		relative = filepath.ToSlash(relative)
		name := path.Dir(relative)
		if rooms[name] == nil {
			rooms[name] = &room{imports: map[string]string{}}
		}
		return rooms[name].read(relative)
	})
	if err != nil {
		t.Fatal(err)
	}
	// Folders that hold tests only are no packages.
	maps.DeleteFunc(rooms, func(_ string, r *room) bool { return r.lines == 0 })
	return rooms
}

func (r *room) read(file string) error {
	source, err := os.ReadFile(filepath.Join(root, file))
	if err != nil {
		return err
	}
	syntax, err := parser.ParseFile(token.NewFileSet(), file, source, parser.ParseComments)
	if err != nil {
		return err
	}
	if strings.HasSuffix(file, "_test.go") {
		for _, e := range doc.Examples(syntax) {
			if e.Output != "" || e.EmptyOutput {
				r.examples++
			}
		}
		return nil
	}
	for _, spec := range syntax.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return err
		}
		r.imports[strings.TrimPrefix(imported, module+"/")] = file
	}
	if !ast.IsGenerated(syntax) {
		r.lines += strings.Count(string(source), "\n")
	}
	r.command = syntax.Name.Name == "main"
	return nil
}

// within reports whether a package is a room or in it.
func within(name, room string) bool { return name == room || strings.HasPrefix(name, room+"/") }

// No arrow points up, and none that is forbidden points down.
func TestArrows(t *testing.T) {
	rooms := readRooms(t)
	floor := map[string]int{}
	for i, names := range floors {
		for _, name := range names {
			floor[name] = i
			if rooms[name] == nil {
				t.Errorf("there is no package %s: update the floors", name)
			}
		}
	}
	for name, room := range rooms {
		from, ok := floor[name]
		if !ok {
			t.Errorf("package %s is on no floor", name)
		}
		for imported, file := range room.imports {
			if to, ok := floor[imported]; ok && to >= from {
				t.Errorf("%s imports %s, which is not below %s", file, imported, name)
			}
			for _, f := range forbidden {
				if within(name, f.from) && within(imported, f.to) {
					t.Errorf("%s imports %s: %s", file, imported, f.why)
				}
			}
			if within(imported, purego) && name != "cuda" {
				t.Errorf("%s imports %s: only package cuda may", file, imported)
			}
		}
	}
}

// Folders import each other in no circle, at whatever depth one looks at them.
func TestFolders(t *testing.T) {
	rooms := readRooms(t)
	for depth := 1; depth <= 3; depth++ {
		folder := func(name string) string {
			parts := strings.Split(name, "/")
			return strings.Join(parts[:min(depth, len(parts))], "/")
		}
		next := map[string]map[string]bool{}
		for name, room := range rooms {
			from := folder(name)
			if next[from] == nil {
				next[from] = map[string]bool{}
			}
			for imported := range room.imports {
				if to := folder(imported); rooms[imported] != nil && to != from {
					next[from][to] = true
				}
			}
		}
		if circle := findCircle(next); circle != nil {
			t.Errorf("a circle of folders: %s", strings.Join(circle, " → "))
		}
	}
}

// findCircle returns the nodes of a circle, the first one twice, or nil.
func findCircle(next map[string]map[string]bool) []string {
	done := map[string]bool{}
	var visit func(path []string) []string
	visit = func(path []string) []string {
		last := path[len(path)-1]
		if i := slices.Index(path, last); i < len(path)-1 {
			return path[i:]
		}
		if done[last] {
			return nil
		}
		for _, to := range slices.Sorted(maps.Keys(next[last])) {
			if circle := visit(append(slices.Clone(path), to)); circle != nil {
				return circle
			}
		}
		done[last] = true
		return nil
	}
	for _, from := range slices.Sorted(maps.Keys(next)) {
		if circle := visit([]string{from}); circle != nil {
			return circle
		}
	}
	return nil
}

// Whoever imports a library gets a statically linked program, and of a cache not much more than the
// cache.
func TestDependencies(t *testing.T) {
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("needs the go command: ", err)
	}
	if !slices.Contains(dependencies(t, "./cuda"), purego) {
		t.Fatalf("cuda does not depend on %s: this test looks for the wrong name", purego)
	}
	libraries := dependencies(t, "./ops/...", "./cache/...", "./graph/...", "./llama/...", "./cuda/ptx")
	if !slices.Contains(libraries, module+"/ops/weights/checkpoint") {
		t.Fatal("the list of dependencies lacks ops/weights/checkpoint")
	}
	for _, name := range libraries {
		if within(name, purego) || name == module+"/cuda" {
			t.Errorf("a library depends on %s", name)
		}
	}
	var foreign []string
	for _, name := range dependencies(t, "./cache") {
		if host, _, _ := strings.Cut(name, "/"); strings.Contains(host, ".") && !within(name, module) {
			foreign = append(foreign, name)
			if within(name, "gorgonia.org") {
				t.Errorf("cache depends on %s", name)
			}
		}
	}
	if len(foreign) > maxForeign {
		t.Errorf("cache depends on %d packages of others: %v", len(foreign), foreign)
	}
}

// dependencies are the packages that a program with the given ones is made of.
func dependencies(t *testing.T, patterns ...string) []string {
	t.Helper()
	list := exec.Command("go", append([]string{"list", "-deps"}, patterns...)...)
	list.Dir = root
	var stderr strings.Builder
	list.Stderr = &stderr
	out, err := list.Output()
	if err != nil {
		t.Fatalf("%v: %v\n%s", list, err, stderr.String())
	}
	return strings.Fields(string(out))
}

// A package that is too large has a second concern.
func TestSizes(t *testing.T) {
	for name, room := range readRooms(t) {
		if room.lines >= maxLines {
			t.Errorf("package %s has %d lines, want fewer than %d", name, room.lines, maxLines)
		}
	}
}

// Every package that can be imported shows how, in an example that runs.
func TestExamples(t *testing.T) {
	for name, room := range readRooms(t) {
		if room.command || within(name, "testdata") {
			continue
		}
		if room.examples == 0 {
			t.Errorf("package %s has no Example with an output", name)
		}
	}
}
