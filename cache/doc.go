// Package cache holds the neurons of an MLP and keeps account of which of them are active.
//
// A gated MLP computes y = Σᵢ act(x·gateᵢ)·(x·upᵢ)·downᵢ over its I neurons. Rows i of gate, up and
// down are read together or not at all, so they are stored together: neuron-major, the row–column
// bundling of LLM in a Flash (arXiv 2312.11514). From one token to the next most active neurons
// stay active. A cache takes the new active set and computes the difference to the one before.
//
// Gate, up and down are the named parts of a store. A cache works with any parts, each with its own
// dtype and row length.
//
//	active: bool I ──► Refresh ──► slots: int32 I, −1 padded ──► the rows of Rows() that the MLP kernel reads
//	                      │
//	                      ├─ hits    active before and now
//	                      ├─ misses  arrivals
//	                      └─ leaves  departures
//
// A Cache is a policy for a store in memory, weights.Neurons, or on a disk, File.
//
//   - InPlace moves no weights: a slot is a neuron's own row. Use it where all fits in memory.
//   - Packed copies the rows of the active neurons into pools, for users who need them as
//     contiguous matrices or tensors. Kernels that read whole rows gain nothing.
//   - Window holds the neurons of the last tokens in memory, within a budget, and reads the others
//     from a File. Use it where the weights do not fit. With Prefetch it is as fast as InPlace.
//
// Time of Refresh and SparseMLP of one token in ms, by the share of the active set that changes
// from token to token: 8192 neurons of hidden size 3072 in f32, a quarter active, two threads of an
// AMD Zen
// 5. The file is in the page cache; Prefetch is called so early that all is read in time
// (go test ./cache -run - -bench Token):
//
//	                           1 %   2.4 %   10 %   25 %   75 %
//	in place                   1.8     1.8    1.8    1.9    1.9
//	packed                     1.8     1.8    2.0    2.8    4.8
//	window of 4 tokens         1.9     1.9    2.3    3.0    3.7
//	the same with Prefetch     1.8     1.7    1.7    1.9    1.9
//
// # Neuron files
//
// A neuron file holds the neurons of the layers of a model. All numbers are little-endian.
//
//	header, padded with zeros to a multiple of 4096 bytes
//	     0  8 bytes  "sgneuron"
//	     8  uint32   version, 2
//	    12  uint32   L, the number of layers
//	    16  uint32   N, the length of the label
//	    20  uint32   CRC-32C of the header, in which this field is 0
//	    24  L layers of 460 bytes
//	           0  uint32   I, the number of neurons
//	           4  uint32   P, the number of parts
//	           8  uint32   CRC-32C of the checksums
//	          12  P parts of 28 bytes, then zeros where there are fewer than 16
//	                 0  16 bytes  the name, padded with zeros
//	                16   8 bytes  the dtype as weights.Dtype.String, padded with zeros
//	                24  uint32    the numbers in a row
//	        N bytes  the label
//	layer 0, padded to a multiple of 4096 bytes
//	    I bundles: the row of each part of a neuron, each padded to a multiple of 64 bytes
//	    I uint32:  the CRC-32C of each bundle
//	layer 1, …
//
// A given content has one encoding, so sizes and offsets follow from the header. The bundles are
// those of weights.Shape.View, so kernels use them as they are read. Files are read, not mapped: if
// one is cut off while it is in use, reads return an error and there is no signal.
//
// # Promises
//
// Every policy lists slots in ascending neuron order, so sums over them have the same bits. Refresh
// allocates nothing, unless the active set is larger than any before.
//
// # Lifetime
//
// The slots of a Refresh, and the results of Rows, Neurons and View, are valid until the next
// Refresh or Reset. Their memory stays readable after that, but holds other neurons or zeros. A
// Cache is not safe for concurrent use. Any number of caches may share a weights.Neurons, which
// they only read, or a File.
//
// # Errors
//
// Bad shapes, dtypes and lengths are errors that name the matrix or the slice; nothing panics.
// Errors of a damaged File wrap ErrCorrupt, those of a file of another version ErrVersion. A
// Refresh that fails leaves the cache usable, and as it was, except a Window: see there.
package cache
