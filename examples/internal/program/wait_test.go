package program_test

import (
	"bytes"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sparsegonia/sparsegonia/examples/internal/program"
)

func TestWait(t *testing.T) {
	for _, test := range []struct {
		took time.Duration
		want string
	}{
		{990 * time.Millisecond, ""},
		{2500 * time.Millisecond, "probe: thinking …\nprobe: thinking took 2.5 s\n"},
	} {
		synctest.Test(t, func(t *testing.T) {
			var stderr bytes.Buffer
			env := &program.Env{Name: "probe", Stderr: &stderr}
			w := env.Wait("thinking", 10)
			var adders sync.WaitGroup
			for range 10 {
				adders.Go(func() { w.Add(1) })
			}
			time.Sleep(test.took)
			adders.Wait()
			w.Done()
			w.Done()
			time.Sleep(2 * time.Second)
			if stderr.String() != test.want {
				t.Errorf("%v: %q", test.took, &stderr)
			}
		})
	}
}

// What is begun and never over a second says nothing, however often.
func TestShortWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var stderr strings.Builder
		env := &program.Env{Name: "probe", Stderr: &stderr}
		for range 100 {
			w := env.Wait("step", 0)
			time.Sleep(100 * time.Millisecond)
			w.Done()
		}
		if stderr.String() != "" {
			t.Errorf("%q", stderr.String())
		}
	})
}
