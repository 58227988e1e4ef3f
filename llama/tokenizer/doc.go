// Package tokenizer encodes text to the ids of Hugging Face's tokenizers, and decodes ids.
//
// A [Tokenizer] comes from a Hugging Face tokenizer.json ([Open], [Parse]) or from the vocabulary
// in a GGUF file ([FromGGUF]). Both become one pipeline:
//
//	text ─► added tokens ─► normalizer ─► added tokens ─► pre-tokenizer ─► BPE ─► post-processor ─► ids
//	        (as written)    NFC, ▁, …     (normalized)    pieces           merges  BOS, EOS, …
//
//	ids ─► tokens ─► decoder ─► text
//
// Read are byte-pair encodings over bytes (GPT-2, Llama 3, Qwen 2, SmolLM 2) and over characters
// with byte fallback (Llama 2). A model, normalizer, pre-tokenizer, pattern, post-processor or
// decoder that the package does not know is refused with an error that names the file and the
// field: a guess would return plausible ids that the model was not trained on.
//
// The look-ahead patterns of these tokenizers are scanned by hand, in time linear in the text, and
// so are the merges up to a logarithm.
//
// # Text that is not UTF-8
//
// [Tokenizer.Encode] takes any string. Bytes that are not UTF-8 belong to no class of the patterns
// (they count as symbols) and are encoded as themselves where the vocabulary has bytes, so no byte
// is lost in the ids. Decoded text is always valid UTF-8: what is not becomes U+FFFD, one for each
// maximal part of a character as the Unicode standard recommends, or one for each byte of a broken
// run of byte-fallback tokens, as Hugging Face has it.
//
// # Unicode versions
//
// Letters, numbers and spaces are those of Go's unicode package, and NFC knows the marks of
// golang.org/x/text. Hugging Face's library brings other versions of these tables: letters and
// numbers newer than Go's (Unicode 15 in Go 1.26) may be cut differently, and marks newer than
// Unicode 9 composed differently.
//
// # Lifetime
//
// A Tokenizer never changes after construction and serves any number of goroutines. A [Stream]
// belongs to one.
package tokenizer
