package cache

import (
	"fmt"

	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// New returns the default cache of source:
//
//   - of a *weights.Neurons an InPlaceCache
//   - of a *StreamLayer a Window with the options window, in which zero Tokens mean 5
//
// Other sources are an error.
func New(source weights.Source, window WindowOptions) (Cache, error) {
	switch s := source.(type) {
	case *weights.Neurons:
		return InPlace(s), nil
	case *StreamLayer:
		if window.Tokens == 0 {
			window.Tokens = 5
		}
		return NewWindow(s.File(), s.Index(), window)
	}
	return nil, fmt.Errorf("cache: there is no default cache of a %T", source)
}
