// Package calibrate measures how sparse the MLPs of a graph can be and makes plans of it.
//
//	graph, inputs ──► Capture ──► activations of every MLP ──► Captured.Plan ──► Plan ──► graph.Swap
//	                     │                                                        ▲
//	                     └──► visit: anything else to learn from them              └── ReadPlan, a JSON file
//
// Capture runs a graph on inputs that are typical of its use. It collects the magnitudes of the
// gate values act(x·gate), or act(x·up) without a gate. Captured.Plan takes the quantile that
// leaves a given share of the neurons active: contextually aware thresholding (CATS, arXiv
// 2404.08763), which needs no training. Compare measures how a plan changes the outputs.
//
// A Plan names a selector for each MLP in the order of graph.FindMLPs. ReadPlan also reads the
// configuration of sparse_transformers.
//
// # Errors
//
// Bad plans, predictors and activations are errors that name the file and the field, or the MLP.
// Files are replaced as a whole or not at all.
package calibrate
