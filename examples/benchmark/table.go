package main

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// table is text in columns. A header that begins with < aligns its column to the left, others to
// the right.
type table struct {
	header []string
	rows   [][]string
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

func (t *table) print(w io.Writer) {
	left := make([]bool, len(t.header))
	width := make([]int, len(t.header))
	lines := [][]string{make([]string, len(t.header))}
	for i, h := range t.header {
		lines[0][i], left[i] = strings.CutPrefix(h, "<")
	}
	lines = append(lines, t.rows...)
	for _, line := range lines {
		for i, cell := range line {
			width[i] = max(width[i], utf8.RuneCountInString(cell))
		}
	}
	for _, line := range lines {
		var b strings.Builder
		for i, cell := range line {
			if i > 0 {
				b.WriteString("  ")
			}
			pad := strings.Repeat(" ", width[i]-utf8.RuneCountInString(cell))
			if left[i] {
				b.WriteString(cell + pad)
			} else {
				b.WriteString(pad + cell)
			}
		}
		fmt.Fprintln(w, strings.TrimRight(b.String(), " "))
	}
}

// duration writes seconds with three digits and a unit that suits them.
func duration(seconds float64) string {
	switch {
	case seconds >= 1:
		return digits(seconds) + " s"
	case seconds >= 1e-3:
		return digits(seconds*1e3) + " ms"
	default:
		return digits(seconds*1e6) + " µs"
	}
}

// digits writes a number with three digits, more if it is 1000 or above.
func digits(x float64) string {
	switch {
	case x == 0:
		return ""
	case x >= 99.95:
		return fmt.Sprintf("%.0f", x)
	case x >= 9.995:
		return fmt.Sprintf("%.1f", x)
	default:
		return fmt.Sprintf("%.2f", x)
	}
}

// sizeOf writes a number of bytes with a unit that suits them.
func sizeOf(bytes int64) string {
	switch b := float64(bytes); {
	case bytes == 0:
		return ""
	case b >= 1e9:
		return digits(b/1e9) + " GB"
	default:
		return digits(b/1e6) + " MB"
	}
}
