// Package overhead measures what a request costs beyond net/http and the
// engine, in one process: the server as `godwit serve` joins it, over
// loopback, with an engine that does nothing, and a route of net/http that
// answers with as many bytes. It holds benchmarks and a bound on allocations.
package overhead
