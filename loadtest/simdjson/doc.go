// Package simdjson compares our decoder of JSON numbers with C++ simdjson's
// on-demand API, which runs in a process of its own and takes turns with ours
// (run.sh). It holds benchmarks only.
package simdjson
