package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
)

// machine is what the measurements ran on.
type machine struct {
	CPU     string `json:"cpu"` // as Linux names it
	System  string `json:"system"`
	Go      string `json:"go"`
	Threads int    `json:"threads"` // of our arms
	Variant string `json:"variant"` // of our kernels
}

func (b *bench) machine() machine {
	return machine{
		CPU: procField("/proc/cpuinfo", "model name"), System: runtime.GOOS + "/" + runtime.GOARCH, Go: runtime.Version(),
		Threads: b.cpu.Threads(), Variant: b.cpu.Variant(),
	}
}

func (m machine) print(w io.Writer) {
	cpu := m.CPU
	if cpu == "" {
		cpu = "unknown CPU"
	}
	fmt.Fprintf(w, "%s, %s, %s, %d threads, %s kernels\n", cpu, m.System, m.Go, m.Threads, m.Variant)
}

// peakRSS is the largest resident memory of this process so far, in bytes: mapped files count as
// far as they were read. 0 if the system does not tell.
func peakRSS() int64 { return procKilobytes("/proc/self/status", "VmHWM") }

// availableMemory is how many bytes can still be allocated without swapping; 0 if the system does
// not tell.
func availableMemory() int64 { return procKilobytes("/proc/meminfo", "MemAvailable") }

// limitMemory makes the garbage collector keep this process within what is available now. Without a
// limit it lets garbage grow to the size of the weights before it collects any. GOMEMLIMIT in the
// environment takes precedence.
func limitMemory() {
	if available := availableMemory(); available > 0 && os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(available / 10 * 9)
	}
}

func procKilobytes(path, name string) int64 {
	n, err := strconv.ParseInt(strings.TrimSuffix(procField(path, name), " kB"), 10, 64)
	if err != nil {
		return 0
	}
	return n << 10
}

// procField is the first value of a name in a file of lines "name: value", "" if there is none.
func procField(path, name string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if key, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
