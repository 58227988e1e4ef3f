// Package cache holds the neurons of an MLP and keeps account of which of them are active.
//
// A gated MLP computes y = Σᵢ act(x·gateᵢ)·(x·upᵢ)·downᵢ over its I neurons. Row i of gate, up and down belong to
// neuron i and are read together or not at all, so they are stored together: neuron-major, the row–column bundling of
// LLM in a Flash (arXiv 2312.11514). From one token to the next most active neurons stay active. A cache is therefore
// given the new active set and works out the difference to the one before.
//
// Gate, up and down are the named parts of a store. A cache serves a store of any parts, each with a dtype and a row
// length of its own.
//
//	active: bool I ──► Refresh ──► slots: int32 I, −1 padded ──► the rows of Rows() that the MLP kernel reads
//	                      │
//	                      ├─ hits    active before and now
//	                      ├─ misses  arrivals
//	                      └─ leaves  departures
//
// weights.Neurons is the store in memory, File a store on a disk; a Cache is a policy over one of them.
//
//   - InPlace leaves the weights where they lie: a slot is a neuron's own row, and Refresh is an exclusive or of bit
//     sets and a compaction. It is the one to use where the weights fit in memory.
//   - Packed keeps the rows of the active neurons together in pools of their own, for those who want them as
//     contiguous matrices or tensors. It copies what arrives, which gains a kernel nothing that reads whole rows.
//   - Window holds in memory what the last tokens used, within a budget, and reads the rest from a File. It is the one
//     to use where the weights do not fit. Told ahead of time what will be active, it is as fast as InPlace.
//
// Refresh and SparseMLP of one token, an MLP of 8192 neurons of hidden size 3072 in f32, a quarter of them active, on two
// threads of an AMD Zen 5, in ms by the share of the active set that changes from token to token. The file is in the page
// cache; told ahead is told so early that all is read in time (go test ./cache -run - -bench Token):
//
//	                           1 %   2.4 %   10 %   25 %   75 %
//	in place                   1.8     1.8    1.8    1.9    1.9
//	packed                     1.8     1.8    2.0    2.8    4.8
//	window of 4 tokens         1.9     1.9    2.3    3.0    3.7
//	the same, told ahead       1.8     1.7    1.7    1.9    1.9
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
// There is one way to write a given content, so sizes and offsets follow from the header. The bundles are those of
// weights.Shape.View: they are read to where the kernels use them. Files are read, not mapped: one that is cut off while
// it is in use gives an error, not a signal.
//
// # Promises
//
// Slots are listed in ascending neuron order, whatever the policy, so that sums over them have the same bits under
// every policy and on every run. Refresh allocates nothing, unless the active set is larger than any before.
//
// # Lifetime
//
// The slots that Refresh returns, and what Rows, Neurons and View return, are valid until the next Refresh or Reset.
// Memory that they refer to stays readable as long as they are reachable, but holds other neurons then, or zeros. Neurons
// made by weights.NewNeurons keep the matrices alive and see later changes of them. A Cache belongs to one sequence of
// Refreshes at a time: it is not safe for concurrent use, while Neurons, which are only read, and Files may be shared
// by any number of caches.
//
// # Errors
//
// Bad shapes, dtypes and lengths are errors that name the matrix or the slice; nothing panics. What is read from a File
// is checked: damage is an error that wraps ErrCorrupt, and a file of another version one that wraps ErrVersion. A Refresh that fails leaves the cache usable; Window says what
// is then active, the other policies are as they were.
package cache
