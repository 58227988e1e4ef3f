package program

import (
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
)

// patience is how long a program works without a word.
const patience = time.Second

// Wait is work that the user waits for. It says what it is on stderr once it takes over a second: a
// bar on a terminal, a line elsewhere. Nothing else may write to stderr until Done.
type Wait struct {
	env   *Env
	what  string
	total int64

	mu    sync.Mutex
	timer *time.Timer
	done  int64
	shown bool
	bar   *progressbar.ProgressBar
	start time.Time
}

// Wait begins work of total steps; 0 if they cannot be counted.
func (e *Env) Wait(what string, total int) *Wait {
	w := &Wait{env: e, what: what, total: int64(total), start: time.Now()}
	w.mu.Lock() // show reads timer
	defer w.mu.Unlock()
	w.timer = time.AfterFunc(patience, w.show)
	return w
}

func (w *Wait) show() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.timer == nil {
		return // done meanwhile
	}
	w.shown = true
	if !isTerminal(w.env.Stderr) {
		fmt.Fprintf(w.env.Stderr, "%s: %s …\n", w.env.Name, w.what)
		return
	}
	options := []progressbar.Option{
		progressbar.OptionSetWriter(w.env.Stderr),
		progressbar.OptionSetDescription(w.what),
		progressbar.OptionThrottle(100 * time.Millisecond),
		progressbar.OptionClearOnFinish(),
	}
	total := int64(-1) // a spinner
	if w.total > 0 {
		total, options = w.total, append(options, progressbar.OptionShowCount())
	}
	w.bar = progressbar.NewOptions64(total, options...)
	w.bar.Set64(w.done)
}

// Add counts steps that are done.
func (w *Wait) Add(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.done += int64(n)
	if w.bar != nil {
		w.bar.Set64(w.done)
	}
}

// Done ends the work. What was shown is replaced by how long it took.
func (w *Wait) Done() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.timer == nil {
		return
	}
	w.timer.Stop()
	w.timer = nil
	if w.bar != nil {
		w.bar.Finish()
	}
	if w.shown {
		fmt.Fprintf(w.env.Stderr, "%s: %s took %.1f s\n", w.env.Name, w.what, time.Since(w.start).Seconds())
	}
}

func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
