package llama

import (
	"errors"
	"io/fs"

	"github.com/sparsegonia/sparsegonia/ops/weights/checkpoint"
)

// Errors that a caller may test for with errors.Is.
var (
	// ErrContextFull is in the error of a call that would make a sequence longer than the context
	// of its session. The sequence stays as it was.
	ErrContextFull = errors.New("context full")

	// ErrUnsupported is in the errors for architectures, activations, rotary embeddings and types
	// of tensors that exist but that the module does not run.
	ErrUnsupported = checkpoint.ErrUnsupported

	// ErrClosed is in the errors of models and sessions that are used after Close.
	ErrClosed = fs.ErrClosed
)
