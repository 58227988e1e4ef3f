package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"runtime"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/sparsegonia/sparsegonia/graph"
	"github.com/sparsegonia/sparsegonia/ops/kernel"
)

// report is the JSON object that -json prints. Times are in milliseconds.
type report struct {
	Layers  []int  `json:"layers"`  // numbers of inputs, neurons and classes
	Weights int    `json:"weights"` // without biases
	Images  int    `json:"images"`
	Seed    uint64 `json:"seed"`
	Threads int    `json:"threads"` // of the sparse ops
	Kernels string `json:"kernels"` // variant: "generic", "avx2", …
	Go      string `json:"go"`      // version and platform

	DenseBytes  float64 `json:"dense_bytes"`  // of weights, read for an image
	SparseBytes float64 `json:"sparse_bytes"` // on average

	Active float64 `json:"active"` // share of the first layer's neurons that an image makes active, on average

	Arms []armReport `json:"arms"`

	DenseAccuracy  float64 `json:"dense_accuracy"`  // share of the images that the dense tape machine gets right
	SparseAccuracy float64 `json:"sparse_accuracy"` // and the sparse one
	Agreement      float64 `json:"agreement"`       // share of the images for which all arms name the same class
	Change         float64 `json:"change"`          // largest difference of an output from the dense one, by the largest output

	difference, largest float64
}

type armReport struct {
	Name         string  `json:"name"`
	Milliseconds float64 `json:"milliseconds"`  // for an image, the median
	Spread       float64 `json:"spread"`        // half the distance of the quartiles by the median
	Speedup      float64 `json:"speedup"`       // over the dense arm of the same machine, median of the quotients
	OverTape     float64 `json:"speedup_stock"` // over the dense tape machine
}

func newReport(s settings, cpu *kernel.CPU, p *parameters) *report {
	r := &report{
		Layers: []int{pixels, s.width, s.width, classes}, Images: s.images, Seed: s.seed,
		Threads: cpu.Threads(), Kernels: cpu.Variant(),
		Go: fmt.Sprintf("%s %s/%s", runtime.Version(), runtime.GOOS, runtime.GOARCH),
	}
	for _, w := range p.weights {
		r.Weights += w.DataSize()
	}
	return r
}

// addImage takes the outputs of the arms, the dense tape machine first and the sparse one second.
func (r *report) addImage(label int, outputs [][]float32) {
	class := func(logits []float32) int { return slices.Index(logits, slices.Max(logits)) }
	if class(outputs[0]) == label {
		r.DenseAccuracy++ // shares when finish divides
	}
	if class(outputs[1]) == label {
		r.SparseAccuracy++
	}
	agree := true
	for _, logits := range outputs {
		agree = agree && class(logits) == class(outputs[0])
		for i, x := range logits {
			r.difference = max(r.difference, math.Abs(float64(x-outputs[0][i])))
			r.largest = max(r.largest, math.Abs(float64(x)))
		}
	}
	if agree {
		r.Agreement++
	}
}

func (r *report) finish(arms []*arm, s *graph.Swapped) {
	for _, share := range []*float64{&r.DenseAccuracy, &r.SparseAccuracy, &r.Agreement} {
		*share /= float64(r.Images)
	}
	stats := s.MLPs[0].Cache.Stats()
	r.Active = stats.Active() / float64(s.MLPs[0].MLP.Up.Outputs())
	width := float64(r.Layers[1])
	r.DenseBytes = 4 * float64(r.Weights)
	r.SparseBytes = r.DenseBytes - 4*(1-r.Active)*width*width
	if r.largest > 0 {
		r.Change = r.difference / r.largest
	}
	for i, arm := range arms {
		a := armReport{Name: arm.name}
		a.Milliseconds, a.Spread = quartiles(milliseconds(arm.times))
		a.Speedup, _ = quartiles(quotients(arms[i&^1].times, arm.times))
		a.OverTape, _ = quartiles(quotients(arms[0].times, arm.times))
		r.Arms = append(r.Arms, a)
	}
}

func milliseconds(times []time.Duration) []float64 {
	out := make([]float64, len(times))
	for i, t := range times {
		out[i] = t.Seconds() * 1000
	}
	return out
}

// quotients compares arms image by image, so that what slows the whole machine down counts for
// both.
func quotients(of, by []time.Duration) []float64 {
	out := make([]float64, len(of))
	for i := range of {
		out[i] = of[i].Seconds() / max(by[i].Seconds(), 1e-9)
	}
	return out
}

// quartiles are the median and half the distance of the quartiles by the median.
func quartiles(values []float64) (median, spread float64) {
	slices.Sort(values)
	at := func(share float64) float64 { return values[int(share*float64(len(values)-1)+0.5)] }
	median = at(0.5)
	return median, (at(0.75) - at(0.25)) / 2 / median
}

func (r *report) printJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

func (r *report) printTable(w io.Writer) error {
	fmt.Fprintf(w, "%d–%d–%d–%d with ReLU, %.1f M weights in float32, %d images one at a time\n",
		r.Layers[0], r.Layers[1], r.Layers[2], r.Layers[3], float64(r.Weights)/1e6, r.Images)
	fmt.Fprintf(w, "%.1f %% of the neurons of the first layer are active; %.1f MB of weights are read for an image instead of %.1f MB\n",
		100*r.Active, r.SparseBytes/1e6, r.DenseBytes/1e6)
	fmt.Fprintf(w, "sparse ops: threads %d, %s kernels\n\n", r.Threads, r.Kernels)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "arm\tms/image\t±\tspeed-up\tover dense tape\t")
	for _, a := range r.Arms {
		fmt.Fprintf(t, "%s\t%.2f\t%.0f %%\t%.2f\t%.2f\t\n", a.Name, a.Milliseconds, 100*a.Spread, a.Speedup, a.OverTape)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\naccuracy %.1f %% dense, %.1f %% sparse; the arms agree on %.1f %% of the images\n"+
		"largest change of an output: %.1e of the largest output\n",
		100*r.DenseAccuracy, 100*r.SparseAccuracy, 100*r.Agreement, r.Change)
	return err
}
