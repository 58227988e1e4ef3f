package calibrate_test

import (
	"fmt"
	"os"
	"path/filepath"

	"gorgonia.org/gorgonia"

	"github.com/sparsegonia/sparsegonia/graph"
	"github.com/sparsegonia/sparsegonia/graph/calibrate"
)

// Any graph: learn thresholds from its own inputs, keep them in a file, see what they cost, run it sparse.
func Example() {
	f := newForeign() // x → a gated SiLU MLP → a plain ReLU MLP → y

	captured, err := calibrate.Capture(f.source(50), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	plan, err := captured.Plan(0.25) // a quarter of the neurons for each row
	if err != nil {
		fmt.Println(err)
		return
	}

	dir, err := os.MkdirTemp("", "plan")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "plan.json")
	if err := plan.Write(file); err != nil {
		fmt.Println(err)
		return
	}
	if plan, err = calibrate.ReadPlan(file); err != nil {
		fmt.Println(err)
		return
	}
	for _, l := range plan.Layers {
		fmt.Printf("%s: %.2f of the neurons reach their threshold\n", l.Kind.Name(), l.Density)
	}

	change, err := calibrate.Compare(f.source(10), plan)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("the outputs change by %.0f %% (root mean square)\n", 100*change.RMS)

	swapped, err := graph.Swap(f.g, gorgonia.Nodes{f.y}, graph.Choose{MLP: plan.Selector})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(len(swapped.MLPs), "sparse MLPs in the new graph")
	// Output:
	// gate: 0.25 of the neurons reach their threshold
	// gate: 0.25 of the neurons reach their threshold
	// the outputs change by 20 % (root mean square)
	// 2 sparse MLPs in the new graph
}
