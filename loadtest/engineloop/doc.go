// Package engineloop holds a benchmark: the engine's throughput against a C
// loop on the same library, model and machine, taking turns in one process.
//
//	go test -run '^$' -bench . ./loadtest/engineloop
//
// go/c is the median over pairs of blocks of the C loop's time divided by the
// engine's, so 1 is as fast as C; cpu-go/c is the same of processor time,
// which a busy machine disturbs less.
package engineloop
