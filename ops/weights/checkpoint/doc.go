// Package checkpoint reads the files that models come in: Hugging Face directories (config.json
// with model.safetensors, or with shards and their index) and GGUF files, versions 2 and 3.
//
//	config.json ───────────────────────► ConfigJSON
//	generation_config.json ────────────► GenerationConfigJSON
//	model.safetensors ───┐
//	shards and index ────┼─► mapping ──► Tensor: name, type, shape, the bytes ──► Float32, Float32Row
//	model.gguf ──────────┘
//	   └─ key/values ──────────────────► Metadata
//
// [Open] maps the files into memory and checks all that they say about themselves; no weight is
// read before it is used. A [Tensor] is a view of the mapping. What the numbers mean for a model is
// for the caller to know.
//
// # Numbers
//
// Tensors keep the type that they are stored in. [Tensor.Float32] turns every [Type] into float32,
// bit for bit as ggml does: one rounding for each product and each sum, none fused. A file may hold
// tensors of other types, such as buffers of integers: they are listed, and refused by name when
// asked for.
//
// Shapes are row-major, outermost first, in both formats: a linear layer is outputs × inputs. (GGUF
// stores the sizes the other way round.)
//
// # Lifetime
//
// Tensor.Data aliases the mapping. It must not be written to, and must not be used after
// [Checkpoint.Close]: such an access ends the process, and so does one to a mapped file that
// another process has truncated, unless the goroutine has set [runtime/debug.SetPanicOnFault].
// [Tensor.Float32] and [Tensor.Float32Row] do so and return an error. Everything else that the
// package returns is a copy and stays valid. Replace the file of a running model by renaming
// another to it, never by writing to it.
//
// A Checkpoint never changes between Open and Close and serves any number of goroutines. Where
// there is no mmap, files are read into memory.
//
// # Errors
//
// Files are not trusted. Whatever is wrong with one gives a single error that names the file and
// the field or tensor; nothing panics, and nothing is allocated because a file says so: opening
// takes memory in proportion to headers that are really there. Callers may test for [ErrCorrupt],
// [ErrNotFound] and [ErrUnsupported].
//
// A shard must lie in the directory as its index names it. Symbolic links are followed wherever
// they lead, since the cache of the Hugging Face hub is made of them.
//
// # Formats
//
// Safetensors: https://github.com/huggingface/safetensors#format. GGUF:
// https://github.com/ggml-org/ggml/blob/master/docs/gguf.md.
package checkpoint
