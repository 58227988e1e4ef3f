// Package weights stores weights: rows of numbers of one dtype, and the rows of the neurons of an
// MLP.
//
//	Dtype    how a row is stored: F32, F16, BF16, Int8, Int8G, Int4, Int4M, and F64, Int32, Int64
//	Matrix   rows × cols numbers over memory of its own or of others
//	Neurons  a Matrix for each part of an MLP; row i belongs to neuron i
//	Shape    the layout of Neurons in one buffer: gate, up and down row of a neuron are adjacent
//
// # Promises
//
// Every row is self-contained, so that caches and files move rows as plain bytes. Numbers are
// rounded to nearest even, or quantised with the scales of least error. A group (or row of Int8)
// that holds a NaN or an infinity decodes to NaN. A Matrix is safe for concurrent use as its memory
// is. Sizes that come from files are checked and give errors; rows out of range and slices of wrong
// lengths panic.
package weights
