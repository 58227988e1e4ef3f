package program

import (
	"context"
	"io"
)

// ReadStdin reads all of stdin, or gives up when ctx is cancelled: Ctrl-C ends a program that waits
// for input.
func (e *Env) ReadStdin(ctx context.Context) ([]byte, error) {
	type result struct {
		data []byte
		err  error
	}
	read := make(chan result, 1)
	go func() {
		data, err := io.ReadAll(e.Stdin)
		read <- result{data, err}
	}()
	select {
	case r := <-read:
		return r.data, r.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
