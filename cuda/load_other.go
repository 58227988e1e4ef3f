//go:build !linux || android || (!amd64 && !arm64)

package cuda

import "runtime"

func load(string) (*api, error) {
	return nil, unavailable("not supported on %s/%s (want linux/amd64 or linux/arm64)", runtime.GOOS, runtime.GOARCH)
}
