// Package parallel runs the pieces of a section of work on a pool of threads.
//
//	Do(n, section) ──► 0 1 2 … n−1 ──┬─► caller
//	                   shared counter├─► worker 1
//	                                 └─► worker 2 …
//
// # Promises
//
// A section returns when all of its pieces are done. It allocates nothing. The caller alone can
// finish any section, so that a pool is right, if not fast, with one CPU, under a quota or with
// more threads than CPUs. A panic in a piece ends the program if it happens on a worker. All
// functions may be called from any goroutine, except from a piece of the same pool.
package parallel
