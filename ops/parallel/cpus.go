package parallel

import "runtime"

// availableCPUs is how many threads can run at the same time.
func availableCPUs() int {
	n := min(runtime.GOMAXPROCS(0), runtime.NumCPU())
	if q := quota(); q > 0 {
		n = min(n, max(int(q), 1))
	}
	return n
}
