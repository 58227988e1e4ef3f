package wholefile_test

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/sparsegonia/sparsegonia/ops/weights/wholefile"
)

// What is not committed leaves the old file as it was.
func Example() {
	dir, err := os.MkdirTemp("", "wholefile")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "plan")
	if err := wholefile.Write(path, []byte("old")); err != nil {
		fmt.Println(err)
		return
	}
	f, err := wholefile.Create(path)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Fprint(f, "new")
	f.Discard()
	data, err := os.ReadFile(path)
	fmt.Println(string(data), err)
	// Output:
	// old <nil>
}
