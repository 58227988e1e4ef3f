// Package calibrate finds out how sparse the MLPs of a graph can be, and keeps what it has found in a file.
//
//	graph, inputs ──► Capture ──► activations of every MLP ──► Captured.Plan ──► Plan ──► graph.Swap
//	                     │                                                        ▲
//	                     └──► visit: whatever else is to be learnt from them      └── ReadPlan, a JSON file
//
// Capture runs a graph on inputs that are typical of its use and collects the magnitudes of the gate values act(x·gate),
// or of act(x·up) where there is no gate. Of these, Captured.Plan takes the quantile that leaves a wanted share of the
// neurons active: contextually aware thresholding (CATS, arXiv 2404.08763), which needs no training. Compare tells what
// a plan does to the outputs of the graph.
//
// A Plan names a selector for each MLP in the order of graph.FindMLPs. It also reads the configuration of
// sparse_transformers, whose predictors look ahead from the input of the attention.
//
// # Errors
//
// Bad plans, predictors and activations are errors that name the file and the field, or the MLP. Files are replaced as a
// whole or not at all.
package calibrate
