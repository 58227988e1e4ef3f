// Package optest tests Gorgonia ops: those of package ops, and yours.
//
// A Case is an op, built on demand, with inputs and an independent reference for its output. Run
// checks that
//
//	Do(inputs) = UsePreallocDo(prealloc, inputs) = Reference(inputs) = the graph's result on Gorgonia's tape machine
//
// and what Gorgonia relies on without checking it: arity and type, InferShape against the true
// shape, inputs neither changed nor aliased, no byte written outside the output, the same result on
// every run, in concurrent instances and, of an ops.Runner, on every CPU, hashes that differ
// between variants of the op and agree between equal ones, errors instead of panics for wrong
// inputs, no allocation in UsePreallocDo, and the gradient, if there is one, against finite
// differences.
//
// Bench times the same Case.
package optest
