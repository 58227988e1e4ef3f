// Package cache holds the neurons of an MLP and keeps account of which of them are active.
//
// A gated MLP computes y = Σᵢ act(x·gateᵢ)·(x·upᵢ)·downᵢ over its I neurons. Row i of gate, up and down belong to
// neuron i and are read together or not at all, so they are stored together: neuron-major, the row–column bundling of
// LLM in a Flash (arXiv 2312.11514). From one token to the next most active neurons stay active, so a cache is told
// the new active set and works out the difference to the one before.
//
//	active: bool I ──► Refresh ──► slots: int32 I, −1 padded ──► the rows of Rows() that the MLP kernel reads
//	                      │
//	                      ├─ hits    active before and now
//	                      ├─ misses  arrivals
//	                      └─ leaves  departures
//
// Neurons is the store in memory, File a store on a disk; a Cache is a policy over one of them.
//
//   - InPlace leaves the weights where they lie: a slot is a neuron's own row, and Refresh is an exclusive or of bit
//     sets and a compaction. It is the one to use where the weights fit in memory.
//   - Packed keeps the rows of the active neurons together in pools of their own, for those who want them as
//     contiguous matrices or tensors. It copies what arrives.
//   - Window holds in memory what the last tokens used, within a budget, and reads the rest from a File.
//
// # Promises
//
// Slots are listed in ascending neuron order, whatever the policy, so that sums over them have the same bits under
// every policy and on every run. Refresh allocates nothing, unless the active set is larger than any before.
//
// # Lifetime
//
// The slots that Refresh returns, and what Rows, Neurons and View return, are valid until the next Refresh or Reset.
// Memory that they refer to stays readable as long as they are reachable, but other neurons may lie in it. Neurons
// made by NewNeurons keep the matrices alive and see later changes of them. A Cache belongs to one sequence of
// Refreshes at a time: it is not safe for concurrent use, while Neurons, which are only read, and Files may be shared
// by any number of caches.
//
// # Errors
//
// Bad shapes, dtypes and lengths are errors that name the matrix or the slice; nothing panics. What is read from a File
// is checked: damage is an error that wraps ErrCorrupt. A Refresh that fails leaves the cache usable; Window says what
// is then active, the other policies are as they were.
package cache
